//! What is live, and how much of each pack.

use super::{
    choose::{PackUse, Why},
    inventory::Inventory,
    live::LiveIds,
    look::Look,
    sessions::{self, SessionState},
};
use crate::{
    RepoError, Repository,
    damage::Quarantine,
    error::chain,
    index::is_damage,
    parallel::{self, AT_ONCE, SharedSet},
    snapshots::{self, AtKey},
    walk::{SeenNodes, Visitor},
};
use longshore_format::{
    Location, NodeRef, PackId, SessionId,
    names::{self, PackKind, SnapshotKey},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The least bytes that a chunk takes on average; decides only how much memory the set of live ids gets.
const CHUNK_BYTES_LEAST: u64 = 4 << 10;

/// All ids that must stay, as far as was looked.
pub(crate) struct Marks {
    live: LiveIds,
    seen: SeenNodes,
    quarantine: Arc<Quarantine>,
    /// Packs with a damage report that hints of live nodes name.
    hinted: SharedSet<PackId>,
    roots: HashSet<SnapshotKey>,
}

/// What the index says of packs.
#[derive(Debug, Default)]
pub(super) struct Usage {
    pub(super) packs: HashMap<(PackKind, PackId), PackUse>,
    /// Packs that a segment lists, that a report says are damaged, and that are not there.
    pub(super) missing: HashSet<(PackKind, PackId)>,
    /// Whether a segment that counts cannot be read whole. What only such a one lists is listed by none.
    pub(super) is_index_damaged: bool,
}

/// A pack as its own trailer has it.
pub(super) struct Confirmed {
    pub(super) session: SessionId,
    pub(super) live_bytes: u64,
    /// Live bytes that the index finds nowhere, of a pack that it does not name.
    pub(super) unfindable_bytes: u64,
}

impl Visitor for Marks {
    fn node(&self, node: &NodeRef) {
        self.live.insert(&node.id.0);
        if let Location::Stored(place) = node.location
            && self.quarantine.holds(place.pack)
        {
            self.hinted.insert(place.pack);
        }
    }

    fn chunk(&self, id: &[u8; 32], _: Location) {
        self.live.insert(id);
    }

    fn broken(&self, node: &NodeRef, error: RepoError) -> Result<(), RepoError> {
        if error.class().is_transient() {
            return Err(error);
        }
        Err(RepoError::Undecidable { object: format!("node {}", node.id), source: Box::new(error) })
    }
}

impl Marks {
    /// Walks everything that must stay: snapshots, and what sessions that are not over read, build on or have finished.
    pub(super) fn of(repository: &Repository, inventory: &Inventory) -> Result<Self, RepoError> {
        let stored_bytes: u64 = inventory.packs.values().sum();
        let live = LiveIds::for_ids(stored_bytes / CHUNK_BYTES_LEAST)?;
        let mut marks = Self {
            live,
            seen: SeenNodes::new(),
            quarantine: inventory.view.quarantine.clone(),
            hinted: SharedSet::new(),
            roots: HashSet::new(),
        };
        let snapshots = inventory.look.snapshots.iter();
        marks.roots.extend(snapshots.clone().map(|snapshot| snapshot.key));
        let roots = snapshots.filter_map(|snapshot| snapshot.record.content.root()).collect();
        repository.walk(roots, &marks.seen, &marks)?;
        marks.add_sessions(repository, &inventory.look.sessions)?;
        Ok(marks)
    }

    /// Adds what another look found.
    pub(super) fn add(&mut self, repository: &Repository, look: &Look) -> Result<(), RepoError> {
        for snapshot in &look.snapshots {
            if self.roots.insert(snapshot.key) {
                let root = snapshot.record.content.root().into_iter().collect();
                repository.walk(root, &self.seen, &*self)?;
            }
        }
        self.add_sessions(repository, &look.sessions)
    }

    fn add_sessions(&mut self, repository: &Repository, sessions: &[SessionState]) -> Result<(), RepoError> {
        for session in sessions {
            let mut roots = sessions::progress_roots(repository, session)?;
            if let Some(key) = session.snapshot()
                && self.roots.insert(key)
            {
                roots.extend(root_of(repository, key)?);
            }
            repository.walk(roots, &self.seen, &*self)?;
        }
        Ok(())
    }

    pub(super) fn is_live(&self, id: &[u8; 32]) -> bool {
        self.live.may_hold(id)
    }

    /// Whether a live node may be read out of a pack with a damage report by its hint.
    pub(super) fn is_hinted(&self, pack: PackId) -> bool {
        self.hinted.contains(&pack)
    }

    /// How much of each pack is live, by the index. The index decides nothing: whatever is to be condemned is confirmed by
    /// its own trailer.
    pub(super) fn usage(&self, repository: &Repository, inventory: &Inventory) -> Result<Usage, RepoError> {
        let mut missing = HashSet::new();
        let mut uses: HashMap<_, _> = inventory
            .packs
            .iter()
            .map(|(pack, size_bytes)| (*pack, PackUse { size_bytes: *size_bytes, ..PackUse::default() }))
            .collect();
        let (segments, is_one_missing) = repository.index.list_segments()?;
        let mut is_index_damaged = is_one_missing;
        for segment in segments {
            let mut by_this_one = Vec::new();
            let proven = repository.index.prove(&segment, |listed| {
                let key = (listed.kind, listed.id);
                let Some(used) = uses.get_mut(&key) else {
                    if inventory.view.quarantine.holds(listed.id)
                        && !inventory.view.condemned.contains(&listed.id)
                    {
                        missing.insert(key);
                    }
                    return;
                };
                // Two segments may list one pack; they say the same.
                if std::mem::replace(&mut used.is_indexed, true) {
                    return;
                }
                let live = listed.entries.iter().filter(|frame| self.is_live(&frame.id));
                used.live_bytes = live.map(|frame| u64::from(frame.length_bytes)).sum();
                by_this_one.push(key);
            });
            match proven {
                Err(error) if is_damage(&error) => {
                    tracing::warn!(segment = segment.name(), error = %chain(&error), "a segment of the index is damaged");
                    is_index_damaged = true;
                    for key in by_this_one {
                        let used = uses.entry(key).or_default();
                        *used = PackUse { size_bytes: used.size_bytes, ..PackUse::default() };
                    }
                }
                result => result?,
            }
        }
        Ok(Usage { packs: uses, missing, is_index_damaged })
    }

    /// Asks the trailers of packs; one that cannot be read is left out, and so is not touched.
    pub(super) fn confirm(
        &self,
        repository: &Repository,
        candidates: &[((PackKind, PackId), Why)],
    ) -> Result<HashMap<(PackKind, PackId), Confirmed>, RepoError> {
        let confirmed = parallel::map(candidates, AT_ONCE, |((kind, id), why)| {
            let name = names::pack(*kind, *id);
            match crate::pack::read_trailer(&repository.io, &repository.keys, *kind, &name) {
                Ok((_, trailer)) => {
                    let (mut live_bytes, mut unfindable_bytes) = (0, 0);
                    for frame in trailer.entries.iter().filter(|frame| self.is_live(&frame.id)) {
                        live_bytes += u64::from(frame.length_bytes);
                        // A killed mover stored it, and the next one again: then the index knows the second copy. Or it is
                        // known to be lost, and is found here: that is no fault of the index, and copying heals it.
                        if *why == Why::Unindexed
                            && !repository.index.quarantine().names_lost(&frame.id)
                            && !is_listed(repository, *kind, &frame.id)?
                        {
                            unfindable_bytes += u64::from(frame.length_bytes);
                        }
                    }
                    let session = SessionId(trailer.session);
                    Ok(Some(((*kind, *id), Confirmed { session, live_bytes, unfindable_bytes })))
                }
                Err(error) if error.class().is_transient() => Err(error),
                Err(error) => {
                    tracing::warn!(pack = %name, error = %chain(&error), "a damaged pack is left as it is");
                    Ok(None)
                }
            }
        })?;
        Ok(confirmed.into_iter().flatten().collect())
    }
}

/// Whether the index knows an id. What only a damaged segment lists is as if no segment did.
fn is_listed(repository: &Repository, kind: PackKind, id: &[u8; 32]) -> Result<bool, RepoError> {
    match repository.index.find_anywhere(kind, id, &[]) {
        Err(error) if is_damage(&error) => Ok(false),
        found => Ok(found?.is_some()),
    }
}

/// The root of a snapshot that a session builds on or reads. It is there as long as the session is not over; if it is not, it is
/// not known what must stay.
fn root_of(repository: &Repository, key: SnapshotKey) -> Result<Option<NodeRef>, RepoError> {
    match snapshots::read_key(repository, key) {
        Ok(AtKey::Snapshot(snapshot)) => Ok(snapshot.record.content.root()),
        Ok(AtKey::Fence) => Ok(None),
        Err(error) if error.class().is_transient() => Err(error),
        Err(error) => Err(RepoError::Undecidable { object: names::snapshot(&key), source: Box::new(error) }),
    }
}
