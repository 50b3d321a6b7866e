//! Random histories of the repository for as long as one likes.

use anyhow::Result;

use crate::{step, test};

/// How long, and from which seed.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The first history's seed; the next ones count up from it. Chosen from the clock unless given, and printed.
    #[arg(long)]
    seed: Option<u64>,
}

/// Plays histories until the time is over; prints how many, and the seed of one that fails.
///
/// # Errors
/// When a history lost or leaked anything.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut command = test::program("longshore-repo", "soak")?;
    command.arg("--nocapture");
    command.env("LONGSHORE_SOAK_SECONDS", (arguments.minutes * 60).to_string());
    if let Some(seed) = arguments.seed {
        command.env("LONGSHORE_SOAK_SEED", seed.to_string());
    }
    step::run(&mut command)
}
