//! Packs on their way to the store, and the index of those that arrived.
//!
//! Order (invariant 2): a metadata pack is sent only when every pack finished before it is durable; an index segment
//! lists only durable packs; the snapshot record comes after both.

use super::BackupOptions;
use crate::{
    RepoError,
    index::{Index, IndexedPack, SegmentLimits, merge},
    io::Io,
    pack::FinishedPack,
};
use longshore_crypto::RepositoryKeys;
use longshore_format::{
    PackId,
    names::{self, PackKind},
};
use longshore_store::{Class as StoreClass, StoreError};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::sync::watch;

/// Bytes of finished packs that may wait for the store; whoever brings more waits.
pub(crate) const IN_FLIGHT_BYTES_MAX: u64 = 64 << 20;

/// A pack up to this size is signed and sent by the thread that filled it: another one would cost more than the work.
const SMALL_BYTES_MAX: u64 = 256 << 10;

/// Frames of durable packs after which a segment is due whatever their size: it bounds what a session must remember of
/// many tiny chunks.
const INDEX_AFTER_FRAMES: usize = 256 << 10;

pub(crate) struct Uploads {
    io: Arc<Io>,
    keys: Arc<RepositoryKeys>,
    index: Arc<Index>,
    options: BackupOptions,
    shared: Arc<Shared>,
    /// Held while a segment is written, so that only one is at a time.
    index_writer: Mutex<Instant>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    in_flight_bytes: u64,
    /// Names of finished packs, by their number in the session.
    finished: BTreeMap<u64, PackId>,
    /// Packs submitted, in order, that are not durable yet.
    not_durable: BTreeMap<u64, ()>,
    sequence_next: u64,
    /// The first sequence number that is not durable, for those who wait for all before them.
    durable_before: watch::Sender<u64>,
    durable: Vec<(u64, IndexedPack)>,
    durable_bytes: u64,
    durable_frames: usize,
    indexed: HashSet<u64>,
    stored_bytes: u64,
    packs: u64,
    failure: Option<Arc<RepoError>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            in_flight_bytes: 0,
            finished: BTreeMap::new(),
            not_durable: BTreeMap::new(),
            sequence_next: 0,
            durable_before: watch::channel(0).0,
            durable: Vec::new(),
            durable_bytes: 0,
            durable_frames: 0,
            indexed: HashSet::new(),
            stored_bytes: 0,
            packs: 0,
            failure: None,
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self) -> Result<(), RepoError> {
        match &self.failure {
            Some(failure) => Err(RepoError::SessionFailed { source: failure.clone() }),
            None => Ok(()),
        }
    }

    fn advance(&mut self) {
        let before = self.not_durable.keys().next().copied().unwrap_or(self.sequence_next);
        self.durable_before.send_replace(before);
    }
}

impl Uploads {
    pub(crate) fn new(
        io: Arc<Io>,
        keys: Arc<RepositoryKeys>,
        index: Arc<Index>,
        options: BackupOptions,
    ) -> Self {
        let shared = Arc::default();
        Self { io, keys, index, options, shared, index_writer: Mutex::new(Instant::now()) }
    }

    /// When it returns, all segments that were begun before are durable (W6).
    pub(super) fn wait_for_segment(&self) {
        drop(self.index_writer.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Fails if anything failed before.
    pub(crate) fn check(&self) -> Result<(), RepoError> {
        self.shared.lock().check()
    }

    /// The name of a finished pack, durable or not.
    pub(crate) fn finished(&self, pack_number: u64) -> Option<PackId> {
        self.shared.lock().finished.get(&pack_number).copied()
    }

    pub(crate) fn is_indexed(&self, pack_number: u64) -> bool {
        self.shared.lock().indexed.contains(&pack_number)
    }

    /// Bytes and number of packs stored so far.
    pub(crate) fn stored(&self) -> (u64, u64) {
        let state = self.shared.lock();
        (state.stored_bytes, state.packs)
    }

    /// Sends a pack on its way; waits while too much is in flight.
    pub(crate) fn submit(&self, pack: FinishedPack) -> Result<(), RepoError> {
        let length = pack.bytes.len() as u64;
        let mut state = self.shared.lock();
        while state.failure.is_none()
            && state.in_flight_bytes > 0
            && state.in_flight_bytes + length > IN_FLIGHT_BYTES_MAX
        {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.check()?;
        let sequence = state.sequence_next;
        state.sequence_next += 1;
        state.in_flight_bytes += length;
        state.finished.insert(pack.number, pack.id);
        state.not_durable.insert(sequence, ());
        let before = state.durable_before.subscribe();
        drop(state);
        let (shared, store) = (self.shared.clone(), self.io.store().clone());
        let is_small = length <= SMALL_BYTES_MAX;
        let task = async move {
            if pack.kind == PackKind::Meta && !all_before(before, sequence).await {
                return;
            }
            let name = names::pack(pack.kind, pack.id);
            // The name is the hash of the bytes: whoever stored it first stored the same.
            let result = match store.create(&name, pack.bytes).await {
                Err(error) if error.class() == StoreClass::AlreadyExists => Ok(()),
                result => result,
            };
            let indexed = IndexedPack { kind: pack.kind, id: pack.id, entries: pack.entries };
            arrived(&shared, sequence, pack.number, length, indexed, result);
        };
        if is_small {
            self.io.start(task);
        } else {
            self.io.spawn(task);
        }
        Ok(())
    }

    /// Waits until every submitted pack is durable.
    pub(crate) fn wait_all(&self) -> Result<(), RepoError> {
        let mut state = self.shared.lock();
        while state.failure.is_none() && !state.not_durable.is_empty() {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.check()
    }

    /// Writes an index segment if enough came together since the last one.
    pub(super) fn write_index_if_due(&self) -> Result<bool, RepoError> {
        let Ok(mut last) = self.index_writer.try_lock() else { return Ok(false) };
        let due = {
            let state = self.shared.lock();
            let enough = state.durable_bytes >= self.options.index_after_bytes
                || state.durable_frames >= INDEX_AFTER_FRAMES
                || last.elapsed() >= self.options.index_after;
            enough && !state.durable.is_empty()
        };
        if due {
            self.write_segment(&mut last)?;
        }
        Ok(due)
    }

    /// Writes an index segment of all durable packs that none lists yet.
    pub(crate) fn write_index(&self) -> Result<(), RepoError> {
        let mut last = self.index_writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.write_segment(&mut last)
    }

    fn write_segment(&self, last: &mut Instant) -> Result<(), RepoError> {
        let mut packs = {
            let mut state = self.shared.lock();
            state.check()?;
            state.durable_bytes = 0;
            state.durable_frames = 0;
            std::mem::take(&mut state.durable)
        };
        // As they were filled, not as they arrived: who meets one pack again soon meets the next.
        packs.sort_unstable_by_key(|(number, _)| *number);
        let (numbers, packs): (Vec<_>, Vec<_>) = packs.into_iter().unzip();
        let written = self.store_segments(packs);
        *last = Instant::now();
        let mut state = self.shared.lock();
        match written {
            Ok(length) => {
                state.indexed.extend(numbers);
                state.stored_bytes += length;
                Ok(())
            }
            Err(error) => {
                let error = Arc::new(error);
                state.failure.get_or_insert(error.clone());
                self.shared.changed.notify_all();
                Err(RepoError::SessionFailed { source: error })
            }
        }
    }

    fn store_segments(&self, packs: Vec<IndexedPack>) -> Result<u64, RepoError> {
        let mut stored_bytes = 0;
        let packs = packs.into_iter().map(Ok);
        // A session whose key another one took may find its own packs condemned; its segments must not bring them back (W6).
        let keeps = |_, pack| !self.index.is_condemned(pack);
        for segment in merge(&self.keys, self.index.level(), SegmentLimits::default(), packs, keeps) {
            let segment = segment?;
            self.io.create(&segment.name(), segment.bytes.clone())?;
            self.index.add(&segment)?;
            stored_bytes += segment.bytes.len() as u64;
            tracing::debug!(
                object = segment.name(),
                bytes = segment.bytes.len(),
                "what is stored can be found"
            );
        }
        Ok(stored_bytes)
    }
}

/// Waits until all packs before `sequence` are durable; false if the session ended before.
async fn all_before(mut before: watch::Receiver<u64>, sequence: u64) -> bool {
    before.wait_for(|durable| *durable >= sequence).await.is_ok()
}

fn arrived(
    shared: &Shared,
    sequence: u64,
    pack_number: u64,
    length: u64,
    pack: IndexedPack,
    result: Result<(), StoreError>,
) {
    let frames = pack.entries.len();
    tracing::trace!(pack = %pack.id, kind = ?pack.kind, frames, bytes = length, durable = result.is_ok(), "a pack arrived");
    let mut state = shared.lock();
    state.in_flight_bytes -= length;
    match result {
        Ok(()) => {
            state.not_durable.remove(&sequence);
            state.durable_frames += pack.entries.len();
            state.durable.push((pack_number, pack));
            state.durable_bytes += length;
            state.stored_bytes += length;
            state.packs += 1;
            state.advance();
        }
        // It stays among those not durable, so that no metadata pack after it is ever sent.
        Err(source) => {
            state.failure.get_or_insert(Arc::new(RepoError::Store { source }));
        }
    }
    drop(state);
    shared.changed.notify_all();
}
