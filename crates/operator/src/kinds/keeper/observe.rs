//! Reads the cluster into [`Seen`], from the watches alone.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use longshore_api::{DeletionPolicy, VolumeSnapshot, VolumeSnapshotContent};

use super::decide::{Bound, Seen};
use crate::children::snapshot_source;
use crate::context::Context;
use crate::names::{RELEASE_AFTER, RUN_UID, Role, belongs_to, has_role, label, run_of};
use crate::slots::Queued;
use crate::temporary::named;

/// What was seen, with the objects behind it.
pub struct Observed {
    /// For the decision.
    pub seen: Seen,
    /// The keeper's VolumeSnapshot.
    pub snapshot: Option<Arc<VolumeSnapshot>>,
    /// Contents of the same run that leave the storage alone.
    pub other_contents: Vec<Arc<VolumeSnapshotContent>>,
    /// VolumeSnapshots of the run's target.
    pub other_snapshots: Vec<Arc<VolumeSnapshot>>,
}

/// Looks at a keeper and everything that has to do with its snapshot.
pub fn observe(context: &Context, keeper: &VolumeSnapshotContent) -> Observed {
    let stores = &context.stores;
    let uid = label(&keeper.metadata, RUN_UID).unwrap_or_default().to_owned();
    let reference = &keeper.spec.volume_snapshot_ref;
    let namespace = reference.namespace.as_deref().unwrap_or_default();
    let snapshot = named(&stores.snapshots, Some(namespace), reference.name.as_deref().unwrap_or_default());
    let handle = keeper.spec.source.snapshot_handle.as_deref().unwrap_or_default();
    let (mut used, mut wanted) = (false, false);
    for claim in stores.claims.state_filter(|claim| snapshot_source(claim).is_some()) {
        let ours = belongs_to(&claim.metadata, &uid) && has_role(&claim.metadata, Role::Target);
        if ours || comes_from(context, &claim, &keeper.spec.driver, handle) {
            let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
            match phase {
                Some("Bound") => used = true,
                _ => wanted |= claim.metadata.deletion_timestamp.is_none(),
            }
        }
    }
    let other_contents = stores.contents.state_filter(|content| {
        belongs_to(&content.metadata, &uid)
            && (has_role(&content.metadata, Role::Result) || has_role(&content.metadata, Role::Target))
    });
    let other_snapshots = stores.snapshots.state_filter(|snapshot| {
        belongs_to(&snapshot.metadata, &uid) && has_role(&snapshot.metadata, Role::Target)
    });
    let run_active = run_of(&keeper.metadata).and_then(|(_, namespace, name)| {
        named(&stores.restores, Some(namespace), name)
            .filter(|restore| restore.uid().as_deref() == Some(&uid))
    });
    let seen = Seen {
        deleting: keeper.metadata.deletion_timestamp.is_some(),
        takes_snapshot: keeper.spec.deletion_policy == DeletionPolicy::Delete.as_str(),
        release_after: release_after(keeper),
        run_active: run_active.is_some_and(|restore| !restore.place().0.is_terminal()),
        used,
        wanted,
        others: !other_contents.is_empty() || !other_snapshots.is_empty(),
        snapshot: bound(snapshot.as_deref(), keeper, &uid),
    };
    Observed { seen, snapshot, other_contents, other_snapshots }
}

/// A keeper whose annotation was damaged is kept: a leak is mended more easily than a loss.
fn release_after(keeper: &VolumeSnapshotContent) -> Timestamp {
    keeper.annotations().get(RELEASE_AFTER).and_then(|text| text.parse().ok()).unwrap_or(Timestamp::MAX)
}

fn bound(snapshot: Option<&VolumeSnapshot>, keeper: &VolumeSnapshotContent, uid: &str) -> Bound {
    let Some(snapshot) = snapshot else { return Bound::Absent };
    if !belongs_to(&snapshot.metadata, uid) {
        return Bound::Foreign;
    }
    if snapshot.metadata.deletion_timestamp.is_some() {
        return Bound::Leaving;
    }
    let content =
        snapshot.status.as_ref().and_then(|status| status.bound_volume_snapshot_content_name.clone());
    // The sidecar deletes only what the content's status names.
    let known = keeper.status.as_ref().is_some_and(|status| status.snapshot_handle.is_some());
    let pointed_back = keeper.spec.volume_snapshot_ref.uid.is_some();
    if content.as_deref() == Some(keeper.name_any().as_str()) && known && pointed_back {
        Bound::Ready
    } else {
        Bound::Pending { since: snapshot.creation_timestamp().map(|time| time.0).unwrap_or_default() }
    }
}

/// Whether a PVC's VolumeSnapshot leads to the snapshot with this handle, through whoever's content.
fn comes_from(context: &Context, claim: &PersistentVolumeClaim, driver: &str, handle: &str) -> bool {
    let stores = &context.stores;
    let content = snapshot_source(claim)
        .and_then(|name| named(&stores.snapshots, claim.namespace().as_deref(), name))
        .and_then(|snapshot| {
            let bound =
                snapshot.status.as_ref().and_then(|status| status.bound_volume_snapshot_content_name.clone());
            bound.or_else(|| snapshot.spec.source.volume_snapshot_content_name.clone())
        })
        .and_then(|name| named(&stores.contents, None, &name));
    content.is_some_and(|content| {
        let told = content.status.as_ref().and_then(|status| status.snapshot_handle.as_deref());
        let asked = content.spec.source.snapshot_handle.as_deref();
        content.spec.driver == driver && (told == Some(handle) || asked == Some(handle))
    })
}
