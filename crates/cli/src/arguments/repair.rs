use clap::{Args, Subcommand};
use jiff::Timestamp;

/// `longshore repair`
#[derive(Debug, Args)]
pub struct RepairArguments {
    /// What to repair.
    #[command(subcommand)]
    pub command: RepairCommand,
}

/// The verbs of `longshore repair`.
#[derive(Debug, Subcommand)]
pub enum RepairCommand {
    /// List in the index every pack that no sound part of it lists; not beside a prune
    Index,
    /// Read every pack, copy what is good out of damaged ones, and have the next backups store again what is lost
    ///
    /// A damaged pack is kept until nothing that only it could hold is needed any more; then `prune` removes it.
    Packs(RepairPacksArguments),
    /// Say which snapshots miss something, and write them again without it
    ///
    /// Files that are not whole are left out, lost ranges of volumes become zeros. The new snapshot is marked incomplete and
    /// has the label `longshore/repaired-from`. Run `repair packs` first, and back up again what still exists: that may
    /// mend everything.
    Snapshots(RepairSnapshotsArguments),
    /// Take deletions and overwritings back, in a bucket that keeps versions. Needs no key
    Undelete(UndeleteArguments),
}

/// `longshore repair packs`
#[derive(Debug, Args)]
pub struct RepairPacksArguments {
    /// Say what is damaged, and write nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
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

/// `longshore repair snapshots`
#[derive(Debug, Args)]
pub struct RepairSnapshotsArguments {
    /// Snapshots to repair, each an id, a unique prefix of one, or `latest`; all if none is given
    #[arg(value_name = "SNAPSHOT")]
    pub snapshots: Vec<String>,
    /// Forget each snapshot once its repaired copy is there
    #[arg(long, conflicts_with = "dry_run")]
    pub forget: bool,
    /// Say what is lost, and write nothing
    #[arg(long, short = 'n')]
    pub dry_run: bool,
}
