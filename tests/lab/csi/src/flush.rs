//! Bringing what a live volume's users have written into its image, before that is cloned.

use std::fs::File;
use std::path::Path;

use crate::error::DriverError;
use crate::loop_device::{self, LOOP_MAJOR};
use crate::mounts;

/// Writes out the file system on the image's device, or the device itself if none is mounted here. What is written while
/// this runs may or may not be in a clone made next: the clone is as after a crash, with everything of before the call.
pub fn flush(image: &Path) -> Result<(), DriverError> {
    let Some(device) = loop_device::find(image)? else { return Ok(()) };
    let mounted = mounts::all()?.into_iter().find(|mount| mount.device == (LOOP_MAJOR, device.number));
    if let Some(mount) = mounted {
        // The volume may be unmounted right now; then it has been written out.
        if let Ok(folder) = File::open(&mount.point) {
            return rustix::fs::syncfs(&folder).map_err(DriverError::io("write out", mount.point));
        }
    }
    let path = device.path();
    File::open(&path).and_then(|device| device.sync_all()).map_err(DriverError::io("write out", path))
}
