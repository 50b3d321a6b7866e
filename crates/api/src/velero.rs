//! The parts of Velero's resources that Longshore reads and writes. They are foreign: Velero installs their definitions.
//!
//! None of them has a status subresource, so a status is written with a plain merge patch.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Held on a DataUpload or DataDownload of ours while something of it is in the cluster.
pub const DATA_MOVER_FINALIZER: &str = "longshore.dev/data-mover";

/// Where a DataUpload or DataDownload stands, as it is written in `status.phase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DataMovePhase {
    /// Not looked at yet (empty, or a word that is not Velero's).
    New,
    /// A mover has taken it.
    Accepted,
    /// All is there that the copy needs.
    Prepared,
    /// Bytes move.
    InProgress,
    /// Told to end; its objects are going away.
    Canceling,
    /// Over, because it was told to end.
    Canceled,
    /// Over, with its result.
    Completed,
    /// Over, without one; the message says why.
    Failed,
}

impl DataMovePhase {
    /// Every phase.
    pub const ALL: &[Self] = &[
        Self::New,
        Self::Accepted,
        Self::Prepared,
        Self::InProgress,
        Self::Canceling,
        Self::Canceled,
        Self::Completed,
        Self::Failed,
    ];

    /// Reads `status.phase`.
    pub fn parse(text: Option<&str>) -> Self {
        Self::ALL.iter().copied().find(|phase| text == Some(phase.as_str())).unwrap_or(Self::New)
    }

    /// The word in `status.phase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Accepted => "Accepted",
            Self::Prepared => "Prepared",
            Self::InProgress => "InProgress",
            Self::Canceling => "Canceling",
            Self::Canceled => "Canceled",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
        }
    }

    /// Whether nothing but the removal of leftovers may follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Canceled | Self::Completed | Self::Failed)
    }
}

/// How far the copy has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataMoveProgress {
    /// Bytes to handle in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<i64>,
    /// Bytes handled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_done: Option<i64>,
}

/// Velero's request to move the data of one CSI snapshot into the backup storage.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "velero.io",
    version = "v2alpha1",
    kind = "DataUpload",
    plural = "datauploads",
    namespaced,
    status = "DataUploadStatus",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct DataUploadSpec {
    /// `CSI`; other words belong to other movers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_type: Option<String>,
    /// The snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csi_snapshot: Option<CSISnapshotSpec>,
    /// The application's PVC.
    #[serde(rename = "sourcePVC", default, skip_serializing_if = "Option::is_none")]
    pub source_pvc: Option<String>,
    /// Namespace of PVC and snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_namespace: Option<String>,
    /// Who moves the data; empty for Velero itself.
    #[serde(rename = "datamover", default, skip_serializing_if = "Option::is_none")]
    pub data_mover: Option<String>,
    /// Name of the BackupStorageLocation, in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_storage_location: Option<String>,
    /// Asks the mover to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<bool>,
}

/// The CSI snapshot of a DataUpload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CSISnapshotSpec {
    /// Name of the VolumeSnapshot, in the source namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot: Option<String>,
    /// StorageClass of the PVC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// VolumeSnapshotClass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_class: Option<String>,
}

/// Where a DataUpload stands, and its result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataUploadStatus {
    /// See [`DataMovePhase`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Reference of the restore point: the only thing that reaches a restore.
    #[serde(rename = "snapshotID", default, skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// What it waits for, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the copy began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timestamp: Option<Time>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_timestamp: Option<Time>,
    /// When it was accepted. Older Veleros drop it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_timestamp: Option<Time>,
    /// How far the copy has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<DataMoveProgress>,
    /// Bytes that went to the store. Older Veleros drop it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incremental_bytes: Option<i64>,
    /// `linux`. Older Veleros drop it.
    #[serde(rename = "nodeOS", default, skip_serializing_if = "Option::is_none")]
    pub node_os: Option<String>,
}

/// Velero's request to move data from the backup storage onto a volume for a PVC.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "velero.io",
    version = "v2alpha1",
    kind = "DataDownload",
    plural = "datadownloads",
    namespaced,
    status = "DataDownloadStatus",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct DataDownloadSpec {
    /// The application's PVC, unbound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_volume: Option<TargetVolumeSpec>,
    /// Name of the BackupStorageLocation, in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_storage_location: Option<String>,
    /// Who moves the data; empty for Velero itself.
    #[serde(rename = "datamover", default, skip_serializing_if = "Option::is_none")]
    pub data_mover: Option<String>,
    /// What the mover wrote into the DataUpload.
    #[serde(rename = "snapshotID", default, skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// Namespace that the volume was backed up in; Velero may map it to another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_namespace: Option<String>,
    /// Asks the mover to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancel: Option<bool>,
}

/// The application's PVC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetVolumeSpec {
    /// Name of the PVC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pvc: Option<String>,
    /// Namespace of the PVC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Where a DataDownload stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DataDownloadStatus {
    /// See [`DataMovePhase`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// What it waits for, or why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the copy began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timestamp: Option<Time>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_timestamp: Option<Time>,
    /// When it was accepted. Older Veleros drop it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_timestamp: Option<Time>,
    /// How far the copy has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<DataMoveProgress>,
}

/// A Velero Backup, as far as its DataUploads care.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "velero.io",
    version = "v1",
    kind = "Backup",
    plural = "backups",
    root = "VeleroBackup",
    namespaced,
    status = "VeleroPhase",
    derive = "Default",
    derive = "PartialEq"
)]
pub struct VeleroBackupSpec {}

/// A Velero Restore, as far as its DataDownloads care.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "velero.io",
    version = "v1",
    kind = "Restore",
    plural = "restores",
    root = "VeleroRestore",
    namespaced,
    status = "VeleroPhase",
    derive = "Default",
    derive = "PartialEq"
)]
pub struct VeleroRestoreSpec {}

/// Status of a Velero Backup or Restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VeleroPhase {
    /// Velero's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
}

impl VeleroPhase {
    /// Whether Velero does not wait for anything any more.
    pub fn is_over(&self) -> bool {
        const OVER: &[&str] = &["Completed", "PartiallyFailed", "Failed", "FailedValidation", "Deleting"];
        self.phase.as_deref().is_some_and(|phase| OVER.contains(&phase))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Velero 1.18.3 wrote it.
    const UPLOAD: &str = r#"{"apiVersion":"velero.io/v2alpha1","kind":"DataUpload",
        "metadata":{"name":"b1-x7p2k","namespace":"velero"},
        "spec":{"backupStorageLocation":"default","csiSnapshot":{"driver":"hostpath.csi.k8s.io","snapshotClass":"snap",
        "storageClass":"fast","volumeSnapshot":"velero-data-9xk2p"},"datamover":"longshore","operationTimeout":"10m0s",
        "snapshotType":"CSI","sourceNamespace":"shop","sourcePVC":"data"},
        "status":{"phase":"Accepted","progress":{},"node":"n"}}"#;

    #[test]
    fn vsm_34_a_stored_data_upload_is_read_and_a_status_is_written_in_veleros_words() {
        let upload: DataUpload = serde_json::from_str(UPLOAD).unwrap();
        assert_eq!(upload.spec.data_mover.as_deref(), Some("longshore"));
        assert_eq!(upload.spec.source_pvc.as_deref(), Some("data"));
        assert_eq!(upload.spec.csi_snapshot.unwrap().volume_snapshot.as_deref(), Some("velero-data-9xk2p"));
        assert_eq!(upload.status.unwrap().phase.as_deref(), Some("Accepted"));
        let status = DataUploadStatus {
            snapshot_id: Some("s".into()),
            node_os: Some("linux".into()),
            progress: Some(DataMoveProgress { total_bytes: Some(2), bytes_done: Some(1) }),
            ..Default::default()
        };
        assert_eq!(
            serde_json::to_value(status).unwrap(),
            serde_json::json!({"snapshotID": "s", "nodeOS": "linux", "progress": {"totalBytes": 2, "bytesDone": 1}})
        );
    }

    #[test]
    fn phases_are_read_as_they_are_written() {
        for phase in DataMovePhase::ALL {
            assert_eq!(DataMovePhase::parse(Some(phase.as_str())), *phase);
        }
        assert_eq!(DataMovePhase::parse(None), DataMovePhase::New);
        let over = |phase: &str| VeleroPhase { phase: Some(phase.into()) }.is_over();
        assert!(over("Failed") && over("Deleting") && !over("WaitingForPluginOperations") && !over(""));
    }
}
