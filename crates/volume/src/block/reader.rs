//! Reading a device or an image, from many threads at once.

use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Advice, Mode, OFlags, SeekFrom, fadvise, open, seek};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::{Medium, inspect};
use crate::{ALIGNMENT_BYTES, VolumeError};

/// A block device or disk image opened for reading.
///
/// Devices are read with `O_DIRECT`, so that a backup does not throw the node's page cache away. Images are read through the
/// cache, because what is cached already should not be fetched again; pages that only this read brought in are dropped.
pub struct BlockReader {
    path: PathBuf,
    file: File,
    direct: Option<File>,
    direct_refused: AtomicBool,
    medium: Medium,
    size: u64,
}

impl BlockReader {
    /// Opens `path`, which must be a block device or a regular file.
    pub fn open(path: &Path) -> Result<Self, VolumeError> {
        let file: File = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(VolumeError::open(path))?
            .into();
        let (medium, size) = inspect(&file, path)?;
        let direct = match medium {
            Medium::Device => open(path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECT, Mode::empty())
                .ok()
                .map(File::from),
            Medium::Image => None,
        };
        Ok(Self { path: path.into(), file, direct, direct_refused: AtomicBool::new(false), medium, size })
    }

    /// Size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// True for a block device, false for an image file.
    pub fn is_device(&self) -> bool {
        self.medium == Medium::Device
    }

    /// Fills `buffer` with the bytes from `offset` on. What lies past the end of the volume reads as zeros; a volume that
    /// shrank since it was opened is an error.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), VolumeError> {
        let present =
            usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX).min(buffer.len());
        let (wanted, past_end) = buffer.split_at_mut(present);
        past_end.fill(0);
        let mut filled = 0;
        while filled < wanted.len() {
            let at = offset + filled as u64;
            let count = self.read_some(at, &mut wanted[filled..]).map_err(VolumeError::read(&self.path))?;
            if count == 0 {
                return Err(VolumeError::Changed { path: self.path.clone() });
            }
            filled += count;
        }
        Ok(())
    }

    fn read_some(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        if let Some(direct) = &self.direct
            && !self.direct_refused.load(Ordering::Relaxed)
            && is_aligned(offset, buffer)
        {
            match retry(|| rustix::io::pread(direct, &mut *buffer, offset)) {
                Err(Errno::INVAL) => self.direct_refused.store(true, Ordering::Relaxed),
                done => return done,
            }
        }
        self.read_through_cache(offset, buffer)
    }

    fn read_through_cache(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        let cached =
            preadv2(&self.file, &mut [IoSliceMut::new(&mut *buffer)], offset, ReadWriteFlags::NOWAIT)
                .unwrap_or(0);
        if cached == buffer.len() {
            return Ok(cached);
        }
        let count = retry(|| rustix::io::pread(&self.file, &mut *buffer, offset))?;
        if let Some(length) = std::num::NonZeroU64::new(count as u64) {
            let _advice_is_optional = fadvise(&self.file, offset, Some(length), Advice::DontNeed);
        }
        Ok(count)
    }

    /// The next range at or after `offset` and before `end` that may hold something else than zeros; `None` when the rest
    /// is one hole. A device knows no holes: its whole rest is one range. Both ends are multiples of [`ALIGNMENT_BYTES`] when
    /// `offset` and `end` are; the last range may end past the volume.
    pub fn next_data(&self, offset: u64, end: u64) -> Result<Option<Range<u64>>, VolumeError> {
        if offset >= end.min(self.size) {
            return Ok(None);
        }
        if self.is_device() {
            return Ok(Some(offset..end));
        }
        let found =
            next_data(&self.file, offset, end.min(self.size)).map_err(VolumeError::read(&self.path))?;
        let block = ALIGNMENT_BYTES as u64;
        Ok(found
            .map(|data| (data.start / block * block).max(offset)..data.end.next_multiple_of(block).min(end)))
    }
}

/// Asks the file system for the next data range. File systems without holes answer with the whole rest.
pub(crate) fn next_data(file: &File, offset: u64, end: u64) -> Result<Option<Range<u64>>, Errno> {
    let start = match seek(file, SeekFrom::Data(offset)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(offset..end)),
        Err(errno) => return Err(errno),
    };
    if start >= end {
        return Ok(None);
    }
    let hole = match seek(file, SeekFrom::Hole(start)) {
        Ok(hole) => hole,
        Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => end,
        Err(errno) => return Err(errno),
    };
    Ok(Some(start..hole.min(end)))
}

/// Repeats a call that a signal interrupted.
pub(crate) fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}

fn is_aligned(offset: u64, buffer: &[u8]) -> bool {
    offset.is_multiple_of(ALIGNMENT_BYTES as u64)
        && buffer.len().is_multiple_of(512)
        && (buffer.as_ptr() as usize).is_multiple_of(512)
}
