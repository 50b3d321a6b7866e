use clap::{Args, Subcommand};
use jiff::Timestamp;

/// `longshore repair`
#[derive(Debug, Args)]
pub struct RepairArguments {
    /// What to do
    #[command(subcommand)]
    pub command: RepairCommand,
}

/// Verbs of `longshore repair`.
#[derive(Debug, Subcommand)]
pub enum RepairCommand {
    /// List in the index whatever pack no sound part of it lists; all of them, if the index is lost. Not beside a prune
    Index,
    /// Take deletions and overwritings back, in a bucket that keeps versions. Needs no key
    Undelete(UndeleteArguments),
}

/// `longshore repair undelete`
#[derive(Debug, Args)]
pub struct UndeleteArguments {
    /// A time at which all was well, as 2026-11-25T03:00:00Z
    #[arg(long, value_name = "TIME")]
    pub as_of: Timestamp,
    /// Say what would come back, and do nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}
