//! Publishing: the staged file system, or the device, at the path that a pod uses.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::stage::{stage_at, unstage_at};
use crate::access::{Access, AccessKind};
use crate::driver::{Driver, required, required_path};
use crate::error::DriverError;
use crate::loop_device::{self, LoopDevice};
use crate::mounts;
use crate::proto::csi_v1::{
    NodePublishVolumeRequest, NodePublishVolumeResponse, NodeUnpublishVolumeRequest,
    NodeUnpublishVolumeResponse,
};
use crate::record::{Publication, Publications, Volume};
use crate::settings::Capability;

/// `NodePublishVolume`.
pub fn publish(
    driver: &Driver,
    request: NodePublishVolumeRequest,
) -> Result<NodePublishVolumeResponse, DriverError> {
    let id = required(request.volume_id, "volume_id")?;
    let target = required_path(request.target_path, "target_path")?;
    let access = Access::parse(request.volume_capability, &driver.settings)?;
    let _lock = driver.store.lock_volume(&id)?;
    driver.volume(&id)?;
    let node = &driver.settings.node_id;
    let mut publications = current(driver, &id)?;
    let publication = Publication {
        read_only: request.readonly || access.is_read_only(),
        single_writer: access.is_single_writer(),
    };
    check(&id, &target, &publication, &publications)?;
    let staging = if driver.settings.offers(Capability::Stage) {
        PathBuf::from(request.staging_target_path)
    } else {
        let path = own_staging_path(driver, &id);
        stage_at(driver, &id, &access, &path)?;
        path
    };
    let device = staged_device(driver, &id, &access, &staging)?;
    // The record first: a mount that no record speaks of could not be checked against the next request.
    publications.targets.insert(target.clone(), publication.clone());
    driver.store.put_publications(node, &id, &publications)?;
    mount_target(&access, &device, &staging, &target, publication.read_only)?;
    Ok(NodePublishVolumeResponse {})
}

/// `NodeUnpublishVolume`. The target is gone afterwards, whatever was there before.
pub fn unpublish(
    driver: &Driver,
    request: NodeUnpublishVolumeRequest,
) -> Result<NodeUnpublishVolumeResponse, DriverError> {
    let id = required(request.volume_id, "volume_id")?;
    let target = required_path(request.target_path, "target_path")?;
    let _lock = driver.store.lock_volume(&id)?;
    mounts::unmount(&target)?;
    let removed = match std::fs::symlink_metadata(&target) {
        Ok(metadata) if metadata.is_dir() => std::fs::remove_dir(&target),
        Ok(_) => std::fs::remove_file(&target),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(DriverError::io("remove", target)(error));
        }
        _ => {}
    }
    if driver.store.get::<Volume>(&id)?.is_some() {
        let mut publications = current(driver, &id)?;
        publications.targets.remove(&target);
        driver.store.put_publications(&driver.settings.node_id, &id, &publications)?;
        if publications.targets.is_empty() && !driver.settings.offers(Capability::Stage) {
            unstage_at(driver, &id, &own_staging_path(driver, &id))?;
        }
    }
    Ok(NodeUnpublishVolumeResponse {})
}

/// Where this node publishes the volume: what is written down and still mounted.
fn current(driver: &Driver, id: &str) -> Result<Publications, DriverError> {
    let mut publications = driver.store.publications(&driver.settings.node_id, id)?;
    let table = mounts::all()?;
    publications.targets.retain(|target, _| table.iter().any(|mount| mount.point == *target));
    Ok(publications)
}

/// Whether the volume may be published at `target` too.
fn check(id: &str, target: &Path, wanted: &Publication, present: &Publications) -> Result<(), DriverError> {
    for (place, publication) in &present.targets {
        if place != target {
            if wanted.single_writer || publication.single_writer {
                return Err(DriverError::VolumeInUse { id: id.to_owned(), place: place.clone() });
            }
        } else if publication != wanted {
            let difference = "access mode";
            return Err(DriverError::UsedDifferently {
                id: id.to_owned(),
                path: target.to_owned(),
                difference,
            });
        }
    }
    Ok(())
}

/// Where a driver without NodeStageVolume stages by itself.
fn own_staging_path(driver: &Driver, id: &str) -> PathBuf {
    driver.store.state().join("staging").join(&driver.settings.node_id).join(id)
}

/// The volume's device, if the volume is staged.
fn staged_device(
    driver: &Driver,
    id: &str,
    access: &Access,
    staging: &Path,
) -> Result<LoopDevice, DriverError> {
    let device = loop_device::find(&driver.store.image::<Volume>(id))?;
    let mounted = mounts::at(staging)?;
    device
        .filter(|device| {
            access.kind == AccessKind::Block || mounted.as_ref().is_some_and(|mount| mount.is_of(device))
        })
        .ok_or_else(|| DriverError::NotStaged { id: id.to_owned() })
}

fn mount_target(
    access: &Access,
    device: &LoopDevice,
    staging: &Path,
    target: &Path,
    read_only: bool,
) -> Result<(), DriverError> {
    if let Some(mount) = mounts::at(target)? {
        if !mount.is_of(device) {
            return Err(DriverError::PathTaken { path: target.to_owned() });
        }
        // A driver killed between mounting and making it read-only left this one writable.
        return if read_only && !mount.read_only { mounts::make_read_only(target) } else { Ok(()) };
    }
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent).map_err(DriverError::io("create", parent))?;
    }
    match access.kind {
        AccessKind::Block => {
            File::options()
                .create(true)
                .append(true)
                .open(target)
                .map_err(DriverError::io("create", target))?;
            mounts::bind(&device.path(), target, read_only)
        }
        AccessKind::Filesystem { .. } => {
            std::fs::create_dir_all(target).map_err(DriverError::io("create", target))?;
            mounts::bind(staging, target, read_only)
        }
    }
}
