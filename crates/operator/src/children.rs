//! The state of one child object, as decisions see it. Pure.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use longshore_api::{SnapshotError, VolumeSnapshot, VolumeSnapshotContent};

use crate::names::belongs_to;
use longshore_job::parse_bytes;

/// Where a child stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Child {
    /// Not there.
    Absent,
    /// An object of that name is there and is not ours.
    Foreign,
    /// Ours, and going away.
    Leaving,
    /// Ours, and not ready.
    Pending {
        /// The last error, if one is known.
        error: Option<String>,
    },
    /// Ours, and ready.
    Ready {
        /// Its size in bytes, if it has one.
        bytes: Option<i64>,
    },
}

fn child(metadata: Option<&ObjectMeta>, uid: &str, state: impl FnOnce() -> Child) -> Child {
    match metadata {
        None => Child::Absent,
        Some(metadata) if !belongs_to(metadata, uid) => Child::Foreign,
        Some(metadata) if metadata.deletion_timestamp.is_some() => Child::Leaving,
        Some(_) => state(),
    }
}

/// The VolumeSnapshot that a PVC is made from.
pub fn snapshot_source(claim: &PersistentVolumeClaim) -> Option<&str> {
    const GROUP: &str = "snapshot.storage.k8s.io";
    let spec = claim.spec.as_ref()?;
    if let Some(source) = &spec.data_source {
        return (source.kind == "VolumeSnapshot" && source.api_group.as_deref() == Some(GROUP))
            .then_some(source.name.as_str());
    }
    let source = spec.data_source_ref.as_ref()?;
    (source.kind == "VolumeSnapshot" && source.api_group.as_deref() == Some(GROUP))
        .then_some(source.name.as_str())
}

fn error_message(error: Option<&SnapshotError>) -> Option<String> {
    error.and_then(|error| error.message.clone())
}

/// State of a content.
pub fn content_child(content: Option<&VolumeSnapshotContent>, uid: &str) -> Child {
    child(content.map(|content| &content.metadata), uid, || {
        let status = content.and_then(|content| content.status.as_ref());
        if status.is_some_and(|status| status.ready_to_use == Some(true)) {
            Child::Ready { bytes: status.and_then(|status| status.restore_size) }
        } else {
            Child::Pending { error: error_message(status.and_then(|status| status.error.as_ref())) }
        }
    })
}

/// State of a VolumeSnapshot: ready when it is bound and usable.
pub fn snapshot_child(snapshot: Option<&VolumeSnapshot>, uid: &str) -> Child {
    child(snapshot.map(|snapshot| &snapshot.metadata), uid, || {
        let status = snapshot.and_then(|snapshot| snapshot.status.as_ref());
        let ready = status.is_some_and(|status| {
            status.ready_to_use == Some(true) && status.bound_volume_snapshot_content_name.is_some()
        });
        if ready {
            let size = status.and_then(|status| status.restore_size.as_ref());
            Child::Ready { bytes: size.and_then(|size| parse_bytes(&size.0)) }
        } else {
            Child::Pending { error: error_message(status.and_then(|status| status.error.as_ref())) }
        }
    })
}

/// State of a PVC: ready when it is bound. `error` is the last warning about it.
pub fn claim_child(claim: Option<&PersistentVolumeClaim>, uid: &str, error: Option<String>) -> Child {
    child(claim.map(|claim| &claim.metadata), uid, || {
        let status = claim.and_then(|claim| claim.status.as_ref());
        if status.is_some_and(|status| status.phase.as_deref() == Some("Bound")) {
            let capacity = status.and_then(|status| status.capacity.as_ref()?.get("storage"));
            Child::Ready { bytes: capacity.and_then(|size| parse_bytes(&size.0)) }
        } else {
            Child::Pending { error }
        }
    })
}
