//! Cuts: where they are for ever, and that every way of finding them finds the same ones.

// Helpers of tests fail by panicking, like tests themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod files;
mod resync;
mod volumes;

use longshore_splitter::{BLOCK_BYTES, ChunkSizes, CutPrf, VolumeSplitter};
use std::sync::Arc;

/// A PRF for tests; the real one lives in `crypto`, with golden values of its own.
struct HashPrf;

impl CutPrf for HashPrf {
    fn value(&self, block: &[u8]) -> u64 {
        u64::from_le_bytes(blake3::hash(block).as_bytes()[..8].try_into().unwrap())
    }
}

fn splitter(sizes: ChunkSizes) -> VolumeSplitter {
    VolumeSplitter::new(Arc::new(HashPrf), sizes)
}

/// Pseudorandom bytes, the same for the same seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut out = vec![0u8; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// Blocks that are zero where the shape says so.
fn shaped(shape: &[(bool, usize)], seed: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, (zero, blocks)) in shape.iter().enumerate() {
        let length = blocks * BLOCK_BYTES;
        out.extend(if *zero { vec![0; length] } else { noise(seed * 1000 + at as u64, length) });
    }
    out
}
