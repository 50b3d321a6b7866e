//! What is done with an item of a backup, a restore or a deletion.

mod backup;
mod deletion;
mod progress;
mod restore;
mod snapshot;

use serde_json::Value;

use crate::item::Identifier;

pub use backup::{
    back_up_claim, back_up_content, back_up_run, back_up_volume, backup_progress, cancel_backup,
};
pub use deletion::{delete_data_upload, delete_run};
pub use progress::Progress;
pub use restore::{cancel_restore, restore_progress, restore_run, skip_moved, skip_snapshot};

/// Group of the runs.
const RUNS: &str = longshore_api::GROUP;

/// Answer of a backup item action.
#[derive(Debug, Default)]
pub struct BackupOutcome {
    /// The item, if it was changed.
    pub item: Option<Value>,
    /// What else goes into the backup.
    pub additional: Vec<Identifier>,
    /// Operation that goes on.
    pub operation: Option<String>,
    /// What is written into the archive anew when the operation is over.
    pub after_operation: Vec<Identifier>,
}

/// Answer of a restore item action.
#[derive(Debug, Default)]
pub struct RestoreOutcome {
    /// Velero does not make the object.
    pub skip: bool,
    /// Operation that goes on.
    pub operation: Option<String>,
}

/// `<namespace>/<name>` of the run behind an operation.
fn run_of(operation: &str) -> Result<(&str, &str), crate::cluster::ActionError> {
    operation
        .split_once('/')
        .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains('/'))
        .ok_or_else(|| {
            crate::cluster::ActionError::refused(format!("{operation} is no operation of Longshore"))
        })
}
