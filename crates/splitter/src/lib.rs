//! Content-defined splitting of volumes and files: where chunks begin and end.
//!
//! Owns the two profiles of `docs/format.md`: [`VolumeSplitter`] (A4K: keyed cuts at 4 KiB boundaries, zero runs become
//! holes) and [`FileSplitter`] (FCDC: FastCDC with a secret gear table). Equal content under equal keys is cut equally,
//! whoever cuts it and in whatever portions it is read. Must not know: files, devices, hashes of chunks, stores.
//! First type to read: [`VolumeSplitter`].

mod file;
mod resync;
mod volume;

pub use file::{FileSplitter, GearTable};
pub use resync::{Kept, ReadSpan, Step};
pub use volume::{Piece, PieceKind, VolumeSplitter};

/// The unit of a volume's cuts.
pub const BLOCK_BYTES: usize = 4096;
/// A run of zeros of at least this length is a hole.
pub const HOLE_BYTES_MIN: usize = 64 << 10;

/// A keyed pseudorandom function over a block: decides where to cut, and tells a stranger nothing about the content.
pub trait CutPrf: Send + Sync {
    /// The value of a block of [`BLOCK_BYTES`].
    fn value(&self, block: &[u8]) -> u64;
}

/// Sizes of chunks, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSizes {
    /// No chunk is shorter, but the last before a hole or an end.
    pub least: usize,
    /// The size around which chunks lie; a power of two.
    pub average: usize,
    /// No chunk is longer.
    pub most: usize,
}

impl ChunkSizes {
    /// 32 KiB, 128 KiB, 512 KiB: measured best between incremental cost and index size (docs/format.md).
    pub const STANDARD: Self = Self { least: 32 << 10, average: 128 << 10, most: 512 << 10 };
}
