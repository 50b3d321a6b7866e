//! Carries a decision out: the step, then one status write.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::runtime::controller::Action;
use kube::{Api, Resource};
use longshore_api::{ForgetRequest, ForgetRequestStatus, Phase};
use longshore_job::{CONTRACT_VERSION, ForgetTask, JobDocument, RestorePointReference, RunIdentity, Task};

use super::decide::{Asked, Decision, Step, after_failure};
use super::observe::Observed;
use crate::cluster::{Error, create, delete, write_status};
use crate::context::Context;
use crate::objects::{MoverPod, mover_job};
use crate::repository_volume::claim_for;
use crate::runner::{now, requeue, tell_result};
use crate::status::PROGRESSING;

/// Carries `decision` out.
pub async fn act(
    context: &Context,
    request: &ForgetRequest,
    observed: &Observed,
    decision: &Decision,
) -> Result<Action, Error> {
    let api = Api::<ForgetRequest>::namespaced(context.client.clone(), &observed.run.namespace);
    let mut status = decision.status.clone();
    let done = match decision.step {
        None => Ok(()),
        Some(Step::CreateJob) => create_job(context, request, observed).await,
        Some(Step::DeleteMover) => observed.temporary.delete_mover(context, &observed.run.namespace).await,
        Some(Step::Remove) => return delete(&api, request).await.map(|()| Action::await_change()),
    };
    match done {
        Ok(()) => {}
        Err(Error::Refused(trouble)) if decision.step == Some(Step::CreateJob) => {
            status = after_failure(now(), &observed.seen.status, &trouble);
        }
        Err(error) => return Err(error),
    }
    if !write_status(&api, request, &observed.seen.status, &status).await? {
        return Ok(requeue(Duration::from_secs(1)));
    }
    tell(context, request, observed, &status).await;
    Ok(requeue(decision.requeue))
}

async fn create_job(context: &Context, request: &ForgetRequest, observed: &Observed) -> Result<(), Error> {
    let Asked::Point { reference, secret } = &observed.seen.asked else { return Ok(()) };
    let run = &observed.run;
    let repository = claim_for(context, &run.namespace, secret).await?;
    let pod = MoverPod {
        namespace: &run.namespace,
        volume: None,
        secret,
        repository: repository.as_deref(),
        lane: None,
    };
    let document = document(observed, reference);
    let mut job = mover_job(run, &context.options.mover(), pod, &document).map_err(Error::Document)?;
    // Both live in one namespace, so the cluster itself removes the Job with the request, also where no operator runs.
    job.metadata.owner_references = request.controller_owner_ref(&()).map(|owner| vec![owner]);
    create(&Api::<Job>::namespaced(context.client.clone(), &run.namespace), &job, &run.uid).await
}

fn document(observed: &Observed, reference: &RestorePointReference) -> JobDocument {
    let run = &observed.run;
    JobDocument {
        version: CONTRACT_VERSION,
        run: RunIdentity { uid: run.uid.clone(), namespace: run.namespace.clone(), name: run.name.clone() },
        task: Task::Forget(Box::new(ForgetTask { reference: reference.clone() })),
    }
}

/// Tells users what changed, if it is worth telling.
async fn tell(context: &Context, request: &ForgetRequest, observed: &Observed, status: &ForgetRequestStatus) {
    let old = &observed.seen.status;
    let progressing = |status: &ForgetRequestStatus| {
        let all = status.conditions.as_deref().unwrap_or_default();
        let found = all.iter().find(|condition| condition.type_ == PROGRESSING);
        found.map(|condition| (condition.reason.clone(), condition.message.clone())).unwrap_or_default()
    };
    let (reason, message) = progressing(status);
    match Phase::parse(status.phase.as_deref()) {
        _ if progressing(old).0 == reason => {}
        Phase::Completed => {
            tell_result(&observed.seen.mover);
            context.tell(request, false, "Completed", &message).await;
        }
        Phase::Failed => context.tell(request, true, &reason, &message).await,
        _ if status.attempting.is_none() && reason != "Queued" => {
            tracing::warn!(reason, message, "the restore point is not forgotten yet; it is tried again");
            context.tell(request, true, &reason, &message).await;
        }
        _ => {}
    }
}
