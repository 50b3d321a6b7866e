//! Locks and versions of a bucket: how long data is truly protected, making that longer, and what is hidden behind deletions.
//!
//! Who deletes an object of a bucket with versions only hides it; who deletes a locked version is refused. So prune's deletions
//! take no space back by themselves ([`Repository::remove_hidden`] does), and a thief's can be undone ([`undelete`]).

mod hidden;
mod lock;
mod needed;
mod undelete;

pub use hidden::RemovedVersions;
pub use lock::{LockOptions, LockReport, Locks, ProtectionReport, keeps_versions};
pub use undelete::{Undeleted, undelete};
