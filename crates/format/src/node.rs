//! Nodes of volume maps and file trees: a canonical part, which the id covers, and hints, which it does not.

use crate::{
    FormatError, Location, NodeRef, PackId,
    bytes::{Put, Reader},
    hint::{HintPlace, Hints, encode_hints},
    map::{VolumeInterior, VolumeLeaf, run_references},
    tree::{Directory, DirectoryIndex, FileIndex, FileRuns},
};

/// Largest canonical part of a node. A directory node is cut at 256 KiB plus one entry, whose extended attributes the
/// kernel bounds by 64 KiB each.
pub const CANONICAL_BYTES_MAX: usize = 8 << 20;
const NODE_VERSION: u8 = 1;

/// A node of a volume map or file tree.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// The runs of one span of a volume.
    VolumeLeaf(VolumeLeaf),
    /// Up to 256 children of a volume map.
    VolumeInterior(VolumeInterior),
    /// Entries of a directory, sorted by name.
    Directory(Directory),
    /// Parts of a directory that is too large for one node.
    DirectoryIndex(DirectoryIndex),
    /// Runs of a file that has too many for its entry.
    FileRuns(FileRuns),
    /// Parts of a file's list of runs.
    FileIndex(FileIndex),
}

impl Node {
    /// The bytes that the node's id covers.
    pub fn canonical(&self) -> Vec<u8> {
        let mut out = vec![NODE_VERSION, self.code()];
        match self {
            Self::VolumeLeaf(node) => node.encode(&mut out),
            Self::VolumeInterior(node) => node.encode(&mut out),
            Self::Directory(node) => node.encode(&mut out),
            Self::DirectoryIndex(node) => node.encode(&mut out),
            Self::FileRuns(node) => node.encode(&mut out),
            Self::FileIndex(node) => node.encode(&mut out),
        }
        out
    }

    /// All references, in the order in which the canonical part names them: the bytes of the id, and the location.
    pub fn references(&self) -> Vec<([u8; 32], Location)> {
        let node = |node: &NodeRef| (node.id.0, node.location);
        match self {
            Self::VolumeLeaf(leaf) => run_references(&leaf.runs),
            Self::VolumeInterior(interior) => {
                interior.children.iter().map(|child| node(&child.node)).collect()
            }
            Self::Directory(directory) => directory.references(),
            Self::DirectoryIndex(index) => index.parts.iter().map(|part| node(&part.node)).collect(),
            Self::FileRuns(file) => run_references(&file.runs),
            Self::FileIndex(index) => index.parts.iter().map(|part| node(&part.node)).collect(),
        }
    }

    /// Reads a node from its parts. The caller has compared the canonical part with the node's id.
    pub fn decode(parts: &NodeParts<'_>, own_pack: Option<PackId>) -> Result<Self, FormatError> {
        let mut reader = Reader::new("node", parts.canonical);
        let version = reader.u8()?;
        if version != NODE_VERSION {
            return Err(FormatError::Version {
                what: "node",
                found: version.into(),
                supported: NODE_VERSION.into(),
            });
        }
        let mut hints = Hints::decode(parts.hints, own_pack)?;
        let node = match reader.u8()? {
            1 => Self::VolumeLeaf(VolumeLeaf::decode(&mut reader, &mut hints)?),
            2 => Self::VolumeInterior(VolumeInterior::decode(&mut reader, &mut hints)?),
            3 => Self::Directory(Directory::decode(&mut reader, &mut hints)?),
            4 => Self::DirectoryIndex(DirectoryIndex::decode(&mut reader, &mut hints)?),
            5 => Self::FileRuns(FileRuns::decode(&mut reader, &mut hints)?),
            6 => Self::FileIndex(FileIndex::decode(&mut reader, &mut hints)?),
            _ => return Err(reader.invalid("unknown kind of node")),
        };
        reader.finish()?;
        hints.finish()?;
        Ok(node)
    }

    fn code(&self) -> u8 {
        match self {
            Self::VolumeLeaf(_) => 1,
            Self::VolumeInterior(_) => 2,
            Self::Directory(_) => 3,
            Self::DirectoryIndex(_) => 4,
            Self::FileRuns(_) => 5,
            Self::FileIndex(_) => 6,
        }
    }
}

/// The two parts of a stored node.
#[derive(Debug, Clone, Copy)]
pub struct NodeParts<'a> {
    /// What the id covers.
    pub canonical: &'a [u8],
    /// The hint part.
    pub hints: &'a [u8],
}

impl<'a> NodeParts<'a> {
    /// Splits the plaintext of a node's frame.
    pub fn split(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new("node", bytes);
        let length = reader.count(CANONICAL_BYTES_MAX, 1)?;
        let canonical = reader.take(length)?;
        Ok(Self { canonical, hints: reader.rest() })
    }

    /// The plaintext of a node's frame.
    pub fn join(canonical: &[u8], hints: &[HintPlace]) -> Vec<u8> {
        let mut out = Vec::with_capacity(canonical.len() + hints.len() * 12 + 64);
        out.put_u32(canonical.len() as u32);
        out.put(canonical);
        encode_hints(hints, &mut out);
        out
    }
}
