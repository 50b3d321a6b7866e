//! What a restore asks for, read from its spec once and for all. Pure.

use jiff::SignedDuration;
use kube::ResourceExt;
use longshore_api::{Phase, TargetPVC, VolumeSnapshotRestore, VolumeSnapshotRestoreSpec};
use longshore_job::{ReferenceError, RestorePointReference, RestoreTask, parse_bytes};

use crate::options::{Options, duration};
use crate::reason::{OperatorReason, Trouble};
use crate::status::{RunStatus, failure};

/// How long a restored snapshot is kept when nobody uses it.
const TTL_DEFAULT: SignedDuration = SignedDuration::from_hours(24);

/// A restore that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The restore point.
    pub task: RestoreTask,
    /// Storage request of the source PVC.
    pub size: String,
    /// Its StorageClass; `None` for the cluster's default.
    pub storage_class: Option<String>,
    /// Wanted VolumeSnapshotClass.
    pub snapshot_class: Option<String>,
    /// The application's PVC.
    pub target: Option<TargetPVC>,
    /// How long the snapshot is kept when nobody uses it.
    pub ttl: SignedDuration,
}

fn filled(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

/// Reads the spec of a restore in `namespace`. `mapped` are the namespaces whose points a Velero Restore brings to this one.
///
/// # Errors
/// What is wrong with it.
pub fn read(
    spec: &VolumeSnapshotRestoreSpec,
    namespace: &str,
    options: &Options,
    mapped: &[String],
) -> Result<Asked, Trouble> {
    let protected = filled(spec.protected_namespace.as_ref()).ok_or_else(|| {
        Trouble::new(OperatorReason::ProtectedNamespaceNotNamed, "spec.protectedNamespace is empty")
    })?;
    if !options.protected_namespaces.contains(&protected) {
        let message = format!("namespace {protected} is not a protected namespace");
        return Err(Trouble::new(OperatorReason::NamespaceNotProtected, message));
    }
    let backup = spec.volume_snapshot_mover_backup_ref.clone().unwrap_or_default();
    let text = filled(backup.restic_repository.as_ref()).ok_or_else(|| {
        let message = "spec.volumeSnapshotMoverBackupRef.resticrepository is empty";
        Trouble::new(OperatorReason::RepositoryReferenceMissing, message)
    })?;
    let reference: RestorePointReference = text.parse().map_err(|error: ReferenceError| {
        let reason = match error {
            ReferenceError::ResticRepository => OperatorReason::OldResticRepository,
            _ => OperatorReason::RepositoryReferenceInvalid,
        };
        Trouble::new(reason, error.to_string())
    })?;
    let mut allowed_source_namespaces = options.allowed_sources(namespace);
    allowed_source_namespaces.extend_from_slice(mapped);
    let task = RestoreTask { reference, allowed_source_namespaces };
    if !task.is_allowed_for(namespace) {
        let message = format!(
            "namespace {namespace} may not restore a point of namespace {}",
            task.reference.namespace
        );
        return Err(Trouble::new(OperatorReason::NamespaceNotAllowed, message));
    }
    let pvc = backup.source_pvc_data.unwrap_or_default();
    let size = filled(pvc.size.as_ref()).filter(|size| parse_bytes(size).is_some()).ok_or_else(|| {
        let message = "spec.volumeSnapshotMoverBackupRef.sourcePVCData.size is no quantity";
        Trouble::new(OperatorReason::SourceSizeInvalid, message)
    })?;
    if let Some(target) = &spec.target_pvc {
        check_target(target)?;
    }
    let ttl = match filled(spec.snapshot_ttl.as_ref()) {
        Some(text) => duration(&text).map_err(|error| {
            Trouble::new(OperatorReason::SnapshotTTLInvalid, format!("spec.snapshotTTL: {error}"))
        })?,
        None => TTL_DEFAULT,
    };
    Ok(Asked {
        task,
        size,
        storage_class: filled(pvc.storage_class_name.as_ref()),
        snapshot_class: filled(backup.volume_snapshot_class_name.as_ref()),
        target: spec.target_pvc.clone(),
        ttl,
    })
}

/// Labels by which a backup tool's plugin looks for the restore of a PVC, in all namespaces, taking the first that it finds.
const PLUGIN_LABELS: [&str; 2] = ["velero.io/restore-name", "velero.io/persistent-volume-claim-name"];

/// Another restore that the plugin may take for this one, and so give its PVC another one's data. Both are refused. Two restores of the same
/// point are no rivals: their data is the same.
pub fn rival<'a>(
    restore: &VolumeSnapshotRestore,
    all: impl IntoIterator<Item = &'a VolumeSnapshotRestore>,
) -> Option<Trouble> {
    let labels = |restore: &VolumeSnapshotRestore| -> Option<[String; 2]> {
        let [run, pvc] = PLUGIN_LABELS.map(|label| restore.labels().get(label).cloned());
        Some([run?, pvc?])
    };
    let point = |restore: &VolumeSnapshotRestore| {
        let backup = restore.spec.volume_snapshot_mover_backup_ref.as_ref();
        backup.and_then(|backup| backup.restic_repository.clone())
    };
    // One that failed for another reason publishes nothing that could be taken.
    let counts = |restore: &VolumeSnapshotRestore| {
        let status = restore.status.as_ref();
        let ambiguous = OperatorReason::AmbiguousRestore.as_str();
        status.is_none_or(|status| match status.phase() {
            Phase::Failed | Phase::PartiallyFailed => {
                failure(status).is_some_and(|(reason, _)| reason == ambiguous)
            }
            _ => true,
        })
    };
    let (own, wanted) = (labels(restore)?, point(restore));
    let other = all.into_iter().find(|other| {
        other.uid() != restore.uid()
            && labels(other).as_ref() == Some(&own)
            && point(other) != wanted
            && counts(other)
    })?;
    let message = format!(
        "VolumeSnapshotRestore {}/{} restores another point and has the same labels {}",
        other.namespace().unwrap_or_default(),
        other.name_any(),
        PLUGIN_LABELS.join(" and ")
    );
    Some(Trouble::new(OperatorReason::AmbiguousRestore, message))
}

fn check_target(target: &TargetPVC) -> Result<(), Trouble> {
    let invalid = |message: &str| Err(Trouble::new(OperatorReason::TargetPVCInvalid, message));
    if target.name.is_empty() {
        return invalid("spec.targetPVC.name is empty");
    }
    match filled(target.size.as_ref()) {
        Some(size) if parse_bytes(&size).is_none() => invalid("spec.targetPVC.size is no quantity"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use longshore_api::{BackupReference, SourcePVCData};

    use super::*;

    fn options() -> Options {
        Options::parse_from([
            "longshore-operator",
            "--protected-namespaces=vault",
            "--allow-restore=shop=copy",
        ])
    }

    fn spec(reference: &str) -> VolumeSnapshotRestoreSpec {
        VolumeSnapshotRestoreSpec {
            protected_namespace: Some("vault".into()),
            volume_snapshot_mover_backup_ref: Some(BackupReference {
                restic_repository: Some(reference.into()),
                source_pvc_data: Some(SourcePVCData {
                    name: Some("data".into()),
                    size: Some("1Gi".into()),
                    storage_class_name: None,
                }),
                volume_snapshot_class_name: None,
            }),
            ..Default::default()
        }
    }

    const POINT: &str = "longshore://c/shop/data/run?mode=Block";

    fn reason(spec: &VolumeSnapshotRestoreSpec, namespace: &str) -> &'static str {
        read(spec, namespace, &options(), &[]).map_or_else(|trouble| trouble.reason.as_str(), |_| "fine")
    }

    #[test]
    fn a_velero_restore_brings_points_to_the_namespace_that_it_maps_to() {
        let mapped = ["shop".to_owned()];
        let asked = read(&spec(POINT), "elsewhere", &options(), &mapped).unwrap();
        assert!(asked.task.is_allowed_for("elsewhere"), "the mover is told as well");
        let other = read(&spec("longshore://c/bank/data/run?mode=Block"), "elsewhere", &options(), &mapped);
        assert_eq!(other.unwrap_err().reason.as_str(), "NamespaceNotAllowed");
    }

    fn labelled(uid: &str, point: &str, pvc: &str) -> VolumeSnapshotRestore {
        let mut restore = VolumeSnapshotRestore { spec: spec(point), ..Default::default() };
        restore.metadata.uid = Some(uid.into());
        let labels = PLUGIN_LABELS.map(str::to_owned).into_iter().zip(["restore".to_owned(), pvc.to_owned()]);
        restore.metadata.labels = Some(labels.collect());
        restore
    }

    #[test]
    fn restores_that_a_plugin_could_swap_are_refused() {
        let first = labelled("1", POINT, "data");
        let second = labelled("2", "longshore://c/other/data/run?mode=Block", "data");
        let all = [&first, &second];
        for restore in all {
            assert_eq!(rival(restore, all).unwrap().reason.as_str(), "AmbiguousRestore");
        }
        let harmless =
            [labelled("3", POINT, "data"), labelled("4", "longshore://c/other/x/run?mode=Block", "x")];
        assert_eq!(rival(&first, &harmless), None, "the same point, or another PVC");
        let mut plain = second.clone();
        plain.metadata.labels = None;
        assert_eq!(rival(&first, [&plain]), None);
        let mut failed = second;
        let status = failed.status.get_or_insert_default();
        let mut decision = crate::status::Decision::<_, ()>::new(&*status);
        decision.fail(jiff::Timestamp::UNIX_EPOCH, &Trouble::new(OperatorReason::QuotaExceeded, "full"));
        *status = decision.status;
        assert_eq!(rival(&first, [&failed]), None, "it publishes nothing");
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(reason(&spec(POINT), "shop"), "fine");
        assert_eq!(reason(&spec(POINT), "copy"), "fine");
        assert_eq!(reason(&spec(POINT), "thief"), "NamespaceNotAllowed");
        assert_eq!(reason(&spec("s3:host/bucket/path"), "shop"), "OldResticRepository");
        assert_eq!(reason(&spec("nonsense"), "shop"), "RepositoryReferenceInvalid");
        assert_eq!(reason(&spec(""), "shop"), "RepositoryReferenceMissing");
        assert_eq!(reason(&VolumeSnapshotRestoreSpec::default(), "shop"), "ProtectedNamespaceNotNamed");
        let mut elsewhere = spec(POINT);
        elsewhere.protected_namespace = Some("kube-system".into());
        assert_eq!(reason(&elsewhere, "shop"), "NamespaceNotProtected");
        let mut odd = spec(POINT);
        odd.snapshot_ttl = Some("soon".into());
        assert_eq!(reason(&odd, "shop"), "SnapshotTTLInvalid");
    }
}
