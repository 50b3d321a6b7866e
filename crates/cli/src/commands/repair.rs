//! `longshore repair`

mod index;
mod undelete;

use crate::Failure;
use crate::arguments::{GlobalArguments, RepairArguments, RepairCommand};

pub fn run(global: &GlobalArguments, verb: &RepairArguments) -> Result<u8, Failure> {
    match &verb.command {
        RepairCommand::Index => index::run(global),
        RepairCommand::Undelete(verb) => undelete::run(global, verb),
    }
}
