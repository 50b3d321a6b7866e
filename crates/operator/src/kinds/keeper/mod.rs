//! Keepers: VolumeSnapshotContents that remember restored snapshots in the storage until they may be deleted.
//!
//! A restore publishes a snapshot handle, and nobody else would ever delete that snapshot: backup tools delete only the objects that name it. The
//! keeper is the debt, written down in the cluster, so that neither the restore's deletion nor the operator's death loses it.

mod act;
mod decide;
mod observe;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kube::runtime::controller::Action;
use longshore_api::VolumeSnapshotContent;

pub use decide::{Bound, Decision, Seen, Step, decide};

use crate::cluster::Error;
use crate::context::Context;
use crate::names::{Role, has_role};

/// One pass over a content; anything that is no keeper is left alone.
///
/// # Errors
/// [`Error`] when the API server fails or refuses.
pub async fn reconcile(keeper: Arc<VolumeSnapshotContent>, context: Arc<Context>) -> Result<Action, Error> {
    if !has_role(&keeper.metadata, Role::Keeper) {
        return Ok(Action::await_change());
    }
    let protected = keeper.spec.volume_snapshot_ref.namespace.as_deref().unwrap_or_default();
    if !context.stores.is_complete(protected) {
        return Ok(crate::runner::requeue(std::time::Duration::from_secs(1)));
    }
    let observed = observe::observe(&context, &keeper);
    let decision = decide(crate::runner::now(), &observed.seen);
    act::act(&context, &keeper, &observed, decision).await
}
