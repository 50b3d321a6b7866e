//! Reading many chunks: grouped by pack, fetched in few requests, opened on all processors.

use crate::{RepoError, Repository, frame::FrameReader};
use bytes::Bytes;
use futures::StreamExt as _;
use longshore_format::{
    ChunkId, ChunkRef, Location, PackId, Place,
    names::{self, PackKind},
};
use longshore_store::StoreError;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};
use tokio::{sync::mpsc, task::JoinError};

/// Largest part of a pack that is fetched at once.
const FETCH_BYTES_MAX: u64 = 4 << 20;
/// Unwanted bytes between two chunks that are fetched rather than asked around.
const GAP_BYTES_MAX: u64 = 256 << 10;
/// Fetches in flight: 8 of 4 MiB fill a link of 50 ms latency to 600 MB/s.
const FETCHES_IN_FLIGHT: usize = 8;
/// Fetched parts that wait for a processor.
const FETCHES_WAITING: usize = 4;

/// Why reading many chunks stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReadError<E: std::error::Error + 'static> {
    /// The repository could not deliver.
    #[error("chunks could not be read")]
    Repo(#[source] RepoError),
    /// The receiver of the chunks failed.
    #[error("chunks could not be delivered")]
    Deliver(#[source] E),
}

/// Receives a chunk's bytes by the index of its reference; called from several threads.
pub type Deliver<'a, E> = dyn Fn(usize, &[u8]) -> Result<(), E> + Sync + 'a;

/// The frames wanted of a pack. The id is part of the key: a wrong hint must never make one chunk stand for another.
type Frames = BTreeMap<(u32, ChunkId), Wanted>;

/// A frame that is wanted, and for which requests.
struct Wanted {
    chunk: ChunkRef,
    place: Place,
    indexes: Vec<usize>,
}

/// A range of one pack and the frames in it.
struct Fetch {
    pack: PackId,
    start: u64,
    end: u64,
    wanted: Vec<Wanted>,
}

/// What came of a fetch, unless its task broke.
type Fetched = Result<(Fetch, Result<Bytes, StoreError>), JoinError>;

impl Repository {
    /// Reads many chunks in whatever order is fastest.
    ///
    /// `deliver` is called once for each index of `chunks`, from several threads at once, with bytes that are proven to
    /// be the chunk's. The first failure of either side stops everything. Memory: at most 14 fetches of 4 MiB and a few
    /// buffers, whatever the number of chunks.
    pub fn read_chunks<E>(&self, chunks: &[ChunkRef], deliver: &Deliver<'_, E>) -> Result<(), ReadError<E>>
    where
        E: std::error::Error + Send + 'static,
    {
        let fetches = self.plan(chunks).map_err(ReadError::Repo)?;
        let (sender, receiver) = mpsc::channel(FETCHES_WAITING);
        tracing::trace!(chunks = chunks.len(), fetches = fetches.len(), "reading chunks");
        self.start_fetching(fetches, sender);
        let receiver = Mutex::new(receiver);
        let failure = Mutex::new(None);
        let failed = AtomicBool::new(false);
        let workers = std::thread::available_parallelism().map_or(2, usize::from).min(8);
        std::thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    let result = self.work(&receiver, &failed, deliver);
                    if let Err(error) = result {
                        failed.store(true, Relaxed);
                        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                });
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn plan(&self, chunks: &[ChunkRef]) -> Result<Vec<Fetch>, RepoError> {
        let mut by_pack: BTreeMap<PackId, (usize, Frames)> = BTreeMap::new();
        for (index, chunk) in chunks.iter().enumerate() {
            let place = match chunk.location {
                Location::Stored(place) => place,
                Location::Unknown | Location::Open { .. } => {
                    let found = self.index.find_anywhere(PackKind::Data, &chunk.id.0, &[])?;
                    found.ok_or_else(|| RepoError::Missing { what: "chunk", id: chunk.id.to_string() })?
                }
            };
            let (_, frames) = by_pack.entry(place.pack).or_insert_with(|| (index, BTreeMap::new()));
            let wanted = frames.entry((place.offset_bytes, chunk.id));
            wanted
                .or_insert_with(|| Wanted { chunk: *chunk, place, indexes: Vec::new() })
                .indexes
                .push(index);
        }
        // Packs in the order in which the target wants them first, so that writing it is nearly sequential.
        let mut packs: Vec<_> = by_pack.into_iter().collect();
        packs.sort_by_key(|(_, (first, _))| *first);
        let mut fetches: Vec<Fetch> = Vec::new();
        for (pack, (_, frames)) in packs {
            for (_, wanted) in frames {
                let start = u64::from(wanted.place.offset_bytes);
                let end = start + u64::from(wanted.place.length_bytes);
                match fetches.last_mut() {
                    Some(last)
                        if last.pack == pack
                            && start <= last.end + GAP_BYTES_MAX
                            && end.saturating_sub(last.start) <= FETCH_BYTES_MAX =>
                    {
                        last.end = last.end.max(end);
                        last.wanted.push(wanted);
                    }
                    _ => fetches.push(Fetch { pack, start, end, wanted: vec![wanted] }),
                }
            }
        }
        Ok(fetches)
    }

    fn start_fetching(&self, fetches: Vec<Fetch>, sender: mpsc::Sender<Fetched>) {
        let store = self.io.store().clone();
        self.io.spawn(async move {
            // Each a task of its own, that goes on while the workers are busy: one that holds a place of the store's limit of
            // requests and waits to be asked would keep the workers' own requests waiting for ever.
            let mut results = futures::stream::iter(fetches)
                .map(|fetch| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        let name = names::pack(PackKind::Data, fetch.pack);
                        let bytes = store.get_range(&name, fetch.start, fetch.end - fetch.start).await;
                        (fetch, bytes)
                    })
                })
                .buffer_unordered(FETCHES_IN_FLIGHT);
            while let Some(result) = results.next().await {
                if sender.send(result).await.is_err() {
                    // The workers have stopped.
                    return;
                }
            }
        });
    }

    fn work<E: std::error::Error + Send + 'static>(
        &self,
        receiver: &Mutex<mpsc::Receiver<Fetched>>,
        failed: &AtomicBool,
        deliver: &Deliver<'_, E>,
    ) -> Result<(), ReadError<E>> {
        let mut reader = FrameReader::new().map_err(ReadError::Repo)?;
        let mut sealed = Vec::new();
        loop {
            // This thread was started here and is in no runtime, so blocking on the channel is allowed.
            let next = receiver.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
            let Some(fetched) = next else { return Ok(()) };
            if failed.load(Relaxed) {
                return Ok(());
            }
            let lost = |source| RepoError::Runtime { source: std::io::Error::other(source) };
            let (fetch, bytes) = fetched.map_err(lost).map_err(ReadError::Repo)?;
            for wanted in &fetch.wanted {
                let plain = bytes.as_ref().ok().and_then(|bytes| {
                    let from = (u64::from(wanted.place.offset_bytes) - fetch.start) as usize;
                    sealed.clear();
                    sealed.extend_from_slice(bytes.get(from..from + wanted.place.length_bytes as usize)?);
                    self.prove(wanted, &mut sealed, &mut reader)
                });
                let again;
                let plain = match plain {
                    Some(plain) => plain,
                    // Not there or not right: reading it alone tries other places and gives the reason.
                    None => {
                        again = self.read_chunk(&wanted.chunk).map_err(ReadError::Repo)?;
                        &again
                    }
                };
                for index in &wanted.indexes {
                    deliver(*index, plain).map_err(ReadError::Deliver)?;
                }
            }
        }
    }

    fn prove<'a>(
        &self,
        wanted: &Wanted,
        sealed: &'a mut [u8],
        reader: &'a mut FrameReader,
    ) -> Option<&'a [u8]> {
        let key = self.pack_key(PackKind::Data, wanted.place.pack).ok()?;
        let plain =
            self.open_frame(PackKind::Data, &wanted.chunk.id.0, wanted.place, &key, sealed, reader).ok()?;
        let right =
            self.keys.chunk_id(plain) == wanted.chunk.id && plain.len() == wanted.chunk.length_bytes as usize;
        right.then_some(plain)
    }
}
