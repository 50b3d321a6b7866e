//! VolumeSnapshotBackup: a CSI snapshot into the repository.

mod act;
mod decide;
mod observe;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use longshore_api::VolumeSnapshotBackup;
use tracing::Instrument;

pub(crate) use act::at_least;
pub use decide::{Decision, Found, Seen, Source, Step, decide};
pub(crate) use observe::only_snapshot_class;

use crate::cluster::Error;
use crate::context::Context;
use crate::names::{RunId, RunKind};
use crate::status::{RunStatus, stage};

/// The run as its children name it.
pub fn run_id(backup: &VolumeSnapshotBackup) -> RunId {
    RunId {
        kind: RunKind::Backup,
        uid: backup.meta().uid.clone().unwrap_or_default(),
        namespace: backup.namespace().unwrap_or_default(),
        name: backup.name_any(),
    }
}

/// One pass over a backup.
///
/// # Errors
/// [`Error`] when the API server fails or refuses.
pub async fn reconcile(backup: Arc<VolumeSnapshotBackup>, context: Arc<Context>) -> Result<Action, Error> {
    let protected = backup.spec.protected_namespace.as_deref().unwrap_or_default();
    if !context.stores.is_complete(protected) {
        return Ok(crate::runner::requeue(std::time::Duration::from_secs(1)));
    }
    let observed = observe::observe(&context, &backup).await?;
    let now = crate::runner::now();
    let mut decision = decide(now, &context.options.limits(), &observed.seen);
    // What is over, or goes, is left as it is.
    if !observed.seen.deleting && !observed.seen.status.phase().is_terminal() {
        decision.observe(backup.metadata.generation);
    }
    // Named by what the run was doing when this pass began; the enclosing span has its UID.
    let stage = tracing::info_span!("stage", stage = stage(&observed.seen.status));
    act::act(&context, &backup, &observed, &decision).instrument(stage).await
}
