//! `kubectl longshore doctor`

use serde::Serialize;

use crate::arguments::{DoctorArguments, OutputForm};
use crate::cluster::Session;
use crate::doctor::{Finding, Severity, findings, gather};
use crate::failure::Failure;
use crate::output;

#[derive(Serialize)]
struct Document<'a> {
    findings: &'a [Finding],
    errors: usize,
    warnings: usize,
}

fn count(found: &[Finding], severity: Severity) -> usize {
    found.iter().filter(|finding| finding.severity == severity).count()
}

/// The findings for people. Pure.
fn text(found: &[Finding]) -> String {
    let mut text = String::new();
    for finding in found {
        text.push_str(&format!("{}: {}: {}\n", finding.severity.as_str(), finding.subject, finding.what));
        text.push_str(&format!("  why         {}\n  what to do  {}\n", finding.why, finding.what_to_do));
    }
    let (errors, warnings) = (count(found, Severity::Error), count(found, Severity::Warning));
    text.push_str(&match (errors, warnings) {
        (0, 0) => "nothing is wrong, as far as could be looked\n".to_owned(),
        _ => format!("errors: {errors}, warnings: {warnings}\n"),
    });
    text
}

pub async fn run(session: &Session, verb: &DoctorArguments) -> Result<(), Failure> {
    if verb.output == OutputForm::Name {
        return Err(Failure::usage("findings have no names; use -o table, json or yaml"));
    }
    let found = findings(&gather(session).await?);
    let (errors, warnings) = (count(&found, Severity::Error), count(&found, Severity::Warning));
    match verb.output {
        form @ (OutputForm::Json | OutputForm::Yaml) => {
            output::document(form, "Doctor", &Document { findings: &found, errors, warnings })?;
        }
        _ => output::write(&text(&found))?,
    }
    if errors > 0 { Err(Failure::Findings { errors }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_said_and_so_is_every_finding() {
        assert!(text(&[]).starts_with("nothing is wrong"));
        let blind = Finding::not_looked("Secrets", "forbidden");
        let shown = text(&[blind]);
        assert!(
            shown.starts_with("info: Secrets: It could not be looked at.\n  why         forbidden.\n"),
            "{shown}"
        );
        assert!(shown.ends_with("nothing is wrong, as far as could be looked\n"));
    }
}
