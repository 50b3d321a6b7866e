//! A backup session: the only thing that writes.
//!
//! Any number of threads call [`BackupSession::put_chunk`]; each works in a lane of its own, run to completion: hash,
//! look up, compress, seal, verify, append. Full packs go to the uploads. Memory: [`LANES_MAX`] open packs of 16 MiB, one
//! for nodes, [`uploads::IN_FLIGHT_BYTES_MAX`] in flight, 48 MiB of fingerprints, 7 MiB of index pages, 9 MiB of recently
//! met packs, about 72 MiB of ids known to this session: some 270 MiB at most, whatever the size of volume and repository.

mod commit;
mod known;
mod nodes;
mod progress;
mod stats;
mod trust;
mod uploads;

pub use commit::{Committed, SnapshotDraft, WrittenContent};
pub use stats::SessionStats;
pub(crate) use uploads::Uploads;

use crate::{
    RepoError, Repository, Snapshot, frame::FrameWriter, pack::PackBuilder, registration::Registration,
    snapshots::RunState,
};
use known::{Claim, Known};
use longshore_format::{
    ChunkRef, Location, RunId, SourceId,
    names::{PackKind, SnapshotKey},
    session::SessionKind,
};
use nodes::NodeQueue;
use progress::Progress;
use stats::Counters;
use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

/// Lanes for chunks, hence open data packs. More threads than lanes share them.
pub(crate) const LANES_MAX: usize = 4;

/// How often a session makes its work findable for whoever comes after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupOptions {
    /// An index segment is written when this many bytes of packs are durable since the last one.
    pub index_after_bytes: u64,
    /// And when this much time has passed.
    pub index_after: std::time::Duration,
}

impl Default for BackupOptions {
    fn default() -> Self {
        Self { index_after_bytes: 1 << 30, index_after: std::time::Duration::from_secs(60) }
    }
}

/// A backup in progress. Dropping it without `commit` leaves only what later sessions can use or prune finds.
pub struct BackupSession<'r> {
    repository: &'r Repository,
    key: SnapshotKey,
    parent: Option<Snapshot>,
    registration: Registration,
    progress: Progress,
    lanes: Vec<Mutex<Lane>>,
    known: Known,
    nodes: NodeQueue,
    uploads: Arc<Uploads>,
    counters: Counters,
    pack_number_next: AtomicU64,
}

/// What one thread at a time fills.
struct Lane {
    writer: FrameWriter,
    open: Option<PackBuilder>,
}

impl std::fmt::Debug for BackupSession<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackupSession").field("key", &self.key).finish_non_exhaustive()
    }
}

impl Repository {
    /// Begins a backup of a source. The run's UID is the id of the snapshot to be. `parent` is what it is compared with;
    /// if that was forgotten meanwhile, [`BackupSession::parent`] is none.
    ///
    /// # Errors
    /// [`crate::Class::Forgotten`] if the run's snapshot was forgotten.
    pub fn begin_backup(
        &self,
        source: SourceId,
        run: RunId,
        parent: Option<&Snapshot>,
        options: BackupOptions,
    ) -> Result<BackupSession<'_>, RepoError> {
        let attempt = match self.run_state(source, run)? {
            RunState::Open(attempt) => attempt,
            // Its commit will find the record and report it.
            RunState::Committed(snapshot) => snapshot.key.attempt,
            RunState::Forgotten => return Err(RepoError::Forgotten { run: run.to_string() }),
        };
        let key = SnapshotKey { source, run, attempt };
        let registration = self.register(SessionKind::Backup, run, Some(key))?;
        let parent = match parent {
            Some(parent) if !self.is_forgotten(parent.key.source, parent.key.run)? => Some(parent.clone()),
            _ => None,
        };
        let (io, keys, index) = (self.io.clone(), self.keys.clone(), self.index.clone());
        let uploads = Arc::new(Uploads::new(io, keys, index, options));
        let settling = uploads.clone();
        registration
            .ready(parent.as_ref().map(|parent| parent.key), Box::new(move || settling.wait_for_segment()))?;
        let lane_count = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, LANES_MAX);
        let level = self.config.compression_level;
        let mut lanes = Vec::with_capacity(lane_count);
        for _ in 0..lane_count {
            lanes.push(Mutex::new(Lane { writer: FrameWriter::new(level)?, open: None }));
        }
        Ok(BackupSession {
            repository: self,
            key,
            parent,
            registration,
            progress: Progress::new(options),
            lanes,
            known: Known::new(),
            nodes: NodeQueue::new(FrameWriter::new(level)?),
            uploads,
            counters: Counters::default(),
            pack_number_next: AtomicU64::new(0),
        })
    }
}

thread_local! {
    /// Which lane a thread works in; given out in turn.
    static LANE: Cell<Option<usize>> = const { Cell::new(None) };
}
static LANE_NEXT: AtomicUsize = AtomicUsize::new(0);

impl<'r> BackupSession<'r> {
    /// The repository that the session writes to.
    pub fn repository(&self) -> &'r Repository {
        self.repository
    }

    /// The run that the session belongs to.
    pub fn run(&self) -> RunId {
        self.key.run
    }

    /// What the session is compared with: the parent that it was begun with, unless that was forgotten.
    pub fn parent(&self) -> Option<&Snapshot> {
        self.parent.as_ref()
    }

    /// What the session did so far.
    pub fn stats(&self) -> SessionStats {
        self.counters.now(&self.uploads, &self.repository.index)
    }

    /// Goes silent, as a process that was killed or paused, and still can go on.
    #[doc(hidden)]
    pub fn pause_for_tests(&self) {
        self.registration.pause();
    }

    /// Looks for plans now.
    #[doc(hidden)]
    pub fn look_for_tests(&self) -> Result<(), RepoError> {
        self.registration.look(&|| self.uploads.wait_for_segment())
    }

    /// Gives the session up: nothing of it is protected from prune any more.
    pub fn abandon(self) -> Result<(), RepoError> {
        self.registration.end(false)
    }

    /// Stores a chunk unless the repository has it. `near` is the parent's chunk at the same place, if there is one:
    /// when it is the same, nothing needs to be looked up.
    ///
    /// Blocks while too many bytes are in flight. Once a session has failed, every call fails.
    pub fn put_chunk(&self, plain: &[u8], near: Option<&ChunkRef>) -> Result<ChunkRef, RepoError> {
        self.uploads.check()?;
        self.registration.check()?;
        let length_bytes =
            u32::try_from(plain.len()).map_err(|_| RepoError::Misuse { rule: "chunks are small" })?;
        let id = self.repository.keys.chunk_id(plain);
        self.counters.chunk(plain.len());
        let chunk = |location| ChunkRef { id, length_bytes, location };
        if let Some(near) = near
            && near.id == id
            && matches!(near.location, Location::Stored(_))
            && !self.repository.doubts(&id.0, near.location)
        {
            return Ok(chunk(near.location));
        }
        let claim = match self.known.claim(id.0) {
            Claim::Known(location) => return Ok(chunk(location)),
            Claim::Mine(claim) => claim,
        };
        if let Some(place) = self.repository.index.find(PackKind::Data, &id.0)? {
            // Not remembered: the index can answer again, and a volume may hold any number of known chunks.
            return Ok(chunk(Location::Stored(place)));
        }
        let location = self.append_chunk(&id.0, plain)?;
        claim.resolve(location);
        self.counters.new_chunk(plain.len());
        self.after_append()?;
        Ok(chunk(location))
    }

    /// Makes everything stored so far findable for other sessions. Called by itself from time to time.
    pub fn checkpoint(&self) -> Result<(), RepoError> {
        self.drain_nodes(true)?;
        self.seal_data_lanes()?;
        self.seal_node_lane()?;
        self.uploads.wait_all()?;
        self.uploads.write_index()?;
        self.known.forget(&self.uploads);
        Ok(())
    }

    fn append_chunk(&self, id: &[u8; 32], plain: &[u8]) -> Result<Location, RepoError> {
        let mut lane = self.lane();
        let target = self.repository.config.pack_bytes as usize;
        if lane.open.as_ref().is_some_and(|open| !open.has_room(plain.len(), target)) {
            self.seal_lane(&mut lane)?;
        }
        let Lane { writer, open } = &mut *lane;
        let open = match open {
            Some(open) => open,
            none => none.insert(self.new_pack(PackKind::Data)?),
        };
        let slot = open.append(&self.repository.keys, writer, id, plain)?;
        Ok(Location::Open {
            pack_number: open.number,
            slot: slot.slot,
            offset_bytes: slot.offset_bytes,
            length_bytes: slot.length_bytes,
        })
    }

    fn after_append(&self) -> Result<(), RepoError> {
        if self.uploads.write_index_if_due()? {
            self.known.forget(&self.uploads);
        }
        Ok(())
    }

    fn new_pack(&self, kind: PackKind) -> Result<PackBuilder, RepoError> {
        let number = self.pack_number_next.fetch_add(1, Relaxed);
        let capacity = match kind {
            PackKind::Data => self.repository.config.pack_bytes as usize + (64 << 10),
            PackKind::Meta => 1 << 20,
        };
        PackBuilder::new(&self.repository.keys, kind, number, self.registration.id().0, capacity)
    }

    fn lane(&self) -> MutexGuard<'_, Lane> {
        let number = LANE.with(|lane| {
            let number = lane.get().unwrap_or_else(|| LANE_NEXT.fetch_add(1, Relaxed));
            lane.set(Some(number));
            number
        });
        self.lanes[number % self.lanes.len()].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seal_lane(&self, lane: &mut Lane) -> Result<(), RepoError> {
        match lane.open.take() {
            Some(open) if !open.is_empty() => self.uploads.submit(open.finish(&self.repository.keys)?),
            _ => Ok(()),
        }
    }

    pub(crate) fn seal_data_lanes(&self) -> Result<(), RepoError> {
        for lane in &self.lanes {
            self.seal_lane(&mut lane.lock().unwrap_or_else(PoisonError::into_inner))?;
        }
        Ok(())
    }
}
