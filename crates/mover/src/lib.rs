//! The pipelines: backup, restore and check over a repository and a volume.
//!
//! Owns how work is cut into spans and batches, which threads do it, progress, cancelling, and which files may fail without
//! ending a run. Must not know: Kubernetes, command lines, stores, formats of stored bytes.
//!
//! Read [`backup_volume`] first, then [`backup_tree`], [`restore_volume`], [`restore_tree`]; [`Control`] is what they share.

mod backup;
mod control;
mod copy;
mod entry;
mod error;
mod failures;
mod restore;
mod run;
mod workers;

pub use backup::{
    TreeBackup, TreeBackupOptions, TreeParent, TreeTotals, VolumeTotals, backup_tree, backup_volume,
};
pub use control::Control;
pub use copy::{CopyOutcome, run_copy};
pub use error::MoverError;
pub use failures::Report;
pub use longshore_volume::TargetOptions;
pub use restore::{RestoreTotals, TreeRestoreOptions, restore_tree, restore_volume};
pub use run::{BackupOutcome, BackupRequest, RestoreOptions, run_backup, run_restore};
pub use workers::worker_count;
