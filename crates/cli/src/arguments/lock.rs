use std::time::Duration;

use clap::{Args, ValueEnum};

use super::parse_duration;

/// `longshore lock`
#[derive(Debug, Args)]
pub struct LockArguments {
    /// For how long from now. Run daily, this touches an object only when a third of the period has passed
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub period: Duration,
    /// How firmly. A lock of compliance nobody can open or shorten, you included: its space cannot be given back before
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub mode: LockModeArgument,
}

/// How firmly an object is locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LockModeArgument {
    /// Who has the right to bypass governance may open it.
    #[default]
    Governance,
    /// Nobody may, the account's owner included.
    Compliance,
}
