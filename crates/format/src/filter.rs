//! A Bloom filter over ids.
//!
//! Ids are keyed hashes, hence already uniform: their own bits serve as the hash functions. 24 bits an id and 16 probes
//! give one false positive in 100,000. So few are needed because a lookup asks every segment: a long backup has a thousand
//! of them, and each false positive costs a request. A binary fuse filter would be smaller, but its construction can fail
//! and its layout takes pages to specify; this one is three lines in `docs/format.md`.

use crate::{FormatError, bytes::Put};

/// Bits per id.
pub const BITS_PER_ID: u64 = 24;
/// Probes per lookup.
pub const PROBES: u64 = 16;

/// A set of ids that may answer "perhaps" for an id that it does not hold, never "no" for one that it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    words: Vec<u64>,
}

impl Filter {
    /// A filter of `ids`.
    pub fn build<'a>(ids: impl ExactSizeIterator<Item = &'a [u8; 32]>) -> Self {
        let words = (ids.len() as u64 * BITS_PER_ID).div_ceil(64).max(1);
        let mut filter = Self { words: vec![0; words as usize] };
        for id in ids {
            for bit in filter.bits(id) {
                filter.words[(bit / 64) as usize] |= 1 << (bit % 64);
            }
        }
        filter
    }

    /// Whether the set may hold `id`.
    pub fn may_hold(&self, id: &[u8; 32]) -> bool {
        self.bits(id).all(|bit| self.words[(bit / 64) as usize] & (1 << (bit % 64)) != 0)
    }

    /// Bytes in memory and in the segment.
    pub fn size_bytes(&self) -> usize {
        self.words.len() * 8
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        self.words.iter().for_each(|word| out.put_u64(*word));
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(8) {
            return Err(FormatError::Invalid { what: "index filter", why: "length" });
        }
        let (chunks, _) = bytes.as_chunks::<8>();
        Ok(Self { words: chunks.iter().map(|word| u64::from_le_bytes(*word)).collect() })
    }

    fn bits(&self, id: &[u8; 32]) -> impl Iterator<Item = u64> + use<> {
        let word = |at: usize| {
            let mut bytes = [0u8; 8];
            bytes.copy_from_slice(&id[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let (first, step) = (word(16), word(24) | 1);
        let count = self.words.len() as u64 * 64;
        (0..PROBES).map(move |probe| first.wrapping_add(probe.wrapping_mul(step)) % count)
    }
}
