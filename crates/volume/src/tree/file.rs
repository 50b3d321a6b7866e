//! The bytes of one regular file.

use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::path::PathBuf;

use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::Errno;

use super::Metadata;
use crate::VolumeError;
use crate::block::{next_data, retry};

/// A regular file opened for a backup; it remembers how the file looked when it was opened.
pub struct FileReader {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) metadata: Metadata,
}

impl FileReader {
    /// Status at the moment of opening.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The next range at or after `offset` that may hold data; `None` when the rest is one hole. A file that the file system
    /// stores whole is one range.
    pub fn next_data(&self, offset: u64) -> Result<Option<Range<u64>>, VolumeError> {
        let end = self.metadata.size;
        if offset >= end {
            return Ok(None);
        }
        if self.metadata.allocated_bytes >= end {
            return Ok(Some(offset..end));
        }
        next_data(&self.file, offset, end).map_err(VolumeError::read(&self.path))
    }

    /// Fills `buffer` from `offset` on. A file that became shorter is [`VolumeError::Changed`].
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), VolumeError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            let count = retry(|| self.read_some(offset + filled as u64, &mut *rest))
                .map_err(VolumeError::read(&self.path))?;
            if count == 0 {
                return Err(VolumeError::Changed { path: self.path.clone() });
            }
            filled += count;
        }
        Ok(())
    }

    fn read_some(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        rustix::io::preadv(&self.file, &mut [IoSliceMut::new(buffer)], offset)
    }

    /// Fails with [`VolumeError::Changed`] when the file was written since it was opened.
    pub fn check_unchanged(&self) -> Result<(), VolumeError> {
        let now = statx(&self.file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
            .map_err(VolumeError::stat(&self.path))?;
        if self.metadata.is_same_content(&Metadata::from_statx(&now)) {
            Ok(())
        } else {
            Err(VolumeError::Changed { path: self.path.clone() })
        }
    }
}
