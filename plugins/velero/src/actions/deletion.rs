//! Deletion of a backup: a ForgetRequest per restore point. Velero only logs what fails here and goes on, so what was not written down now would
//! never be deleted; the request is therefore all that is done here, and the operator does the rest.

use kube::ResourceExt;
use longshore_api::{
    DeletedBackup, ForgetLocation, ForgetRequest, LocalReference, VolumeSnapshotBackup,
    VolumeSnapshotRestore, velero_label_value,
};
use serde::Deserialize;

use crate::cluster::{ActionError, Cluster, Connection, choose_repository, create, delete, get, list};
use crate::item::{
    BACKUP_NAME, BACKUP_UID, Backup, DATA_UPLOAD_UID, REPOSITORY, SNAPSHOT, annotation, derived_name, label,
    parse,
};
use crate::selection::NAME;

const SCHEME: &str = "longshore://";
/// Where OADP's plugins keep the reference of a run in an archive.
const OADP_REFERENCE: &str = "datamover.io/restic-repository";
/// Label of a request, by which a repeated call knows its own.
const REQUEST: &str = "longshore.dev/forget";

/// Name under which DataUploads are ours; `LONGSHORE_DATA_MOVER_NAME` in Velero's environment changes it.
fn data_mover() -> String {
    std::env::var("LONGSHORE_DATA_MOVER_NAME")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| NAME.to_owned())
}

/// A DataUpload of Velero, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DataUpload {
    metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
    spec: DataUploadSpec,
    status: DataUploadStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DataUploadSpec {
    datamover: Option<String>,
    #[serde(rename = "backupStorageLocation")]
    location: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DataUploadStatus {
    #[serde(rename = "snapshotID")]
    snapshot_id: Option<String>,
}

/// Reference and storage location of a DataUpload that is ours and of this backup. Pure.
fn of_data_upload(upload: DataUpload, backup: &Backup, mover: &str) -> Option<(String, Option<String>)> {
    // A backup that took Velero's own namespace along carries the uploads of others.
    let ours = upload.spec.datamover.as_deref() == Some(mover)
        && label(&upload.metadata, BACKUP_NAME) == Some(velero_label_value(backup.name()).as_str());
    let reference = upload.status.snapshot_id.filter(|reference| ours && reference.starts_with(SCHEME))?;
    Some((reference, upload.spec.location.or_else(|| backup.spec.storage_location.clone())))
}

/// Reference of a run that is of this backup. Pure.
fn of_run(run: &VolumeSnapshotBackup, backup: &Backup) -> Option<String> {
    if label(&run.metadata, BACKUP_NAME) != Some(velero_label_value(backup.name()).as_str())
        || label(&run.metadata, DATA_UPLOAD_UID).is_some()
    {
        return None;
    }
    let status = run.status.as_ref().and_then(|status| status.restic_repository.clone());
    let reference = status.or_else(|| annotation(&run.metadata, OADP_REFERENCE).map(str::to_owned))?;
    // A point is named after its namespace and its run. Who may write runs in a namespace must not get others' points deleted by them.
    let path = reference.strip_prefix(SCHEME)?.split('?').next()?;
    let pieces: Vec<&str> = path.split('/').collect();
    let [_, namespace, _, uid] = pieces[..] else { return None };
    (Some(namespace) == run.metadata.namespace.as_deref() && Some(uid) == run.metadata.uid.as_deref())
        .then_some(reference)
}

/// A DataUpload of a backup that is being deleted.
///
/// # Errors
/// When the request cannot be made.
pub async fn delete_data_upload(cluster: &Cluster, item: &[u8], backup: &[u8]) -> Result<(), ActionError> {
    let backup: Backup = parse("Backup", backup)?;
    let upload: DataUpload = parse("DataUpload", item)?;
    let Some((reference, location)) = of_data_upload(upload, &backup, &data_mover()) else { return Ok(()) };
    let location = ForgetLocation { backup_storage_location: location, ..Default::default() };
    request(&cluster.connect().await?, &backup, reference, location).await
}

/// A run of a backup that is being deleted: its point, then what is left of it in the cluster.
///
/// # Errors
/// When the request cannot be made, or something that is left cannot be deleted.
pub async fn delete_run(cluster: &Cluster, item: &[u8], backup: &[u8]) -> Result<(), ActionError> {
    let backup: Backup = parse("Backup", backup)?;
    let run: VolumeSnapshotBackup = parse("VolumeSnapshotBackup", item)?;
    let reference = of_run(&run, &backup);
    let cluster = cluster.connect().await?;
    if let Some(reference) = reference {
        let location = location(&cluster, &backup, &run).await?;
        request(&cluster, &backup, reference, location).await?;
    }
    let Some(backup_uid) = label(&run.metadata, BACKUP_UID) else { return Ok(()) };
    if label(&run.metadata, BACKUP_NAME) != Some(velero_label_value(backup.name()).as_str()) {
        return Ok(());
    }
    let namespace = run.namespace().unwrap_or_default();
    if let Some(snapshot) = annotation(&run.metadata, SNAPSHOT) {
        cluster.discard_snapshot(&namespace, snapshot, backup_uid).await?;
    }
    let api = cluster.namespaced::<VolumeSnapshotBackup>(&namespace);
    // By UID: in another cluster, or later, the same name may be another run.
    if let Some(live) = get(&api, &run.name_any()).await?.filter(|live| live.uid() == run.uid()) {
        delete(&api, &live).await?;
    }
    for restore in
        list(&cluster.all::<VolumeSnapshotRestore>(), &format!("{BACKUP_UID}={backup_uid}")).await?
    {
        let api = cluster.namespaced::<VolumeSnapshotRestore>(&restore.namespace().unwrap_or_default());
        delete(&api, &restore).await?;
    }
    Ok(())
}

/// Where the point of a run is: the Repository of the backup's location, or, for runs of OADP's plugins that had none, the run's Secret.
async fn location(
    cluster: &Connection,
    backup: &Backup,
    run: &VolumeSnapshotBackup,
) -> Result<ForgetLocation, ActionError> {
    if let Some(name) = annotation(&run.metadata, REPOSITORY) {
        let repository = Some(LocalReference { name: Some(name.to_owned()) });
        return Ok(ForgetLocation { repository, ..Default::default() });
    }
    let location = backup.spec.storage_location.clone();
    let all = cluster.repositories(backup.namespace()).await?;
    let configured = choose_repository(&all, backup.namespace(), None, location.as_deref()).is_ok();
    Ok(match run.spec.restic_secret_ref.clone() {
        Some(secret) if !configured && label(&run.metadata, BACKUP_UID).is_none() => {
            ForgetLocation { secret_ref: Some(secret), ..Default::default() }
        }
        _ => ForgetLocation { backup_storage_location: location, ..Default::default() },
    })
}

async fn request(
    cluster: &Connection,
    backup: &Backup,
    reference: String,
    location: ForgetLocation,
) -> Result<(), ActionError> {
    let mut request = ForgetRequest::new(&derived_name("forget", &[&reference]), Default::default());
    request.metadata.namespace = Some(backup.namespace().to_owned());
    request.metadata.labels = Some(
        [
            (REQUEST.to_owned(), "true".to_owned()),
            (BACKUP_NAME.to_owned(), velero_label_value(backup.name())),
        ]
        .into(),
    );
    request.spec.reference = Some(reference);
    request.spec.location = Some(location);
    request.spec.backup =
        Some(DeletedBackup { name: backup.metadata.name.clone(), uid: backup.metadata.uid.clone() });
    create(&cluster.namespaced(backup.namespace()), &request, REQUEST).await.map(drop)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn backup() -> Backup {
        serde_json::from_value(
            json!({"metadata": {"name": "b", "uid": "bu"}, "spec": {"storageLocation": "default"}}),
        )
        .unwrap()
    }

    #[test]
    fn vsm_30_only_uploads_of_this_mover_and_this_backup_are_forgotten() {
        let upload = |mover: &str, backup: &str, id: &str| -> DataUpload {
            serde_json::from_value(json!({"metadata": {"labels": {BACKUP_NAME: backup}},
                "spec": {"datamover": mover, "backupStorageLocation": "bsl"}, "status": {"snapshotID": id}}))
            .unwrap()
        };
        let point = "longshore://c/shop/data/u?mode=Block";
        let of = |upload| of_data_upload(upload, &backup(), "longshore");
        assert_eq!(of(upload("longshore", "b", point)), Some((point.to_owned(), Some("bsl".to_owned()))));
        assert_eq!(of(upload("velero", "b", point)), None);
        assert_eq!(of(upload("longshore", "other", point)), None);
        assert_eq!(of(upload("longshore", "b", "kopia-id")), None);
        assert_eq!(of(upload("longshore", "b", "")), None);
    }

    #[test]
    fn vsm_30_a_run_gets_only_its_own_point_deleted() {
        let run = |backup: &str, reference: &str| -> VolumeSnapshotBackup {
            serde_json::from_value(json!({"metadata": {"name": "r", "namespace": "shop", "uid": "u", "labels": {BACKUP_NAME: backup}},
                "spec": {}, "status": {"resticrepository": reference}}))
            .unwrap()
        };
        let own = "longshore://c/shop/data/u?mode=Block";
        assert_eq!(of_run(&run("b", own), &backup()).as_deref(), Some(own));
        for (name, reference) in [
            ("other", own),
            ("b", "longshore://c/bank/data/u?mode=Block"),
            ("b", "longshore://c/shop/data/other?mode=Block"),
            ("b", "longshore://c/shop"),
            ("b", "s3:host/bucket"),
        ] {
            assert_eq!(of_run(&run(name, reference), &backup()), None, "{name} {reference}");
        }
        let mut oadp = run("b", "");
        oadp.status = None;
        oadp.metadata.annotations = Some([(OADP_REFERENCE.to_owned(), own.to_owned())].into());
        assert_eq!(of_run(&oadp, &backup()).as_deref(), Some(own));
        let mut uploaded = run("b", own);
        uploaded.metadata.labels.get_or_insert_default().insert(DATA_UPLOAD_UID.into(), "x".into());
        assert_eq!(of_run(&uploaded, &backup()), None, "its DataUpload is asked");
    }
}
