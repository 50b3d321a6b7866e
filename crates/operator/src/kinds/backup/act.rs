//! Carries a decision out: steps, then one status write, then what must come last.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use longshore_api::{VolumeSnapshot, VolumeSnapshotBackup, VolumeSnapshotContent};
use longshore_job::{
    BackupTask, CONTRACT_VERSION, JobDocument, RunIdentity, SourceVolume, Task, VELERO_BACKUP_LABEL,
    VolumeMode, parse_bytes,
};

use super::decide::{Decision, Step};
use super::observe::Observed;
use crate::class_options::{self, Side};
use crate::cluster::{Error, create, set_finalizer, write_status};
use crate::context::Context;
use crate::mover::MoverState;
use crate::names::Role;
use crate::objects::{
    ClaimRequest, MoverPod, SnapshotHandle, claim, content, mover_job, snapshot_of_content,
};
use crate::repositories::secret_name;
use crate::repository_volume::claim_for;
use crate::runner::{Ended, after_write, requeue, tell_result, with_trouble};
use crate::status::RunStatus;

/// Carries `decision` out.
pub async fn act(
    context: &Context,
    backup: &VolumeSnapshotBackup,
    observed: &Observed,
    decision: &Decision,
) -> Result<Action, Error> {
    let api = Api::<VolumeSnapshotBackup>::namespaced(context.client.clone(), &observed.run.namespace);
    let mut status = decision.status.clone();
    for step in &decision.steps {
        match carry_out(context, &api, backup, observed, *step).await {
            Ok(true) => {}
            // The run changed since it was seen: what follows would rest on an old view.
            Ok(false) => return Ok(Action::await_change()),
            Err(Error::Refused(trouble)) => {
                status = with_trouble(&observed.seen.status, backup.metadata.generation, &trouble);
                let written = write_status(&api, backup, &observed.seen.status, &status).await?;
                return Ok(requeue(std::time::Duration::from_secs(if written { 15 } else { 1 })));
            }
            Err(error) => return Err(error),
        }
    }
    // Adding the finalizer changed the object, so the guard of the status write has to wait for the next pass.
    if decision.steps.contains(&Step::AddFinalizer) {
        return Ok(Action::await_change());
    }
    if !write_status(&api, backup, &observed.seen.status, &status).await? {
        return Ok(requeue(std::time::Duration::from_secs(1)));
    }
    if status.snapshot_id.is_some() && observed.seen.status.snapshot_id.is_none() {
        tell_result(&observed.seen.mover);
    }
    let source = status.resolved_source.clone().unwrap_or_default();
    let ended = Ended {
        metrics: &context.metrics.backup,
        namespace: source.namespace_or(&observed.run.namespace),
        pvc: status.source_pvc_data.as_ref().and_then(|pvc| pvc.name.as_deref()).unwrap_or_default(),
        progress: status.progress.as_ref(),
    };
    after_write(context, backup, &observed.seen.status, &status, &ended).await;
    if decision.release && status.phase() == observed.seen.status.phase() {
        context.lanes.forget(&observed.run.uid);
        set_finalizer(&api, backup, false).await?;
    }
    Ok(requeue(decision.requeue))
}

async fn carry_out(
    context: &Context,
    api: &Api<VolumeSnapshotBackup>,
    backup: &VolumeSnapshotBackup,
    observed: &Observed,
    step: Step,
) -> Result<bool, Error> {
    let (run, namespace) = (&observed.run, observed.namespace.as_str());
    let client = &context.client;
    let name = run.child_name();
    let status = &observed.seen.status;
    let source = status.resolved_source.clone().unwrap_or_default();
    let class = status.volume_snapshot_class_name.as_deref();
    match step {
        Step::AddFinalizer => return set_finalizer(api, backup, true).await,
        Step::CreateContent => {
            let handle = SnapshotHandle {
                driver: &source.driver,
                handle: &source.snapshot_handle,
                class,
                volume_mode: Some(&source.volume_mode),
            };
            let object = content(run, Role::Temporary, &name, &handle, (namespace, &name));
            create(&Api::<VolumeSnapshotContent>::all(client.clone()), &object, &run.uid).await?;
        }
        Step::CreateSnapshot => {
            let object = snapshot_of_content(run, Role::Temporary, (namespace, &name), class, &name);
            create(&Api::<VolumeSnapshot>::namespaced(client.clone(), namespace), &object, &run.uid).await?;
        }
        Step::CreateClaim { bytes } => {
            let pvc = status.source_pvc_data.clone().unwrap_or_default();
            let own_class = pvc.storage_class_name.as_deref();
            let chosen = class_options::find(context, namespace, own_class, Side::Source).await?;
            let request = ClaimRequest {
                storage_class: chosen.storage_class_or(own_class),
                volume_mode: &source.volume_mode,
                access_modes: chosen.access_modes(),
                size: at_least(pvc.size.as_deref().unwrap_or_default(), bytes),
                snapshot: Some(&name),
                labels: Default::default(),
            };
            let object = claim(run, Role::Temporary, (namespace, &name), request);
            let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace);
            create(&claims, &object, &run.uid).await?;
        }
        Step::CreateJob => {
            let secret = secret_name(backup.spec.restic_secret_ref.as_ref());
            let repository = claim_for(context, namespace, secret).await?;
            let pod = MoverPod {
                namespace,
                volume: Some((&name, mode(&source.volume_mode))),
                secret,
                repository: repository.as_deref(),
                lane: context.lane(&run.uid),
            };
            let document = document(backup, observed);
            let job = mover_job(run, &context.options.mover(), pod, &document).map_err(Error::Document)?;
            create(&Api::<Job>::namespaced(client.clone(), namespace), &job, &run.uid).await?;
        }
        Step::FollowProgress => {
            if let MoverState::Running { pod } = &observed.seen.mover {
                let pods = Api::<Pod>::namespaced(client.clone(), namespace);
                context.followers.follow(pods, pod.clone(), api.clone(), run.name.clone());
            }
        }
        Step::DeleteMover => observed.temporary.delete_mover(context, namespace).await?,
        Step::Dismantle => observed.temporary.delete_all(context, namespace).await?,
    }
    Ok(true)
}

/// The larger of what the source asked for and what the snapshot needs.
pub fn at_least(request: &str, bytes: Option<i64>) -> Quantity {
    match (parse_bytes(request), bytes) {
        (Some(asked), Some(needed)) if needed > asked => Quantity(needed.to_string()),
        (None, Some(needed)) => Quantity(needed.to_string()),
        _ => Quantity(request.to_owned()),
    }
}

fn mode(text: &str) -> VolumeMode {
    if text == VolumeMode::Block.as_str() { VolumeMode::Block } else { VolumeMode::Filesystem }
}

/// What the snapshot record says of the run beside its volume: the Velero Backup that it was made for.
fn record_labels(backup: &VolumeSnapshotBackup) -> BTreeMap<String, String> {
    let name = backup.labels().get(VELERO_BACKUP_LABEL).filter(|name| !name.is_empty());
    name.map(|name| (VELERO_BACKUP_LABEL.to_owned(), name.clone())).into_iter().collect()
}

fn document(backup: &VolumeSnapshotBackup, observed: &Observed) -> JobDocument {
    let status = observed.seen.status.clone();
    let source = status.resolved_source.unwrap_or_default();
    let pvc = status.source_pvc_data.unwrap_or_default();
    JobDocument {
        version: CONTRACT_VERSION,
        run: RunIdentity {
            uid: observed.run.uid.clone(),
            namespace: observed.run.namespace.clone(),
            name: observed.run.name.clone(),
        },
        task: Task::Backup(Box::new(BackupTask {
            source: SourceVolume {
                namespace: source.namespace_or(&observed.run.namespace).to_owned(),
                cluster_uid: source.cluster_uid,
                pvc_name: pvc.name.unwrap_or_default(),
                pvc_uid: source.pvc_uid,
                pvc_size: pvc.size.unwrap_or_default(),
                storage_class_name: pvc.storage_class_name.unwrap_or_default(),
                volume_mode: mode(&source.volume_mode),
                access_modes: source.access_modes,
                labels: source.labels,
                driver: source.driver,
                fs_type: source.fs_type,
                volume_snapshot_class_name: status.volume_snapshot_class_name.unwrap_or_default(),
                snapshot_handle: source.snapshot_handle,
                snapshot_time: source.snapshot_time,
            },
            labels: record_labels(backup),
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vsm_30_a_point_says_which_velero_backup_it_was_made_for() {
        let mut backup = VolumeSnapshotBackup::default();
        assert!(record_labels(&backup).is_empty());
        let labels = [(VELERO_BACKUP_LABEL, "daily"), ("app", "shop")];
        backup.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        assert_eq!(record_labels(&backup), [(VELERO_BACKUP_LABEL.to_owned(), "daily".to_owned())].into());
        backup.labels_mut().insert(VELERO_BACKUP_LABEL.to_owned(), String::new());
        assert!(record_labels(&backup).is_empty(), "an empty name is none");
    }
}
