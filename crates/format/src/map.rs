//! The map of a volume: leaves of 64 MiB spans, interior nodes of radix 256.

use crate::{
    ChunkId, ChunkRef, FormatError, Location, NodeId, NodeRef, Run,
    bytes::{Put, Reader},
    hint::Hints,
};

/// The part of a volume that one leaf maps. Chunks never cross it.
pub const SPAN_BYTES: u64 = 64 << 20;
/// All offsets and lengths in a volume map are multiples of this.
pub const BLOCK_BYTES: u64 = 4096;
/// Children of an interior node.
pub const RADIX: u64 = 256;
/// Largest height of a map: 64 MiB * 256^5 is beyond any device.
pub const HEIGHT_MAX: u8 = 5;

/// How the volume was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Profile {
    /// Keyed cuts at 4 KiB boundaries.
    A4k,
}

impl Profile {
    fn code(self) -> u8 {
        match self {
            Self::A4k => 1,
        }
    }
}

/// The runs of one span, in address order, without gaps.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeLeaf {
    /// How the span was cut.
    pub profile: Profile,
    /// The runs. Two holes never touch.
    pub runs: Vec<Run>,
}

impl VolumeLeaf {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(self.profile.code());
        out.put_u8(0);
        out.put_u32(self.runs.len() as u32);
        for run in &self.runs {
            out.put_u16((run.length_bytes() / BLOCK_BYTES) as u16);
            out.put_u8(u8::from(matches!(run, Run::Chunk(_))));
        }
        for run in &self.runs {
            if let Run::Chunk(chunk) = run {
                out.put(&chunk.id.0);
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, hints: &mut Hints) -> Result<Self, FormatError> {
        if reader.u8()? != Profile::A4k.code() {
            return Err(reader.invalid("unknown profile of a volume leaf"));
        }
        reader.reserved(1)?;
        let count = reader.count((SPAN_BYTES / BLOCK_BYTES) as usize, 3)?;
        let mut shapes = Vec::with_capacity(count);
        let (mut blocks, mut after_hole) = (0u64, false);
        for _ in 0..count {
            let (length_blocks, kind) = (reader.u16()?, reader.u8()?);
            blocks += u64::from(length_blocks);
            if length_blocks == 0 || kind > 1 || (kind == 0 && after_hole) {
                return Err(reader.invalid("a run of a volume leaf"));
            }
            after_hole = kind == 0;
            shapes.push((length_blocks, kind));
        }
        if blocks * BLOCK_BYTES > SPAN_BYTES {
            return Err(reader.invalid("runs longer than a span"));
        }
        let mut runs = Vec::with_capacity(count);
        for (length_blocks, kind) in shapes {
            let length_bytes = u32::from(length_blocks) * BLOCK_BYTES as u32;
            runs.push(if kind == 0 {
                Run::Hole { length_bytes: length_bytes.into() }
            } else {
                Run::Chunk(ChunkRef { id: ChunkId(reader.array()?), length_bytes, location: hints.take()? })
            });
        }
        Ok(Self { profile: Profile::A4k, runs })
    }
}

pub(crate) fn run_references(runs: &[Run]) -> Vec<([u8; 32], Location)> {
    runs.iter()
        .filter_map(|run| match run {
            Run::Hole { .. } => None,
            Run::Chunk(chunk) => Some((chunk.id.0, chunk.location)),
        })
        .collect()
}

/// A child of an interior node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VolumeChild {
    /// Which of the 256 parts of the node it maps.
    pub slot: u8,
    /// Bytes of data (not holes) under it.
    pub data_bytes: u64,
    /// The child.
    pub node: NodeRef,
}

/// An interior node. An absent child is a hole.
#[derive(Debug, Clone, PartialEq)]
pub struct VolumeInterior {
    /// The level: 1 is above leaves.
    pub level: u8,
    /// Children in the order of their slots.
    pub children: Vec<VolumeChild>,
}

impl VolumeInterior {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(self.level);
        out.put_u32(self.children.len() as u32);
        for child in &self.children {
            out.put_u8(child.slot);
            out.put_u64(child.data_bytes);
            out.put(&child.node.id.0);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, hints: &mut Hints) -> Result<Self, FormatError> {
        let level = reader.u8()?;
        if level == 0 || level > HEIGHT_MAX {
            return Err(reader.invalid("level of a volume map node"));
        }
        let count = reader.count(RADIX as usize, 41)?;
        let mut children: Vec<VolumeChild> = Vec::with_capacity(count);
        for _ in 0..count {
            let (slot, data_bytes) = (reader.u8()?, reader.u64()?);
            if children.last().is_some_and(|last| last.slot >= slot) {
                return Err(reader.invalid("children of a volume map node out of order"));
            }
            let node = NodeRef { id: NodeId(reader.array()?), location: hints.take()? };
            children.push(VolumeChild { slot, data_bytes, node });
        }
        Ok(Self { level, children })
    }
}

/// How many spans a volume of this size has.
pub fn span_count(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(SPAN_BYTES)
}

/// The length of a span of a volume, with the last block of an odd size filled up.
pub fn span_length_bytes(size_bytes: u64, span: u64) -> u64 {
    let start = span.saturating_mul(SPAN_BYTES).min(size_bytes);
    (size_bytes - start).min(SPAN_BYTES).div_ceil(BLOCK_BYTES) * BLOCK_BYTES
}

/// The height of the map of a volume of this size: 0 if its root is a leaf.
pub fn height(size_bytes: u64) -> u8 {
    let (mut height, mut spans) = (0, 1u64);
    while spans < span_count(size_bytes) {
        spans = spans.saturating_mul(RADIX);
        height += 1;
    }
    height
}
