//! What DataUploads and DataDownloads have in common: a status without conditions, notes of ours beside it, an owner that may give up, a
//! repository behind a BackupStorageLocation.

mod notes;
mod owner;
mod plan;
mod record;
mod repository;
mod serve;

pub use notes::{ACCEPTED, CANCELING, Notes, PREPARED, RESTARTS, RESTORED, SECRET, VOLUME};
pub use owner::{owner_over, why_cancel};
pub use plan::{CANCEL_LIMIT, DataMoveStatus, Plan, Record, text};
pub use record::{record, tell_phase, write};
pub use repository::repository_secret;
pub use serve::serve;
