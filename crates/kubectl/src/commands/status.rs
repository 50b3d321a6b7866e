//! `kubectl longshore status`

use jiff::Timestamp;
use serde::Serialize;

use crate::arguments::{OutputForm, StatusArguments};
use crate::cluster::Session;
use crate::entry::{self, Entry};
use crate::failure::Failure;
use crate::found::{gather, named};
use crate::output;

#[derive(Serialize)]
struct Document<'a> {
    items: &'a [Entry],
}

pub async fn run(session: &Session, verb: &StatusArguments) -> Result<(), Failure> {
    let namespace = (!verb.all_namespaces).then_some(session.namespace.as_str());
    let found = gather(session, namespace, &verb.data_mover).await?;
    found.warn();
    let now = Timestamp::now();
    let entries: Vec<Entry> = if verb.names.is_empty() {
        found.entries
    } else {
        named(&found.entries, &verb.names, namespace)?.into_iter().cloned().collect()
    };
    match verb.output {
        OutputForm::Json | OutputForm::Yaml => {
            output::document(verb.output, "Status", &Document { items: &entries })
        }
        OutputForm::Name => {
            let names: Vec<String> =
                entries.iter().map(|one| format!("{}/{}\n", one.kind.resource(), one.name)).collect();
            output::write(&names.concat())
        }
        OutputForm::Table if verb.names.len() == 1 => {
            let details: Vec<String> = entries.iter().map(|one| entry::detail(one, now)).collect();
            output::write(&details.join("\n"))
        }
        OutputForm::Table | OutputForm::Wide if entries.is_empty() => {
            eprintln!(
                "nothing found{}",
                namespace.map(|one| format!(" in namespace {one}")).unwrap_or_default()
            );
            Ok(())
        }
        OutputForm::Table | OutputForm::Wide => {
            let wide = verb.output == OutputForm::Wide;
            output::write(&entry::table(&entries, wide, verb.all_namespaces, now))
        }
    }
}
