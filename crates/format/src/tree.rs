//! File trees: directory entries, and files that have more runs than fit into their entry.

mod entry;

pub use entry::{Entry, EntryContent, EntryKind, Time, Xattr};

use crate::{
    ChunkId, ChunkRef, FormatError, Location, NodeId, NodeRef, Run,
    bytes::{Put, Reader},
    hint::Hints,
};

/// Files up to this size stand in their directory entry.
pub const INLINE_BYTES_MAX: usize = 512;
/// Runs that an entry holds itself; a file with more has nodes of its own.
pub const RUNS_PER_ENTRY_MAX: usize = 64;
/// Runs of one node of a file.
pub const RUNS_PER_NODE_MAX: usize = 4096;
/// Longest name of an entry. Linux allows 255 bytes.
pub const NAME_BYTES_MAX: usize = 4096;
/// Largest plaintext of a chunk.
pub const CHUNK_BYTES_MAX: u32 = 16 << 20;
/// Deepest chain of index nodes above the nodes of one directory or file.
pub const INDEX_DEPTH_MAX: usize = 16;

/// A directory, or a part of one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Directory {
    /// Entries in ascending order of their names' bytes, without duplicates.
    pub entries: Vec<Entry>,
}

impl Directory {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.entries.len() as u32);
        self.entries.iter().for_each(|entry| entry.encode(out));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, hints: &mut Hints) -> Result<Self, FormatError> {
        let count = reader.count(usize::MAX, Entry::BYTES_MIN)?;
        let mut entries: Vec<Entry> = Vec::new();
        for _ in 0..count {
            let entry = Entry::decode(reader, hints)?;
            if entries.last().is_some_and(|last| last.name >= entry.name) {
                return Err(reader.invalid("entries of a directory out of order"));
            }
            entries.push(entry);
        }
        Ok(Self { entries })
    }

    pub(crate) fn references(&self) -> Vec<([u8; 32], Location)> {
        let mut out = Vec::new();
        self.entries.iter().for_each(|entry| entry.references(&mut out));
        out
    }
}

/// A part of a large directory.
#[derive(Debug, Clone, PartialEq)]
pub struct DirectoryPart {
    /// The first name under the part.
    pub first_name: Vec<u8>,
    /// The part: a directory node or another index node.
    pub node: NodeRef,
}

/// The parts of a large directory, in the order of names.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DirectoryIndex {
    /// The parts.
    pub parts: Vec<DirectoryPart>,
}

impl DirectoryIndex {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.parts.len() as u32);
        for part in &self.parts {
            out.put_u16(part.first_name.len() as u16);
            out.put(&part.first_name);
            out.put(&part.node.id.0);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, hints: &mut Hints) -> Result<Self, FormatError> {
        let count = reader.count(usize::MAX, 35)?;
        let mut parts: Vec<DirectoryPart> = Vec::new();
        for _ in 0..count {
            let first_name = entry::name(reader)?;
            if parts.last().is_some_and(|last| last.first_name >= first_name) {
                return Err(reader.invalid("parts of a directory out of order"));
            }
            let node = NodeRef { id: NodeId(reader.array()?), location: hints.take()? };
            parts.push(DirectoryPart { first_name, node });
        }
        Ok(Self { parts })
    }
}

/// Runs of a file, or of a part of one.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileRuns {
    /// The runs in file order.
    pub runs: Vec<Run>,
}

impl FileRuns {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        encode_runs(&self.runs, out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, hints: &mut Hints) -> Result<Self, FormatError> {
        Ok(Self { runs: decode_runs(reader, hints, RUNS_PER_NODE_MAX)? })
    }
}

/// A part of a file's runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FilePart {
    /// Bytes of the file under the part.
    pub length_bytes: u64,
    /// The part: a node of runs or another index node.
    pub node: NodeRef,
}

/// The parts of a file's runs, in file order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FileIndex {
    /// The parts.
    pub parts: Vec<FilePart>,
}

impl FileIndex {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.parts.len() as u32);
        for part in &self.parts {
            out.put_u64(part.length_bytes);
            out.put(&part.node.id.0);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, hints: &mut Hints) -> Result<Self, FormatError> {
        let count = reader.count(RUNS_PER_NODE_MAX, 40)?;
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            let length_bytes = reader.u64()?;
            parts.push(FilePart {
                length_bytes,
                node: NodeRef { id: NodeId(reader.array()?), location: hints.take()? },
            });
        }
        Ok(Self { parts })
    }
}

fn encode_runs(runs: &[Run], out: &mut Vec<u8>) {
    out.put_u32(runs.len() as u32);
    for run in runs {
        match run {
            Run::Hole { length_bytes } => {
                out.put_u8(0);
                out.put_u64(*length_bytes);
            }
            Run::Chunk(chunk) => {
                out.put_u8(1);
                out.put_u32(chunk.length_bytes);
                out.put(&chunk.id.0);
            }
        }
    }
}

fn decode_runs(reader: &mut Reader<'_>, hints: &mut Hints, limit: usize) -> Result<Vec<Run>, FormatError> {
    let count = reader.count(limit, 9)?;
    let mut runs = Vec::with_capacity(count);
    for _ in 0..count {
        let run = match reader.u8()? {
            0 => Run::Hole { length_bytes: reader.u64()? },
            1 => {
                let length_bytes = reader.u32()?;
                if length_bytes > CHUNK_BYTES_MAX {
                    return Err(reader.invalid("a chunk above the limit"));
                }
                Run::Chunk(ChunkRef { id: ChunkId(reader.array()?), length_bytes, location: hints.take()? })
            }
            _ => return Err(reader.invalid("unknown kind of run")),
        };
        if run.length_bytes() == 0 {
            return Err(reader.invalid("an empty run"));
        }
        runs.push(run);
    }
    Ok(runs)
}
