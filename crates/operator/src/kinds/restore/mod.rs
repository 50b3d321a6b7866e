//! VolumeSnapshotRestore: a restore point back into the cluster, as a CSI snapshot and, on request, a PVC.

mod act;
mod decide;
mod observe;
mod request;
#[cfg(test)]
mod tests;
mod velero;

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use longshore_api::VolumeSnapshotRestore;
use tracing::Instrument;

pub use decide::{Decision, Request, ResultContent, Seen, Step, Target, decide};

use crate::cluster::Error;
use crate::context::Context;
use crate::names::{RunId, RunKind};
use crate::status::{RunStatus, stage};

/// The run as its children name it.
pub fn run_id(restore: &VolumeSnapshotRestore) -> RunId {
    RunId {
        kind: RunKind::Restore,
        uid: restore.meta().uid.clone().unwrap_or_default(),
        namespace: restore.namespace().unwrap_or_default(),
        name: restore.name_any(),
    }
}

/// One pass over a restore.
///
/// # Errors
/// [`Error`] when the API server fails or refuses.
pub async fn reconcile(restore: Arc<VolumeSnapshotRestore>, context: Arc<Context>) -> Result<Action, Error> {
    let protected = restore.spec.protected_namespace.as_deref().unwrap_or_default();
    if !context.stores.is_complete(protected) {
        return Ok(crate::runner::requeue(Duration::from_secs(1)));
    }
    let observed = observe::observe(&context, &restore).await?;
    let now = crate::runner::now();
    let mut decision = decide(now, &context.options.limits(), &observed.seen);
    // What is over, or goes, is left as it is.
    if !observed.seen.deleting && !observed.seen.status.phase().is_terminal() {
        decision.observe(restore.metadata.generation);
    }
    // Named by what the run was doing when this pass began; the enclosing span has its UID.
    let stage = tracing::info_span!("stage", stage = stage(&observed.seen.status));
    act::act(&context, &restore, &observed, &decision).instrument(stage).await
}
