//! Making and deleting volumes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::sizes;
use crate::access::Access;
use crate::driver::{Driver, required};
use crate::error::DriverError;
use crate::filesystem::FsType;
use crate::proto::csi_v1::volume_content_source::{SnapshotSource, Type, VolumeSource};
use crate::proto::csi_v1::{
    self as csi, CreateVolumeRequest, CreateVolumeResponse, DeleteVolumeRequest, DeleteVolumeResponse,
    ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse, VolumeContentSource,
    validate_volume_capabilities_response::Confirmed,
};
use crate::record::{Publications, Record, Shape, Snapshot, Source, Volume};
use crate::settings::Capability;
use crate::{flush, images, loop_device, mounts};

/// Size of a volume whose request names none, in bytes.
const DEFAULT_BYTES: u64 = 1 << 30;
/// How long deletion waits for a volume in use, and how often it looks. Shorter than the provisioner's patience of 10 s.
const DELETE_PATIENCE: Duration = Duration::from_secs(4);
const DELETE_INTERVAL: Duration = Duration::from_millis(20);
/// Parameters with this prefix are the sidecars' own and say nothing about the volume.
const SIDECAR_PREFIX: &str = "csi.storage.k8s.io/";

/// `CreateVolume`. The same name and settings give the same volume.
pub fn create(driver: &Driver, request: CreateVolumeRequest) -> Result<CreateVolumeResponse, DriverError> {
    let name = required(request.name, "name")?;
    let shape = Access::parse_all(request.volume_capabilities, &driver.settings)?;
    only_sidecar_parameters(&request.parameters)?;
    if let Some(name) = request.mutable_parameters.into_keys().next() {
        return Err(DriverError::UnknownParameter { name });
    }
    let range = sizes::Range::parse(request.capacity_range)?;
    let source = request.volume_content_source.map(|source| parse_source(driver, source)).transpose()?;
    flush_source(driver, source.as_ref())?;
    let _lock = driver.store.lock()?;
    if let Some(existing) = driver.store.find::<Volume>(&name)? {
        is_same(&existing, &shape, source.as_ref(), range)?;
        return Ok(CreateVolumeResponse { volume: Some(message(&existing)) });
    }
    let smallest = match &shape {
        Shape::Block => 0,
        Shape::Filesystem { fs_type } => FsType::parse(fs_type)?.unwrap_or(FsType::Ext4).smallest_bytes(),
    };
    let origin = source.as_ref().map(|source| image_of(driver, source)).transpose()?;
    let capacity_bytes = match &origin {
        None => range.choose(DEFAULT_BYTES, smallest)?,
        Some((_, bytes)) => range.choose_for_clone(*bytes, smallest)?,
    };
    sizes::demand_room(driver, capacity_bytes)?;
    let volume = Volume {
        id: Volume::new_id(),
        name,
        capacity_bytes,
        shape,
        shares_uuid: source.is_some(),
        source,
        created_at: jiff::Timestamp::now(),
    };
    let image = driver.store.image::<Volume>(&volume.id);
    // The record comes last: an image without a record is a leftover, a record without an image would be damage.
    match &origin {
        None => images::create_blank(&image, capacity_bytes)?,
        Some((origin, _)) => images::clone(origin, &image, capacity_bytes)?,
    }
    driver.store.put(&volume)?;
    Ok(CreateVolumeResponse { volume: Some(message(&volume)) })
}

/// `DeleteVolume`. A volume that does not exist is deleted.
pub fn delete(driver: &Driver, request: DeleteVolumeRequest) -> Result<DeleteVolumeResponse, DriverError> {
    let id = required(request.volume_id, "volume_id")?;
    wait_while_in_use(driver, &id)?;
    let _volume_lock = driver.store.lock_volume(&id)?;
    let _lock = driver.store.lock()?;
    if driver.store.get::<Volume>(&id)?.is_none() {
        return Ok(DeleteVolumeResponse {});
    }
    if driver.settings.refuse_delete_with_snapshots {
        let snapshots = driver.store.list::<Snapshot>()?;
        let count = snapshots.iter().filter(|snapshot| snapshot.source_volume_id == id).count();
        if count > 0 {
            return Err(DriverError::VolumeHasSnapshots { id, count });
        }
    }
    let image = driver.store.image::<Volume>(&id);
    if let Some(place) = place_of_use(&image)? {
        return Err(DriverError::VolumeInUse { id, place });
    }
    images::discard_workpiece(&driver.store, &id)?;
    driver.store.remove::<Volume>(&id)?;
    driver.store.put_publications(&driver.settings.node_id, &id, &Publications::default())?;
    images::delete(&image)?;
    Ok(DeleteVolumeResponse {})
}

/// Without attachments Kubernetes deletes a volume as soon as its pod is gone from the API, seconds before the kubelet unstages
/// it. Waiting a little spares everybody a refusal, a warning and the provisioner's growing pauses.
fn wait_while_in_use(driver: &Driver, id: &str) -> Result<(), DriverError> {
    let deadline = Instant::now() + DELETE_PATIENCE;
    while driver.store.get::<Volume>(id)?.is_some()
        && place_of_use(&driver.store.image::<Volume>(id))?.is_some()
        && Instant::now() < deadline
    {
        std::thread::sleep(DELETE_INTERVAL);
    }
    Ok(())
}

/// One of the places where the image is mounted.
fn place_of_use(image: &Path) -> Result<Option<PathBuf>, DriverError> {
    let Some(device) = loop_device::find(image)? else { return Ok(None) };
    Ok(mounts::of(&device)?.pop().map(|mount| mount.point))
}

/// `ValidateVolumeCapabilities`. A volume can be used the way it was made, in any offered access mode.
pub fn validate(
    driver: &Driver,
    request: ValidateVolumeCapabilitiesRequest,
) -> Result<ValidateVolumeCapabilitiesResponse, DriverError> {
    let id = required(request.volume_id, "volume_id")?;
    if request.volume_capabilities.is_empty() {
        return Err(DriverError::MissingField { field: "volume_capabilities" });
    }
    let volume = driver.volume(&id)?;
    let refuse = |message: String| ValidateVolumeCapabilitiesResponse { confirmed: None, message };
    match Access::parse_all(request.volume_capabilities.clone(), &driver.settings) {
        Err(error) => return Ok(refuse(error.chain())),
        Ok(shape) => {
            if let Some(difference) = difference(&volume.shape, &shape) {
                return Ok(refuse(format!("the volume has another {difference}")));
            }
        }
    }
    let confirmed = Confirmed {
        volume_context: request.volume_context,
        volume_capabilities: request.volume_capabilities,
        parameters: request.parameters,
        mutable_parameters: request.mutable_parameters,
    };
    Ok(ValidateVolumeCapabilitiesResponse { confirmed: Some(confirmed), message: String::new() })
}

/// Refuses parameters that the driver does not know, so that a misspelt one is noticed.
pub fn only_sidecar_parameters(parameters: &HashMap<String, String>) -> Result<(), DriverError> {
    match parameters.keys().find(|name| !name.starts_with(SIDECAR_PREFIX)) {
        Some(name) => Err(DriverError::UnknownParameter { name: name.clone() }),
        None => Ok(()),
    }
}

/// A volume as CSI describes it.
pub fn message(volume: &Volume) -> csi::Volume {
    let source = volume.source.as_ref().map(|source| match source {
        Source::Snapshot(id) => Type::Snapshot(SnapshotSource { snapshot_id: id.clone() }),
        Source::Volume(id) => Type::Volume(VolumeSource { volume_id: id.clone() }),
    });
    csi::Volume {
        capacity_bytes: sizes::signed(volume.capacity_bytes),
        volume_id: volume.id.clone(),
        content_source: source.map(|source| VolumeContentSource { r#type: Some(source) }),
        ..Default::default()
    }
}

fn parse_source(driver: &Driver, source: VolumeContentSource) -> Result<Source, DriverError> {
    match source.r#type {
        None => Err(DriverError::MissingField { field: "volume_content_source.type" }),
        Some(Type::Snapshot(snapshot)) => {
            driver.settings.demand(Capability::Snapshot)?;
            required(snapshot.snapshot_id, "volume_content_source.snapshot_id").map(Source::Snapshot)
        }
        Some(Type::Volume(volume)) => {
            driver.settings.demand(Capability::Clone)?;
            required(volume.volume_id, "volume_content_source.volume_id").map(Source::Volume)
        }
    }
}

/// Brings a live source volume's writes into its image before that is cloned.
fn flush_source(driver: &Driver, source: Option<&Source>) -> Result<(), DriverError> {
    match source {
        Some(Source::Volume(id)) => {
            driver.volume(id)?;
            flush::flush(&driver.store.image::<Volume>(id))
        }
        _ => Ok(()),
    }
}

/// The image to clone and its size. The caller holds the lock of the lists, so that it cannot go away.
fn image_of(driver: &Driver, source: &Source) -> Result<(PathBuf, u64), DriverError> {
    Ok(match source {
        Source::Snapshot(id) => {
            let snapshot = driver.snapshot(id)?;
            (driver.store.image::<Snapshot>(id), snapshot.size_bytes)
        }
        Source::Volume(id) => {
            let volume = driver.volume(id)?;
            (driver.store.image::<Volume>(id), volume.capacity_bytes)
        }
    })
}

/// Whether the volume of that name is the one that the request describes.
fn is_same(
    existing: &Volume,
    shape: &Shape,
    source: Option<&Source>,
    range: sizes::Range,
) -> Result<(), DriverError> {
    let found = if !range.allows(existing.capacity_bytes) {
        Some("size")
    } else if existing.source.as_ref() != source {
        Some("content source")
    } else {
        difference(&existing.shape, shape)
    };
    match found {
        Some(difference) => Err(DriverError::NameTaken { name: existing.name.clone(), difference }),
        None => Ok(()),
    }
}

/// What keeps a volume of shape `have` from being used as `want`.
fn difference(have: &Shape, want: &Shape) -> Option<&'static str> {
    match (have, want) {
        (Shape::Block, Shape::Block) => None,
        (Shape::Filesystem { fs_type: have }, Shape::Filesystem { fs_type: want }) => {
            let open = have.is_empty() || want.is_empty();
            (!open && have != want).then_some("file system")
        }
        _ => Some("access type"),
    }
}
