//! Contents, VolumeSnapshots and PVCs.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ObjectReference, PersistentVolumeClaim, PersistentVolumeClaimSpec, TypedLocalObjectReference,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use longshore_api::{
    DeletionPolicy, VolumeSnapshot, VolumeSnapshotContent, VolumeSnapshotContentSource,
    VolumeSnapshotContentSpec, VolumeSnapshotSource, VolumeSnapshotSpec,
};

use crate::names::{Role, RunId};

/// A pre-provisioned content for a snapshot that exists in the storage. Always `Retain`: what happens to this object must never reach the
/// snapshot. `snapshot` is namespace and name of the VolumeSnapshot that may bind to it.
pub fn content(
    run: &RunId,
    role: Role,
    name: &str,
    handle: &SnapshotHandle<'_>,
    snapshot: (&str, &str),
) -> VolumeSnapshotContent {
    VolumeSnapshotContent {
        metadata: run.metadata(name, None, role),
        spec: VolumeSnapshotContentSpec {
            deletion_policy: DeletionPolicy::Retain.as_str().to_owned(),
            driver: handle.driver.to_owned(),
            source: VolumeSnapshotContentSource {
                snapshot_handle: Some(handle.handle.to_owned()),
                volume_handle: None,
            },
            volume_snapshot_class_name: handle.class.map(str::to_owned),
            volume_snapshot_ref: ObjectReference {
                api_version: Some("snapshot.storage.k8s.io/v1".to_owned()),
                kind: Some("VolumeSnapshot".to_owned()),
                namespace: Some(snapshot.0.to_owned()),
                name: Some(snapshot.1.to_owned()),
                ..ObjectReference::default()
            },
            source_volume_mode: handle.volume_mode.map(str::to_owned),
        },
        status: None,
    }
}

/// A snapshot in the storage, as a content describes it.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotHandle<'a> {
    /// CSI driver.
    pub driver: &'a str,
    /// The storage's name of the snapshot.
    pub handle: &'a str,
    /// VolumeSnapshotClass.
    pub class: Option<&'a str>,
    /// Volume mode of the volume that it was taken of.
    pub volume_mode: Option<&'a str>,
}

fn snapshot(
    run: &RunId,
    role: Role,
    place: (&str, &str),
    class: Option<&str>,
    source: VolumeSnapshotSource,
) -> VolumeSnapshot {
    let (namespace, name) = place;
    VolumeSnapshot {
        metadata: run.metadata(name, Some(namespace), role),
        spec: VolumeSnapshotSpec { source, volume_snapshot_class_name: class.map(str::to_owned) },
        status: None,
    }
}

/// A VolumeSnapshot for a content that exists. `place` is namespace and name.
pub fn snapshot_of_content(
    run: &RunId,
    role: Role,
    place: (&str, &str),
    class: Option<&str>,
    content: &str,
) -> VolumeSnapshot {
    let source = VolumeSnapshotSource {
        volume_snapshot_content_name: Some(content.to_owned()),
        persistent_volume_claim_name: None,
    };
    snapshot(run, role, place, class, source)
}

/// A new VolumeSnapshot of a PVC in the same namespace. `place` is namespace and name.
pub fn snapshot_of_claim(
    run: &RunId,
    role: Role,
    place: (&str, &str),
    class: &str,
    claim: &str,
) -> VolumeSnapshot {
    let source = VolumeSnapshotSource {
        persistent_volume_claim_name: Some(claim.to_owned()),
        volume_snapshot_content_name: None,
    };
    snapshot(run, role, place, Some(class), source)
}

/// What a PVC asks for.
#[derive(Debug, Clone)]
pub struct ClaimRequest<'a> {
    /// StorageClass; `None` means the cluster's default.
    pub storage_class: Option<&'a str>,
    /// `Filesystem` or `Block`.
    pub volume_mode: &'a str,
    /// Access modes.
    pub access_modes: Vec<String>,
    /// Storage request.
    pub size: Quantity,
    /// VolumeSnapshot to start from; an empty volume if `None`.
    pub snapshot: Option<&'a str>,
    /// Further labels.
    pub labels: BTreeMap<String, String>,
}

/// A PVC. `place` is namespace and name.
pub fn claim(
    run: &RunId,
    role: Role,
    place: (&str, &str),
    request: ClaimRequest<'_>,
) -> PersistentVolumeClaim {
    let mut metadata = run.metadata(place.1, Some(place.0), role);
    let mut labels = request.labels;
    // Ours win: they say whose child this is.
    labels.extend(metadata.labels.take().unwrap_or_default());
    metadata.labels = Some(labels);
    PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(request.access_modes),
            storage_class_name: request.storage_class.map(str::to_owned),
            volume_mode: Some(request.volume_mode.to_owned()),
            resources: Some(VolumeResourceRequirements {
                requests: Some([("storage".to_owned(), request.size)].into()),
                limits: None,
            }),
            data_source: request.snapshot.map(|name| TypedLocalObjectReference {
                api_group: Some("snapshot.storage.k8s.io".to_owned()),
                kind: "VolumeSnapshot".to_owned(),
                name: name.to_owned(),
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
