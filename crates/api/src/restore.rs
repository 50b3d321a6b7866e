//! The restore run.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{LocalReference, RunProgress, SourcePVCData, VolSyncData};

/// Brings one restore point back as a CSI snapshot, and on request as a PVC. Deleting it cancels the run; what it has published stays.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "datamover.oadp.openshift.io",
    version = "v1alpha1",
    kind = "VolumeSnapshotRestore",
    plural = "volumesnapshotrestores",
    singular = "volumesnapshotrestore",
    shortname = "vsr",
    namespaced,
    status = "VolumeSnapshotRestoreStatus",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"PVC Name","type":"string","jsonPath":".spec.volumeSnapshotMoverBackupRef.sourcePVCData.name"}"#,
    printcolumn = r#"{"name":"VolumeSnapshotContent","type":"string","jsonPath":".status.volumeSnapshotContentName"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"BatchingStatus","type":"string","jsonPath":".status.batchingStatus"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotRestoreSpec {
    /// Secret, in the protected namespace, with the repository's address and credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restic_secret_ref: Option<LocalReference>,
    /// What to restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_mover_backup_ref: Option<BackupReference>,
    /// Namespace for the temporary objects and of the Secret. Must be one that the administrator allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_namespace: Option<String>,
    /// A PVC to make, in this namespace, from the restored snapshot. A PVC of that name that exists is never touched.
    #[serde(rename = "targetPVC", default, skip_serializing_if = "Option::is_none")]
    pub target_pvc: Option<TargetPVC>,
    /// How long the restored CSI snapshot is kept when no PVC gets bound to it, for example `24h` (the default).
    #[serde(rename = "snapshotTTL", default, skip_serializing_if = "Option::is_none")]
    pub snapshot_ttl: Option<String>,
}

/// A backup, as its run's status described it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackupReference {
    /// The application's PVC.
    #[serde(rename = "sourcePVCData", default, skip_serializing_if = "Option::is_none")]
    pub source_pvc_data: Option<SourcePVCData>,
    /// Reference of the restore point.
    #[serde(rename = "resticrepository", default, skip_serializing_if = "Option::is_none")]
    pub restic_repository: Option<String>,
    /// Class for the CSI snapshot of the restored volume; if empty, the only one of the volume's driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_class_name: Option<String>,
}

/// The PVC that a restore shall end in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetPVC {
    /// Name of the PVC.
    pub name: String,
    /// StorageClass; that of the source PVC if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
    /// Access modes; ReadWriteOnce if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_modes: Option<Vec<String>>,
    /// Storage request, a Kubernetes quantity; that of the source PVC if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Labels for the PVC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// Where a restore stands, and its result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotRestoreStatus {
    /// `InProgress`, `SnapshotRestoreDone`, `Cleanup`, `Completed`, or `Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// `Queued`, `Processing` or `Completed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batching_status: Option<String>,
    /// `Reconciled` (True/Complete or False/Error, at the end), `Progressing`, `TargetBound`, `Completed`, `Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// Handle of the CSI snapshot that holds the restored data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_handle: Option<String>,
    /// VolumeSnapshotContent that carries the handle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_content_name: Option<String>,
    /// When the run was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timestamp: Option<Time>,
    /// When the run was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_timestamp: Option<Time>,
    /// Never written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_destination_data: Option<VolSyncData>,
    /// How far the mover has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<RunProgress>,
    /// Id of the snapshot in the repository, once its data is on the volume.
    #[serde(rename = "snapshotID", default, skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// How often a mover had to be started again because its result was lost with its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mover_restarts: Option<i32>,
}
