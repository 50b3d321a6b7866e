//! The part of a volume that a worker looks at: read in large aligned pieces, given out from its front.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use longshore_volume::{AlignedBuffer, BlockReader};

use crate::MoverError;

/// Bytes that the window holds.
const WINDOW_BYTES: usize = 4 << 20;
/// Bytes of one read.
const READ_BYTES: usize = 1 << 20;

/// A window onto one span. All positions are multiples of 4 KiB.
pub(super) struct Window {
    buffer: AlignedBuffer,
    /// The held bytes within the buffer; the first of them lies at `at` in the volume.
    held: Range<usize>,
    /// Where the span begins.
    pub(super) start: u64,
    /// Where the span ends, the last block of an odd size filled up.
    pub(super) end: u64,
    /// Where the worker is.
    pub(super) at: u64,
    /// The range of data that the volume named last; between `at` and its start lies a hole.
    data: Option<Range<u64>>,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { buffer: AlignedBuffer::new(WINDOW_BYTES), held: 0..0, start: 0, end: 0, at: 0, data: None }
    }

    /// Turns to the span from `start` to `end`.
    pub(super) fn begin(&mut self, start: u64, end: u64) {
        (self.held, self.start, self.end, self.at, self.data) = (0..0, start, end, start, None);
    }

    /// Goes on by `length` bytes.
    pub(super) fn skip(&mut self, length: u64) {
        self.at += length;
        let held = (self.held.end - self.held.start) as u64;
        self.held.start += length.min(held) as usize;
    }

    /// Length of the hole at the worker's place, as far as the file system knows of one.
    pub(super) fn known_hole(&mut self, source: &BlockReader) -> Result<u64, MoverError> {
        if self.data.as_ref().is_none_or(|data| data.end <= self.at) {
            let next = source.next_data(self.at, self.end).map_err(MoverError::Source)?;
            self.data = Some(next.unwrap_or(self.end..self.end));
        }
        Ok(self.data.as_ref().map_or(0, |data| data.start.saturating_sub(self.at)))
    }

    /// At least `wanted` bytes from the worker's place on, fewer only at the end of the span; and whether the end is among them.
    pub(super) fn fill(
        &mut self,
        source: &BlockReader,
        wanted: usize,
        read_bytes: &AtomicU64,
    ) -> Result<(&[u8], bool), MoverError> {
        let rest = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        while self.held.len() < wanted.min(rest) {
            if self.held.end + READ_BYTES > self.buffer.len() {
                self.buffer.copy_within(self.held.clone(), 0);
                self.held = 0..self.held.len();
            }
            let from = self.at + self.held.len() as u64;
            let count = usize::try_from(self.end - from).unwrap_or(usize::MAX).min(READ_BYTES);
            let free = self.held.end..self.held.end + count;
            source.read_at(from, &mut self.buffer[free]).map_err(MoverError::Source)?;
            read_bytes.fetch_add(count as u64, Ordering::Relaxed);
            self.held.end += count;
        }
        let at_end = self.held.len() == rest;
        Ok((&self.buffer[self.held.clone()], at_end))
    }

    /// Exactly `length` bytes from the worker's place on.
    pub(super) fn read(
        &mut self,
        source: &BlockReader,
        length: usize,
        read_bytes: &AtomicU64,
    ) -> Result<&[u8], MoverError> {
        let (bytes, _) = self.fill(source, length, read_bytes)?;
        bytes.get(..length).ok_or(MoverError::Broken)
    }
}
