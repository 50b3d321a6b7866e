//! Durable bytes of a repository: names, packs, index, map, file tree, snapshot record.
//!
//! Owns every byte layout of `docs/format.md`, with its limits: encoding and decoding, nothing else. Decoders read
//! bytes that a stranger may have written; they never panic and never allocate more than their input justifies.
//! Must not know: encryption, stores, files, clocks. First type to read: [`node::Node`]; first module: [`names`].

pub mod bytes;
pub mod checkpoint;
pub mod config;
pub mod damage;
mod error;
pub mod header;
pub mod hint;
pub mod ids;
pub mod index;
mod json;
pub mod keyset;
pub mod map;
pub mod names;
pub mod node;
pub mod pack;
pub mod prune;
pub mod sealed;
pub mod session;
pub mod slot;
pub mod snapshot;
pub mod tree;

pub use error::{Class, FormatError};
pub use hint::{ChunkRef, Location, NodeRef, Place, Run};
pub use ids::{
    ChunkId, Digest, FrameId, NodeId, PackId, RepositoryId, RunId, SegmentId, SessionId, SlotId, SourceId,
};

/// The version of the repository format that this build writes.
pub const FORMAT_VERSION: u16 = 1;
