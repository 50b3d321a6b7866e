//! Reading chunks and nodes: found by hint or index, authenticated, compared with their id.

mod batch;

pub use batch::{Deliver, ReadError};

use crate::{
    RepoError, Repository,
    frame::{self, FrameReader},
    pack,
};
use longshore_crypto::SealKey;
use longshore_format::{
    ChunkId, ChunkRef, Location, NodeId, NodeRef, PackId, Place,
    names::{self, PackKind},
    node::{Node, NodeParts},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Copies of one chunk or node that are tried. More than two or three are nowhere.
const COPIES_MAX: usize = 16;
/// Keys of packs kept in memory.
const PACK_KEYS_MAX: usize = 4096;

/// Keys of packs that were read lately.
#[derive(Default)]
pub(crate) struct PackKeys(Mutex<HashMap<PackId, Arc<SealKey>>>);

impl Repository {
    /// The id that these bytes have as a chunk of this repository.
    pub fn chunk_id(&self, plain: &[u8]) -> ChunkId {
        self.keys.chunk_id(plain)
    }

    /// Reads one chunk.
    pub fn read_chunk(&self, chunk: &ChunkRef) -> Result<Vec<u8>, RepoError> {
        let plain = self.read_object(PackKind::Data, &chunk.id.0, chunk.location, |plain| {
            self.keys.chunk_id(plain) == chunk.id && plain.len() == chunk.length_bytes as usize
        });
        plain.map_err(missing::<ChunkId>(chunk.id))
    }

    /// Reads one node.
    pub(crate) fn read_node(&self, node: &NodeRef) -> Result<Node, RepoError> {
        let mut found_in = None;
        let plain = self
            .read_object_at(PackKind::Meta, &node.id.0, node.location, &mut found_in, |plain| {
                NodeParts::split(plain).is_ok_and(|parts| self.keys.node_id(parts.canonical) == node.id)
            })
            .map_err(missing::<NodeId>(node.id))?;
        let object = || format!("node {}", node.id);
        let parts = NodeParts::split(&plain).map_err(RepoError::format(&object()))?;
        Node::decode(&parts, found_in).map_err(RepoError::format(&object()))
    }

    fn read_object(
        &self,
        kind: PackKind,
        id: &[u8; 32],
        location: Location,
        proves: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, RepoError> {
        self.read_object_at(kind, id, location, &mut None, proves)
    }

    /// Reads by hint; if that fails, by index, all copies one after the other.
    fn read_object_at(
        &self,
        kind: PackKind,
        id: &[u8; 32],
        location: Location,
        found_in: &mut Option<PackId>,
        proves: impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, RepoError> {
        let hinted = match location {
            Location::Stored(place) => Some(place),
            Location::Unknown | Location::Open { .. } => None,
        };
        let (mut first_error, mut tried) = (None, Vec::new());
        let mut next = hinted;
        while tried.len() < COPIES_MAX {
            let place = match next.take() {
                Some(place) => place,
                // The first error names what is damaged; the index's would only say that there is no other copy.
                None => match self.index.find_anywhere(kind, id, &tried) {
                    Ok(Some(place)) => place,
                    Ok(None) => break,
                    Err(error) => return Err(first_error.unwrap_or(error)),
                },
            };
            match self.read_place(kind, id, place, &proves) {
                Ok(plain) => {
                    *found_in = Some(place.pack);
                    return Ok(plain);
                }
                Err(error) if error.class().is_transient() => return Err(error),
                Err(error) => {
                    tried.push(place.pack);
                    first_error.get_or_insert(error);
                }
            }
        }
        Err(first_error.unwrap_or(RepoError::Missing { what: "", id: String::new() }))
    }

    /// Reads what stands at a place and compares it with its id.
    pub(crate) fn prove_copy(&self, kind: PackKind, id: &[u8; 32], place: Place) -> Result<(), RepoError> {
        let proves = |plain: &[u8]| match kind {
            PackKind::Data => &self.keys.chunk_id(plain).0 == id,
            PackKind::Meta => {
                NodeParts::split(plain).is_ok_and(|parts| &self.keys.node_id(parts.canonical).0 == id)
            }
        };
        self.read_place(kind, id, place, &proves).map(drop)
    }

    fn read_place(
        &self,
        kind: PackKind,
        id: &[u8; 32],
        place: Place,
        proves: &impl Fn(&[u8]) -> bool,
    ) -> Result<Vec<u8>, RepoError> {
        let name = names::pack(kind, place.pack);
        let key = self.pack_key(kind, place.pack)?;
        let mut sealed =
            self.io.get_range(&name, place.offset_bytes.into(), place.length_bytes.into())?.to_vec();
        let mut reader = FrameReader::new()?;
        let plain = self.open_frame(kind, id, place, &key, &mut sealed, &mut reader)?;
        if proves(plain) { Ok(plain.to_vec()) } else { Err(RepoError::WrongContent { object: name }) }
    }

    pub(crate) fn open_frame<'a>(
        &self,
        kind: PackKind,
        id: &[u8; 32],
        place: Place,
        key: &SealKey,
        sealed: &'a mut [u8],
        reader: &'a mut FrameReader,
    ) -> Result<&'a [u8], RepoError> {
        let associated = frame::associated(&self.keys, kind, id, place.slot.into());
        let opened = key
            .open("frame", place.slot.into(), &associated, sealed)
            .map_err(|source| RepoError::Seal { object: names::pack(kind, place.pack), source })?;
        reader.decode(opened)
    }

    /// The key of a pack, read from its footer unless it is known.
    pub(crate) fn pack_key(&self, kind: PackKind, pack: PackId) -> Result<Arc<SealKey>, RepoError> {
        if let Some(key) = self.pack_keys.0.lock().unwrap_or_else(PoisonError::into_inner).get(&pack) {
            return Ok(key.clone());
        }
        let name = names::pack(kind, pack);
        let tail = self.io.get_tail(&name, pack::FOOTER)?;
        let (_, key) = pack::open_footer(&self.keys, kind, &name, &tail)?;
        let key = Arc::new(key);
        let mut known = self.pack_keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PACK_KEYS_MAX {
            known.clear();
        }
        known.insert(pack, key.clone());
        Ok(key)
    }
}

/// Names the thing that is missing.
fn missing<T: std::fmt::Display>(id: T) -> impl FnOnce(RepoError) -> RepoError {
    let what = if std::any::type_name::<T>().ends_with("NodeId") { "node" } else { "chunk" };
    move |error| match error {
        RepoError::Missing { .. } => RepoError::Missing { what, id: id.to_string() },
        error => error,
    }
}
