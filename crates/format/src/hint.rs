//! References to chunks and nodes, and where they were last seen.
//!
//! A reference is an id, which says *what*, and a location, which is a hint *where*. Ids are part of what a node is;
//! hints are not, so that prune may move chunks without changing any id.

use crate::{
    ChunkId, FormatError, NodeId, PackId,
    bytes::{Put, Reader},
};
use serde::{Deserialize, Serialize};

/// Where a frame lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The pack.
    pub pack: PackId,
    /// The ordinal of the frame in the pack.
    pub slot: u16,
    /// Where the frame begins in the pack.
    #[serde(rename = "offsetBytes")]
    pub offset_bytes: u32,
    /// The length of the sealed frame.
    #[serde(rename = "lengthBytes")]
    pub length_bytes: u32,
}

/// A hint to where a chunk or node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Location {
    /// Only the index knows.
    #[default]
    Unknown,
    /// In a finished pack.
    Stored(Place),
    /// In a pack that this process is still writing; never durable in this form.
    Open {
        /// The number of the pack in the session.
        pack_number: u64,
        /// The ordinal of the frame.
        slot: u16,
        /// Where the frame begins.
        offset_bytes: u32,
        /// The length of the sealed frame.
        length_bytes: u32,
    },
}

/// A reference to a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkRef {
    /// The keyed hash of the plaintext.
    pub id: ChunkId,
    /// The length of the plaintext.
    pub length_bytes: u32,
    /// Where it was last seen.
    pub location: Location,
}

/// A reference to a node of a map or tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeRef {
    /// The keyed hash of the node's canonical part.
    pub id: NodeId,
    /// Where it was last seen.
    pub location: Location,
}

/// A piece of a volume or file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Run {
    /// Zeros that are stored nowhere.
    Hole {
        /// How many zeros.
        length_bytes: u64,
    },
    /// A chunk.
    Chunk(ChunkRef),
}

impl Run {
    /// How many bytes of the volume or file the run covers.
    pub fn length_bytes(&self) -> u64 {
        match self {
            Self::Hole { length_bytes } => *length_bytes,
            Self::Chunk(chunk) => u64::from(chunk.length_bytes),
        }
    }
}

/// How a hint is written into a node that stands in a pack itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HintPlace {
    /// No hint.
    Unknown,
    /// In the same pack as the node that holds the hint.
    SamePack {
        /// The ordinal of the frame.
        slot: u16,
        /// Where the frame begins.
        offset_bytes: u32,
        /// The length of the sealed frame.
        length_bytes: u32,
    },
    /// In a finished pack.
    Stored(Place),
}

const UNKNOWN: u16 = 0xffff;
const SAME_PACK: u16 = 0xfffe;
/// Bytes of one hint.
const HINT_BYTES: usize = 12;
/// Most packs that one node may name. Above it hints become unknown, which costs a lookup and is never wrong.
pub const PACKS_PER_NODE_MAX: usize = 4096;

/// Writes the hint part of a node: the packs it names, then one hint per reference, in their order.
pub fn encode_hints(hints: &[HintPlace], out: &mut Vec<u8>) {
    let mut packs: Vec<PackId> = Vec::new();
    let mut number_of = std::collections::HashMap::new();
    for hint in hints {
        if let HintPlace::Stored(place) = hint
            && packs.len() < PACKS_PER_NODE_MAX
            && !number_of.contains_key(&place.pack)
        {
            number_of.insert(place.pack, packs.len() as u16);
            packs.push(place.pack);
        }
    }
    out.put_u16(packs.len() as u16);
    packs.iter().for_each(|pack| out.put(&pack.0));
    out.put_u32(hints.len() as u32);
    for hint in hints {
        let (pack, slot, offset_bytes, length_bytes) = match *hint {
            HintPlace::Unknown => (UNKNOWN, 0, 0, 0),
            HintPlace::SamePack { slot, offset_bytes, length_bytes } => {
                (SAME_PACK, slot, offset_bytes, length_bytes)
            }
            HintPlace::Stored(place) => match number_of.get(&place.pack) {
                Some(number) => (*number, place.slot, place.offset_bytes, place.length_bytes),
                None => (UNKNOWN, 0, 0, 0),
            },
        };
        out.put_u16(pack);
        out.put_u16(slot);
        out.put_u32(offset_bytes);
        out.put_u32(length_bytes);
    }
}

/// The hints of a node, in the order of its references.
#[derive(Debug, Default)]
pub struct Hints {
    locations: std::vec::IntoIter<Location>,
}

impl Hints {
    /// Reads the hint part of a node that was found in `own_pack`.
    pub fn decode(bytes: &[u8], own_pack: Option<PackId>) -> Result<Self, FormatError> {
        let mut reader = Reader::new("hints", bytes);
        let pack_count = usize::from(reader.u16()?);
        if pack_count > PACKS_PER_NODE_MAX {
            return Err(FormatError::Limit {
                what: "packs of a node",
                found: pack_count as u64,
                limit: PACKS_PER_NODE_MAX as u64,
            });
        }
        let mut packs = Vec::with_capacity(pack_count.min(reader.rest().len() / 32));
        for _ in 0..pack_count {
            packs.push(PackId(reader.array()?));
        }
        let count = reader.count(usize::MAX, HINT_BYTES)?;
        let mut locations = Vec::with_capacity(count);
        for _ in 0..count {
            let number = reader.u16()?;
            let (slot, offset_bytes, length_bytes) = (reader.u16()?, reader.u32()?, reader.u32()?);
            let pack = match number {
                UNKNOWN => None,
                SAME_PACK => own_pack,
                number => Some(
                    *packs
                        .get(usize::from(number))
                        .ok_or_else(|| reader.invalid("a hint names no pack of the table"))?,
                ),
            };
            locations.push(pack.map_or(Location::Unknown, |pack| {
                Location::Stored(Place { pack, slot, offset_bytes, length_bytes })
            }));
        }
        reader.finish()?;
        Ok(Self { locations: locations.into_iter() })
    }

    /// The hint of the next reference.
    pub fn take(&mut self) -> Result<Location, FormatError> {
        self.locations
            .next()
            .ok_or(FormatError::Invalid { what: "hints", why: "fewer hints than references" })
    }

    /// Requires that every hint was taken.
    pub fn finish(mut self) -> Result<(), FormatError> {
        match self.locations.next() {
            None => Ok(()),
            Some(_) => Err(FormatError::Invalid { what: "hints", why: "more hints than references" }),
        }
    }
}
