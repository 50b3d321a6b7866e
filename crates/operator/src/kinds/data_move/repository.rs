//! The repository behind a BackupStorageLocation.

use longshore_api::repository_for_location;

use crate::cluster::Error;
use crate::context::Context;
use crate::reason::Trouble;
use crate::repositories::mover_secret;
use crate::repository_volume::repositories;

/// Name of the Secret of the repository that serves a BackupStorageLocation. Its refusal ends a run, so the API server is asked: where the
/// cluster lacks the kind a watch would never say so.
///
/// # Errors
/// Whatever the API server refuses; inside, [`crate::reason::OperatorReason::RepositoryNotConfigured`].
pub async fn repository_secret(
    context: &Context,
    namespace: &str,
    location: &str,
) -> Result<Result<String, Trouble>, Error> {
    let all = repositories(context, namespace).await?;
    Ok(repository_for_location(&all, namespace, location).map_err(Trouble::from).and_then(mover_secret))
}
