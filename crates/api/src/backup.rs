//! The backup run.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{LocalReference, ResolvedSource, RunProgress, SourcePVCData, VolSyncData};

/// Moves the data of one CSI snapshot into the repository. Lives in the application's namespace; its temporary objects live in the
/// protected one. Deleting it cancels the run and never deletes data in the repository.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "datamover.oadp.openshift.io",
    version = "v1alpha1",
    kind = "VolumeSnapshotBackup",
    plural = "volumesnapshotbackups",
    singular = "volumesnapshotbackup",
    shortname = "vsb",
    namespaced,
    status = "VolumeSnapshotBackupStatus",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"PVC Name","type":"string","jsonPath":".status.sourcePVCData.name"}"#,
    printcolumn = r#"{"name":"VolumeSnapshotContent","type":"string","jsonPath":".spec.volumeSnapshotContent.name"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"BatchingStatus","type":"string","jsonPath":".status.batchingStatus"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotBackupSpec {
    /// The VolumeSnapshotContent whose data is to be moved. Only `name` is used. Its VolumeSnapshot must be of this namespace, unless the run
    /// itself lives in the protected namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_content: Option<ObjectReference>,
    /// Namespace for the temporary objects and of the Secret. Must be one that the administrator allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_namespace: Option<String>,
    /// Secret, in the protected namespace, with the repository's address and credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restic_secret_ref: Option<LocalReference>,
}

/// Where a backup stands, and its result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotBackupStatus {
    /// True once the run is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<bool>,
    /// `InProgress`, `SnapshotBackupDone`, `Cleanup`, `Completed`, or `Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// `Queued`, `Processing` or `Completed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batching_status: Option<String>,
    /// `Reconciled` (True/Complete or False/Error, at the end), `Progressing`, `Limited` (the restore point lacks what the mover could
    /// not see), `Completed`, `Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// The application's PVC.
    #[serde(rename = "sourcePVCData", default, skip_serializing_if = "Option::is_none")]
    pub source_pvc_data: Option<SourcePVCData>,
    /// Reference of the restore point: with bucket and key all that a restore needs.
    #[serde(rename = "resticrepository", default, skip_serializing_if = "Option::is_none")]
    pub restic_repository: Option<String>,
    /// VolumeSnapshotClass of the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_class_name: Option<String>,
    /// When the run was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timestamp: Option<Time>,
    /// When the run was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_timestamp: Option<Time>,
    /// Never written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication_source_data: Option<VolSyncData>,
    /// How far the mover has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<RunProgress>,
    /// Id of the snapshot in the repository, once it is committed.
    #[serde(rename = "snapshotID", default, skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    /// The source as it was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_source: Option<ResolvedSource>,
    /// How often a mover had to be started again because its result was lost with its node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mover_restarts: Option<i32>,
}
