//! One regular file of a target.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;

use rustix::fs::{fsync, ftruncate};

use crate::VolumeError;
use crate::block::{next_data, retry, write_all, zero_range};

/// A regular file opened for a restore.
pub struct FileTarget {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) size: u64,
}

/// How a file was found.
pub enum OpenedFile {
    /// It did not exist: it reads as zeros everywhere.
    New(FileTarget),
    /// It existed and keeps its bytes, so that what is right already need not be written.
    Existing(FileTarget),
}

impl FileTarget {
    pub(super) fn set_size(&self) -> Result<(), VolumeError> {
        ftruncate(&self.file, self.size).map_err(VolumeError::resize(&self.path))
    }

    /// Length in bytes, as the snapshot has it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Writes all of `bytes` at `offset`.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), VolumeError> {
        write_all(&self.file, offset, bytes).map_err(VolumeError::write(&self.path))
    }

    /// Fills `buffer` with what the file holds from `offset` on; past its end it reads zeros.
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

    /// Turns `length` bytes from `offset` on into a hole.
    pub fn zero(&self, offset: u64, length: u64) -> Result<(), VolumeError> {
        let length = length.min(self.size.saturating_sub(offset));
        if length == 0 {
            return Ok(());
        }
        zero_range(&self.file, true, offset, length).map_err(VolumeError::zero(&self.path))
    }

    /// The next range from `offset` on that may hold something else than zeros.
    pub fn next_data(&self, offset: u64, end: u64) -> Result<Option<Range<u64>>, VolumeError> {
        let end = end.min(self.size);
        if offset >= end {
            return Ok(None);
        }
        next_data(&self.file, offset, end).map_err(VolumeError::read(&self.path))
    }

    /// Returns when the bytes are durable.
    pub fn sync(&self) -> Result<(), VolumeError> {
        fsync(&self.file).map_err(VolumeError::sync(&self.path))
    }
}
