//! Reads the cluster into [`Seen`].

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use longshore_api::{
    FINALIZER, Phase, ResolvedSource, SourcePVCData, VolumeSnapshot, VolumeSnapshotBackup,
    VolumeSnapshotBackupStatus, VolumeSnapshotClass, VolumeSnapshotContent,
};
use longshore_job::{RestorePointReference, VolumeMode};

use super::decide::{Found, Seen, Source};
use crate::children::{claim_child, content_child, snapshot_child};
use crate::cluster::{Error, classify};
use crate::context::Context;
use crate::mover::claim_warning;
use crate::names::RunId;
use crate::reason::{OperatorReason, Trouble};
use crate::status::RunStatus;
use crate::temporary::{Temporary, named};
use crate::velero;

/// What was seen, with the objects behind it.
pub struct Observed {
    /// For the decision.
    pub seen: Seen,
    /// For acting on it.
    pub run: RunId,
    /// Protected namespace, empty if the run names none.
    pub namespace: String,
    /// Temporary objects.
    pub temporary: Temporary,
}

/// Looks at a backup and everything that belongs to it.
pub async fn observe(context: &Context, backup: &VolumeSnapshotBackup) -> Result<Observed, Error> {
    let run = super::run_id(backup);
    let namespace = backup.spec.protected_namespace.clone().unwrap_or_default();
    let status = backup.status.clone().unwrap_or_default();
    let deleting = backup.metadata.deletion_timestamp.is_some();
    let finalizer = backup.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    let phase = status.phase();
    let protected = context.stores.protected.contains_key(&namespace);
    let mut temporary = Temporary::from_stores(context, &run, &namespace);
    // Before anything is said to be gone, the API server is asked, because a watch may not know yet what we have just made.
    let about_to_leave = deleting || phase.is_terminal() || phase == Phase::Cleanup;
    if protected && finalizer && about_to_leave && temporary.names().is_empty() {
        temporary = Temporary::from_server(context, &run, &namespace).await?;
    }
    let mover = temporary.mover(context, &namespace).await;
    let source = if unaccepted(&status) && !deleting && finalizer {
        find_source(context, backup, &run).await?
    } else {
        Source::Unknown
    };
    let unfinished = !deleting && finalizer && protected;
    let requester = velero::requester(&context.client, &context.velero, backup, &namespace, unfinished).await;
    let stores = &context.stores;
    let name = run.child_name();
    let claim = named(&stores.claims, Some(&namespace), &name);
    let claim_uid = claim.as_ref().and_then(|claim| claim.uid());
    let blocked = match phase {
        // The operator was started again with other flags.
        Phase::InProgress if !protected && !unaccepted(&status) => Some(Trouble::new(
            OperatorReason::NamespaceNotProtected,
            format!("namespace {namespace} is not a protected namespace any more"),
        )),
        _ => stores.blocked(&namespace),
    };
    let seen = Seen {
        deleting,
        finalizer,
        status,
        source,
        requester,
        has_slot: !deleting && context.has_slot(backup),
        content: content_child(named(&stores.contents, None, &name).as_deref(), &run.uid),
        snapshot: snapshot_child(named(&stores.snapshots, Some(&namespace), &name).as_deref(), &run.uid),
        claim: claim_child(
            claim.as_deref(),
            &run.uid,
            claim_warning(claim_uid.as_deref(), &temporary.warnings),
        ),
        mover,
        mover_gone: temporary.jobs.is_empty() && temporary.pods.is_empty(),
        leftovers: temporary.names(),
        blocked,
    };
    Ok(Observed { seen, run, namespace, temporary })
}

/// Whether the run has no place in the queue yet.
fn unaccepted(status: &VolumeSnapshotBackupStatus) -> bool {
    matches!(status.phase(), Phase::New | Phase::InProgress) && status.batching().is_none()
}

fn refused(reason: OperatorReason, message: impl Into<String>) -> Source {
    Source::Refused(Trouble::new(reason, message))
}

fn missing(reason: OperatorReason, message: impl Into<String>) -> Source {
    Source::Missing(Trouble::new(reason, message))
}

async fn find_source(context: &Context, backup: &VolumeSnapshotBackup, run: &RunId) -> Result<Source, Error> {
    let spec = &backup.spec;
    let text = |part: Option<&String>| part.filter(|text| !text.is_empty()).cloned();
    let Some(content_name) =
        text(spec.volume_snapshot_content.as_ref().and_then(|reference| reference.name.as_ref()))
    else {
        return Ok(refused(
            OperatorReason::VolumeSnapshotContentNotNamed,
            "spec.volumeSnapshotContent.name is empty",
        ));
    };
    let Some(protected) = text(spec.protected_namespace.as_ref()) else {
        return Ok(refused(OperatorReason::ProtectedNamespaceNotNamed, "spec.protectedNamespace is empty"));
    };
    if !context.options.protected_namespaces.contains(&protected) {
        let message = format!("namespace {protected} is not a protected namespace");
        return Ok(refused(OperatorReason::NamespaceNotProtected, message));
    }
    let stores = &context.stores;
    let Some(content) = named(&stores.contents, None, &content_name) else {
        let message = format!("there is no VolumeSnapshotContent {content_name}");
        return Ok(missing(OperatorReason::VolumeSnapshotContentNotFound, message));
    };
    let reference = &content.spec.volume_snapshot_ref;
    let source_namespace = reference.namespace.clone().unwrap_or_default();
    if !may_read(&run.namespace, &protected, &source_namespace) {
        let message = format!(
            "VolumeSnapshotContent {content_name} belongs to a VolumeSnapshot of another namespace than {}",
            run.namespace
        );
        return Ok(refused(OperatorReason::SnapshotOfOtherNamespace, message));
    }
    let status = content.status.clone().unwrap_or_default();
    let (Some(handle), Some(true)) = (status.snapshot_handle.clone(), status.ready_to_use) else {
        let said = status.error.and_then(|error| error.message).unwrap_or_else(|| "no error is known".into());
        let message = format!("VolumeSnapshotContent {content_name} is not ready: {said}");
        return Ok(missing(OperatorReason::VolumeSnapshotContentNotReady, message));
    };
    let snapshot_name = reference.name.clone().unwrap_or_default();
    let snapshot = named(&stores.snapshots, Some(&source_namespace), &snapshot_name)
        .filter(|found| reference.uid.is_none() || found.uid() == reference.uid);
    let Some(snapshot) = snapshot else {
        let message = format!("VolumeSnapshot {snapshot_name}, which names the PVC, is not there");
        return Ok(missing(OperatorReason::SourcePVCNotFound, message));
    };
    let Some(claim_name) = snapshot.spec.source.persistent_volume_claim_name.clone() else {
        let message = format!("VolumeSnapshot {snapshot_name} was not taken of a PVC");
        return Ok(refused(OperatorReason::SourcePVCNotFound, message));
    };
    let Some(claim) = named(&stores.claims, Some(&source_namespace), &claim_name) else {
        return Ok(missing(OperatorReason::SourcePVCNotFound, format!("PVC {claim_name} is not there")));
    };
    describe(context, run, &content, &snapshot, &claim, handle).await
}

/// No confused deputy: a namespace may back up its own volumes only. Who may make runs in the protected namespace is an administrator, or
/// Velero, and may back up any.
pub(super) fn may_read(run_namespace: &str, protected_namespace: &str, source_namespace: &str) -> bool {
    !source_namespace.is_empty()
        && (source_namespace == run_namespace || run_namespace == protected_namespace)
}

async fn describe(
    context: &Context,
    run: &RunId,
    content: &VolumeSnapshotContent,
    snapshot: &VolumeSnapshot,
    claim: &PersistentVolumeClaim,
    handle: String,
) -> Result<Source, Error> {
    let driver = &content.spec.driver;
    let spec = claim.spec.clone().unwrap_or_default();
    let name = claim.name_any();
    let Some(storage_class) = storage_class(context, spec.storage_class_name.as_deref(), driver).await?
    else {
        let message = format!("PVC {name} has no StorageClass that exists, nor has driver {driver} just one");
        return Ok(missing(OperatorReason::StorageClassNotFound, message));
    };
    let named_class =
        content.spec.volume_snapshot_class_name.clone().or(snapshot.spec.volume_snapshot_class_name.clone());
    let snapshot_class = match named_class.filter(|name| !name.is_empty()) {
        Some(name) => name,
        None => match only_snapshot_class(context, driver).await? {
            Some(name) => name,
            None => {
                let message =
                    format!("the snapshot names no VolumeSnapshotClass, nor has driver {driver} just one");
                return Ok(missing(OperatorReason::VolumeSnapshotClassNotFound, message));
            }
        },
    };
    let size = spec
        .resources
        .as_ref()
        .and_then(|resources| resources.requests.as_ref()?.get("storage"))
        .map(|size| size.0.clone())
        .unwrap_or_default();
    let volume_mode =
        if spec.volume_mode.as_deref() == Some("Block") { VolumeMode::Block } else { VolumeMode::Filesystem };
    let reference = RestorePointReference {
        cluster_uid: context.cluster_uid.clone(),
        namespace: claim.namespace().unwrap_or_default(),
        pvc_name: name.clone(),
        run: run.uid.clone(),
        volume_mode,
    };
    let taken = content.status.as_ref().and_then(|status| status.creation_time);
    let taken = taken.and_then(|nanoseconds| jiff::Timestamp::from_nanosecond(i128::from(nanoseconds)).ok());
    Ok(Source::Found(Box::new(Found {
        pvc: SourcePVCData {
            name: Some(name),
            size: Some(size),
            storage_class_name: Some(storage_class.name_any()),
        },
        snapshot_class,
        reference: reference.to_string(),
        resolved: ResolvedSource {
            cluster_uid: context.cluster_uid.clone(),
            namespace: claim.namespace().unwrap_or_default(),
            pvc_uid: claim.uid().unwrap_or_default(),
            volume_mode: volume_mode.as_str().to_owned(),
            access_modes: spec.access_modes.unwrap_or_default(),
            labels: claim.labels().clone(),
            driver: driver.clone(),
            fs_type: fs_type(storage_class.parameters.as_ref()),
            snapshot_handle: handle,
            snapshot_time: taken.map(|time| time.to_string()).unwrap_or_default(),
        },
    })))
}

/// The PVC's class; for a PVC without one, the only class of its driver.
async fn storage_class(
    context: &Context,
    name: Option<&str>,
    driver: &str,
) -> Result<Option<StorageClass>, Error> {
    let api = Api::<StorageClass>::all(context.client.clone());
    if let Some(name) = name.filter(|name| !name.is_empty()) {
        return api.get_opt(name).await.map_err(|error| classify("read the StorageClass", error));
    }
    let all =
        api.list(&ListParams::default()).await.map_err(|error| classify("list StorageClasses", error))?;
    let mut of_driver = all.items.into_iter().filter(|class| class.provisioner == driver);
    let first = of_driver.next();
    Ok(if of_driver.next().is_some() { None } else { first })
}

fn fs_type(parameters: Option<&BTreeMap<String, String>>) -> String {
    let keys = ["csi.storage.k8s.io/fstype", "fsType", "fstype"];
    keys.iter().find_map(|key| parameters?.get(*key).cloned()).unwrap_or_default()
}

/// The class for snapshots of a driver: the only one, or the one marked as default.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn only_snapshot_class(context: &Context, driver: &str) -> Result<Option<String>, Error> {
    let all = Api::<VolumeSnapshotClass>::all(context.client.clone())
        .list(&ListParams::default())
        .await
        .map_err(|error| classify("list VolumeSnapshotClasses", error))?;
    Ok(VolumeSnapshotClass::only_of(&all.items, driver).and_then(|class| class.metadata.name.clone()))
}
