//! Making and deleting snapshots.

use super::{sizes, volumes};
use crate::driver::{Driver, required};
use crate::error::DriverError;
use crate::proto::csi_v1::{
    self as csi, CreateSnapshotRequest, CreateSnapshotResponse, DeleteSnapshotRequest, DeleteSnapshotResponse,
};
use crate::record::{Record, Snapshot, Volume};
use crate::settings::Capability;
use crate::{flush, images};

/// `CreateSnapshot`: at once ready, consistent as after a crash. The same name and source give the same snapshot.
pub fn create(
    driver: &Driver,
    request: CreateSnapshotRequest,
) -> Result<CreateSnapshotResponse, DriverError> {
    driver.settings.demand(Capability::Snapshot)?;
    let name = required(request.name, "name")?;
    let source_volume_id = required(request.source_volume_id, "source_volume_id")?;
    volumes::only_sidecar_parameters(&request.parameters)?;
    if let Some(existing) = find(driver, &name, &source_volume_id)? {
        return Ok(CreateSnapshotResponse { snapshot: Some(message(&existing)) });
    }
    driver.volume(&source_volume_id)?;
    let source = driver.store.image::<Volume>(&source_volume_id);
    // Before the lock: a busy file system may take long to write out, and nobody else should wait for it.
    flush::flush(&source)?;
    let _lock = driver.store.lock()?;
    if let Some(existing) = find(driver, &name, &source_volume_id)? {
        return Ok(CreateSnapshotResponse { snapshot: Some(message(&existing)) });
    }
    driver.volume(&source_volume_id)?;
    let id = Snapshot::new_id();
    let image = driver.store.image::<Snapshot>(&id);
    images::clone(&source, &image, 0)?;
    let size_bytes = images::size(&image)?;
    let snapshot = Snapshot { id, name, source_volume_id, size_bytes, created_at: jiff::Timestamp::now() };
    driver.store.put(&snapshot)?;
    Ok(CreateSnapshotResponse { snapshot: Some(message(&snapshot)) })
}

/// `DeleteSnapshot`. A snapshot that does not exist is deleted. Clones of it live on.
pub fn delete(
    driver: &Driver,
    request: DeleteSnapshotRequest,
) -> Result<DeleteSnapshotResponse, DriverError> {
    driver.settings.demand(Capability::Snapshot)?;
    let id = required(request.snapshot_id, "snapshot_id")?;
    let _lock = driver.store.lock()?;
    if driver.store.get::<Snapshot>(&id)?.is_some() {
        driver.store.remove::<Snapshot>(&id)?;
        images::delete(&driver.store.image::<Snapshot>(&id))?;
    }
    Ok(DeleteSnapshotResponse {})
}

/// A snapshot as CSI describes it.
pub fn message(snapshot: &Snapshot) -> csi::Snapshot {
    csi::Snapshot {
        size_bytes: sizes::signed(snapshot.size_bytes),
        snapshot_id: snapshot.id.clone(),
        source_volume_id: snapshot.source_volume_id.clone(),
        creation_time: Some(prost_types::Timestamp {
            seconds: snapshot.created_at.as_second(),
            nanos: snapshot.created_at.subsec_nanosecond(),
        }),
        ready_to_use: true,
        ..Default::default()
    }
}

/// The snapshot of that name, which must be of that volume.
fn find(driver: &Driver, name: &str, source_volume_id: &str) -> Result<Option<Snapshot>, DriverError> {
    let found = driver.store.find::<Snapshot>(name)?;
    match &found {
        Some(snapshot) if snapshot.source_volume_id != source_volume_id => {
            Err(DriverError::NameTaken { name: name.to_owned(), difference: "source volume" })
        }
        _ => Ok(found),
    }
}
