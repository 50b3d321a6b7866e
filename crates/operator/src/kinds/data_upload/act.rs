//! Carries a plan out: steps, then one write.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use longshore_api::{
    DataUpload, DeletionPolicy, LocalReference, VolumeSnapshot, VolumeSnapshotBackup,
    VolumeSnapshotBackupSpec, VolumeSnapshotContent,
};
use longshore_job::VELERO_BACKUP_LABEL;

use super::decide::{Plan, Step};
use super::observe::{OWN_POLICY, Observed};
use crate::cluster::{Error, FIELD_MANAGER, classify, delete, merge};
use crate::context::Context;
use crate::kinds::data_move::{tell_phase, write};
use crate::names::{DATA_UPLOAD_UID, MANAGED_BY};
use crate::runner::requeue;

/// Carries `plan` out.
pub async fn act(
    context: &Context,
    upload: &DataUpload,
    observed: &Observed,
    plan: Plan,
) -> Result<Action, Error> {
    let namespace = upload.namespace().unwrap_or_default();
    let api = Api::<DataUpload>::namespaced(context.client.clone(), &namespace);
    let old = &observed.seen.record;
    for step in &plan.steps {
        match carry_out(context, upload, observed, *step).await {
            Ok(()) => {}
            Err(Error::Refused(trouble)) => {
                let told = plan.refused(old, &trouble);
                if told != *old {
                    context.tell(upload, true, trouble.reason.as_str(), &trouble.text()).await;
                    write(&api, upload, old, &told).await?;
                }
                return Ok(requeue(Duration::from_secs(15)));
            }
            Err(error) => return Err(error),
        }
    }
    if !write(&api, upload, old, &plan.record).await? {
        return Ok(requeue(Duration::from_secs(1)));
    }
    tell_phase(context, upload, &old.status, &plan.record.status).await;
    Ok(requeue(plan.requeue))
}

async fn carry_out(
    context: &Context,
    upload: &DataUpload,
    observed: &Observed,
    step: Step,
) -> Result<(), Error> {
    match step {
        Step::ProtectSource => protect(context, upload, observed).await,
        Step::CreateRun => create_run(context, upload, observed).await,
        Step::DeleteRun => {
            let Some(run) = &observed.run else { return Ok(()) };
            let namespace = run.namespace().unwrap_or_default();
            let runs = Api::<VolumeSnapshotBackup>::namespaced(context.client.clone(), &namespace);
            delete(&runs, run.as_ref()).await
        }
        Step::DisposeSource => dispose(context, observed).await,
    }
}

async fn protect(context: &Context, upload: &DataUpload, observed: &Observed) -> Result<(), Error> {
    let Some(content) = &observed.content else { return Ok(()) };
    let annotations = content.annotations();
    // What was remembered first is the truth: by now the policy may be ours.
    let own = annotations.get(OWN_POLICY).unwrap_or(&content.spec.deletion_policy);
    let patch = serde_json::json!({
        "metadata": {
            "resourceVersion": content.resource_version(),
            "annotations": { OWN_POLICY: own, DATA_UPLOAD_UID: upload.uid() },
        },
        "spec": { "deletionPolicy": DeletionPolicy::Retain.as_str() },
    });
    merge(&Api::<VolumeSnapshotContent>::all(context.client.clone()), &content.name_any(), &patch).await
}

async fn create_run(context: &Context, upload: &DataUpload, observed: &Observed) -> Result<(), Error> {
    let (Some(content), Some(secret)) = (&observed.content, &observed.secret) else { return Ok(()) };
    let run = run_for(upload, &content.name_any(), secret);
    let namespace = upload.namespace().unwrap_or_default();
    let runs = Api::<VolumeSnapshotBackup>::namespaced(context.client.clone(), &namespace);
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match runs.create(&parameters, &run).await {
        Ok(_) => tracing::info!(child = upload.name_any(), "created the VolumeSnapshotBackup"),
        // Whose it is, the next pass sees.
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        Err(source) => return Err(classify("create a VolumeSnapshotBackup", source)),
    }
    Ok(())
}

/// The run that serves a DataUpload.
pub(super) fn run_for(upload: &DataUpload, content: &str, secret: &str) -> VolumeSnapshotBackup {
    let mut run = VolumeSnapshotBackup::new(
        &upload.name_any(),
        VolumeSnapshotBackupSpec {
            volume_snapshot_content: Some(ObjectReference {
                name: Some(content.to_owned()),
                ..ObjectReference::default()
            }),
            protected_namespace: upload.namespace(),
            restic_secret_ref: Some(LocalReference { name: Some(secret.to_owned()) }),
        },
    );
    run.metadata.namespace = upload.namespace();
    let labels =
        [(MANAGED_BY.0, MANAGED_BY.1.to_owned()), (DATA_UPLOAD_UID, upload.uid().unwrap_or_default())];
    let backup = upload.labels().get(VELERO_BACKUP_LABEL).map(|name| (VELERO_BACKUP_LABEL, name.clone()));
    let labels = labels.into_iter().chain(backup);
    run.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value)).collect());
    run.metadata.owner_references = Some(vec![OwnerReference {
        api_version: DataUpload::api_version(&()).into_owned(),
        kind: DataUpload::kind(&()).into_owned(),
        name: upload.name_any(),
        uid: upload.uid().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    run
}

/// The snapshot in the storage goes with its objects, as with Velero's own mover; or, if snapshots are kept, the content gets its own policy
/// back. Every step may be repeated: the policy is changed before anything is deleted.
async fn dispose(context: &Context, observed: &Observed) -> Result<(), Error> {
    let client = &context.client;
    let contents = Api::<VolumeSnapshotContent>::all(client.clone());
    let keep = context.options.keep_snapshots;
    if let Some(content) = &observed.content {
        let own = content.annotations().get(OWN_POLICY).unwrap_or(&content.spec.deletion_policy);
        let policy = if keep { own.as_str() } else { DeletionPolicy::Delete.as_str() };
        let patch = if keep {
            serde_json::json!({
                "metadata": { "annotations": { OWN_POLICY: null, DATA_UPLOAD_UID: null } },
                "spec": { "deletionPolicy": policy },
            })
        } else {
            serde_json::json!({ "spec": { "deletionPolicy": policy } })
        };
        if keep || content.spec.deletion_policy != policy {
            merge(&contents, &content.name_any(), &patch).await?;
        }
    }
    if keep {
        return Ok(());
    }
    match (&observed.snapshot, &observed.content) {
        (Some(snapshot), _) => {
            let namespace = snapshot.namespace().unwrap_or_default();
            delete(&Api::<VolumeSnapshot>::namespaced(client.clone(), &namespace), snapshot.as_ref()).await
        }
        (None, Some(content)) => delete(&contents, content.as_ref()).await,
        (None, None) => Ok(()),
    }
}
