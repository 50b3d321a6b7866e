//! Carries a decision out: steps, then one status write, then what must come last.

use std::time::Duration;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use longshore_api::{DeletionPolicy, VolumeSnapshot, VolumeSnapshotContent, VolumeSnapshotRestore};
use longshore_job::{CONTRACT_VERSION, JobDocument, RunIdentity, Task};

use super::decide::{Decision, Step};
use super::observe::Observed;
use super::request::Asked;
use crate::cluster::{Error, create, delete, merge, set_finalizer, write_status};
use crate::context::Context;
use crate::kinds::backup::at_least;
use crate::mover::MoverState;
use crate::names::{RELEASE_AFTER, RUN, Role};
use crate::objects::{
    ClaimRequest, MoverPod, SnapshotHandle, claim, content, mover_job, snapshot_of_claim, snapshot_of_content,
};
use crate::repositories::secret_name;
use crate::repository_volume::claim_for;
use crate::runner::{Ended, after_write, now, requeue, tell_result, with_trouble};
use crate::status::RunStatus;

/// Carries `decision` out.
pub async fn act(
    context: &Context,
    restore: &VolumeSnapshotRestore,
    observed: &Observed,
    decision: &Decision,
) -> Result<Action, Error> {
    let api = Api::<VolumeSnapshotRestore>::namespaced(context.client.clone(), &observed.run.namespace);
    for step in &decision.steps {
        match carry_out(context, &api, restore, observed, *step).await {
            Ok(true) => {}
            Ok(false) => return Ok(Action::await_change()),
            Err(Error::Refused(trouble)) => {
                let status = with_trouble(&observed.seen.status, restore.metadata.generation, &trouble);
                let written = write_status(&api, restore, &observed.seen.status, &status).await?;
                return Ok(requeue(Duration::from_secs(if written { 15 } else { 1 })));
            }
            Err(error) => return Err(error),
        }
    }
    if decision.steps.contains(&Step::AddFinalizer) {
        return Ok(Action::await_change());
    }
    if !write_status(&api, restore, &observed.seen.status, &decision.status).await? {
        return Ok(requeue(Duration::from_secs(1)));
    }
    if decision.status.snapshot_id.is_some() && observed.seen.status.snapshot_id.is_none() {
        tell_result(&observed.seen.mover);
    }
    let pvc = restore
        .spec
        .volume_snapshot_mover_backup_ref
        .as_ref()
        .and_then(|backup| backup.source_pvc_data.as_ref());
    let ended = Ended {
        metrics: &context.metrics.restore,
        namespace: &observed.run.namespace,
        pvc: pvc.and_then(|pvc| pvc.name.as_deref()).unwrap_or_default(),
        progress: decision.status.progress.as_ref(),
    };
    after_write(context, restore, &observed.seen.status, &decision.status, &ended).await;
    if decision.release && decision.status.phase() == observed.seen.status.phase() {
        context.lanes.forget(&observed.run.uid);
        set_finalizer(&api, restore, false).await?;
    }
    Ok(requeue(decision.requeue))
}

async fn carry_out(
    context: &Context,
    api: &Api<VolumeSnapshotRestore>,
    restore: &VolumeSnapshotRestore,
    observed: &Observed,
    step: Step,
) -> Result<bool, Error> {
    let (run, namespace) = (&observed.run, observed.namespace.as_str());
    let client = &context.client;
    match step {
        Step::AddFinalizer => return set_finalizer(api, restore, true).await,
        Step::DeleteMover => observed.temporary.delete_mover(context, namespace).await?,
        Step::Dismantle => dismantle(context, observed).await?,
        Step::DismantleTarget => dismantle_target(context, observed).await?,
        Step::FollowProgress => {
            if let MoverState::Running { pod } = &observed.seen.mover {
                let pods = Api::<Pod>::namespaced(client.clone(), namespace);
                context.followers.follow(pods, pod.clone(), api.clone(), run.name.clone());
            }
        }
        Step::AdoptResult => adopt(context, observed).await?,
        Step::CreateKeeper => keep(context, observed).await?,
        Step::CreateClaim | Step::CreateJob | Step::CreateSnapshot => {
            if let Some(asked) = &observed.asked {
                expose(context, restore, observed, asked, step).await?;
            }
        }
        Step::CreateTargetContent | Step::CreateTargetSnapshot | Step::CreateTargetClaim { .. } => {
            if let Some(asked) = &observed.asked {
                deliver(context, observed, asked, step).await?;
            }
        }
    }
    Ok(true)
}

async fn expose(
    context: &Context,
    restore: &VolumeSnapshotRestore,
    observed: &Observed,
    asked: &Asked,
    step: Step,
) -> Result<(), Error> {
    let (run, namespace) = (&observed.run, observed.namespace.as_str());
    let (client, name) = (&context.client, run.child_name());
    let volume_mode = asked.task.reference.volume_mode;
    match step {
        Step::CreateClaim => {
            let request = ClaimRequest {
                storage_class: asked.storage_class.as_deref(),
                volume_mode: volume_mode.as_str(),
                access_modes: observed.class_options.access_modes(),
                size: Quantity(asked.size.clone()),
                snapshot: None,
                labels: Default::default(),
            };
            let object = claim(run, Role::Temporary, (namespace, &name), request);
            let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace);
            create(&claims, &object, &run.uid).await
        }
        Step::CreateJob => {
            let secret = secret_name(restore.spec.restic_secret_ref.as_ref());
            let repository = claim_for(context, namespace, secret).await?;
            let pod = MoverPod {
                namespace,
                volume: Some((&name, volume_mode)),
                secret,
                repository: repository.as_deref(),
                lane: context.lane(&run.uid),
            };
            let document = JobDocument {
                version: CONTRACT_VERSION,
                run: RunIdentity {
                    uid: run.uid.clone(),
                    namespace: run.namespace.clone(),
                    name: run.name.clone(),
                },
                task: Task::Restore(Box::new(asked.task.clone())),
            };
            let job = mover_job(run, &context.options.mover(), pod, &document).map_err(Error::Document)?;
            create(&Api::<Job>::namespaced(client.clone(), namespace), &job, &run.uid).await
        }
        _ => {
            let class = observed.snapshot_class.as_deref().unwrap_or_default();
            let object = snapshot_of_claim(run, Role::Temporary, (namespace, &name), class, &name);
            create(&Api::<VolumeSnapshot>::namespaced(client.clone(), namespace), &object, &run.uid).await
        }
    }
}

/// The content must outlive its VolumeSnapshot before anybody hears of its handle.
async fn adopt(context: &Context, observed: &Observed) -> Result<(), Error> {
    let Some(result) = &observed.result else { return Ok(()) };
    let patch = serde_json::json!({
        "metadata": {
            "labels": observed.run.labels(Role::Result),
            "annotations": { RUN: observed.run.annotation() },
        },
        "spec": { "deletionPolicy": DeletionPolicy::Retain.as_str() },
    });
    merge(&Api::<VolumeSnapshotContent>::all(context.client.clone()), &result.name_any(), &patch).await
}

async fn keep(context: &Context, observed: &Observed) -> Result<(), Error> {
    let (Some(result), Some(asked)) = (&observed.result, &observed.asked) else { return Ok(()) };
    let run = &observed.run;
    let status = result.status.clone().unwrap_or_default();
    let handle = status.snapshot_handle.unwrap_or_default();
    let name = run.keeper_name();
    let described = describe(result, &handle);
    let mut keeper = content(run, Role::Keeper, &name, &described, (&observed.namespace, &name));
    let until = now().checked_add(asked.ttl).unwrap_or(jiff::Timestamp::MAX);
    keeper.annotations_mut().insert(RELEASE_AFTER.to_owned(), until.to_string());
    create(&Api::<VolumeSnapshotContent>::all(context.client.clone()), &keeper, &run.uid).await
}

fn describe<'a>(result: &'a VolumeSnapshotContent, handle: &'a str) -> SnapshotHandle<'a> {
    SnapshotHandle {
        driver: &result.spec.driver,
        handle,
        class: result.spec.volume_snapshot_class_name.as_deref(),
        volume_mode: result.spec.source_volume_mode.as_deref(),
    }
}

async fn deliver(context: &Context, observed: &Observed, asked: &Asked, step: Step) -> Result<(), Error> {
    let (run, client) = (&observed.run, &context.client);
    let name = run.target_name();
    let Some(target) = &asked.target else { return Ok(()) };
    let source = observed.keeper.as_deref().or(observed.result.as_deref());
    match step {
        Step::CreateTargetContent => {
            // A backup tool may have deleted the published content already; the keeper says the same.
            let Some(result) = source else { return Ok(()) };
            let handle = observed.seen.status.snapshot_handle.clone().unwrap_or_default();
            let described = describe(result, &handle);
            let object = content(run, Role::Target, &name, &described, (&run.namespace, &name));
            create(&Api::<VolumeSnapshotContent>::all(client.clone()), &object, &run.uid).await
        }
        Step::CreateTargetSnapshot => {
            let class = source.and_then(|content| content.spec.volume_snapshot_class_name.as_deref());
            let object = snapshot_of_content(run, Role::Target, (&run.namespace, &name), class, &name);
            create(&Api::<VolumeSnapshot>::namespaced(client.clone(), &run.namespace), &object, &run.uid)
                .await
        }
        Step::CreateTargetClaim { bytes } => {
            let request = ClaimRequest {
                storage_class: target.storage_class_name.as_deref().or(asked.storage_class.as_deref()),
                volume_mode: asked.task.reference.volume_mode.as_str(),
                access_modes: target.access_modes.clone().unwrap_or_else(|| vec!["ReadWriteOnce".to_owned()]),
                size: at_least(target.size.as_deref().unwrap_or(&asked.size), bytes),
                snapshot: Some(&name),
                labels: target.labels.clone().unwrap_or_default(),
            };
            let object = claim(run, Role::Target, (&run.namespace, &target.name), request);
            let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), &run.namespace);
            create(&claims, &object, &run.uid).await
        }
        _ => Ok(()),
    }
}

/// Takes everything temporary away. What was not published goes with its snapshot in the storage: its content is told to take it along
/// before its VolumeSnapshot is deleted.
async fn dismantle(context: &Context, observed: &Observed) -> Result<(), Error> {
    let contents = Api::<VolumeSnapshotContent>::all(context.client.clone());
    for content in &observed.unpublished {
        let is_keeper = crate::names::has_role(&content.metadata, Role::Keeper);
        if !is_keeper && content.spec.deletion_policy != DeletionPolicy::Delete.as_str() {
            let patch = serde_json::json!({ "spec": { "deletionPolicy": DeletionPolicy::Delete.as_str() } });
            merge(&contents, &content.name_any(), &patch).await?;
        }
        if is_keeper || observed.temporary.snapshots.is_empty() {
            delete(&contents, content.as_ref()).await?;
        }
    }
    observed.temporary.delete_all(context, &observed.namespace).await
}

async fn dismantle_target(context: &Context, observed: &Observed) -> Result<(), Error> {
    let client = &context.client;
    let snapshots = Api::<VolumeSnapshot>::namespaced(client.clone(), &observed.run.namespace);
    for snapshot in &observed.target_snapshots {
        delete(&snapshots, snapshot.as_ref()).await?;
    }
    let contents = Api::<VolumeSnapshotContent>::all(client.clone());
    for content in &observed.target_contents {
        delete(&contents, content.as_ref()).await?;
    }
    Ok(())
}
