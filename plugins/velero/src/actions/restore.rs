//! Restore: a run in the archive → VolumeSnapshotRestore, from which the operator makes the PVC.

use kube::ResourceExt;
use longshore_api::{
    BackupReference, LocalReference, Phase, TargetPVC, VolumeSnapshotBackup, VolumeSnapshotRestore,
    velero_label_value,
};

use super::{Progress, RestoreOutcome, run_of};
use crate::cluster::{ActionError, Cluster, choose_repository, create, delete, get};
use crate::item::{
    BACKUP_NAME, BACKUP_UID, MOVED_BY, REPOSITORY, RESTORE_NAME, RESTORE_UID, Restore, annotation,
    derived_name, label, parse,
};

/// PVC and PV whose volume Longshore moved in this backup: the operator makes the PVC, and with it a new volume.
///
/// # Errors
/// When what Velero sent cannot be read.
pub fn skip_moved(item: &[u8], restore: &[u8]) -> Result<RestoreOutcome, ActionError> {
    let restore: Restore = parse("Restore", restore)?;
    let item: Plain = parse("item", item)?;
    let by = annotation(&item.metadata, MOVED_BY);
    Ok(RestoreOutcome { skip: by.is_some() && by == restore.spec.backup_name.as_deref(), operation: None })
}

/// VolumeSnapshots and contents of ours: the snapshots they name are gone.
///
/// # Errors
/// When what Velero sent cannot be read.
pub fn skip_snapshot(item: &[u8]) -> Result<RestoreOutcome, ActionError> {
    let item: Plain = parse("item", item)?;
    Ok(RestoreOutcome { skip: label(&item.metadata, BACKUP_UID).is_some(), operation: None })
}

#[derive(serde::Deserialize)]
struct Plain {
    #[serde(default)]
    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
}

/// A run in the archive: starts its restore.
///
/// # Errors
/// When the run has no restore point, nothing says where its repository is, or the restore cannot be made.
pub async fn restore_run(
    cluster: &Cluster,
    item: &[u8],
    from_backup: &[u8],
    restore: &[u8],
) -> Result<RestoreOutcome, ActionError> {
    let restore: Restore = parse("Restore", restore)?;
    // Velero takes the status off the item, and keeps it on the other.
    let bytes = if from_backup.is_empty() { item } else { from_backup };
    let run: VolumeSnapshotBackup = parse("VolumeSnapshotBackup", bytes)?;
    if label(&run.metadata, BACKUP_UID).is_none() {
        return Ok(RestoreOutcome::default());
    }
    let skip = RestoreOutcome { skip: true, operation: None };
    let backup_name = restore.spec.backup_name.clone().unwrap_or_default();
    if label(&run.metadata, BACKUP_NAME) != Some(velero_label_value(&backup_name).as_str())
        || restore.spec.restore_pvs == Some(false)
    {
        return Ok(skip);
    }
    let mut wanted = plan(&run, &restore)?;
    let cluster = cluster.connect().await?;
    let place = restore.namespace();
    let name = annotation(&restore.metadata, REPOSITORY).or_else(|| annotation(&run.metadata, REPOSITORY));
    let location = match name {
        Some(_) => None,
        None => cluster.backup(place, &backup_name).await?.spec.storage_location,
    };
    let all = cluster.repositories(place).await?;
    let repository = choose_repository(&all, place, name, location.as_deref())?;
    wanted.spec.restic_secret_ref = repository.spec.secret_ref.clone();
    let namespace = wanted.namespace().unwrap_or_default();
    create(&cluster.namespaced(&namespace), &wanted, RESTORE_UID).await?;
    Ok(RestoreOutcome { skip: true, operation: Some(format!("{namespace}/{}", wanted.name_any())) })
}

/// The restore of a run. Pure. It lacks the Secret.
fn plan(run: &VolumeSnapshotBackup, restore: &Restore) -> Result<VolumeSnapshotRestore, ActionError> {
    let status = run.status.clone().unwrap_or_default();
    let id = format!("{}/{}", run.namespace().unwrap_or_default(), run.name_any());
    let phase = Phase::parse(status.phase.as_deref());
    let reference = status.restic_repository.filter(|reference| !reference.is_empty());
    let pvc = status.source_pvc_data.unwrap_or_default();
    let (Phase::Completed, Some(reference), Some(name)) = (phase, reference, pvc.name.clone()) else {
        return Err(ActionError::refused(format!(
            "the backup of VolumeSnapshotBackup {id} did not complete (phase {:?}): there is no data to restore its PVC from",
            phase.as_str()
        )));
    };
    let namespace = run.namespace().unwrap_or_default();
    let run_uid = run.uid().unwrap_or_default();
    let mut wanted = VolumeSnapshotRestore::new(
        &derived_name("longshore", &["restore", restore.uid(), &run_uid]),
        Default::default(),
    );
    wanted.metadata.namespace = Some(restore.target_namespace(&namespace));
    let labels = [
        (RESTORE_NAME, velero_label_value(restore.metadata.name.as_deref().unwrap_or_default())),
        (BACKUP_NAME, velero_label_value(restore.spec.backup_name.as_deref().unwrap_or_default())),
        (BACKUP_UID, label(&run.metadata, BACKUP_UID).unwrap_or_default().to_owned()),
        (RESTORE_UID, restore.uid().to_owned()),
        // Not Velero's label of the PVC's name: plugins of OADP look restores up by that one, in all namespaces.
        ("longshore.dev/pvc-name", velero_label_value(&name)),
    ];
    wanted.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value)).into());
    let resolved = status.resolved_source.unwrap_or_default();
    wanted.spec.protected_namespace = Some(restore.namespace().to_owned());
    wanted.spec.target_pvc = Some(TargetPVC {
        name,
        storage_class_name: pvc.storage_class_name.clone(),
        access_modes: Some(resolved.access_modes).filter(|modes| !modes.is_empty()),
        size: pvc.size.clone(),
        labels: Some(resolved.labels).filter(|labels| !labels.is_empty()),
    });
    wanted.spec.volume_snapshot_mover_backup_ref = Some(BackupReference {
        source_pvc_data: Some(pvc),
        restic_repository: Some(reference),
        volume_snapshot_class_name: status.volume_snapshot_class_name,
    });
    wanted.spec.restic_secret_ref = Some(LocalReference::default());
    Ok(wanted)
}

/// Where the run of an operation stands.
///
/// # Errors
/// When the operation is none of ours. An API server that does not answer is no error: Velero asks again.
pub async fn restore_progress(cluster: &Cluster, operation: &str) -> Result<Progress, ActionError> {
    let (namespace, name) = run_of(operation)?;
    let look = async {
        let cluster = cluster.connect().await?;
        let run = get(&cluster.namespaced::<VolumeSnapshotRestore>(namespace), name).await?;
        Ok(Progress::of_restore(run.as_ref()))
    };
    Ok(look.await.unwrap_or_else(|error| Progress::unknown(&error)))
}

/// Deletes the run of an operation, which cancels it.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn cancel_restore(cluster: &Cluster, operation: &str, restore: &[u8]) -> Result<(), ActionError> {
    let restore: Restore = parse("Restore", restore)?;
    let (namespace, name) = run_of(operation)?;
    let cluster = cluster.connect().await?;
    let api = cluster.namespaced::<VolumeSnapshotRestore>(namespace);
    match get(&api, name).await? {
        Some(run) if label(&run.metadata, RESTORE_UID) == Some(restore.uid()) => delete(&api, &run).await,
        Some(_) => Err(ActionError::refused(format!("{operation} is not of this restore"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn run(phase: &str) -> VolumeSnapshotBackup {
        serde_json::from_value(json!({
            "metadata": {"name": "r", "namespace": "shop", "uid": "u", "labels": {BACKUP_NAME: "b", BACKUP_UID: "bu"}},
            "spec": {},
            "status": {"phase": phase, "resticrepository": "longshore://c/shop/data/u?mode=Block", "volumeSnapshotClassName": "vsc",
                "sourcePVCData": {"name": "data", "size": "1Gi", "storageClassName": "fast"},
                "resolvedSource": {"accessModes": ["ReadWriteOnce"], "labels": {"app": "shop"}}},
        }))
        .unwrap()
    }

    fn restore() -> Restore {
        serde_json::from_value(json!({"metadata": {"name": "again", "namespace": "velero", "uid": "ru"},
            "spec": {"backupName": "b", "namespaceMapping": {"shop": "shop-copy"}}}))
        .unwrap()
    }

    #[test]
    fn vsm_19_a_run_leads_to_one_restore_in_the_mapped_namespace() {
        let wanted = plan(&run("Completed"), &restore()).unwrap();
        assert_eq!(wanted.metadata.namespace.as_deref(), Some("shop-copy"));
        assert_eq!(wanted.labels()[RESTORE_NAME], "again");
        assert_eq!(wanted.labels()[BACKUP_NAME], "b");
        assert_eq!(wanted.spec.protected_namespace.as_deref(), Some("velero"));
        let target = wanted.spec.target_pvc.clone().unwrap();
        assert_eq!((target.name.as_str(), target.labels.unwrap()["app"].as_str()), ("data", "shop"));
        assert_eq!(plan(&run("Completed"), &restore()).unwrap(), wanted, "the same call, the same restore");
        let mut other = restore();
        other.metadata.uid = Some("ru2".into());
        assert_ne!(plan(&run("Completed"), &other).unwrap().name_any(), wanted.name_any());
    }

    #[test]
    fn a_run_without_data_is_an_error_and_not_an_empty_pvc() {
        for phase in ["Failed", "InProgress", ""] {
            assert!(plan(&run(phase), &restore()).is_err(), "{phase}");
        }
    }

    #[test]
    fn only_what_this_backup_moved_is_skipped() {
        let restore = br#"{"metadata":{},"spec":{"backupName":"b"}}"#;
        let skip = |by: &str| {
            let item: Value = json!({"metadata": {"annotations": {MOVED_BY: by}}});
            skip_moved(item.to_string().as_bytes(), restore).unwrap().skip
        };
        assert!(skip("b") && !skip("other"));
        assert!(!skip_moved(br#"{"metadata":{}}"#, restore).unwrap().skip);
        assert!(skip_moved(b"{", restore).is_err());
        assert!(!skip_snapshot(br#"{"metadata":{}}"#).unwrap().skip);
        let ours = json!({"metadata": {"labels": {BACKUP_UID: "u"}}}).to_string();
        assert!(skip_snapshot(ours.as_bytes()).unwrap().skip);
    }
}
