//! Repository: where restore points live, and their maintenance.

mod act;
mod decide;
mod observe;
mod retention;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use longshore_api::{Repository, RepositoryStatus};

pub use decide::{Decision, Seen, Step, after_failure, decide};

use crate::cluster::Error;
use crate::context::Context;
use crate::names::{RunId, RunKind};

/// Condition: a Secret is named, and the schedule is one.
pub const READY: &str = "Ready";
/// Condition: how the last maintenance ended.
pub const MAINTAINED: &str = "Maintained";
/// Condition: what the last check found.
pub const CHECKED: &str = "Checked";
/// Condition: whether there are points whose Velero Backup is gone. Absent while nobody knows.
pub const ABANDONED: &str = "Abandoned";

/// The Repository as its maintenance's Job names it. Its name holds the UID, so that there is never more than one.
pub fn run_id(repository: &Repository) -> RunId {
    RunId {
        kind: RunKind::Maintenance,
        uid: repository.meta().uid.clone().unwrap_or_default(),
        namespace: repository.namespace().unwrap_or_default(),
        name: repository.name_any(),
    }
}

/// Whether a condition says that something is not as it should be.
pub fn is_degraded(status: &RepositoryStatus) -> bool {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    conditions.iter().any(|condition| {
        [READY, MAINTAINED, CHECKED].contains(&condition.type_.as_str()) && condition.status == "False"
    })
}

/// One pass over a Repository.
///
/// # Errors
/// [`Error`] when the API server fails or refuses.
pub async fn reconcile(repository: Arc<Repository>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = repository.namespace().unwrap_or_default();
    if !context.stores.is_complete(&namespace) || !context.stores.own_kinds_are_complete() {
        return Ok(crate::runner::requeue(Duration::from_secs(1)));
    }
    let observed = observe::observe(&context, &repository).await?;
    let decision = decide(crate::runner::now(), &context.options.limits(), &observed.seen);
    act::act(&context, &repository, &observed, &decision).await
}
