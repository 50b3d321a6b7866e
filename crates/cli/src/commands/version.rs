//! `longshore version`

use serde::Serialize;

use crate::arguments::GlobalArguments;
use crate::{Failure, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Versions {
    program: &'static str,
    repository_format: u16,
    job_contract: u32,
}

pub fn run(global: &GlobalArguments) -> Result<u8, Failure> {
    let versions = Versions {
        program: env!("CARGO_PKG_VERSION"),
        repository_format: longshore_repo::FORMAT_VERSION,
        job_contract: longshore_job::CONTRACT_VERSION,
    };
    output::print(global.output, "Version", &versions, |out| {
        writeln!(
            out,
            "longshore {}, repository format {}, job contract {}",
            versions.program, versions.repository_format, versions.job_contract
        )
    })?;
    Ok(0)
}
