//! Reads the cluster into [`Seen`].

use std::sync::Arc;

use kube::{Api, Resource, ResourceExt};
use longshore_api::{
    DataMoveProgress, DataUpload, DeletionPolicy, FINALIZER, Phase, VeleroBackup, VolumeSnapshot,
    VolumeSnapshotBackup, VolumeSnapshotContent,
};

use super::decide::{Progress, Run, Seen, Source};
use crate::cluster::{Error, classify};
use crate::context::Context;
use crate::kinds::data_move::{DataMoveStatus, owner_over, record, repository_secret, why_cancel};
use crate::names::{DATA_UPLOAD_UID, RUN_UID, label};
use crate::reason::{OperatorReason, Trouble};
use crate::status::{RunStatus, failure, progressing_reason, trouble};
use crate::temporary::named;

/// Annotation of a content: the deletion policy that it had before a DataUpload needed it to stay.
pub const OWN_POLICY: &str = "longshore.dev/deletion-policy";

/// What was seen, with the objects behind it.
pub struct Observed {
    /// For the decision.
    pub seen: Seen,
    /// Secret of the repository, when it was looked for.
    pub secret: Option<String>,
    /// The VolumeSnapshotBackup.
    pub run: Option<Arc<VolumeSnapshotBackup>>,
    /// The VolumeSnapshot.
    pub snapshot: Option<Arc<VolumeSnapshot>>,
    /// Its content.
    pub content: Option<Arc<VolumeSnapshotContent>>,
}

/// Looks at a DataUpload and everything that belongs to it.
pub async fn observe(context: &Context, upload: &DataUpload) -> Result<Observed, Error> {
    let namespace = upload.namespace().unwrap_or_default();
    let uid = upload.uid().unwrap_or_default();
    let record = record(upload, upload.status.as_ref());
    let deleting = upload.meta().deletion_timestamp.is_some();
    let over = record.status.phase().is_terminal();
    let outside = (!context.options.protected_namespaces.contains(&namespace)).then(|| {
        let message = format!("namespace {namespace} is not a protected namespace");
        Trouble::new(OperatorReason::NamespaceNotProtected, message)
    });
    let at_work = record.finalizer && !over && outside.is_none();
    let owner = if at_work {
        let backups = &context.stores.velero.backups;
        owner_over(context, backups, upload.meta(), |backup: &VeleroBackup| backup.status.clone()).await?
    } else {
        None
    };
    let cancel = why_cancel(deleting, upload.spec.cancel, owner);
    let mut run = named(&context.stores.backups, Some(&namespace), &upload.name_any());
    if run.is_none() && record.finalizer && (over || cancel.is_some()) {
        // Before anything is said to be gone, the API server is asked: the watch may not know yet what we have just made.
        let runs = Api::<VolumeSnapshotBackup>::namespaced(context.client.clone(), &namespace);
        let read = runs.get_opt(&upload.name_any()).await;
        run = read.map_err(|source| classify("read a VolumeSnapshotBackup", source))?.map(Arc::new);
    }
    let state = run_state(run.as_deref(), &uid);
    let (snapshot, content) = source_objects(context, upload, &uid);
    let mut refused = invalid(upload);
    let mut secret = None;
    if at_work && cancel.is_none() && state == Run::Absent && refused.is_none() {
        let location = upload.spec.backup_storage_location.as_deref().unwrap_or_default();
        match repository_secret(context, &namespace, location).await? {
            Ok(name) => secret = Some(name),
            Err(trouble) => refused = Some(trouble),
        }
    }
    let seen = Seen {
        deleting,
        outside,
        cancel: cancel.filter(|_| at_work),
        refused,
        source: source(upload, snapshot.as_deref(), content.as_deref(), &uid),
        run_released: is_released(run.as_deref(), &uid),
        source_left: is_left(snapshot.as_deref(), content.as_deref(), context.options.keep_snapshots),
        run: state,
        record,
    };
    Ok(Observed { seen, secret, run, snapshot, content })
}

fn snapshot_name(upload: &DataUpload) -> &str {
    let csi = upload.spec.csi_snapshot.as_ref();
    csi.and_then(|csi| csi.volume_snapshot.as_deref()).unwrap_or_default()
}

/// What is wrong with the DataUpload itself.
fn invalid(upload: &DataUpload) -> Option<Trouble> {
    let spec = &upload.spec;
    let kind = spec.snapshot_type.as_deref().unwrap_or_default();
    let message = if kind != "CSI" {
        format!("spec.snapshotType is {kind:?}; Longshore moves CSI snapshots")
    } else if snapshot_name(upload).is_empty() {
        "spec.csiSnapshot.volumeSnapshot is empty".to_owned()
    } else if spec.source_namespace.as_deref().unwrap_or_default().is_empty() {
        "spec.sourceNamespace is empty".to_owned()
    } else {
        return None;
    };
    Some(Trouble::new(OperatorReason::DataMoveInvalid, message))
}

/// Whether this content was made to stay for this DataUpload.
fn is_protected(content: &VolumeSnapshotContent, uid: &str) -> bool {
    content.annotations().get(DATA_UPLOAD_UID).is_some_and(|protector| protector == uid)
}

/// VolumeSnapshot and content. A content whose VolumeSnapshot is gone counts only if it was kept for this DataUpload.
fn source_objects(
    context: &Context,
    upload: &DataUpload,
    uid: &str,
) -> (Option<Arc<VolumeSnapshot>>, Option<Arc<VolumeSnapshotContent>>) {
    let (namespace, name) =
        (upload.spec.source_namespace.as_deref().unwrap_or_default(), snapshot_name(upload));
    if namespace.is_empty() || name.is_empty() {
        return (None, None);
    }
    let snapshot = named(&context.stores.snapshots, Some(namespace), name);
    let content = context.stores.contents.find(|content| {
        let reference = &content.spec.volume_snapshot_ref;
        let of_snapshot = match &snapshot {
            Some(snapshot) => {
                let bound = snapshot
                    .status
                    .as_ref()
                    .and_then(|status| status.bound_volume_snapshot_content_name.as_deref());
                reference.uid == snapshot.uid() && bound == content.metadata.name.as_deref()
            }
            None => is_protected(content, uid),
        };
        reference.namespace.as_deref() == Some(namespace)
            && reference.name.as_deref() == Some(name)
            && label(&content.metadata, RUN_UID).is_none()
            && of_snapshot
    });
    (snapshot, content)
}

fn source(
    upload: &DataUpload,
    snapshot: Option<&VolumeSnapshot>,
    content: Option<&VolumeSnapshotContent>,
    uid: &str,
) -> Source {
    let name = snapshot_name(upload);
    let not_ready =
        |message: String| Source::NotReady(Trouble::new(OperatorReason::SourceSnapshotNotReady, message));
    let Some(snapshot) = snapshot.filter(|snapshot| snapshot.metadata.deletion_timestamp.is_none()) else {
        return not_ready(format!("VolumeSnapshot {name} is not there"));
    };
    let status = snapshot.status.clone().unwrap_or_default();
    match content {
        Some(content) if status.ready_to_use == Some(true) => {
            let retained = content.spec.deletion_policy == DeletionPolicy::Retain.as_str();
            Source::Ready { protected: retained && is_protected(content, uid) }
        }
        _ => {
            let said = status.error.and_then(|error| error.message);
            let said = said.unwrap_or_else(|| "no error is known".to_owned());
            not_ready(format!("VolumeSnapshot {name} is not ready: {said}"))
        }
    }
}

/// Whether something remains to be done about the source snapshot.
fn is_left(
    snapshot: Option<&VolumeSnapshot>,
    content: Option<&VolumeSnapshotContent>,
    keep_snapshots: bool,
) -> bool {
    if keep_snapshots {
        return content.is_some_and(|content| content.annotations().contains_key(OWN_POLICY));
    }
    let goes_along =
        |content: &VolumeSnapshotContent| content.spec.deletion_policy == DeletionPolicy::Delete.as_str();
    match (snapshot, content) {
        (None, None) => false,
        (None, Some(content)) => content.metadata.deletion_timestamp.is_none() || !goes_along(content),
        (Some(snapshot), content) => {
            snapshot.metadata.deletion_timestamp.is_none() || content.is_some_and(|one| !goes_along(one))
        }
    }
}

fn is_ours(run: &VolumeSnapshotBackup, uid: &str) -> bool {
    label(&run.metadata, DATA_UPLOAD_UID) == Some(uid)
        && run.owner_references().iter().any(|owner| owner.uid == uid)
}

/// Whether the run has nothing in the cluster: it is not there, or it is over and has let go of itself.
fn is_released(run: Option<&VolumeSnapshotBackup>, uid: &str) -> bool {
    let Some(run) = run.filter(|run| is_ours(run, uid)) else { return true };
    let over = run.status.as_ref().is_some_and(|status| status.phase().is_terminal());
    over && !run.finalizers().iter().any(|finalizer| finalizer == FINALIZER)
}

/// Reads a run.
pub(super) fn run_state(run: Option<&VolumeSnapshotBackup>, uid: &str) -> Run {
    let Some(run) = run else { return Run::Absent };
    if !is_ours(run, uid) {
        return Run::Foreign;
    }
    if run.metadata.deletion_timestamp.is_some() {
        return Run::Leaving;
    }
    let status = run.status.clone().unwrap_or_default();
    let figures = status.progress.clone().unwrap_or_default();
    let waits = trouble(&status).map(|(reason, message)| format!("{reason}: {message}"));
    let others = [OperatorReason::MoverWaitsForNode, OperatorReason::RepositoryInMaintenance];
    let others_first =
        trouble(&status).is_some_and(|(reason, _)| others.iter().any(|other| other.as_str() == reason));
    let progress = Progress {
        bytes: DataMoveProgress { total_bytes: figures.bytes_total, bytes_done: figures.bytes_done },
        uploaded: figures.bytes_transferred,
        reference: status.restic_repository.clone(),
    };
    use longshore_api::BatchingStatus as B;
    match (status.phase(), status.batching()) {
        (Phase::Completed, _) => Run::Completed(progress),
        (Phase::Failed | Phase::PartiallyFailed, _) => {
            let (reason, message) = failure(&status).unwrap_or(("MoverFailed", "no cause is known"));
            Run::Failed(format!("{reason}: {message}"))
        }
        (Phase::SnapshotBackupDone | Phase::SnapshotRestoreDone | Phase::Cleanup, _) => {
            Run::Cleaning(progress)
        }
        (Phase::InProgress, Some(B::Queued)) => Run::Queued(None),
        (Phase::InProgress, Some(_)) => {
            let has_worked = status.progress.is_some() || progressing_reason(&status) == "Transferring";
            match has_worked {
                true => Run::Moving(progress, waits),
                false if others_first => Run::Queued(waits),
                false => Run::Starting(waits),
            }
        }
        (Phase::New | Phase::InProgress, _) => Run::Unaccepted(waits),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
    use longshore_api::VolumeSnapshotSpec;

    use super::*;

    fn content(policy: DeletionPolicy) -> VolumeSnapshotContent {
        let mut content = VolumeSnapshotContent::default();
        content.spec.deletion_policy = policy.as_str().to_owned();
        content
    }

    #[test]
    fn vsm_34_the_source_is_left_until_both_objects_are_on_their_way() {
        let now = || Some(Time(jiff::Timestamp::UNIX_EPOCH));
        let snapshot = VolumeSnapshot::new("s", VolumeSnapshotSpec::default());
        let mut leaving = snapshot.clone();
        leaving.metadata.deletion_timestamp = now();
        let (kept, free) = (content(DeletionPolicy::Retain), content(DeletionPolicy::Delete));
        let mut gone = free.clone();
        gone.metadata.deletion_timestamp = now();
        let left = |snapshot, content| is_left(snapshot, content, false);
        assert!(left(Some(&snapshot), Some(&kept)) && left(Some(&snapshot), Some(&free)));
        assert!(left(Some(&leaving), Some(&kept)), "the snapshot in the storage would stay");
        assert!(!left(Some(&leaving), Some(&free)));
        assert!(left(None, Some(&kept)) && left(None, Some(&free)), "nobody else deletes it");
        assert!(!left(None, Some(&gone)) && !left(None, None));
        assert!(!is_left(Some(&snapshot), Some(&free), true), "kept on request");
    }

    #[test]
    fn vsm_34_only_a_run_that_says_so_and_is_owned_is_ours() {
        let mut run = VolumeSnapshotBackup::default();
        run.metadata.labels = Some([(DATA_UPLOAD_UID.to_owned(), "u".to_owned())].into());
        assert_eq!(run_state(Some(&run), "u"), Run::Foreign, "not owned");
        run.metadata.owner_references = Some(vec![OwnerReference { uid: "u".into(), ..Default::default() }]);
        assert_eq!(run_state(Some(&run), "other"), Run::Foreign);
        assert_eq!(run_state(Some(&run), "u"), Run::Unaccepted(None));
        assert!(!is_released(Some(&run), "u"));
        run.status.get_or_insert_default().phase = Some("Completed".into());
        run.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
        assert!(!is_released(Some(&run), "u"), "its copies may still be there");
        run.metadata.finalizers = None;
        assert!(is_released(Some(&run), "u"));
        assert!(matches!(run_state(Some(&run), "u"), Run::Completed(_)));
    }
}
