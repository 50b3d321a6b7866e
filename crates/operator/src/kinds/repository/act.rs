//! Carries a decision out: the step, then one status write.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use kube::runtime::controller::Action;
use kube::{Api, Resource};
use longshore_api::{Repository, RepositoryStatus};
use longshore_job::{
    CONTRACT_VERSION, JobDocument, MaintainTask, MaintenanceSummary, Outcome, RunIdentity, Task,
};
use longshore_telemetry::metrics::{MaintenanceEnded, Namespace, RepositoryName};

use super::decide::{Decision, Step, after_failure};
use super::observe::Observed;
use super::{ABANDONED, CHECKED, MAINTAINED, READY};
use crate::cluster::{Error, create, write_status};
use crate::context::Context;
use crate::mover::MoverState;
use crate::objects::{MoverPod, mover_job};
use crate::runner::{now, requeue, tell_result};

/// Carries `decision` out.
pub async fn act(
    context: &Context,
    repository: &Repository,
    observed: &Observed,
    decision: &Decision,
) -> Result<Action, Error> {
    let api = Api::<Repository>::namespaced(context.client.clone(), &observed.run.namespace);
    let mut status = decision.status.clone();
    let done = match decision.step {
        None => Ok(()),
        Some(Step::CreateJob) => create_job(context, repository, observed).await,
        Some(Step::DeleteMover) => observed.temporary.delete_mover(context, &observed.run.namespace).await,
    };
    match done {
        Ok(()) => {}
        Err(Error::Refused(trouble)) if decision.step == Some(Step::CreateJob) => {
            status = after_failure(now(), &decision.status, &trouble);
        }
        Err(error) => return Err(error),
    }
    if !write_status(&api, repository, &observed.seen.status, &status).await? {
        return Ok(requeue(Duration::from_secs(1)));
    }
    after_write(context, repository, observed, &status).await;
    Ok(requeue(decision.requeue))
}

async fn create_job(context: &Context, repository: &Repository, observed: &Observed) -> Result<(), Error> {
    let run = &observed.run;
    let pod = MoverPod {
        namespace: &run.namespace,
        volume: None,
        secret: &observed.settings.secret,
        repository: observed.settings.claim.as_deref(),
        lane: None,
    };
    let document = document(repository, observed);
    let mut job = mover_job(run, &context.options.mover(), pod, &document).map_err(Error::Document)?;
    // Both live in one namespace, so the cluster itself removes the Job with the Repository, also where no operator runs.
    job.metadata.owner_references = repository.controller_owner_ref(&()).map(|owner| vec![owner]);
    create(&Api::<Job>::namespaced(context.client.clone(), &run.namespace), &job, &run.uid).await
}

fn document(repository: &Repository, observed: &Observed) -> JobDocument {
    let policy = repository.spec.maintenance.clone().unwrap_or_default();
    let percent = |value: i32| u32::try_from(value).unwrap_or(0).min(100);
    let run = &observed.run;
    JobDocument {
        version: CONTRACT_VERSION,
        run: RunIdentity { uid: run.uid.clone(), namespace: run.namespace.clone(), name: run.name.clone() },
        task: Task::Maintain(Box::new(MaintainTask {
            prune: true,
            max_unused_percent: policy.max_unused_percent.map(percent),
            check: true,
            check_read_data_percent: percent(policy.check_read_data_percent.unwrap_or(0)),
            check_sample: u64::try_from(observed.seen.status.checks.unwrap_or(0)).unwrap_or(0),
            retention: observed.settings.retention.clone(),
            velero_backups: observed.backups.clone(),
        })),
    }
}

/// Tells users and metrics what changed.
async fn after_write(
    context: &Context,
    repository: &Repository,
    observed: &Observed,
    status: &RepositoryStatus,
) {
    let old = &observed.seen.status;
    // The first three say that something is wrong by `False`, the last one by `True`.
    for (type_, wrong) in [(READY, "False"), (MAINTAINED, "False"), (CHECKED, "False"), (ABANDONED, "True")] {
        let (Some(new), before) = (condition(status, type_), condition(old, type_)) else { continue };
        let changed = before.is_none_or(|old| (&old.status, &old.reason) != (&new.status, &new.reason));
        if new.status == wrong && changed {
            tracing::warn!(
                condition = type_,
                reason = new.reason,
                message = new.message,
                "the repository needs attention"
            );
            context.tell(repository, true, &new.reason, &new.message).await;
        }
    }
    if status.is_maintaining() && !old.is_maintaining() {
        context.tell(repository, false, RepositoryStatus::MAINTAINING, "maintenance begins").await;
    }
    if !old.is_maintaining() || status.is_maintaining() {
        return;
    }
    let summary = match &observed.seen.mover {
        MoverState::Succeeded(Outcome::Maintained(summary)) => Some(summary),
        _ => None,
    };
    if summary.is_some() {
        tell_result(&observed.seen.mover);
        let message = condition(status, MAINTAINED).map(|one| one.message.clone()).unwrap_or_default();
        context.tell(repository, false, MAINTAINED, &message).await;
    }
    count(context, observed, status, summary);
}

fn condition<'a>(
    status: &'a RepositoryStatus,
    type_: &str,
) -> Option<&'a k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    status.conditions.as_deref().unwrap_or_default().iter().find(|condition| condition.type_ == type_)
}

fn count(
    context: &Context,
    observed: &Observed,
    status: &RepositoryStatus,
    summary: Option<&MaintenanceSummary>,
) {
    let metrics = &context.metrics.maintenance;
    let (namespace, repository) = (observed.run.namespace.clone(), observed.run.name.clone());
    let failed = condition(status, MAINTAINED).filter(|condition| condition.status == "False");
    let result = match (summary, failed) {
        (Some(_), _) => "Completed",
        (None, Some(condition)) => condition.reason.as_str(),
        (None, None) => "Stopped",
    };
    let labels = MaintenanceEnded {
        namespace: namespace.clone(),
        repository: repository.clone(),
        result: result.to_owned(),
    };
    metrics.total.get_or_create(&labels).inc();
    if let Some(summary) = summary {
        let seconds = summary.duration_milliseconds as f64 / 1_000.0;
        metrics.duration.get_or_create(&Namespace { namespace: namespace.clone() }).observe(seconds);
        let labels = RepositoryName { namespace, repository };
        metrics.bytes_freed.get_or_create(&labels).inc_by(summary.bytes_freed);
    }
}
