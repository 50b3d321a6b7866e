//! DataDownload: Velero's request to restore a volume for a PVC that waits for one.

mod act;
mod decide;
mod observe;
#[cfg(test)]
mod tests;
mod volume;

use std::sync::Arc;

use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use longshore_api::DataDownload;

pub use decide::{Plan, Request, Seen, Step, Target, Volume, decide};
pub use volume::volumes_on_their_way;

use crate::cluster::Error;
use crate::context::Context;
use crate::names::{RunId, RunKind};
use crate::runner::requeue;

/// The run as its children name it.
pub fn run_id(download: &DataDownload) -> RunId {
    RunId {
        kind: RunKind::DataDownload,
        uid: download.meta().uid.clone().unwrap_or_default(),
        namespace: download.namespace().unwrap_or_default(),
        name: download.name_any(),
    }
}

/// One pass over a DataDownload. One of another mover is never touched.
///
/// # Errors
/// [`Error`] when the API server fails or refuses.
pub async fn reconcile(download: Arc<DataDownload>, context: Arc<Context>) -> Result<Action, Error> {
    if !context.options.is_ours(download.spec.data_mover.as_deref()) {
        return Ok(Action::await_change());
    }
    let namespace = download.metadata.namespace.as_deref().unwrap_or_default();
    if !context.stores.is_complete(namespace) || !context.stores.velero.are_started() {
        return Ok(requeue(std::time::Duration::from_secs(1)));
    }
    let observed = observe::observe(&context, &download).await?;
    let options = &context.options;
    let limits =
        decide::Limits { prepare: options.data_mover_prepare_timeout, rebind: options.prepare_timeout };
    let plan = decide(crate::runner::now(), limits, &observed.seen);
    act::act(&context, &download, &observed, plan).await
}
