//! Copying out of condemned packs what is still needed (P6).

use super::mark::Marks;
use crate::{
    RepoError, Repository,
    check::{CheckReport, packs::PackTable, says_damage},
    frame::{FrameReader, FrameWriter},
    pack::{self, PackBuilder},
    session::{BackupOptions, Uploads},
};
use longshore_crypto::random_bytes;
use longshore_format::{
    Location, PackId, Place, SessionId,
    hint::HintPlace,
    names::{self, PackKind},
    node::{Node, NodeParts},
    pack::{PACK_BYTES_MAX, TrailerEntry},
};
use longshore_store::Class as StoreClass;
use std::collections::{HashMap, HashSet};

/// Copied chunks whose new places are remembered, so that copied nodes point to them; beyond it the index is asked.
const MOVED_MAX: usize = 256 << 10;

/// Moves frames into packs of its own.
pub(crate) struct Copier<'r> {
    repository: &'r Repository,
    /// What must stay; without, everything does.
    marks: Option<&'r Marks>,
    /// Packs that sessions said they had used. For each of those sessions all of them is copied, live or not, into packs
    /// that it owns: nothing else keeps what it used alive until it has committed.
    used: HashMap<(PackKind, PackId), Vec<SessionId>>,
    /// What packs hold by the index, for those whose own trailer cannot be read.
    listed: HashMap<PackId, Vec<TrailerEntry>>,
    uploads: Uploads,
    /// The owner of everything else: no session, so nobody need be asked when it is dead.
    nobody: SessionId,
    writer: FrameWriter,
    open: HashMap<(SessionId, PackKind), PackBuilder>,
    pack_number_next: u64,
    moved: HashMap<[u8; 32], Location>,
    /// Whether snapshots miss nothing, once it was asked.
    is_whole: Option<bool>,
    copied: Copied,
}

/// What was copied, and what could not be.
#[derive(Debug, Default)]
pub(crate) struct Copied {
    pub(crate) bytes: u64,
    /// Packs of which something needed cannot be read: they are left, so that whoever mends them finds them.
    pub(crate) spared: HashSet<PackId>,
}

/// A pack in memory. Only what its seals and ids prove of it counts.
struct Loaded {
    kind: PackKind,
    id: PackId,
    bytes: Vec<u8>,
    entries: Vec<TrailerEntry>,
    key: longshore_crypto::SealKey,
}

impl<'r> Copier<'r> {
    pub(crate) fn new(
        repository: &'r Repository,
        marks: Option<&'r Marks>,
        used: HashMap<(PackKind, PackId), Vec<SessionId>>,
    ) -> Result<Self, RepoError> {
        let (io, keys, index) = (repository.io.clone(), repository.keys.clone(), repository.index.clone());
        Ok(Self {
            repository,
            marks,
            used,
            listed: HashMap::new(),
            uploads: Uploads::new(io, keys, index, BackupOptions::default()),
            nobody: SessionId(random_bytes()?),
            writer: FrameWriter::new(repository.config.compression_level)?,
            open: HashMap::new(),
            pack_number_next: 0,
            moved: HashMap::new(),
            is_whole: None,
            copied: Copied::default(),
        })
    }

    /// Adds what packs hold, for those whose trailer cannot be read.
    pub(crate) fn with_listed(mut self, listed: HashMap<PackId, Vec<TrailerEntry>>) -> Self {
        self.listed = listed;
        self
    }

    /// Copies what is needed of these packs, chunks before the nodes that point to them, and says how much that
    /// was. When it returns, the copies are durable and indexed.
    pub(crate) fn run(
        mut self,
        packs: impl Iterator<Item = (PackKind, PackId)>,
        progress: &mut dyn FnMut(),
    ) -> Result<Copied, RepoError> {
        let mut packs: Vec<_> = packs.collect();
        packs.sort_by_key(|(kind, _)| *kind);
        let nodes_from = packs.partition_point(|(kind, _)| *kind == PackKind::Data);
        for (number, (kind, id)) in packs.into_iter().enumerate() {
            if number == nodes_from {
                self.finish_packs()?;
            }
            match self.copy_pack(kind, id) {
                Ok(()) => {}
                Err(error) if !says_damage(&error) => return Err(error),
                Err(error) => {
                    let (pack, error) = (names::pack(kind, id), crate::error::chain(&error));
                    tracing::warn!(%pack, %error, "a damaged pack that is still needed is left where it is");
                    self.copied.spared.insert(id);
                }
            }
            progress();
        }
        self.finish_packs()?;
        self.uploads.wait_all()?;
        self.uploads.write_index()?;
        Ok(self.copied)
    }

    fn copy_pack(&mut self, kind: PackKind, id: PackId) -> Result<(), RepoError> {
        let name = names::pack(kind, id);
        let entries = match pack::read_trailer(&self.repository.io, &self.repository.keys, kind, &name) {
            Ok((_, trailer)) => trailer.entries,
            // Another prune is further: its result is there, and it has begun to delete.
            Err(RepoError::Store { source }) if source.class() == StoreClass::NotFound => return Ok(()),
            Err(error) if says_damage(&error) => match self.listed.remove(&id) {
                Some(listed) => listed,
                None => return self.do_without(kind, id, error),
            },
            Err(error) => return Err(error),
        };
        let mut needed = Vec::new();
        for (slot, frame) in entries.iter().enumerate() {
            if self.is_needed(&frame.id) && !self.has_kept_copy(kind, &frame.id)? {
                needed.push((self.nobody, slot));
            }
        }
        for user in self.used.remove(&(kind, id)).unwrap_or_default() {
            needed.extend((0..entries.len()).map(|slot| (user, slot)));
        }
        if needed.is_empty() {
            return Ok(());
        }
        let loaded = self.load(kind, id, entries)?;
        let mut reader = FrameReader::new()?;
        let mut damage = None;
        for (owner, slot) in needed {
            match self.copy_frame(&loaded, slot, owner, &mut reader) {
                // The others are copied all the same: where the pack stays, it is in no index any more.
                Err(error) if says_damage(&error) => {
                    damage.get_or_insert(error);
                }
                result => result?,
            }
        }
        damage.map_or(Ok(()), Err)
    }

    fn is_needed(&self, id: &[u8; 32]) -> bool {
        self.marks.is_none_or(|marks| marks.is_live(id))
    }

    /// A pack whose trailer is lost may go if a report says what it held, and all that is needed of it stands elsewhere; or
    /// if nothing says what it held, and snapshots miss no chunk, or no live node is read out of it by its hint.
    fn do_without(&mut self, kind: PackKind, id: PackId, error: RepoError) -> Result<(), RepoError> {
        let quarantine = self.repository.index.quarantine();
        let Some(report) = quarantine.report(id) else { return Err(error) };
        let Some(marks) = self.marks.filter(|_| !self.used.contains_key(&(kind, id))) else {
            return Err(error);
        };
        let Some(lost) = &report.lost else {
            let may_go = match kind {
                PackKind::Data => self.is_whole()?,
                PackKind::Meta => !marks.is_hinted(id),
            };
            return if may_go { Ok(()) } else { Err(error) };
        };
        for frame in lost {
            if self.is_needed(&frame.0) && !self.has_kept_copy(kind, &frame.0)? {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether all that snapshots need is in packs that can be read.
    fn is_whole(&mut self) -> Result<bool, RepoError> {
        if let Some(known) = self.is_whole {
            return Ok(known);
        }
        let mut packs = PackTable::list(self.repository, &mut CheckReport::default())?;
        let is_whole = self.repository.losses_in(self.repository.snapshots()?, &mut packs)?.is_empty();
        self.is_whole = Some(is_whole);
        Ok(is_whole)
    }

    /// Whether a copy outside of condemned packs was just read and proven. What the index says is not believed: a mover writes it.
    fn has_kept_copy(&self, kind: PackKind, id: &[u8; 32]) -> Result<bool, RepoError> {
        if self.moved.contains_key(id) {
            return Ok(true);
        }
        let Some(place) = self.repository.index.find(kind, id)? else { return Ok(false) };
        match self.repository.prove_copy(kind, id, place) {
            Ok(()) => Ok(true),
            Err(error) if error.class().is_transient() => Err(error),
            Err(_) => Ok(false),
        }
    }

    fn load(&self, kind: PackKind, id: PackId, entries: Vec<TrailerEntry>) -> Result<Loaded, RepoError> {
        let name = names::pack(kind, id);
        let bytes = self.repository.io.get(&name, PACK_BYTES_MAX)?.to_vec();
        let (_, key) = pack::open_footer(&self.repository.keys, kind, &name, &bytes)?;
        Ok(Loaded { kind, id, bytes, entries, key })
    }

    fn copy_frame(
        &mut self,
        pack: &Loaded,
        slot: usize,
        owner: SessionId,
        reader: &mut FrameReader,
    ) -> Result<(), RepoError> {
        let name = names::pack(pack.kind, pack.id);
        let wrong = || RepoError::WrongContent { object: name.clone() };
        let offset: u32 = pack.entries[..slot].iter().map(|frame| frame.length_bytes).sum();
        let frame = &pack.entries[slot];
        let place = Place {
            pack: pack.id,
            slot: slot as u16,
            offset_bytes: offset,
            length_bytes: frame.length_bytes,
        };
        let from = offset as usize;
        let sealed = pack.bytes.get(from..from + frame.length_bytes as usize).ok_or_else(wrong)?;
        let mut sealed = sealed.to_vec();
        let plain =
            self.repository.open_frame(pack.kind, &frame.id, place, &pack.key, &mut sealed, reader)?;
        let plain = match pack.kind {
            PackKind::Data if self.repository.keys.chunk_id(plain).0 == frame.id => plain.to_vec(),
            PackKind::Meta => self.moved_node(&frame.id, plain, pack.id)?,
            PackKind::Data => return Err(wrong()),
        };
        self.append((owner, pack.kind), &frame.id, &plain)
    }

    /// A node with its hints set right; its canonical part, and so its id, stays.
    fn moved_node(&self, id: &[u8; 32], plain: &[u8], own_pack: PackId) -> Result<Vec<u8>, RepoError> {
        let object = || format!("node {}", longshore_format::NodeId(*id));
        let parts = NodeParts::split(plain).map_err(RepoError::format(&object()))?;
        if &self.repository.keys.node_id(parts.canonical).0 != id {
            return Err(RepoError::WrongContent { object: object() });
        }
        let node = Node::decode(&parts, Some(own_pack)).map_err(RepoError::format(&object()))?;
        let references = node.references();
        let hints: Vec<HintPlace> = references.iter().map(|(id, old)| self.hint(id, *old)).collect();
        Ok(NodeParts::join(parts.canonical, &hints))
    }

    fn hint(&self, id: &[u8; 32], old: Location) -> HintPlace {
        let location = self.moved.get(id).copied().unwrap_or(old);
        match location {
            Location::Stored(place)
                if self.repository.index.is_condemned(place.pack)
                    || self.repository.index.quarantine().doubts(place.pack, id) =>
            {
                HintPlace::Unknown
            }
            Location::Stored(place) => HintPlace::Stored(place),
            Location::Open { pack_number, slot, offset_bytes, length_bytes } => {
                let place = |pack| Place { pack, slot, offset_bytes, length_bytes };
                self.uploads
                    .finished(pack_number)
                    .map_or(HintPlace::Unknown, |pack| HintPlace::Stored(place(pack)))
            }
            Location::Unknown => HintPlace::Unknown,
        }
    }

    fn append(&mut self, lane: (SessionId, PackKind), id: &[u8; 32], plain: &[u8]) -> Result<(), RepoError> {
        let target = self.repository.config.pack_bytes as usize;
        if self.open.get(&lane).is_some_and(|open| !open.has_room(plain.len(), target)) {
            self.finish_pack(lane)?;
        }
        if !self.open.contains_key(&lane) {
            let number = self.pack_number_next;
            self.pack_number_next += 1;
            let (owner, kind) = lane;
            let pack = PackBuilder::new(&self.repository.keys, kind, number, owner.0, target + (64 << 10))?;
            self.open.insert(lane, pack);
        }
        let Some(open) = self.open.get_mut(&lane) else { return Ok(()) };
        let slot = open.append(&self.repository.keys, &mut self.writer, id, plain)?;
        self.copied.bytes += u64::from(slot.length_bytes);
        // Only what nobody owns: what a session owns goes with it.
        if lane.0 == self.nobody && self.moved.len() < MOVED_MAX {
            let location = Location::Open {
                pack_number: open.number,
                slot: slot.slot,
                offset_bytes: slot.offset_bytes,
                length_bytes: slot.length_bytes,
            };
            self.moved.insert(*id, location);
        }
        Ok(())
    }

    fn finish_packs(&mut self) -> Result<(), RepoError> {
        let lanes: Vec<_> = self.open.keys().copied().collect();
        lanes.into_iter().try_for_each(|lane| self.finish_pack(lane))
    }

    fn finish_pack(&mut self, lane: (SessionId, PackKind)) -> Result<(), RepoError> {
        match self.open.remove(&lane) {
            Some(open) if !open.is_empty() => self.uploads.submit(open.finish(&self.repository.keys)?),
            _ => Ok(()),
        }
    }
}
