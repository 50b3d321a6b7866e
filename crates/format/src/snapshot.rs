//! The snapshot record: all that a restore needs to know, into another cluster too.

use crate::{
    FORMAT_VERSION, FormatError, NodeId, NodeRef, RunId,
    hint::{Location, Place},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The record of one snapshot. Its presence is what makes the snapshot exist.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRecord {
    /// The version of the format.
    pub format: u16,
    /// The run that made it; the snapshot's public id.
    pub run: RunId,
    /// The attempt of the run.
    pub attempt: u32,
    /// What was backed up.
    pub source: SourceIdentity,
    /// When the backup started.
    pub started_at: Timestamp,
    /// When the last byte was stored.
    pub finished_at: Timestamp,
    /// When the VolumeSnapshot was taken, if known: the point in time of the data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_at: Option<Timestamp>,
    /// What the snapshot holds.
    pub content: Content,
    /// The snapshot it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
    /// Some files could not be read; never a last good snapshot.
    #[serde(default)]
    pub incomplete: bool,
    /// What the backup did.
    pub stats: SnapshotStats,
    /// What Kubernetes knew about the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesVolume>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Name and version of the software that wrote it.
    pub software: String,
}

/// What a series of snapshots is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum SourceIdentity {
    /// A PVC of a cluster.
    #[serde(rename_all = "camelCase")]
    Pvc {
        /// UID of the cluster's kube-system namespace.
        cluster_uid: String,
        /// The PVC's namespace.
        namespace: String,
        /// The PVC's name.
        pvc: String,
    },
    /// A device, image or folder of a host.
    #[serde(rename_all = "camelCase")]
    Path {
        /// The host's name.
        host: String,
        /// The absolute path.
        path: String,
    },
}

/// What a snapshot holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Content {
    /// A block volume.
    #[serde(rename_all = "camelCase")]
    Volume {
        /// The exact size.
        size_bytes: u64,
        /// The root of its map; none if it is all hole.
        root: Option<RecordNode>,
    },
    /// A file tree.
    #[serde(rename_all = "camelCase")]
    Tree {
        /// Sum of the sizes of its files.
        size_bytes: u64,
        /// A directory node that holds one entry with an empty name: the root directory with its attributes.
        root: RecordNode,
    },
}

impl Content {
    /// The logical size.
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Volume { size_bytes, .. } | Self::Tree { size_bytes, .. } => *size_bytes,
        }
    }

    /// The root node, if there is one.
    pub fn root(&self) -> Option<NodeRef> {
        match self {
            Self::Volume { root, .. } => root.map(NodeRef::from),
            Self::Tree { root, .. } => Some((*root).into()),
        }
    }
}

/// A node named in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordNode {
    /// The node.
    pub id: NodeId,
    /// Where it was stored.
    pub place: Option<Place>,
}

impl From<RecordNode> for NodeRef {
    fn from(node: RecordNode) -> Self {
        Self { id: node.id, location: node.place.map_or(Location::Unknown, Location::Stored) }
    }
}

/// What a backup did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SnapshotStats {
    /// Bytes read from the source.
    pub read_bytes: u64,
    /// Bytes of chunks that the repository did not hold before.
    pub new_bytes: u64,
    /// Bytes that these took in the store, with packs' overhead and metadata.
    pub stored_bytes: u64,
    /// Bytes of holes.
    pub hole_bytes: u64,
    /// Chunks seen.
    pub chunks: u64,
    /// Chunks that were new.
    pub new_chunks: u64,
    /// Regular files of a tree.
    pub files: u64,
    /// Files taken over from the parent without reading.
    pub unchanged_files: u64,
    /// Directories of a tree.
    pub directories: u64,
    /// Files that could not be read.
    pub failed_files: u64,
}

/// What Kubernetes knew about the volume: enough to make its like in another cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KubernetesVolume {
    /// UID of the cluster's kube-system namespace.
    pub cluster_uid: String,
    /// The PVC's namespace.
    pub namespace: String,
    /// The PVC's name.
    pub pvc_name: String,
    /// The PVC's UID.
    pub pvc_uid: String,
    /// The size that the PVC requested.
    pub requested_bytes: u64,
    /// Its StorageClass.
    pub storage_class: Option<String>,
    /// `Filesystem` or `Block`.
    pub volume_mode: String,
    /// Its access modes.
    pub access_modes: Vec<String>,
    /// The filesystem on it.
    pub fs_type: Option<String>,
    /// The PVC's labels.
    pub pvc_labels: BTreeMap<String, String>,
    /// The PVC's annotations that describe data, as the caller chose them.
    pub pvc_annotations: BTreeMap<String, String>,
    /// The CSI driver.
    pub driver: String,
    /// The VolumeSnapshotClass.
    pub volume_snapshot_class: Option<String>,
    /// The VolumeSnapshot's name.
    pub volume_snapshot: Option<String>,
    /// The VolumeSnapshotContent's name.
    pub volume_snapshot_content: Option<String>,
    /// The storage's handle of the VolumeSnapshot.
    pub snapshot_handle: String,
    /// The kind of object that asked for the backup.
    pub run_kind: Option<String>,
    /// Its namespace.
    pub run_namespace: Option<String>,
    /// Its name.
    pub run_name: Option<String>,
    /// The Velero Backup it belongs to.
    pub velero_backup: Option<String>,
}

impl SnapshotRecord {
    /// The bytes of the record.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        serde_json::to_vec(self).map_err(|source| FormatError::Json { what: "snapshot record", source })
    }

    /// Reads an opened record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let record: Self = serde_json::from_slice(bytes)
            .map_err(|source| FormatError::Json { what: "snapshot record", source })?;
        if record.format > FORMAT_VERSION {
            return Err(FormatError::Version {
                what: "snapshot record",
                found: record.format,
                supported: FORMAT_VERSION,
            });
        }
        Ok(record)
    }
}
