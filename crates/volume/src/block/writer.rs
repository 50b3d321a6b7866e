//! Writing a device or an image, from many threads at once.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FileType, Mode, OFlags, fallocate, fstat, fsync, ftruncate, open};
use rustix::io::Errno;

use super::reader::retry;
use super::{Medium, inspect};
use crate::VolumeError;

static ZEROS: [u8; 256 * 1024] = [0; 256 * 1024];

/// A block device or disk image opened for a restore.
///
/// A device is opened exclusively: the kernel refuses one that is mounted or part of a volume group, so that a restore never
/// writes under a live file system.
pub struct BlockWriter {
    path: PathBuf,
    file: File,
    medium: Medium,
    size: u64,
    known_empty: bool,
}

impl BlockWriter {
    /// Opens `path` for `needed_bytes` of content. A device must be at least that large, else [`VolumeError::TooSmall`] and
    /// not a byte is written. An image file is created when it is missing and gets exactly that size.
    pub fn open(path: &Path, needed_bytes: u64) -> Result<Self, VolumeError> {
        match open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Self::open_existing(path, fd.into(), needed_bytes),
            Err(Errno::NOENT) => Self::create_image(path, needed_bytes),
            Err(errno) => Err(VolumeError::open(path)(errno)),
        }
    }

    fn open_existing(path: &Path, file: File, needed_bytes: u64) -> Result<Self, VolumeError> {
        let status = fstat(&file).map_err(VolumeError::stat(path))?;
        let file = if FileType::from_raw_mode(status.st_mode) == FileType::BlockDevice {
            let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::EXCL;
            File::from(open(path, flags, Mode::empty()).map_err(VolumeError::open(path))?)
        } else {
            file
        };
        let (medium, size) = inspect(&file, path)?;
        if medium == Medium::Device && size < needed_bytes {
            return Err(VolumeError::TooSmall { path: path.into(), needed_bytes, found_bytes: size });
        }
        if medium == Medium::Image && size != needed_bytes {
            ftruncate(&file, needed_bytes).map_err(VolumeError::resize(path))?;
        }
        let known_empty = medium == Medium::Image && size == 0;
        Ok(Self { path: path.into(), file, medium, size: needed_bytes, known_empty })
    }

    fn create_image(path: &Path, size: u64) -> Result<Self, VolumeError> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::CREATE | OFlags::EXCL;
        let file: File =
            open(path, flags, Mode::from_raw_mode(0o600)).map_err(VolumeError::create(path))?.into();
        ftruncate(&file, size).map_err(VolumeError::resize(path))?;
        Ok(Self { path: path.into(), file, medium: Medium::Image, size, known_empty: true })
    }

    /// Size of the content in bytes; a device may be larger.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// True when everything is known to read as zeros, because this call made the file.
    pub fn is_known_empty(&self) -> bool {
        self.known_empty
    }

    /// Fills `buffer` with what the target holds from `offset` on; past the end it reads zeros.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), VolumeError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            let count = retry(|| rustix::io::pread(&self.file, &mut *rest, offset + filled as u64))
                .map_err(VolumeError::read(&self.path))?;
            if count == 0 {
                rest.fill(0);
                break;
            }
            filled += count;
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset`; bytes past [`Self::size`] are the padding of the last block and are left out.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), VolumeError> {
        let present =
            usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes.len());
        write_all(&self.file, offset, &bytes[..present]).map_err(VolumeError::write(&self.path))
    }

    /// Makes `length` bytes from `offset` read as zeros: a hole in an image, `BLKZEROOUT` (through fallocate) on a device,
    /// plain zeros where neither works.
    pub fn zero(&self, offset: u64, length: u64) -> Result<(), VolumeError> {
        let length = length.min(self.size.saturating_sub(offset));
        if length == 0 {
            return Ok(());
        }
        zero_range(&self.file, self.medium == Medium::Image, offset, length)
            .map_err(VolumeError::zero(&self.path))
    }

    /// The next range from `offset` on that may hold something else than zeros, as [`crate::BlockReader::next_data`].
    pub fn next_data(&self, offset: u64, end: u64) -> Result<Option<std::ops::Range<u64>>, VolumeError> {
        let end = end.min(self.size);
        if offset >= end {
            return Ok(None);
        }
        if self.medium == Medium::Device {
            return Ok(Some(offset..end));
        }
        super::reader::next_data(&self.file, offset, end).map_err(VolumeError::read(&self.path))
    }

    /// Returns when every byte is durable.
    pub fn sync(&self) -> Result<(), VolumeError> {
        fsync(&self.file).map_err(VolumeError::sync(&self.path))
    }
}

pub(crate) fn write_all(file: &File, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
    let mut written = 0;
    while written < bytes.len() {
        let count = retry(|| rustix::io::pwrite(file, &bytes[written..], offset + written as u64))?;
        if count == 0 {
            return Err(Errno::IO);
        }
        written += count;
    }
    Ok(())
}

pub(crate) fn zero_range(file: &File, punch: bool, offset: u64, length: u64) -> Result<(), Errno> {
    let punched = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if punch && retry(|| fallocate(file, punched, offset, length)).is_ok() {
        return Ok(());
    }
    let zeroed = FallocateFlags::ZERO_RANGE | FallocateFlags::KEEP_SIZE;
    if retry(|| fallocate(file, zeroed, offset, length)).is_ok() {
        return Ok(());
    }
    let mut at = offset;
    let end = offset + length;
    while at < end {
        let count = usize::try_from(end - at).unwrap_or(usize::MAX).min(ZEROS.len());
        write_all(file, at, &ZEROS[..count])?;
        at += count as u64;
    }
    Ok(())
}
