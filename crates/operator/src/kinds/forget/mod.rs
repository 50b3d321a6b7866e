//! ForgetRequest: one restore point goes, for certain.

mod act;
mod decide;
mod observe;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use kube::runtime::controller::Action;
use kube::{Resource, ResourceExt};
use longshore_api::ForgetRequest;

pub use decide::{Asked, Decision, Seen, Step, Terms, after_failure, decide};

use crate::cluster::Error;
use crate::context::Context;
use crate::names::{RunId, RunKind};

/// The request as its Job names it.
pub fn run_id(request: &ForgetRequest) -> RunId {
    RunId {
        kind: RunKind::Forget,
        uid: request.meta().uid.clone().unwrap_or_default(),
        namespace: request.namespace().unwrap_or_default(),
        name: request.name_any(),
    }
}

/// One pass over a request.
///
/// # Errors
/// [`Error`] when the API server fails or refuses.
pub async fn reconcile(request: Arc<ForgetRequest>, context: Arc<Context>) -> Result<Action, Error> {
    let namespace = request.namespace().unwrap_or_default();
    if !context.stores.is_complete(&namespace) || !context.stores.own_kinds_are_complete() {
        return Ok(crate::runner::requeue(Duration::from_secs(1)));
    }
    let observed = observe::observe(&context, &request).await;
    let terms = Terms { limits: context.options.limits(), ttl: context.options.forget_ttl };
    let decision = decide(crate::runner::now(), &terms, &observed.seen);
    act::act(&context, &request, &observed, &decision).await
}
