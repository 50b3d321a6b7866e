//! The pool: an XFS image with reflinks, mounted under the state folder, that holds the files of volumes and snapshots.

use std::path::{Path, PathBuf};

use crate::error::DriverError;
use crate::{command, loop_device, mounts};

/// Size of a new pool. The image is sparse, so this is a limit, not a cost.
pub const DEFAULT_BYTES: u64 = 64 << 30;

/// Where the pool of a state folder is mounted.
pub fn mount_point(state: &Path) -> PathBuf {
    state.join("pool")
}

/// Makes the pool if there is none, and mounts it if it is not mounted. Also makes the loop device nodes that this machine
/// lacks. Safe to call at any time and from any leftover state.
pub fn up(state: &Path, size_bytes: u64) -> Result<(), DriverError> {
    std::fs::create_dir_all(state).map_err(DriverError::io("create", state))?;
    let state = &canonical(state)?;
    let point = mount_point(state);
    loop_device::make_nodes()?;
    if mounts::at(&point)?.is_some() {
        return Ok(());
    }
    let image = state.join("pool.img");
    if !image.exists() {
        make_image(&image, size_bytes)?;
    }
    std::fs::create_dir_all(&point).map_err(DriverError::io("create", &point))?;
    let device = loop_device::attach(&image, false)?;
    // `discard` gives the space of deleted volumes back to the machine; `nouuid` allows for a copied state folder.
    let device_path = device.path();
    let arguments = [
        "-t".as_ref(),
        "xfs".as_ref(),
        "-o".as_ref(),
        "nouuid,discard".as_ref(),
        device_path.as_os_str(),
        point.as_os_str(),
    ];
    let mounted = command::run("mount", &arguments).map(drop);
    if mounted.is_err() {
        loop_device::detach_unused(&device)?;
    }
    mounted
}

/// Unmounts the pool and before it everything that stands on it: published and staged volumes of any driver. What the pool
/// holds stays in its image. A pool that is down is success.
pub fn down(state: &Path) -> Result<(), DriverError> {
    if !state.exists() {
        return Ok(());
    }
    let state = &canonical(state)?;
    let point = mount_point(state);
    let image = state.join("pool.img");
    for attached in loop_device::all()?.iter().filter(|attached| attached.backing.starts_with(&point)) {
        for mount in mounts::of(&attached.device)?.iter().rev() {
            mounts::unmount(&mount.point)?;
        }
        attached.device.detach()?;
    }
    mounts::unmount(&point)?;
    for attached in loop_device::all()?.iter().filter(|attached| attached.backing == image) {
        attached.device.detach()?;
    }
    Ok(())
}

/// Whether the pool of `state` is mounted.
pub fn is_up(state: &Path) -> Result<bool, DriverError> {
    Ok(mounts::at(&mount_point(state))?.is_some())
}

/// The path as the kernel's tables write it.
pub fn canonical(path: &Path) -> Result<PathBuf, DriverError> {
    path.canonicalize().map_err(DriverError::io("resolve", path))
}

/// Makes the image under another name first, so that a killed attempt leaves no half-made pool.
fn make_image(image: &Path, size_bytes: u64) -> Result<(), DriverError> {
    let unfinished = image.with_extension("unfinished");
    let file = std::fs::File::create(&unfinished).map_err(DriverError::io("create", &unfinished))?;
    file.set_len(size_bytes).map_err(DriverError::io("set the size of", &unfinished))?;
    command::run(
        "mkfs.xfs",
        &["-q".as_ref(), "-f".as_ref(), "-m".as_ref(), "reflink=1,crc=1".as_ref(), unfinished.as_os_str()],
    )?;
    file.sync_all().map_err(DriverError::io("write out", &unfinished))?;
    std::fs::rename(&unfinished, image).map_err(DriverError::io("rename", &unfinished))
}
