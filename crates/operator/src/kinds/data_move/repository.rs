//! The repository behind a BackupStorageLocation.

use kube::Api;
use kube::api::ListParams;
use longshore_api::{Repository, repository_for_location};

use crate::cluster::{Error, classify};
use crate::context::Context;
use crate::reason::Trouble;
use crate::repositories::mover_secret;

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
    let api = Api::<Repository>::namespaced(context.client.clone(), namespace);
    let all = match api.list(&ListParams::default()).await {
        Ok(all) => all.items,
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(source) => return Err(classify("list Repositories", source)),
    };
    Ok(repository_for_location(&all, namespace, location).map_err(Trouble::from).and_then(mover_secret))
}
