//! What a bucket that keeps versions still has of what was deleted.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use longshore_mover::MoverError;
use longshore_repo::store::Class;
use longshore_repo::{RepoError, Repository};
use serde::Serialize;

use crate::Failure;
use crate::settings::Access;

/// What was removed of a bucket that keeps versions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Versions {
    /// How many.
    pub removed: u64,
    /// Their size.
    pub removed_bytes: u64,
    /// How many are locked and stayed.
    pub locked: u64,
}

/// In a bucket that keeps versions, what was deleted is only hidden; this gives its space back.
pub(crate) fn remove_hidden(
    access: &Access,
    repository: &Repository,
    keep: Duration,
) -> Result<Option<Versions>, Failure> {
    let Some(bucket) = access.bucket()? else { return Ok(None) };
    let keep = SignedDuration::try_from(keep).unwrap_or(SignedDuration::MAX);
    let before = Timestamp::now().checked_sub(keep).unwrap_or(Timestamp::MIN);
    match repository.remove_hidden(&bucket, before) {
        Ok(removed) => Ok(Some(Versions {
            removed: removed.versions,
            removed_bytes: removed.bytes,
            locked: removed.locked,
        })),
        // Stores that only speak like S3, and credentials without this right: what is hidden stays hidden.
        Err(RepoError::Store { source })
            if matches!(source.class(), Class::AccessDenied | Class::Permanent) =>
        {
            tracing::info!(error = %source, "the bucket's versions cannot be looked at; what is hidden there stays");
            Ok(None)
        }
        Err(error) => Err(MoverError::from(error).into()),
    }
}
