use crate::ChunkSizes;
use fastcdc::v2020::{Normalization, cut_gear, select_masks};
use std::sync::Arc;

/// The secret table of a [`FileSplitter`]: 256 numbers derived from the repository's key.
#[derive(Clone)]
pub struct GearTable {
    gear: Box<[u64; 256]>,
    shifted: Box<[u64; 256]>,
}

impl GearTable {
    /// A table of 2 KiB of pseudorandom bytes.
    pub fn from_bytes(bytes: &[u8; 2048]) -> Self {
        let mut gear = Box::new([0u64; 256]);
        let mut shifted = Box::new([0u64; 256]);
        let (words, _) = bytes.as_chunks::<8>();
        for (at, word) in words.iter().enumerate() {
            gear[at] = u64::from_le_bytes(*word);
            shifted[at] = gear[at] << 1;
        }
        Self { gear, shifted }
    }
}

impl std::fmt::Debug for GearTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GearTable(..)")
    }
}

/// Cuts files (profile FCDC).
#[derive(Debug, Clone)]
pub struct FileSplitter {
    table: Arc<GearTable>,
    sizes: ChunkSizes,
    mask_before_average: u64,
    mask_after_average: u64,
}

impl FileSplitter {
    /// A splitter with the cuts of a secret table.
    pub fn new(table: GearTable, sizes: ChunkSizes) -> Self {
        let (mask_before_average, mask_after_average) = select_masks(sizes.average, Normalization::Level1);
        Self { table: Arc::new(table), sizes, mask_before_average, mask_after_average }
    }

    /// The sizes of chunks.
    pub fn sizes(&self) -> ChunkSizes {
        self.sizes
    }

    /// The length of the first chunk of `window`, which begins at a cut. Files of at most the average size are one chunk.
    ///
    /// `at_start`: the window begins at the start of the file. `at_end`: it reaches the file's end. Returns `None` if
    /// more bytes must be seen first; never so at the end, nor for a window of `sizes().most`.
    pub fn next_chunk(&self, window: &[u8], at_start: bool, at_end: bool) -> Option<usize> {
        if window.is_empty() || (!at_end && window.len() < self.sizes.most) {
            return None;
        }
        if at_start && at_end && window.len() <= self.sizes.average {
            return Some(window.len());
        }
        let (_, length) = cut_gear(
            window,
            self.sizes.least,
            self.sizes.average,
            self.sizes.most,
            self.mask_before_average,
            self.mask_after_average,
            self.mask_before_average << 1,
            self.mask_after_average << 1,
            &self.table.gear[..],
            &self.table.shifted[..],
        );
        Some(length)
    }
}
