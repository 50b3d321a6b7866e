//! How full a published volume is, and growing it where it is used.

use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use crate::controller::signed;
use crate::driver::{Driver, required, required_path};
use crate::error::DriverError;
use crate::filesystem::FsType;
use crate::loop_device::{self, LoopDevice};
use crate::proto::csi_v1::volume_usage::Unit;
use crate::proto::csi_v1::{
    NodeExpandVolumeRequest, NodeExpandVolumeResponse, NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse,
    VolumeUsage,
};
use crate::record::Volume;
use crate::settings::Capability;
use crate::{images, mounts};

/// `NodeGetVolumeStats`: bytes and inodes of a file system, the size of a device.
pub fn stats(
    driver: &Driver,
    request: NodeGetVolumeStatsRequest,
) -> Result<NodeGetVolumeStatsResponse, DriverError> {
    let id = required(request.volume_id, "volume_id")?;
    let path = required_path(request.volume_path, "volume_path")?;
    let volume = driver.volume(&id)?;
    device_at(driver, &id, &path)?;
    if is_device(&path) {
        let total = signed(volume.capacity_bytes);
        let usage = VolumeUsage { total, unit: Unit::Bytes.into(), ..Default::default() };
        return Ok(NodeGetVolumeStatsResponse { usage: vec![usage] });
    }
    let numbers = rustix::fs::statvfs(&path).map_err(DriverError::io("measure", &path))?;
    let bytes = |blocks: u64| signed(blocks.saturating_mul(numbers.f_frsize));
    let usage = vec![
        VolumeUsage {
            available: bytes(numbers.f_bavail),
            total: bytes(numbers.f_blocks),
            used: bytes(numbers.f_blocks.saturating_sub(numbers.f_bfree)),
            unit: Unit::Bytes.into(),
        },
        VolumeUsage {
            available: signed(numbers.f_favail),
            total: signed(numbers.f_files),
            used: signed(numbers.f_files.saturating_sub(numbers.f_ffree)),
            unit: Unit::Inodes.into(),
        },
    ];
    Ok(NodeGetVolumeStatsResponse { usage })
}

/// `NodeExpandVolume`: the device sees its image's new size, and the file system fills it.
pub fn expand(
    driver: &Driver,
    request: NodeExpandVolumeRequest,
) -> Result<NodeExpandVolumeResponse, DriverError> {
    driver.settings.demand(Capability::Expand)?;
    let id = required(request.volume_id, "volume_id")?;
    let path = required_path(request.volume_path, "volume_path")?;
    let _lock = driver.store.lock_volume(&id)?;
    driver.volume(&id)?;
    let device = if path.is_dir() {
        device_at(driver, &id, &path)?
    } else {
        // For a device the kubelet may name a path of its own instead of the target.
        let device = loop_device::find(&driver.store.image::<Volume>(&id))?;
        device.ok_or_else(|| DriverError::NotAtPath { id: id.clone(), path: path.clone() })?
    };
    device.refresh_size()?;
    if path.is_dir()
        && let Some(mount) = mounts::at(&path)?
        && let Some(fs_type) = FsType::parse(&mount.fs_type)?
    {
        fs_type.grow_mounted(&device.path(), &path)?;
    }
    let capacity_bytes = signed(images::size(&driver.store.image::<Volume>(&id))?);
    Ok(NodeExpandVolumeResponse { capacity_bytes })
}

/// The volume's device, if the volume is at `path`.
fn device_at(driver: &Driver, id: &str, path: &Path) -> Result<LoopDevice, DriverError> {
    let device = loop_device::find(&driver.store.image::<Volume>(id))?;
    let mount = mounts::at(path)?;
    device
        .filter(|device| mount.is_some_and(|mount| mount.is_of(device)))
        .ok_or_else(|| DriverError::NotAtPath { id: id.to_owned(), path: path.to_owned() })
}

fn is_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_block_device())
}
