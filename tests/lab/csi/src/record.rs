//! What is written down about a volume, a snapshot, and a volume's use on a node.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A kind of record: one JSON file per record in a folder per kind.
pub trait Record: Serialize + DeserializeOwned {
    /// Name of the folder, and of the folder of images in the pool.
    const FOLDER: &'static str;
    /// What the ids of this kind start with.
    const PREFIX: &'static str;
    /// Handle that the caller keeps.
    fn id(&self) -> &str;
    /// Name that makes creation idempotent.
    fn name(&self) -> &str;

    /// A new handle. Handles sort by the time they were made, so that pages of lists stay in order.
    fn new_id() -> String {
        format!("{}{}", Self::PREFIX, Uuid::now_v7())
    }

    /// Whether `id` may be a handle of this kind. Only such a string is ever made part of a path.
    fn is_id(id: &str) -> bool {
        id.strip_prefix(Self::PREFIX)
            .is_some_and(|rest| Uuid::try_parse(rest).is_ok_and(|uuid| uuid.to_string() == rest))
    }
}

/// A volume. The record is written after its image is complete and removed before its image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Volume {
    /// Handle.
    pub id: String,
    /// Name that the caller chose.
    pub name: String,
    /// Size of the image and of the device, in bytes.
    pub capacity_bytes: u64,
    /// File system or block device.
    pub shape: Shape,
    /// What the volume was cloned from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// A clone shares its file system's UUID with its source until it is first staged as a file system.
    #[serde(default)]
    pub shares_uuid: bool,
    /// When it was made.
    pub created_at: jiff::Timestamp,
}

/// How a volume is used, as the request that made it said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Shape {
    /// As a raw device.
    Block,
    /// As a file system; the type may be left open until the volume is staged.
    Filesystem {
        /// `ext4`, `xfs` or empty.
        #[serde(default, rename = "fsType")]
        fs_type: String,
    },
}

/// Where a clone came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// Handle of a snapshot.
    Snapshot(String),
    /// Handle of a volume.
    Volume(String),
}

/// A snapshot. Written after its image is complete and removed before its image, like a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Snapshot {
    /// Handle.
    pub id: String,
    /// Name that the caller chose.
    pub name: String,
    /// Handle of the volume it was taken of; that volume may be gone.
    pub source_volume_id: String,
    /// Size of the image, in bytes.
    pub size_bytes: u64,
    /// When it was taken.
    pub created_at: jiff::Timestamp,
}

impl Record for Volume {
    const FOLDER: &'static str = "volumes";
    const PREFIX: &'static str = "vol-";
    fn id(&self) -> &str {
        &self.id
    }
    fn name(&self) -> &str {
        &self.name
    }
}

impl Record for Snapshot {
    const FOLDER: &'static str = "snapshots";
    const PREFIX: &'static str = "snap-";
    fn id(&self) -> &str {
        &self.id
    }
    fn name(&self) -> &str {
        &self.name
    }
}

/// Where one node publishes one volume. It says what was meant; the mount table says what is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Publications {
    /// By target path.
    pub targets: BTreeMap<PathBuf, Publication>,
}

/// How a volume is published at one path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Publication {
    /// Mounted read-only.
    pub read_only: bool,
    /// Published with SINGLE_NODE_SINGLE_WRITER, which forbids any other target.
    pub single_writer: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_ids_are_ids() {
        assert!(Volume::is_id(&Volume::new_id()));
        let id = Snapshot::new_id();
        assert!(Snapshot::is_id(&id) && !Volume::is_id(&id));
        let upper = id.to_uppercase();
        for id in
            ["", "vol-", "vol-../../etc", "vol-00000000", "vol-0193f2a0a5b07c3e9d2f000000000000", &upper]
        {
            assert!(!Volume::is_id(id), "{id}");
        }
    }

    #[test]
    fn later_ids_sort_later() {
        let ids: Vec<String> = (0..1000).map(|_| Volume::new_id()).collect();
        assert!(ids.is_sorted());
    }
}
