//! Entries from objects of the cluster.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use longshore_api::labels::{DATA_UPLOAD_UID, label};
use longshore_api::{
    DataDownload, DataMovePhase, DataUpload, ForgetRequest, LocalReference, Phase, Repository, RunProgress,
    VolumeSnapshotBackup, VolumeSnapshotRestore,
};

use super::{Entry, Fact};
use crate::kind::Kind;

fn bare(kind: Kind, metadata: &ObjectMeta, phase: Option<&String>) -> Entry {
    Entry {
        kind,
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        uid: metadata.uid.clone().unwrap_or_default(),
        phase: phase.cloned().unwrap_or_default(),
        over: false,
        ending: metadata.deletion_timestamp.is_some(),
        deleted: metadata.deletion_timestamp.as_ref().map(|time| time.0),
        reason: None,
        message: None,
        explanation: None,
        bytes_done: None,
        bytes_total: None,
        stage: None,
        created: metadata.creation_timestamp.as_ref().map(|time| time.0),
        protected_namespace: None,
        secrets: Vec::new(),
        serves: None,
        facts: Vec::new(),
        conditions: Vec::new(),
    }
}

fn names(references: &[&Option<LocalReference>]) -> Vec<String> {
    references.iter().filter_map(|one| one.as_ref()?.name.clone()).filter(|name| !name.is_empty()).collect()
}

/// Facts that are there and not empty.
fn facts(all: &[(&'static str, Option<String>)]) -> Vec<Fact> {
    all.iter()
        .filter_map(|(name, value)| {
            Some(Fact { name, value: value.clone().filter(|text| !text.is_empty())? })
        })
        .collect()
}

fn progress(entry: &mut Entry, progress: Option<&RunProgress>) {
    entry.bytes_done = progress.and_then(|progress| progress.bytes_done);
    entry.bytes_total = progress.and_then(|progress| progress.bytes_total);
    entry.stage = progress.and_then(|progress| progress.stage.clone());
}

impl From<&VolumeSnapshotBackup> for Entry {
    fn from(backup: &VolumeSnapshotBackup) -> Self {
        let status = backup.status.clone().unwrap_or_default();
        let mut entry = bare(Kind::VolumeSnapshotBackup, &backup.metadata, status.phase.as_ref());
        let pvc = status.source_pvc_data.unwrap_or_default();
        let content = backup.spec.volume_snapshot_content.as_ref().and_then(|content| content.name.clone());
        entry.over = Phase::parse(status.phase.as_deref()).is_terminal();
        progress(&mut entry, status.progress.as_ref());
        entry.protected_namespace = backup.spec.protected_namespace.clone();
        entry.secrets = names(&[&backup.spec.restic_secret_ref]);
        entry.serves = label(&backup.metadata, DATA_UPLOAD_UID).map(str::to_owned);
        entry.facts = facts(&[
            ("pvc", pvc.name),
            ("size", pvc.size),
            ("snapshot content", content),
            ("restore point", status.restic_repository),
            ("snapshot id", status.snapshot_id),
        ]);
        entry.conditions = status.conditions.unwrap_or_default();
        entry.explained()
    }
}

impl From<&VolumeSnapshotRestore> for Entry {
    fn from(restore: &VolumeSnapshotRestore) -> Self {
        let status = restore.status.clone().unwrap_or_default();
        let spec = &restore.spec;
        let mut entry = bare(Kind::VolumeSnapshotRestore, &restore.metadata, status.phase.as_ref());
        let backup = spec.volume_snapshot_mover_backup_ref.clone().unwrap_or_default();
        entry.over = Phase::parse(status.phase.as_deref()).is_terminal();
        progress(&mut entry, status.progress.as_ref());
        entry.protected_namespace = spec.protected_namespace.clone();
        entry.secrets = names(&[&spec.restic_secret_ref]);
        entry.facts = facts(&[
            ("pvc", spec.target_pvc.as_ref().map(|target| target.name.clone())),
            ("restore point", backup.restic_repository),
            ("snapshot handle", status.snapshot_handle),
            ("snapshot content", status.volume_snapshot_content_name),
        ]);
        entry.conditions = status.conditions.unwrap_or_default();
        entry.explained()
    }
}

/// Velero's status has one message and no conditions: `Reason: what happened`.
fn told(entry: &mut Entry, message: Option<String>) {
    let Some(message) = message.filter(|message| !message.is_empty()) else { return };
    let word = message.split(':').next().unwrap_or_default();
    entry.reason = Some(word)
        .filter(|word| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric()))
        .map(str::to_owned);
    entry.message = Some(message);
}

impl From<&DataUpload> for Entry {
    fn from(upload: &DataUpload) -> Self {
        let status = upload.status.clone().unwrap_or_default();
        let mut entry = bare(Kind::DataUpload, &upload.metadata, status.phase.as_ref());
        entry.over = DataMovePhase::parse(status.phase.as_deref()).is_terminal();
        entry.ending |= upload.spec.cancel == Some(true);
        entry.bytes_done = status.progress.as_ref().and_then(|progress| progress.bytes_done);
        entry.bytes_total = status.progress.as_ref().and_then(|progress| progress.total_bytes);
        entry.protected_namespace = upload.namespace();
        told(&mut entry, status.message);
        entry.facts = facts(&[
            ("pvc", upload.spec.source_pvc.clone()),
            ("namespace of the pvc", upload.spec.source_namespace.clone()),
            ("storage location", upload.spec.backup_storage_location.clone()),
            ("restore point", status.snapshot_id),
        ]);
        entry.explained()
    }
}

impl From<&DataDownload> for Entry {
    fn from(download: &DataDownload) -> Self {
        let status = download.status.clone().unwrap_or_default();
        let target = download.spec.target_volume.clone().unwrap_or_default();
        let mut entry = bare(Kind::DataDownload, &download.metadata, status.phase.as_ref());
        entry.over = DataMovePhase::parse(status.phase.as_deref()).is_terminal();
        entry.ending |= download.spec.cancel == Some(true);
        entry.bytes_done = status.progress.as_ref().and_then(|progress| progress.bytes_done);
        entry.bytes_total = status.progress.as_ref().and_then(|progress| progress.total_bytes);
        entry.protected_namespace = download.namespace();
        told(&mut entry, status.message);
        entry.facts = facts(&[
            ("pvc", target.pvc),
            ("namespace of the pvc", target.namespace),
            ("storage location", download.spec.backup_storage_location.clone()),
            ("restore point", download.spec.snapshot_id.clone()),
        ]);
        entry.explained()
    }
}

impl From<&Repository> for Entry {
    fn from(repository: &Repository) -> Self {
        let status = repository.status.clone().unwrap_or_default();
        let time = |time: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
            time.map(|time| time.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        };
        let mut entry = bare(Kind::Repository, &repository.metadata, status.phase.as_ref());
        entry.bytes_done = status.size_bytes;
        entry.protected_namespace = repository.namespace();
        entry.secrets = names(&[&repository.spec.secret_ref, &repository.spec.maintenance_secret_ref]);
        entry.secrets.dedup();
        entry.facts = facts(&[
            ("storage locations", Some(repository.spec.backup_storage_locations.join(", "))),
            ("restore points", status.restore_points.map(|count| count.to_string())),
            ("last maintenance", time(status.last_maintenance_time)),
            ("last check", time(status.last_check_time)),
            ("next maintenance", time(status.next_maintenance_time)),
            ("suspended", repository.spec.suspend.filter(|suspended| *suspended).map(|_| "yes".to_owned())),
        ]);
        entry.conditions = status.conditions.unwrap_or_default();
        entry.explained()
    }
}

impl From<&ForgetRequest> for Entry {
    fn from(request: &ForgetRequest) -> Self {
        let status = request.status.clone().unwrap_or_default();
        let location = request.spec.location.clone().unwrap_or_default();
        let backup = request.spec.backup.clone().unwrap_or_default();
        let mut entry = bare(Kind::ForgetRequest, &request.metadata, status.phase.as_ref());
        entry.over = Phase::parse(status.phase.as_deref()).is_terminal();
        entry.protected_namespace = request.namespace();
        entry.secrets = names(&[&location.secret_ref]);
        entry.facts = facts(&[
            ("restore point", request.spec.reference.clone()),
            ("backup", backup.name),
            ("repository", location.repository.and_then(|repository| repository.name)),
            ("storage location", location.backup_storage_location),
            ("attempts", status.attempts.map(|count| count.to_string())),
        ]);
        entry.conditions = status.conditions.unwrap_or_default();
        entry.explained()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<K: serde::de::DeserializeOwned>(value: serde_json::Value) -> K {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_backup_is_read_whatever_it_lacks() {
        let empty = VolumeSnapshotBackup::default();
        let entry = Entry::from(&empty);
        assert_eq!((entry.phase.as_str(), entry.over, entry.reason), ("", false, None));
        let backup: VolumeSnapshotBackup = read(serde_json::json!({
            "apiVersion": "datamover.oadp.openshift.io/v1alpha1", "kind": "VolumeSnapshotBackup",
            "metadata": {"name": "data", "namespace": "shop", "uid": "u",
                         "labels": {"longshore.dev/data-upload-uid": "d"}},
            "spec": {"protectedNamespace": "vault", "resticSecretRef": {"name": "s"}},
            "status": {"phase": "Failed", "progress": {"bytesDone": 1, "bytesTotal": 2, "stage": "Transferring"},
                "conditions": [{"type": "Failed", "status": "True", "reason": "QuotaExceeded", "message": "m",
                                "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}));
        let entry = Entry::from(&backup);
        assert!(entry.over && entry.failed());
        assert_eq!(entry.secrets, ["s"]);
        assert_eq!((entry.reason.as_deref(), entry.serves.as_deref()), (Some("QuotaExceeded"), Some("d")));
        assert!(entry.explanation.is_some());
    }

    #[test]
    fn veleros_message_gives_the_reason() {
        let upload = |message: &str| -> Entry {
            let object: DataUpload = read(serde_json::json!({
                "apiVersion": "velero.io/v2alpha1", "kind": "DataUpload", "metadata": {"name": "d", "namespace": "velero"},
                "spec": {"cancel": true}, "status": {"phase": "Failed", "message": message}}));
            Entry::from(&object)
        };
        let failed = upload("BackupRunDeleted: gone. Run the Velero backup again.");
        assert!(failed.over && failed.ending && failed.explanation.is_some());
        assert_eq!(failed.reason.as_deref(), Some("BackupRunDeleted"));
        assert_eq!(upload("two words: no reason").reason, None);
        assert_eq!(upload("").message, None);
    }

    #[test]
    fn a_repository_is_never_over_and_shows_its_size() {
        let repository: Repository = read(serde_json::json!({
            "apiVersion": "longshore.dev/v1alpha1", "kind": "Repository", "metadata": {"name": "main", "namespace": "vault"},
            "spec": {"secretRef": {"name": "s"}, "maintenanceSecretRef": {"name": "m"}},
            "status": {"phase": "Ready", "sizeBytes": 1024, "restorePoints": 0}}));
        let entry = Entry::from(&repository);
        assert!(!entry.over);
        assert_eq!((entry.volume().as_str(), entry.secrets.len()), ("1.00 KiB", 2));
        assert_eq!(entry.facts, [Fact { name: "restore points", value: "0".into() }]);
    }
}
