//! Finding chunks and nodes by id, in bounded memory, and writing level-0 segments.

mod cache;
mod recent;
mod segment;
#[cfg(test)]
mod tests;

pub(crate) use segment::{IndexedPack, encode_segment};

use crate::pack;
use crate::{RepoError, io::Io};
use cache::PageCache;
use longshore_crypto::RepositoryKeys;
use longshore_format::{
    Place, SegmentId,
    index::find_in_page,
    names::{self, PackKind},
};
use recent::RecentPacks;
use segment::OpenSegment;
use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError, RwLock,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// Memory for heads of segments: filters of about 20 million chunks (3 TiB of unique data). Segments beyond it are not
/// asked when chunks are written, which costs space and is never wrong; readers open them when needed.
pub(crate) const HEADS_BYTES_MAX: usize = 64 << 20;
/// Largest segment: 4 Mi entries of 48 bytes and its head.
const SEGMENT_BYTES_MAX: u64 = 256 << 20;
/// Pages kept in memory, of 64 KiB.
const PAGES_MAX: usize = 192;
/// Heads read at once when the index is opened.
const HEADS_AT_ONCE: usize = 16;

/// The index of a repository as it was when it was opened, and what this process added.
pub(crate) struct Index {
    keys: Arc<RepositoryKeys>,
    io: Arc<Io>,
    state: RwLock<State>,
    opened: Mutex<bool>,
    pages: Mutex<PageCache>,
    recent: Mutex<RecentPacks>,
    heads_bytes_max: usize,
    page_reads: AtomicU64,
    has_unheld: AtomicBool,
}

#[derive(Default)]
struct State {
    segments: Vec<Arc<OpenSegment>>,
    heads_bytes: usize,
    /// Segments whose heads do not fit into memory.
    unheld: Vec<SegmentId>,
}

impl Index {
    pub(crate) fn new(keys: Arc<RepositoryKeys>, io: Arc<Io>, heads_bytes_max: usize) -> Self {
        Self {
            keys,
            io,
            state: RwLock::default(),
            opened: Mutex::new(false),
            pages: Mutex::new(PageCache::new(PAGES_MAX)),
            recent: Mutex::default(),
            heads_bytes_max,
            page_reads: AtomicU64::new(0),
            has_unheld: AtomicBool::new(false),
        }
    }

    /// Requests made to find ids so far: pages of segments and trailers of packs.
    pub(crate) fn page_reads(&self) -> u64 {
        self.page_reads.load(Relaxed)
    }

    /// Looks for an id for deduplication: only segments whose heads are in memory are asked.
    pub(crate) fn find(&self, kind: PackKind, id: &[u8; 32]) -> Result<Option<Place>, RepoError> {
        if let Some(place) = self.recent().find(kind, id) {
            return Ok(Some(place));
        }
        self.ensure_open()?;
        let found = self.find_in(&self.segments(), kind, id, None)?;
        if let Some(place) = found {
            self.remember(kind, place);
        }
        Ok(found)
    }

    /// Takes note of all frames of a pack in which one was found.
    fn remember(&self, kind: PackKind, place: Place) {
        if self.recent().holds(place.pack) {
            return;
        }
        // Not under the lock: two threads may read one trailer twice. It is only a shortcut, so failing is no failure.
        let name = names::pack(kind, place.pack);
        self.page_reads.fetch_add(1, Relaxed);
        if let Ok((_, trailer)) = pack::read_trailer(&self.io, &self.keys, kind, &name) {
            self.recent().put(kind, place.pack, &trailer);
        }
    }

    fn recent(&self) -> MutexGuard<'_, RecentPacks> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks for an id wherever it may be, leaving out one place that is known to be bad.
    pub(crate) fn find_anywhere(
        &self,
        kind: PackKind,
        id: &[u8; 32],
        but: Option<Place>,
    ) -> Result<Option<Place>, RepoError> {
        self.ensure_open()?;
        if let Some(place) = self.find_in(&self.segments(), kind, id, but)? {
            return Ok(Some(place));
        }
        let unheld = self.state.read().unwrap_or_else(PoisonError::into_inner).unheld.clone();
        for segment in unheld {
            let open = OpenSegment::open(&self.keys, &self.io, segment)?;
            if let Some(place) = self.find_in(&[Arc::new(open)], kind, id, but)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Adds a segment that this process has just stored.
    pub(crate) fn add(&self, id: SegmentId, bytes: &[u8]) -> Result<(), RepoError> {
        let segment = OpenSegment::from_bytes(&self.keys, id, bytes)?;
        self.hold(segment);
        Ok(())
    }

    /// All segments, for check.
    pub(crate) fn segment_ids(&self) -> Result<Vec<SegmentId>, RepoError> {
        let listed = self.io.list(names::INDEX_LEVEL_0)?;
        Ok(listed.iter().filter_map(|object| names::parse_index_segment(&object.name)).collect())
    }

    /// Proves that a segment's bytes are those that its name says.
    pub(crate) fn prove_name(&self, id: SegmentId) -> Result<u64, RepoError> {
        let name = names::index_segment(id);
        let bytes = self.io.get(&name, SEGMENT_BYTES_MAX)?;
        if blake3::hash(&bytes).as_bytes() == &id.0 {
            Ok(bytes.len() as u64)
        } else {
            Err(RepoError::WrongContent { object: name })
        }
    }

    /// Opens every seal of a segment; calls `each` with every entry.
    pub(crate) fn read_segment(
        &self,
        id: SegmentId,
        mut each: impl FnMut(PackKind, [u8; 32], Place),
    ) -> Result<(), RepoError> {
        let segment = OpenSegment::open(&self.keys, &self.io, id)?;
        for page in 0..segment.page_count() {
            let plain = segment.read_page(&self.keys, &self.io, page)?;
            let name = segment.name();
            for entry in longshore_format::index::decode_page(&plain).map_err(RepoError::format(name))? {
                let (kind, place) = entry.place(segment.head()).map_err(RepoError::format(name))?;
                each(kind, entry.id, place);
            }
        }
        Ok(())
    }

    fn segments(&self) -> Vec<Arc<OpenSegment>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner).segments.clone()
    }

    fn find_in(
        &self,
        segments: &[Arc<OpenSegment>],
        kind: PackKind,
        id: &[u8; 32],
        but: Option<Place>,
    ) -> Result<Option<Place>, RepoError> {
        for segment in segments {
            if !segment.head().filter.may_hold(id) {
                continue;
            }
            let Some(page) = segment.head().page_of(id) else { continue };
            let plain = self.page(segment, page)?;
            let name = segment.name();
            let Some(entry) = find_in_page(&plain, id).map_err(RepoError::format(name))? else { continue };
            let (found_kind, place) = entry.place(segment.head()).map_err(RepoError::format(name))?;
            if found_kind == kind && but.is_none_or(|but| but.pack != place.pack) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    fn page(&self, segment: &Arc<OpenSegment>, page: u32) -> Result<Arc<Vec<u8>>, RepoError> {
        let key = (segment.id(), page);
        if let Some(plain) = self.pages.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(plain);
        }
        // Not under the lock: two threads may read one page twice, which only costs a request.
        let plain = Arc::new(segment.read_page(&self.keys, &self.io, page)?);
        self.page_reads.fetch_add(1, Relaxed);
        self.pages.lock().unwrap_or_else(PoisonError::into_inner).put(key, plain.clone());
        Ok(plain)
    }

    fn hold(&self, segment: OpenSegment) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let bytes = segment.head().memory_bytes();
        if state.heads_bytes + bytes > self.heads_bytes_max {
            state.unheld.push(segment.id());
            if !self.has_unheld.swap(true, Relaxed) {
                tracing::warn!(
                    "the index is larger than its memory; some stored chunks will be stored again"
                );
            }
        } else {
            state.heads_bytes += bytes;
            state.segments.push(Arc::new(segment));
        }
    }

    fn ensure_open(&self) -> Result<(), RepoError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if *opened {
            return Ok(());
        }
        let ids = self.segment_ids()?;
        for some in ids.chunks(HEADS_AT_ONCE) {
            let results: Vec<_> = std::thread::scope(|scope| {
                let handles: Vec<_> = some
                    .iter()
                    .map(|id| scope.spawn(|| OpenSegment::open(&self.keys, &self.io, *id)))
                    .collect();
                handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
            });
            for result in results {
                self.hold(result?);
            }
        }
        *opened = true;
        Ok(())
    }
}
