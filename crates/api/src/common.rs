//! Pieces that both runs share.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a run stands, as it is written in `status.phase`. The schema keeps a plain string, as the contract does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// Not looked at yet (empty, or a word that is not ours).
    New,
    /// Accepted; queued or at work.
    InProgress,
    /// Backup: the data is in the repository.
    SnapshotBackupDone,
    /// Restore: the snapshot handle is published.
    SnapshotRestoreDone,
    /// The run's temporary objects are going away.
    Cleanup,
    /// Over, with its result.
    Completed,
    /// Over, without one; a condition says why.
    Failed,
    /// Written by other tools only. Terminal.
    PartiallyFailed,
}

impl Phase {
    /// Every phase.
    pub const ALL: &[Self] = &[
        Self::New,
        Self::InProgress,
        Self::SnapshotBackupDone,
        Self::SnapshotRestoreDone,
        Self::Cleanup,
        Self::Completed,
        Self::Failed,
        Self::PartiallyFailed,
    ];

    /// Reads `status.phase`.
    pub fn parse(text: Option<&str>) -> Self {
        Self::ALL.iter().copied().find(|phase| text == Some(phase.as_str())).unwrap_or(Self::New)
    }

    /// The word in `status.phase`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "",
            Self::InProgress => "InProgress",
            Self::SnapshotBackupDone => "SnapshotBackupDone",
            Self::SnapshotRestoreDone => "SnapshotRestoreDone",
            Self::Cleanup => "Cleanup",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::PartiallyFailed => "PartiallyFailed",
        }
    }

    /// Whether nothing but the removal of leftovers may follow.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::PartiallyFailed)
    }
}

/// A run's place in the queue, as it is written in `status.batchingStatus`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchingStatus {
    /// Waits for a free slot.
    Queued,
    /// Holds a slot.
    Processing,
    /// Gave its slot back.
    Completed,
}

impl BatchingStatus {
    /// Reads `status.batchingStatus`; `None` for an empty or foreign word.
    pub fn parse(text: Option<&str>) -> Option<Self> {
        [Self::Queued, Self::Processing, Self::Completed]
            .into_iter()
            .find(|status| text == Some(status.as_str()))
    }

    /// The word in `status.batchingStatus`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Processing => "Processing",
            Self::Completed => "Completed",
        }
    }
}

/// Names an object in a namespace that the field's meaning gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocalReference {
    /// Name of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What a restore needs to know of the application's PVC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourcePVCData {
    /// Name of the PVC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The PVC's storage request, as a Kubernetes quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// StorageClass of the PVC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class_name: Option<String>,
}

/// Kept for the schema's sake: earlier data movers mirrored an object of VolSync here. Longshore never writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolSyncData {
    /// Name of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_timestamp: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_timestamp: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
}

/// How far a run has come. Written at most every ten seconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunProgress {
    /// Bytes of the volume handled, unchanged ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_done: Option<i64>,
    /// Bytes to handle in all; absent while unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_total: Option<i64>,
    /// Bytes sent to or fetched from the repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_transferred: Option<i64>,
    /// Bytes read from the volume by a backup that is done; less than the total when unchanged files or holes needed no reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_read: Option<i64>,
    /// What the mover is doing: Opening, Scanning, Transferring, Finishing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
}

/// The source of a backup as it was found when the run was accepted. A run resolves its source once: later changes, or the loss of the
/// PVC, the VolumeSnapshot or its content, do not retarget it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedSource {
    /// UID of the cluster's `kube-system` namespace.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub cluster_uid: String,
    /// Namespace of the PVC; that of the run if absent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// UID of the PVC.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pvc_uid: String,
    /// `Filesystem` or `Block`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub volume_mode: String,
    /// Access modes of the PVC.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub access_modes: Vec<String>,
    /// Labels of the PVC.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// CSI driver of the snapshot.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver: String,
    /// File system type, if the StorageClass names one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub fs_type: String,
    /// The CSI snapshot's handle.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub snapshot_handle: String,
    /// When the CSI snapshot was taken, RFC 3339; absent if the driver did not say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub snapshot_time: String,
}

impl ResolvedSource {
    /// Namespace of the application's PVC. Runs that an older operator accepted do not say it: it is their own.
    pub fn namespace_or<'a>(&'a self, run_namespace: &'a str) -> &'a str {
        if self.namespace.is_empty() { run_namespace } else { &self.namespace }
    }
}
