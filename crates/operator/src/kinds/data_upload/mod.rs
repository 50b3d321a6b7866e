//! DataUpload: Velero's request to back up one CSI snapshot, served by one VolumeSnapshotBackup in Velero's own namespace.

mod act;
mod decide;
mod observe;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kube::runtime::controller::Action;
use longshore_api::DataUpload;

pub use decide::{Plan, Run, Seen, Source, Step, decide};

use crate::cluster::Error;
use crate::context::Context;
use crate::runner::requeue;

/// One pass over a DataUpload. One of another mover is never touched.
///
/// # Errors
/// [`Error`] when the API server fails or refuses.
pub async fn reconcile(upload: Arc<DataUpload>, context: Arc<Context>) -> Result<Action, Error> {
    if !context.options.is_ours(upload.spec.data_mover.as_deref()) {
        return Ok(Action::await_change());
    }
    let namespace = upload.metadata.namespace.as_deref().unwrap_or_default();
    if !context.stores.is_complete(namespace) || !context.stores.velero.are_started() {
        return Ok(requeue(std::time::Duration::from_secs(1)));
    }
    let observed = observe::observe(&context, &upload).await?;
    let plan = decide(crate::runner::now(), context.options.data_mover_prepare_timeout, &observed.seen);
    act::act(&context, &upload, &observed, plan).await
}
