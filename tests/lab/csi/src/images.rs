//! Image files in the pool: blank, cloned, deleted, and collected after a crash.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use crate::error::DriverError;
use crate::record::{Record, Snapshot, Volume};
use crate::store::{Store, sync_folder};
use crate::{loop_device, mounts};

/// Makes a sparse image of `bytes`, replacing what a crash may have left there. Durable when it returns.
pub fn create_blank(image: &Path, bytes: u64) -> Result<(), DriverError> {
    let file = File::create(image).map_err(DriverError::io("create", image))?;
    finish(&file, image, bytes)
}

/// Makes a copy of `source` that shares its blocks, with at least `bytes`. It holds `source` as it is at one instant, also
/// while a loop device writes to it. Durable when it returns.
pub fn clone(source: &Path, image: &Path, bytes: u64) -> Result<(), DriverError> {
    let original = File::open(source).map_err(DriverError::io("open", source))?;
    let file = File::create(image).map_err(DriverError::io("create", image))?;
    rustix::fs::ioctl_ficlone(&file, &original).map_err(DriverError::io("clone to", image))?;
    let size = file.metadata().map_err(DriverError::io("measure", image))?.len();
    finish(&file, image, bytes.max(size))
}

fn finish(file: &File, image: &Path, bytes: u64) -> Result<(), DriverError> {
    file.set_len(bytes).map_err(DriverError::io("set the size of", image))?;
    file.sync_all().map_err(DriverError::io("write out", image))?;
    image.parent().map_or(Ok(()), sync_folder)
}

/// Makes an image larger. Never smaller.
pub fn grow(image: &Path, bytes: u64) -> Result<(), DriverError> {
    let file = OpenOptions::new().write(true).open(image).map_err(DriverError::io("open", image))?;
    let size = file.metadata().map_err(DriverError::io("measure", image))?.len();
    if size < bytes { finish(&file, image, bytes) } else { Ok(()) }
}

/// Size in bytes.
pub fn size(image: &Path) -> Result<u64, DriverError> {
    Ok(std::fs::metadata(image).map_err(DriverError::io("measure", image))?.len())
}

/// Whether nothing was ever written to the image.
pub fn is_blank(image: &Path) -> Result<bool, DriverError> {
    let file = File::open(image).map_err(DriverError::io("open", image))?;
    match rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(0)) {
        Ok(_) => Ok(false),
        Err(rustix::io::Errno::NXIO) => Ok(true),
        Err(error) => Err(DriverError::io("look into", image)(error)),
    }
}

/// Deletes an image and releases its loop device; one that is gone is success. A device in use is left to its user: the
/// blocks stay until it is released.
pub fn delete(image: &Path) -> Result<(), DriverError> {
    if let Some(device) = loop_device::find(image)? {
        loop_device::detach_unused(&device)?;
    }
    match std::fs::remove_file(image) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DriverError::io("delete", image)(error))
        }
        _ => Ok(()),
    }
}

/// Where a volume's image is worked on before it takes the place of the old one.
pub fn workpiece(store: &Store, volume: &str) -> PathBuf {
    store.images::<Volume>().join(format!("{volume}.work"))
}

/// Where the file system of a workpiece is mounted.
pub fn workbench(store: &Store, volume: &str) -> PathBuf {
    store.state().join("work").join(volume)
}

/// Removes a workpiece, whatever state a crash left it in. The caller holds the volume's lock.
pub fn discard_workpiece(store: &Store, volume: &str) -> Result<(), DriverError> {
    let bench = workbench(store, volume);
    mounts::unmount(&bench)?;
    delete(&workpiece(store, volume))?;
    match std::fs::remove_dir(&bench) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DriverError::io("remove", bench)(error))
        }
        _ => Ok(()),
    }
}

/// Deletes what a killed driver left half-made: images without a record, workpieces, loop devices of deleted images. Other
/// drivers may be at work on the same state folder.
pub fn collect_leftovers(store: &Store) -> Result<(), DriverError> {
    for name in names(&store.images::<Volume>())? {
        if let Some(volume) = name.strip_suffix(".work") {
            let _lock = store.lock_volume(volume)?;
            discard_workpiece(store, volume)?;
        }
    }
    let _lock = store.lock()?;
    collect_images::<Volume>(store)?;
    collect_images::<Snapshot>(store)?;
    for attached in loop_device::all()? {
        if attached.is_deleted && attached.backing.starts_with(store.images::<Volume>()) {
            loop_device::detach_unused(&attached.device)?;
        }
    }
    Ok(())
}

fn collect_images<R: Record>(store: &Store) -> Result<(), DriverError> {
    store.remove_unfinished::<R>()?;
    let folder = store.images::<R>();
    for name in names(&folder)? {
        let Some(id) = name.strip_suffix(".img") else { continue };
        if store.get::<R>(id)?.is_none() {
            delete(&folder.join(&name))?;
        }
    }
    Ok(())
}

fn names(folder: &Path) -> Result<Vec<String>, DriverError> {
    let entries = std::fs::read_dir(folder).map_err(DriverError::io("list", folder))?;
    entries
        .map(|entry| {
            Ok(entry.map_err(DriverError::io("list", folder))?.file_name().to_string_lossy().into_owned())
        })
        .collect()
}
