//! Carries a plan out: steps, then one write.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use longshore_api::{DataDownload, DataMovePhase};
use longshore_job::{CONTRACT_VERSION, JobDocument, RestoreTask, RunIdentity, Task};
use longshore_telemetry::metrics::Ended;

use super::decide::{Plan, Step};
use super::observe::{Observed, SELECTED_NODE, target_name};
use super::volume;
use crate::cluster::{Error, create, delete};
use crate::context::Context;
use crate::kinds::data_move::{DataMoveStatus, VOLUME, tell_phase, write};
use crate::mover::MoverState;
use crate::names::{Role, RunId};
use crate::objects::{ClaimRequest, MoverPod, claim, mover_job};
use crate::runner::{requeue, tell_result};

/// Carries `plan` out.
pub async fn act(
    context: &Context,
    download: &DataDownload,
    observed: &Observed,
    plan: Plan,
) -> Result<Action, Error> {
    let api = Api::<DataDownload>::namespaced(context.client.clone(), &observed.run.namespace);
    let old = &observed.seen.record;
    for step in &plan.steps {
        match carry_out(context, &api, download, observed, *step).await {
            Ok(()) => {}
            Err(Error::Refused(trouble)) => {
                let told = plan.refused(old, &trouble);
                if told != *old {
                    context.tell(download, true, trouble.reason.as_str(), &trouble.text()).await;
                    write(&api, download, old, &told).await?;
                }
                return Ok(requeue(Duration::from_secs(15)));
            }
            Err(error) => return Err(error),
        }
    }
    if !write(&api, download, old, &plan.record).await? {
        return Ok(requeue(Duration::from_secs(1)));
    }
    if plan.record.notes.text(VOLUME).is_some() && old.notes.text(VOLUME).is_none() {
        tell_result(&observed.seen.mover);
    }
    tell_phase(context, download, &old.status, &plan.record.status).await;
    if plan.record.status.phase().is_terminal() && !old.status.phase().is_terminal() {
        count(context, download, plan.record.status.phase());
    }
    if !plan.record.finalizer {
        context.lanes.forget(&observed.run.uid);
    }
    Ok(requeue(plan.requeue))
}

fn count(context: &Context, download: &DataDownload, phase: DataMovePhase) {
    let (namespace, pvc) = target_name(download);
    let labels = Ended { namespace, pvc, result: phase.as_str().to_owned() };
    context.metrics.restore.total.get_or_create(&labels).inc();
}

async fn carry_out(
    context: &Context,
    api: &Api<DataDownload>,
    download: &DataDownload,
    observed: &Observed,
    step: Step,
) -> Result<(), Error> {
    let (run, namespace) = (&observed.run, observed.run.namespace.as_str());
    let client = &context.client;
    match step {
        Step::CreateClaim => {
            let Some(target) = &observed.target else { return Ok(()) };
            let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace);
            create(&claims, &restore_claim(run, target), &run.uid).await
        }
        Step::CreateJob => {
            let (Some(task), Some(secret)) = (&observed.task, &observed.seen.secret) else { return Ok(()) };
            let pod = MoverPod {
                namespace,
                volume: Some((&run.child_name(), task.reference.volume_mode)),
                secret,
                repository: observed.repository.as_deref(),
                lane: context.lane(&run.uid),
            };
            let document = document(run, download, task);
            let job = mover_job(run, &context.options.mover(), pod, &document).map_err(Error::Document)?;
            create(&Api::<Job>::namespaced(client.clone(), namespace), &job, &run.uid).await
        }
        Step::FollowProgress => {
            if let MoverState::Running { pod } = &observed.seen.mover {
                let pods = Api::<Pod>::namespaced(client.clone(), namespace);
                context.followers.follow(pods, pod.clone(), api.clone(), run.name.clone());
            }
            Ok(())
        }
        Step::DeleteMover => observed.temporary.delete_mover(context, namespace).await,
        Step::DeleteClaim => {
            let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace);
            for claim in &observed.temporary.claims {
                delete(&claims, claim.as_ref()).await?;
            }
            Ok(())
        }
        Step::Dismantle => observed.temporary.delete_all(context, namespace).await,
        _ => move_volume(context, observed, step).await,
    }
}

async fn move_volume(context: &Context, observed: &Observed, step: Step) -> Result<(), Error> {
    let Some(found) = &observed.volume else { return Ok(()) };
    match (step, &observed.target) {
        (Step::RetainVolume, _) => volume::retain(context, &observed.run, found).await,
        (Step::OfferVolume, Some(target)) => volume::offer_to(context, found, target).await,
        (Step::TouchTarget, Some(target)) => volume::touch(context, target, &found.name_any()).await,
        (Step::FinishVolume, _) => volume::finish(context, found).await,
        (Step::RemoveVolume, _) => volume::remove(context, &observed.run, found).await,
        _ => Ok(()),
    }
}

/// Annotations that the cluster, or a tool's last apply, wrote.
fn is_of_the_system(key: &str) -> bool {
    let prefix = key.split_once('/').map_or("", |(prefix, _)| prefix);
    prefix == "kubernetes.io"
        || prefix.ends_with(".kubernetes.io")
        || prefix == "k8s.io"
        || prefix.ends_with(".k8s.io")
}

/// An empty PVC like the application's, whose volume will be the application's. No selector and no data source: those would keep it from
/// being made.
pub(super) fn restore_claim(run: &RunId, target: &PersistentVolumeClaim) -> PersistentVolumeClaim {
    let spec = target.spec.clone().unwrap_or_default();
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let size = requests.and_then(|requests| requests.get("storage")).cloned();
    let request = ClaimRequest {
        storage_class: spec.storage_class_name.as_deref(),
        volume_mode: spec.volume_mode.as_deref().unwrap_or("Filesystem"),
        access_modes: spec.access_modes.clone().unwrap_or_default(),
        size: size.unwrap_or_else(|| Quantity("1".to_owned())),
        snapshot: None,
        labels: target.labels().clone(),
    };
    let mut object = claim(run, Role::Temporary, (&run.namespace, &run.child_name()), request);
    let mut annotations: BTreeMap<String, String> = target
        .annotations()
        .iter()
        .filter(|(key, _)| !is_of_the_system(key) || *key == SELECTED_NODE)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    annotations.extend(object.metadata.annotations.take().unwrap_or_default());
    object.metadata.annotations = Some(annotations);
    object
}

fn document(run: &RunId, download: &DataDownload, task: &RestoreTask) -> JobDocument {
    JobDocument {
        version: CONTRACT_VERSION,
        run: RunIdentity {
            uid: run.uid.clone(),
            // Who gets the data: the mover refuses another namespace's point unless the task allows it.
            namespace: target_name(download).0,
            name: run.name.clone(),
        },
        task: Task::Restore(Box::new(task.clone())),
    }
}
