//! The parts of `snapshot.storage.k8s.io/v1` that Longshore reads and writes.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Words of `deletionPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// The snapshot in the storage goes with the object.
    Delete,
    /// The snapshot in the storage stays.
    Retain,
}

impl DeletionPolicy {
    /// The word in the object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Retain => "Retain",
        }
    }
}

/// A user's request for a CSI snapshot, or a name for an existing one.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "snapshot.storage.k8s.io",
    version = "v1",
    kind = "VolumeSnapshot",
    namespaced,
    status = "VolumeSnapshotStatus",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotSpec {
    /// Where the snapshot comes from.
    #[serde(default)]
    pub source: VolumeSnapshotSource,
    /// Class of the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_class_name: Option<String>,
}

/// Exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotSource {
    /// PVC to take the snapshot of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim_name: Option<String>,
    /// Content that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_content_name: Option<String>,
}

/// What the snapshot controllers say of a VolumeSnapshot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotStatus {
    /// The content that it is bound to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_volume_snapshot_content_name: Option<String>,
    /// When the snapshot was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<Time>,
    /// Whether a volume can be made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
    /// Smallest volume that can be made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_size: Option<Quantity>,
    /// The last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<SnapshotError>,
}

/// The last error of the snapshot controllers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotError {
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Time>,
}

/// A CSI snapshot in the storage. Cluster-scoped.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "snapshot.storage.k8s.io",
    version = "v1",
    kind = "VolumeSnapshotContent",
    status = "VolumeSnapshotContentStatus",
    derive = "Default",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotContentSpec {
    /// `Delete` or `Retain`.
    #[serde(default)]
    pub deletion_policy: String,
    /// CSI driver.
    #[serde(default)]
    pub driver: String,
    /// Where the snapshot comes from.
    #[serde(default)]
    pub source: VolumeSnapshotContentSource,
    /// Class of the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshot_class_name: Option<String>,
    /// The VolumeSnapshot that this content is for.
    #[serde(default)]
    pub volume_snapshot_ref: ObjectReference,
    /// Volume mode of the volume that the snapshot was taken of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_volume_mode: Option<String>,
}

/// Exactly one of the two.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotContentSource {
    /// Volume to take the snapshot of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_handle: Option<String>,
    /// Snapshot that exists already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_handle: Option<String>,
}

/// What the CSI sidecar says of a content.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotContentStatus {
    /// The storage's name of the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_handle: Option<String>,
    /// When the snapshot was taken, in nanoseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<i64>,
    /// Whether a volume can be made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_to_use: Option<bool>,
    /// Smallest volume, in bytes, that can be made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_size: Option<i64>,
    /// The last error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<SnapshotError>,
}

/// How snapshots of a driver are made. Cluster-scoped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeSnapshotClass {
    /// Name, labels, annotations.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// CSI driver.
    #[serde(default)]
    pub driver: String,
    /// `Delete` or `Retain`.
    #[serde(default)]
    pub deletion_policy: String,
}

impl VolumeSnapshotClass {
    /// Whether the cluster takes this class for snapshots of its driver that name none.
    pub fn is_default(&self) -> bool {
        const DEFAULT: &str = "snapshot.storage.kubernetes.io/is-default-class";
        self.metadata
            .annotations
            .as_ref()
            .and_then(|all| all.get(DEFAULT))
            .is_some_and(|value| value == "true")
    }

    /// The class for snapshots of a driver: the only one, or the one marked as default.
    pub fn only_of<'a>(all: &'a [Self], driver: &str) -> Option<&'a Self> {
        let of_driver: Vec<&Self> = all.iter().filter(|class| class.driver == driver).collect();
        let defaults: Vec<&Self> = of_driver.iter().copied().filter(|class| class.is_default()).collect();
        match (&of_driver[..], &defaults[..]) {
            ([only], _) => Some(only),
            (_, [default]) => Some(default),
            _ => None,
        }
    }
}

impl k8s_openapi::Resource for VolumeSnapshotClass {
    const API_VERSION: &'static str = "snapshot.storage.k8s.io/v1";
    const GROUP: &'static str = "snapshot.storage.k8s.io";
    const KIND: &'static str = "VolumeSnapshotClass";
    const VERSION: &'static str = "v1";
    const URL_PATH_SEGMENT: &'static str = "volumesnapshotclasses";
    type Scope = k8s_openapi::ClusterResourceScope;
}

impl k8s_openapi::Metadata for VolumeSnapshotClass {
    type Ty = ObjectMeta;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, driver: &str, default: &str) -> VolumeSnapshotClass {
        let annotations = [("snapshot.storage.kubernetes.io/is-default-class".into(), default.into())].into();
        VolumeSnapshotClass {
            metadata: ObjectMeta {
                name: Some(name.into()),
                annotations: Some(annotations),
                ..ObjectMeta::default()
            },
            driver: driver.into(),
            deletion_policy: "Delete".into(),
        }
    }

    #[test]
    fn the_only_class_of_a_driver_or_its_only_default_is_chosen() {
        let all = [
            class("a", "one", "false"),
            class("b", "two", "true"),
            class("c", "two", "false"),
            class("d", "three", "true"),
            class("e", "three", "true"),
            class("f", "four", "false"),
            class("g", "four", "yes"),
        ];
        let chosen = |driver: &str| {
            VolumeSnapshotClass::only_of(&all, driver).and_then(|class| class.metadata.name.clone())
        };
        assert_eq!(chosen("one").as_deref(), Some("a"));
        assert_eq!(chosen("two").as_deref(), Some("b"));
        for driver in ["three", "four", "five"] {
            assert_eq!(chosen(driver), None, "{driver}");
        }
    }
}
