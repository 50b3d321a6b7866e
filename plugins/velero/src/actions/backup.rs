//! Backup: PVC → VolumeSnapshot → content → run, and the clean-up when the run is over.
//!
//! ```text
//!   PVC item ──► VolumeSnapshot (waits for the handle) ──► content as additional item
//!   content item ──► VolumeSnapshotBackup, operation <namespace>/<run> ──► polled until the run is terminal ──► snapshot deleted
//!   run item (Velero finalizes) ──► goes into the archive with its status; snapshot deleted if it is still there
//! ```

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::ResourceExt;
use longshore_api::{LocalReference, VolumeSnapshotBackup, VolumeSnapshotContent, velero_label_value};
use serde_json::Value;

use super::{BackupOutcome, Progress, RUNS, run_of, snapshot};
use crate::cluster::{ActionError, Cluster, Connection, choose_repository, create, delete, get};
use crate::item::{
    BACKUP_NAME, BACKUP_UID, Backup, Identifier, MOVED_BY, REPOSITORY, SNAPSHOT, annotate, annotation,
    derived_name, label, parse,
};
use crate::policy::action_for;
use crate::selection::{Choice, choose, may_be_ours};

/// Velero strips it from the item and takes the additional items whatever the backup's filters say.
const MUST_INCLUDE: &str = "backup.velero.io/must-include-additional-items";
/// Velero leaves the item out.
const SKIP: &str = "velero.io/skip-from-backup";

/// A PVC: takes its snapshot if it is ours.
///
/// # Errors
/// When the snapshot cannot be taken, or nothing says where the data goes.
pub async fn back_up_claim(
    cluster: &Cluster,
    velero_csi: bool,
    item: &[u8],
    backup: &[u8],
) -> Result<BackupOutcome, ActionError> {
    let backup: Backup = parse("Backup", backup)?;
    let claim: PersistentVolumeClaim = parse("PersistentVolumeClaim", item)?;
    if backup.is_finalizing() || !may_be_ours(&backup, &claim) {
        return Ok(BackupOutcome::default());
    }
    let cluster = cluster.connect().await?;
    let pvc = format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any());
    let volume = match claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()) {
        Some(name) => get(&cluster.all::<PersistentVolume>(), name).await?,
        None => None,
    };
    match decide(&cluster, velero_csi, &backup, &claim, volume.as_ref()).await? {
        Choice::Take => {}
        Choice::Leave => return Ok(BackupOutcome::default()),
        Choice::LeaveLoudly(why) => {
            tracing::warn!(pvc, "the volume is not moved by Longshore: {why}");
            return Ok(BackupOutcome::default());
        }
    }
    // Before the snapshot is taken: without a repository nothing would ever use it.
    repository(&cluster, &backup).await?;
    let driver = volume.and_then(|volume| volume.spec?.csi).map(|csi| csi.driver).unwrap_or_default();
    let content = snapshot::take(&cluster, &backup, &claim, &driver).await?;
    let mut item: Value = parse("PersistentVolumeClaim", item)?;
    annotate(&mut item, MOVED_BY, backup.name());
    annotate(&mut item, MUST_INCLUDE, "true");
    let additional = Identifier {
        group: "snapshot.storage.k8s.io",
        resource: "volumesnapshotcontents",
        namespace: String::new(),
        name: content.name_any(),
    };
    Ok(BackupOutcome { item: Some(item), additional: vec![additional], ..Default::default() })
}

async fn decide(
    cluster: &Connection,
    velero_csi: bool,
    backup: &Backup,
    claim: &PersistentVolumeClaim,
    volume: Option<&PersistentVolume>,
) -> Result<Choice, ActionError> {
    let is_csi = |volume: &&PersistentVolume| volume.spec.as_ref().is_some_and(|spec| spec.csi.is_some());
    let action = match (cluster.policies(backup).await?, volume.filter(is_csi)) {
        (Some(text), Some(volume)) => action_for(&text, claim, volume)?,
        _ => None,
    };
    Ok(choose(backup, claim, volume, action.as_ref(), velero_csi))
}

async fn repository(cluster: &Connection, backup: &Backup) -> Result<longshore_api::Repository, ActionError> {
    let all = cluster.repositories(backup.namespace()).await?;
    let name = annotation(&backup.metadata, REPOSITORY);
    choose_repository(&all, backup.namespace(), name, backup.spec.storage_location.as_deref()).cloned()
}

/// A PV: marked in the archive if its PVC is ours, so that a restore does not bring back a volume that names the old storage and binds to the
/// restored PVC.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn back_up_volume(
    cluster: &Cluster,
    velero_csi: bool,
    item: &[u8],
    backup: &[u8],
) -> Result<BackupOutcome, ActionError> {
    let backup: Backup = parse("Backup", backup)?;
    let volume: PersistentVolume = parse("PersistentVolume", item)?;
    let claim = volume.spec.as_ref().and_then(|spec| spec.claim_ref.clone()).unwrap_or_default();
    let (Some(namespace), Some(name)) = (claim.namespace, claim.name) else {
        return Ok(BackupOutcome::default());
    };
    if backup.is_finalizing() {
        return Ok(BackupOutcome::default());
    }
    let cluster = cluster.connect().await?;
    let Some(claim) = get(&cluster.namespaced::<PersistentVolumeClaim>(&namespace), &name).await? else {
        return Ok(BackupOutcome::default());
    };
    if !may_be_ours(&backup, &claim)
        || decide(&cluster, velero_csi, &backup, &claim, Some(&volume)).await? != Choice::Take
    {
        return Ok(BackupOutcome::default());
    }
    let mut item: Value = parse("PersistentVolume", item)?;
    annotate(&mut item, MOVED_BY, backup.name());
    Ok(BackupOutcome { item: Some(item), ..Default::default() })
}

/// The run for a content. Pure.
fn run(
    backup: &Backup,
    content: &VolumeSnapshotContent,
    secret: Option<LocalReference>,
) -> VolumeSnapshotBackup {
    let name = content.name_any();
    let source = &content.spec.volume_snapshot_ref;
    let uid = content.uid().unwrap_or_default();
    let mut run = VolumeSnapshotBackup::new(
        &derived_name("longshore", &["run", backup.uid(), &uid]),
        Default::default(),
    );
    run.metadata.namespace = source.namespace.clone();
    let labels = [
        (BACKUP_NAME, velero_label_value(backup.name())),
        (BACKUP_UID, backup.uid().to_owned()),
        ("datamover.io/vsb-volumesnapshotcontent", velero_label_value(&name)),
    ];
    run.metadata.labels = Some(labels.map(|(key, value)| (key.to_owned(), value)).into());
    let mut annotations = vec![(SNAPSHOT.to_owned(), source.name.clone().unwrap_or_default())];
    if let Some(repository) = annotation(&backup.metadata, REPOSITORY) {
        annotations.push((REPOSITORY.to_owned(), repository.to_owned()));
    }
    run.metadata.annotations = Some(annotations.into_iter().collect());
    run.spec.volume_snapshot_content.get_or_insert_default().name = Some(name);
    run.spec.protected_namespace = Some(backup.namespace().to_owned());
    run.spec.restic_secret_ref = secret;
    run
}

/// A content: starts the run if the content is ours and of this backup.
///
/// # Errors
/// When the run cannot be made.
pub async fn back_up_content(
    cluster: &Cluster,
    item: &[u8],
    backup: &[u8],
) -> Result<BackupOutcome, ActionError> {
    let backup: Backup = parse("Backup", backup)?;
    let content: VolumeSnapshotContent = parse("VolumeSnapshotContent", item)?;
    let uid = label(&content.metadata, BACKUP_UID);
    if backup.is_finalizing() || backup.uid().is_empty() || uid != Some(backup.uid()) {
        return Ok(BackupOutcome::default());
    }
    let cluster = cluster.connect().await?;
    let repository = repository(&cluster, &backup).await?;
    let run = run(&backup, &content, repository.spec.secret_ref);
    let namespace = run.namespace().unwrap_or_default();
    create(&cluster.namespaced(&namespace), &run, BACKUP_UID).await?;
    let name = run.name_any();
    let operation = format!("{namespace}/{name}");
    let after = Identifier { group: RUNS, resource: "volumesnapshotbackups", namespace, name };
    Ok(BackupOutcome { operation: Some(operation), after_operation: vec![after], ..Default::default() })
}

/// A run: in Velero's last pass its snapshot goes; a run of another backup stays out of this one.
///
/// # Errors
/// When the item is no run. A snapshot that cannot be deleted is only reported, for the run must get into the archive.
pub async fn back_up_run(
    cluster: &Cluster,
    item: &[u8],
    backup: &[u8],
) -> Result<BackupOutcome, ActionError> {
    let backup: Backup = parse("Backup", backup)?;
    let run: VolumeSnapshotBackup = parse("VolumeSnapshotBackup", item)?;
    let Some(uid) = label(&run.metadata, BACKUP_UID) else { return Ok(BackupOutcome::default()) };
    if uid != backup.uid() {
        let mut item: Value = parse("VolumeSnapshotBackup", item)?;
        annotate(&mut item, SKIP, "true");
        return Ok(BackupOutcome { item: Some(item), ..Default::default() });
    }
    if backup.is_finalizing() && Progress::of_backup(Some(&run)).completed {
        clean_up(&cluster.connect().await?, &backup, &run).await;
    }
    Ok(BackupOutcome::default())
}

/// Deletes the snapshot of a run that is over, unless the backup keeps it.
async fn clean_up(cluster: &Connection, backup: &Backup, run: &VolumeSnapshotBackup) {
    let Some(snapshot) = annotation(&run.metadata, SNAPSHOT).filter(|_| !backup.keeps_snapshots()) else {
        return;
    };
    let namespace = run.namespace().unwrap_or_default();
    if let Err(error) = cluster.discard_snapshot(&namespace, snapshot, backup.uid()).await {
        tracing::warn!(namespace, snapshot, %error, "the VolumeSnapshot is left for later");
    }
}

/// Where the run of an operation stands; once it is over its snapshot goes.
///
/// # Errors
/// When the operation is none of ours. An API server that does not answer is no error: Velero asks again.
pub async fn backup_progress(
    cluster: &Cluster,
    operation: &str,
    backup: &[u8],
) -> Result<Progress, ActionError> {
    let backup: Backup = parse("Backup", backup)?;
    let (namespace, name) = run_of(operation)?;
    let look = async {
        let cluster = cluster.connect().await?;
        let run = get(&cluster.namespaced::<VolumeSnapshotBackup>(namespace), name).await?;
        let progress = Progress::of_backup(run.as_ref());
        if let Some(run) =
            run.filter(|run| progress.completed && label(&run.metadata, BACKUP_UID) == Some(backup.uid()))
        {
            clean_up(&cluster, &backup, &run).await;
        }
        Ok(progress)
    };
    Ok(look.await.unwrap_or_else(|error| Progress::unknown(&error)))
}

/// Deletes the run of an operation, which cancels it, and its snapshot.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn cancel_backup(cluster: &Cluster, operation: &str, backup: &[u8]) -> Result<(), ActionError> {
    let backup: Backup = parse("Backup", backup)?;
    let (namespace, name) = run_of(operation)?;
    let cluster = cluster.connect().await?;
    let api = cluster.namespaced::<VolumeSnapshotBackup>(namespace);
    let Some(run) = get(&api, name).await? else { return Ok(()) };
    if label(&run.metadata, BACKUP_UID) != Some(backup.uid()) {
        return Err(ActionError::refused(format!("{operation} is not of this backup")));
    }
    // The snapshot first: once the run is gone nothing names it any more.
    clean_up(&cluster, &backup, &run).await;
    delete(&api, &run).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn vsm_6_the_run_of_a_content_has_one_name() {
        let backup: Backup =
            serde_json::from_value(json!({"metadata": {"name": "b", "namespace": "velero", "uid": "u1"}}))
                .unwrap();
        let content: VolumeSnapshotContent =
            serde_json::from_value(json!({"metadata": {"name": "c", "uid": "u2"},
            "spec": {"volumeSnapshotRef": {"namespace": "shop", "name": "s"}}}))
            .unwrap();
        let secret = LocalReference { name: Some("keys".into()) };
        let (first, second) =
            (run(&backup, &content, Some(secret.clone())), run(&backup, &content, Some(secret)));
        assert_eq!(first, second);
        assert_eq!(first.metadata.namespace.as_deref(), Some("shop"));
        assert_eq!(first.spec.protected_namespace.as_deref(), Some("velero"));
        assert_eq!(first.labels()[BACKUP_NAME], "b");
        let mut other = backup;
        other.metadata.uid = Some("u3".into());
        assert_ne!(run(&other, &content, None).name_any(), first.name_any());
    }
}
