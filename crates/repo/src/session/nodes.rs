//! Nodes on their way into metadata packs.
//!
//! A node's id needs only its canonical part, so parents can be made at once; its hints need the names of the packs that
//! it points to, which are known when those are finished. Until then nodes wait here, children before parents.

use super::{BackupSession, known::Claim};
use crate::{RepoError, frame::FrameWriter, pack::PackBuilder};
use longshore_format::{
    Location, NodeRef, Place,
    hint::HintPlace,
    names::PackKind,
    node::{CANONICAL_BYTES_MAX, Node, NodeParts},
};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Bytes of waiting nodes above which open data packs are finished for their sake.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// Bytes of waiting nodes above which it is tried whether some can go.
const WAITING_BYTES_TRY: usize = 1 << 20;

pub(super) struct NodeQueue(Mutex<State>);

struct State {
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    tried_bytes: usize,
    writer: FrameWriter,
    open: Option<PackBuilder>,
}

struct Waiting {
    id: [u8; 32],
    canonical: Vec<u8>,
    references: Vec<([u8; 32], Location)>,
}

impl Waiting {
    fn memory_bytes(&self) -> usize {
        self.canonical.len() + self.references.len() * size_of::<([u8; 32], Location)>()
    }
}

impl NodeQueue {
    pub(super) fn new(writer: FrameWriter) -> Self {
        Self(Mutex::new(State {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            tried_bytes: 0,
            writer,
            open: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BackupSession<'_> {
    /// Stores a node unless the repository has it. `near` is the parent snapshot's node at the same place.
    ///
    /// All nodes that it references must have been put before.
    pub(crate) fn put_node(&self, node: &Node, near: Option<&NodeRef>) -> Result<NodeRef, RepoError> {
        self.uploads.check()?;
        let canonical = node.canonical();
        if canonical.len() > CANONICAL_BYTES_MAX {
            return Err(RepoError::Misuse { rule: "a node holds at most 8 MiB" });
        }
        let id = self.repository.keys.node_id(&canonical);
        if let Some(near) = near
            && near.id == id
            && matches!(near.location, Location::Stored(_))
            && !self.repository.doubts(&id.0, near.location)
        {
            return Ok(*near);
        }
        let claim = match self.known.claim(id.0) {
            Claim::Known(location) => return Ok(NodeRef { id, location }),
            Claim::Mine(claim) => claim,
        };
        if let Some(place) = self.repository.index.find(PackKind::Meta, &id.0)? {
            return Ok(NodeRef { id, location: Location::Stored(place) });
        }
        let waiting = Waiting { id: id.0, canonical, references: node.references() };
        {
            let mut state = self.nodes.lock();
            state.waiting_bytes += waiting.memory_bytes();
            state.waiting.push_back(waiting);
        }
        // Its place is unknown until it is written; whoever needs it then looks it up by id.
        claim.resolve(Location::Unknown);
        self.drain_nodes(false)?;
        Ok(NodeRef { id, location: Location::Unknown })
    }

    /// Where a node of this session is by now.
    pub(super) fn node_location(&self, node: &NodeRef) -> Location {
        match node.location {
            Location::Unknown => self.known.location(&node.id.0).unwrap_or_default(),
            location => location,
        }
    }

    /// A location as a record may hold it.
    pub(super) fn durable_place(&self, location: Location) -> Option<Place> {
        match location {
            Location::Stored(place) => Some(place),
            Location::Unknown => None,
            Location::Open { pack_number, slot, offset_bytes, length_bytes } => {
                let pack = self.uploads.finished(pack_number)?;
                Some(Place { pack, slot, offset_bytes, length_bytes })
            }
        }
    }

    /// Writes waiting nodes whose packs are finished; with `all`, finishes packs until none waits.
    pub(super) fn drain_nodes(&self, all: bool) -> Result<(), RepoError> {
        let mut state = self.nodes.lock();
        if !all && state.waiting_bytes < WAITING_BYTES_TRY + state.tried_bytes {
            return Ok(());
        }
        self.drain_finished(&mut state)?;
        if !state.waiting.is_empty() && (all || state.waiting_bytes > WAITING_BYTES_MAX) {
            // Taking lanes while holding the queue is safe: nobody who holds a lane asks for the queue.
            self.seal_data_lanes()?;
            self.drain_finished(&mut state)?;
        }
        state.tried_bytes = state.waiting_bytes;
        Ok(())
    }

    fn drain_finished(&self, state: &mut State) -> Result<(), RepoError> {
        while let Some(first) = state.waiting.front() {
            // Packs are closed before hints are resolved: "same pack" must still be true when the node is appended.
            let plain_bytes_max = first.canonical.len() + first.references.len() * (12 + 32) + 16;
            let target = self.repository.config.pack_bytes as usize;
            if state.open.as_ref().is_some_and(|open| !open.has_room(plain_bytes_max, target)) {
                self.seal_open_node_pack(&mut state.open)?;
            }
            let open_number = state.open.as_ref().map(|open| open.number);
            let Some(hints) = self.resolve(&first.references, open_number) else { return Ok(()) };
            let Some(first) = state.waiting.pop_front() else { return Ok(()) };
            state.waiting_bytes -= first.memory_bytes();
            let plain = NodeParts::join(&first.canonical, &hints);
            let open = match &mut state.open {
                Some(open) => open,
                none => none.insert(self.new_pack(PackKind::Meta)?),
            };
            let slot = open.append(&self.repository.keys, &mut state.writer, &first.id, &plain)?;
            self.known.set(
                first.id,
                Location::Open {
                    pack_number: open.number,
                    slot: slot.slot,
                    offset_bytes: slot.offset_bytes,
                    length_bytes: slot.length_bytes,
                },
            );
        }
        Ok(())
    }

    /// The hints of a node, or `None` if a data pack that it points to is still open.
    fn resolve(
        &self,
        references: &[([u8; 32], Location)],
        open_number: Option<u64>,
    ) -> Option<Vec<HintPlace>> {
        let hint = |(id, location): &([u8; 32], Location)| {
            let location = match location {
                Location::Unknown => self.known.location(id).unwrap_or_default(),
                location => *location,
            };
            Some(match location {
                Location::Unknown => HintPlace::Unknown,
                Location::Stored(place) => HintPlace::Stored(place),
                Location::Open { pack_number, slot, offset_bytes, length_bytes } => {
                    if Some(pack_number) == open_number {
                        HintPlace::SamePack { slot, offset_bytes, length_bytes }
                    } else {
                        let pack = self.uploads.finished(pack_number)?;
                        HintPlace::Stored(Place { pack, slot, offset_bytes, length_bytes })
                    }
                }
            })
        };
        references.iter().map(hint).collect()
    }

    fn seal_open_node_pack(&self, open: &mut Option<PackBuilder>) -> Result<(), RepoError> {
        match open.take() {
            Some(open) if !open.is_empty() => self.uploads.submit(open.finish(&self.repository.keys)?),
            _ => Ok(()),
        }
    }

    pub(super) fn seal_node_lane(&self) -> Result<(), RepoError> {
        let mut state = self.nodes.lock();
        self.seal_open_node_pack(&mut state.open)
    }
}
