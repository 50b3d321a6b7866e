//! Making a volume's image ready to be mounted as a file system: blank ones are formatted, clones get their own UUID and
//! their full size. ext4 that is smaller than its image grows here, because not every kernel lets a container's root grow it
//! while it is mounted.
//!
//! All of it happens on a second file that shares the first one's blocks and then takes its place in one rename. A driver
//! killed at any instant leaves the image as it was or as it should be, never a half-made file system.

use std::fs::File;
use std::path::Path;

use crate::error::DriverError;
use crate::filesystem::{self, FsType};
use crate::record::Volume;
use crate::store::{Store, sync_folder};
use crate::{images, loop_device, mounts};

/// Makes the image of `volume` mountable and tells what it holds. `wanted` is the type that the request names; if it names
/// none, what is there stays, and a blank volume becomes ext4. The caller holds the volume's lock.
pub fn prepare(store: &Store, volume: &Volume, wanted: Option<FsType>) -> Result<FsType, DriverError> {
    let image = store.image::<Volume>(&volume.id);
    // The file of a device in use must not be replaced.
    let held = !loop_device::release(&image)?;
    let Some(found) = filesystem::detect(&image)? else {
        return format(store, volume, &image, wanted.unwrap_or(FsType::Ext4), held);
    };
    let wrong = |wanted: &str| DriverError::WrongFilesystem {
        id: volume.id.clone(),
        found: found.clone(),
        wanted: wanted.to_owned(),
    };
    let fs_type = FsType::parse(&found).ok().flatten().ok_or_else(|| wrong("ext4 or xfs"))?;
    match wanted {
        Some(wanted) if wanted != fs_type => return Err(wrong(wanted.name())),
        _ => {}
    }
    let is_small = fs_type == FsType::Ext4 && filesystem::ext4_bytes(&image)? < images::size(&image)?;
    if !held && (volume.shares_uuid || is_small) {
        renew(store, volume, &image, fs_type)?;
    }
    Ok(fs_type)
}

fn format(
    store: &Store,
    volume: &Volume,
    image: &Path,
    fs_type: FsType,
    held: bool,
) -> Result<FsType, DriverError> {
    // A file system is made only where nothing was ever written: data that `blkid` does not know is still data.
    if held || !images::is_blank(image)? {
        return Err(DriverError::WrongFilesystem {
            id: volume.id.clone(),
            found: "raw data".to_owned(),
            wanted: fs_type.name().to_owned(),
        });
    }
    images::discard_workpiece(store, &volume.id)?;
    let work = images::workpiece(store, &volume.id);
    images::create_blank(&work, images::size(image)?)?;
    fs_type.make(&work)?;
    replace(store, volume, &work, image)?;
    Ok(fs_type)
}

fn renew(store: &Store, volume: &Volume, image: &Path, fs_type: FsType) -> Result<(), DriverError> {
    images::discard_workpiece(store, &volume.id)?;
    let work = images::workpiece(store, &volume.id);
    images::clone(image, &work, 0)?;
    match fs_type {
        FsType::Ext4 => filesystem::renew_ext4(&work, volume.shares_uuid)?,
        FsType::Xfs => {
            replay_and_grow_xfs(store, volume, &work)?;
            filesystem::renew_xfs_uuid(&work)?;
        }
    }
    replace(store, volume, &work, image)
}

/// xfs replays its log and grows only when mounted, and changes its UUID only with a clean log.
fn replay_and_grow_xfs(store: &Store, volume: &Volume, work: &Path) -> Result<(), DriverError> {
    let bench = images::workbench(store, &volume.id);
    std::fs::create_dir_all(&bench).map_err(DriverError::io("create", &bench))?;
    let device = loop_device::attach(work, false)?;
    FsType::Xfs.mount(&device.path(), &bench, &[], false)?;
    let grown = FsType::Xfs.grow_mounted(&device.path(), &bench);
    mounts::unmount(&bench)?;
    device.detach()?;
    std::fs::remove_dir(&bench).map_err(DriverError::io("remove", &bench))?;
    grown
}

/// Puts the finished workpiece in the image's place and notes that the volume is its own.
fn replace(store: &Store, volume: &Volume, work: &Path, image: &Path) -> Result<(), DriverError> {
    File::open(work).and_then(|file| file.sync_all()).map_err(DriverError::io("write out", work))?;
    std::fs::rename(work, image).map_err(DriverError::io("replace", image))?;
    image.parent().map_or(Ok(()), sync_folder)?;
    let _lock = store.lock()?;
    match store.get::<Volume>(&volume.id)? {
        Some(current) if current.shares_uuid => store.put(&Volume { shares_uuid: false, ..current }),
        _ => Ok(()),
    }
}
