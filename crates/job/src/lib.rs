//! The contract between operator and mover: a document in, progress and a result out, exit codes.
//!
//! The operator writes a [`JobDocument`] into the environment variable [`DOCUMENT_ENV`] of the mover's pod and mounts the repository's
//! Secret at [`CREDENTIALS_DIR`]. The mover prints [`Progress`] as JSON lines on stdout (logs go to stderr), leaves a [`JobResult`] in the
//! termination message and ends with [`Reason::exit_code`]. Start with [`JobDocument`].
//!
//! # Guarantees
//! - Nothing here ever holds a secret, so every value may be logged.
//! - The document carries a version: an operator of version n works with a mover of version n-1, since fields are only ever added
//!   and a mover refuses a version that it does not know.
//! - A result fits into a termination message: [`JobResult::to_termination_message`] stays below [`RESULT_BYTES_MAX`].
//!
//! # Does not know
//! Kubernetes, the repository, volumes: serde only.

mod chain;
mod document;
mod progress;
mod quantity;
mod reason;
mod reference;
mod result;

pub use chain::chain;
pub use document::{
    BackupTask, CONTRACT_VERSION, DocumentError, ForgetTask, JobDocument, KnownBackups, MaintainTask,
    RestoreTask, Retention, RunIdentity, SourceVolume, Task, VolumeMode,
};
pub use progress::{Progress, ProgressLine, Stage};
pub use quantity::{parse_bytes, parse_span};
pub use reason::Reason;
pub use reference::{ReferenceError, RestorePointReference};
pub use result::{
    AbandonedSummary, BackupSummary, CheckSummary, ForgetSummary, JobResult, MaintenanceSummary, Outcome,
    RESULT_BYTES_MAX, RestoreSummary,
};

/// Environment variable of the mover's container that holds the [`JobDocument`] as JSON.
pub const DOCUMENT_ENV: &str = "LONGSHORE_JOB";
/// Label of a snapshot record: the Velero Backup that the restore point was made for. Such a point goes by name only, or with its Backup.
pub const VELERO_BACKUP_LABEL: &str = "velero.io/backup-name";
/// Where the whole repository Secret is mounted, one file per key.
pub const CREDENTIALS_DIR: &str = "/etc/longshore/credentials";
/// Where a Filesystem volume is mounted in the mover's pod.
pub const FILESYSTEM_PATH: &str = "/volume";
/// Where a Block volume appears in the mover's pod.
pub const BLOCK_PATH: &str = "/dev/longshore-volume";
/// Where the volume of a repository that is on one is mounted in the mover's pod.
pub const REPOSITORY_PATH: &str = "/repository";
/// The repository's folder there. Not the root: a file system has things of its own in it.
pub const REPOSITORY_FOLDER: &str = "/repository/longshore";
/// Where the mover leaves its [`JobResult`].
pub const TERMINATION_MESSAGE_PATH: &str = "/dev/termination-log";
