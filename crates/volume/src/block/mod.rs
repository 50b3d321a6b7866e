//! Block devices and disk images as flat ranges of bytes.

mod reader;
mod writer;

pub use reader::BlockReader;
pub(crate) use reader::{next_data, retry};
pub use writer::BlockWriter;
pub(crate) use writer::{write_all, zero_range};

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;

use rustix::fs::{FileType, fstat};

use crate::VolumeError;

/// What lies behind the path of a block source or target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    Device,
    Image,
}

/// Tells device from image and finds the size: seeking to the end of a block device answers what `BLKGETSIZE64` does.
fn inspect(file: &File, path: &Path) -> Result<(Medium, u64), VolumeError> {
    let status = fstat(file).map_err(VolumeError::stat(path))?;
    let medium = match FileType::from_raw_mode(status.st_mode) {
        FileType::BlockDevice => Medium::Device,
        FileType::RegularFile => Medium::Image,
        _ => return Err(VolumeError::NotAVolume { path: path.into() }),
    };
    let mut seeker = file;
    let size =
        seeker.seek(SeekFrom::End(0)).map_err(|source| VolumeError::Stat { path: path.into(), source })?;
    Ok((medium, size))
}
