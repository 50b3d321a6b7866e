//! `longshore init`

use serde::Serialize;

use crate::arguments::{GlobalArguments, InitArguments};
use crate::commands::protection::Protection;
use crate::settings::Access;
use crate::{Failure, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    repository: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    protection: Option<Protection>,
}

pub fn run(global: &GlobalArguments, verb: &InitArguments) -> Result<u8, Failure> {
    let access = Access::from(global)?;
    let repository = access.init(verb.into())?;
    let made = Made {
        repository: access.location().to_owned(),
        id: repository.id().to_string(),
        protection: Protection::of(&repository, access.bucket()?.as_ref())?,
    };
    output::print(global.output, "Repository", &made, |out| {
        writeln!(out, "{}", made.id)?;
        eprintln!(
            "made a repository at {}; without its password nobody can read it, keep it safe",
            made.repository
        );
        if let Some(protection) = &made.protection {
            eprintln!("against deletion: {}", protection.sentence());
        }
        Ok(())
    })?;
    Ok(0)
}
