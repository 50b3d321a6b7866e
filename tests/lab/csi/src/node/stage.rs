//! Staging: the volume's image on a loop device, its file system at the staging path.

use std::path::Path;

use crate::access::{Access, AccessKind};
use crate::driver::{Driver, required, required_path};
use crate::error::DriverError;
use crate::filesystem::FsType;
use crate::loop_device::LoopDevice;
use crate::prepare::prepare;
use crate::proto::csi_v1::{
    NodeStageVolumeRequest, NodeStageVolumeResponse, NodeUnstageVolumeRequest, NodeUnstageVolumeResponse,
};
use crate::record::Volume;
use crate::settings::Capability;
use crate::{loop_device, mounts};

/// `NodeStageVolume`.
pub fn stage(
    driver: &Driver,
    request: NodeStageVolumeRequest,
) -> Result<NodeStageVolumeResponse, DriverError> {
    driver.settings.demand(Capability::Stage)?;
    let id = required(request.volume_id, "volume_id")?;
    let path = required_path(request.staging_target_path, "staging_target_path")?;
    let access = Access::parse(request.volume_capability, &driver.settings)?;
    let _lock = driver.store.lock_volume(&id)?;
    stage_at(driver, &id, &access, &path)?;
    Ok(NodeStageVolumeResponse {})
}

/// `NodeUnstageVolume`. A volume that is not staged, or no longer exists, is unstaged.
pub fn unstage(
    driver: &Driver,
    request: NodeUnstageVolumeRequest,
) -> Result<NodeUnstageVolumeResponse, DriverError> {
    driver.settings.demand(Capability::Stage)?;
    let id = required(request.volume_id, "volume_id")?;
    let path = required_path(request.staging_target_path, "staging_target_path")?;
    let _lock = driver.store.lock_volume(&id)?;
    unstage_at(driver, &id, &path)?;
    Ok(NodeUnstageVolumeResponse {})
}

/// Attaches the volume and, if it is to be a file system, mounts it at `path`. Done already is success. The caller holds the
/// volume's lock.
pub fn stage_at(driver: &Driver, id: &str, access: &Access, path: &Path) -> Result<LoopDevice, DriverError> {
    let volume = driver.volume(id)?;
    let image = driver.store.image::<Volume>(id);
    let AccessKind::Filesystem { fs_type, flags } = &access.kind else {
        return loop_device::attach(&image, access.is_read_only());
    };
    if let Some(mount) = mounts::at(path)? {
        let device = loop_device::find(&image)?.filter(|device| mount.is_of(device));
        let device = device.ok_or_else(|| DriverError::PathTaken { path: path.to_owned() })?;
        let differs = if fs_type.is_some_and(|fs_type| fs_type.name() != mount.fs_type) {
            Some("file system")
        } else {
            (mount.read_only != access.is_read_only()).then_some("access mode")
        };
        return match differs {
            Some(difference) => {
                Err(DriverError::UsedDifferently { id: id.to_owned(), path: path.to_owned(), difference })
            }
            None => Ok(device),
        };
    }
    std::fs::create_dir_all(path).map_err(DriverError::io("create", path))?;
    let fs_type = prepare(&driver.store, &volume, *fs_type)?;
    let device = loop_device::attach(&image, false)?;
    // A device that stayed attached through an expansion still has the old size.
    device.refresh_size()?;
    let read_only = access.is_read_only();
    // ext4 has grown before; xfs grows only when mounted.
    let grows = !read_only && fs_type == FsType::Xfs;
    let mounted = fs_type
        .mount(&device.path(), path, flags, read_only)
        .and_then(|()| if grows { fs_type.grow_mounted(&device.path(), path) } else { Ok(()) });
    if let Err(error) = mounted {
        mounts::unmount(path)?;
        loop_device::detach_unused(&device)?;
        return Err(error);
    }
    Ok(device)
}

/// Undoes [`stage_at`]. The caller holds the volume's lock.
pub fn unstage_at(driver: &Driver, id: &str, path: &Path) -> Result<(), DriverError> {
    mounts::unmount(path)?;
    if driver.store.get::<Volume>(id)?.is_some()
        && let Some(device) = loop_device::find(&driver.store.image::<Volume>(id))?
    {
        loop_device::detach_unused(&device)?;
    }
    Ok(())
}
