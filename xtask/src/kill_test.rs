//! Processes of the real program killed at random moments, and what must be true afterwards.

use anyhow::Result;

use crate::{step, test};

/// Kills of a run that proves something.
const KILLS: usize = 200;

/// How many, and by which plan.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many running processes are killed, half of them at a folder and half at a MinIO.
    #[arg(long, default_value_t = KILLS)]
    kills: usize,
    /// What decides about works and moments. Chosen from the clock unless given, and printed.
    #[arg(long)]
    seed: Option<u64>,
    /// The form that every test run plays.
    #[arg(long, conflicts_with = "kills")]
    short: bool,
}

/// Kills backups, restores and prunes; then everything committed must be there and equal, and nothing else.
///
/// # Errors
/// When anything was lost, damaged or left behind.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut command = test::program("longshore-cli", "it")?;
    command.args(["kills::", "--nocapture", "--test-threads=1"]);
    if !arguments.short {
        command.env("LONGSHORE_KILLS", arguments.kills.to_string());
    }
    if let Some(seed) = arguments.seed {
        command.env("LONGSHORE_KILLS_SEED", seed.to_string());
    }
    step::run(&mut command)
}
