//! `longshore checkpoint`

use longshore_mover::MoverError;
use serde::Serialize;

use crate::arguments::GlobalArguments;
use crate::settings::Access;
use crate::{Failure, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Made {
    checkpoint: String,
}

pub fn run(global: &GlobalArguments) -> Result<u8, Failure> {
    let repository = Access::from(global)?.open()?;
    let made = Made { checkpoint: repository.checkpoint().map_err(MoverError::from)?.to_string() };
    output::print(global.output, "Checkpoint", &made, |out| writeln!(out, "{}", made.checkpoint))?;
    eprintln!("keep it outside the store: --expect-checkpoint finds out a store that goes back before it");
    Ok(0)
}
