//! Finding chunks and nodes by id in bounded memory, and writing and merging the segments that say where they are.
//!
//! Writers ask [`Index::find`]: all fingerprints, or a sample that fits into [`INDEX_BYTES_MAX`], are in memory, so that
//! a chunk that is nowhere costs no request. A hit costs one, which brings all chunks that were stored near it.
//! Readers whose hint is stale ask [`Index::find_anywhere`], which is exact. Nobody reads packs: movers may not.

mod cache;
mod fingerprints;
mod guard;
mod load;
mod lookup;
mod merge;
mod nearby;
mod policy;
mod probe;
mod prove;
mod rebuild;
mod recent;
mod segment;
#[cfg(test)]
mod tests;
mod view;
mod writer;

pub(crate) use merge::merge;
pub(crate) use policy::segments_to_merge;
pub use rebuild::RebuildReport;
pub(crate) use segment::{ListedSegment, SegmentPacks};
pub(crate) use view::{IndexView, ViewSource};
pub(crate) use writer::{EncodedSegment, IndexedPack, SegmentBuilder, SegmentLimits};

use crate::{Class, RepoError, damage::Quarantine, io::Io};
use cache::PageCache;
use fingerprints::Fingerprints;
use guard::Guard;
use longshore_crypto::RepositoryKeys;
use longshore_format::{
    PackId, SegmentId,
    index::{Level, PageEntry, SEGMENT_BYTES_MAX, TableEntry},
};
use recent::RecentPacks;
use segment::Segment;
use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Memory for fingerprints: all of 5.6 million chunks (700 GiB of unique data), or a sample of more.
pub(crate) const INDEX_BYTES_MAX: usize = 48 << 20;
/// Pages of pack tables kept in memory, of 16 KiB once opened.
const TABLE_PAGES_MAX: usize = 256;
/// Fingerprint pages kept in memory for exact look-ups, of 64 KiB once opened.
const PAGES_MAX: usize = 48;

/// What an index may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IndexLimits {
    /// Memory for fingerprints.
    pub(crate) bytes_max: usize,
    /// Frames of packs in which something was found lately.
    pub(crate) recent_frames_max: usize,
    /// Packs that get a number in the table of fingerprints.
    pub(crate) packs_max: u32,
}

impl IndexLimits {
    /// What processes use.
    pub(crate) const STANDARD: Self = Self {
        bytes_max: INDEX_BYTES_MAX,
        recent_frames_max: recent::FRAMES_MAX,
        packs_max: fingerprints::PACKS_MAX,
    };
}

/// The index of a repository as it was when it was last listed, and what this process added.
pub(crate) struct Index {
    keys: Arc<RepositoryKeys>,
    io: Arc<Io>,
    views: Box<dyn ViewSource>,
    limits: IndexLimits,
    state: RwLock<State>,
    /// Held while segments are listed and opened.
    loading: Mutex<InVain>,
    guard: Guard,
    recent: Mutex<RecentPacks>,
    tables: PageCache<TableEntry>,
    pages: PageCache<PageEntry>,
    /// The highest plan that was adopted: new segments stand under it.
    plan: AtomicU64,
    requests: AtomicU64,
    exact_lookups: AtomicU64,
}

/// What was not where it should be: a reason to list segments again, once for each.
#[derive(Default)]
struct InVain {
    /// Segments that were listed.
    segments: HashSet<SegmentId>,
    /// Packs that did not hold what they were said to hold.
    packs: HashSet<PackId>,
}

#[derive(Default)]
struct State {
    is_open: bool,
    segments: Vec<Numbered>,
    /// Segments for whose packs no numbers are left: only exact look-ups ask them.
    unnumbered: Vec<Arc<Segment>>,
    /// The number for the first pack of the next segment.
    number_next: u32,
    /// Segments that do not open: look-ups go on without them.
    damaged: Vec<ListedSegment>,
    /// Loaded for deduplication, or when a reader asks often.
    fingerprints: Option<Fingerprints>,
}

/// A segment and the number of its first pack, ascending. Numbers of segments that are gone are not used again.
#[derive(Clone)]
struct Numbered {
    first: u32,
    segment: Arc<Segment>,
}

impl Index {
    pub(crate) fn new(
        keys: Arc<RepositoryKeys>,
        io: Arc<Io>,
        limits: IndexLimits,
        views: Box<dyn ViewSource>,
    ) -> Self {
        Self {
            keys,
            io,
            views,
            limits,
            state: RwLock::default(),
            loading: Mutex::default(),
            guard: Guard::default(),
            recent: Mutex::new(RecentPacks::new(limits.recent_frames_max)),
            tables: PageCache::new(TABLE_PAGES_MAX),
            pages: PageCache::new(PAGES_MAX),
            plan: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            exact_lookups: AtomicU64::new(0),
        }
    }

    /// Requests made so far to list, open and ask the index.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Takes over what a plan condemns. From now on no look-up for deduplication answers with its packs; those among
    /// them that were answered until now are returned, and belong into the session's `seen` record.
    pub(crate) fn adopt_view(&self, view: &IndexView) -> Vec<PackId> {
        let used = self.guard.adopt(view.plan, &view.condemned);
        self.guard.set_quarantine(view.quarantine.clone());
        self.plan.fetch_max(view.plan, Relaxed);
        used
    }

    /// The level at which this process writes segments now.
    pub(crate) fn level(&self) -> Level {
        Level::Zero { plan: self.plan.load(Relaxed) }
    }

    /// Whether a plan that is known condemns the pack.
    pub(crate) fn is_condemned(&self, pack: PackId) -> bool {
        self.guard.is_condemned(pack)
    }

    /// Packs that are known to be damaged.
    pub(crate) fn quarantine(&self) -> Arc<Quarantine> {
        self.guard.quarantine()
    }

    /// Takes over reports that were made since the index was listed.
    pub(crate) fn set_quarantine(&self, quarantine: Arc<Quarantine>) {
        self.guard.set_quarantine(quarantine);
    }

    /// Lists the packs of all segments that count; a pack that several list comes several times. A damaged segment is
    /// left out from where it cannot be read: what only it lists is then as if no segment did.
    pub(crate) fn each_pack(&self, each: &mut dyn FnMut(&IndexedPack)) -> Result<(), RepoError> {
        for listed in self.list_segments()?.0 {
            match self.each_of(&listed, each) {
                Err(error) if is_damage(&error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, segment = listed.name(), "a segment of the index is damaged");
                }
                result => result?,
            }
        }
        Ok(())
    }

    fn each_of(&self, listed: &ListedSegment, each: &mut dyn FnMut(&IndexedPack)) -> Result<(), RepoError> {
        for pack in self.packs_of(self.open_segment(listed)?) {
            each(&pack?);
        }
        Ok(())
    }

    /// Opens a segment that was listed.
    pub(crate) fn open_segment(&self, listed: &ListedSegment) -> Result<Arc<Segment>, RepoError> {
        self.count(1);
        Ok(Arc::new(Segment::open(&self.keys, &self.io, listed)?))
    }

    /// All packs of a segment, in their order.
    pub(crate) fn packs_of(&self, segment: Arc<Segment>) -> SegmentPacks {
        SegmentPacks::new(self.io.clone(), segment)
    }

    /// Proves that a segment's bytes are those that its name says; returns how many there are.
    pub(crate) fn prove_name(&self, listed: &ListedSegment) -> Result<u64, RepoError> {
        let bytes = self.io.get(&listed.name(), SEGMENT_BYTES_MAX)?;
        if blake3::hash(&bytes).as_bytes() == &listed.id.0 {
            Ok(bytes.len() as u64)
        } else {
            Err(RepoError::WrongContent { object: listed.name() })
        }
    }

    fn count(&self, requests: u64) {
        self.requests.fetch_add(requests, Relaxed);
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, RecentPacks> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The segment of a numbered pack, and the pack's number in it.
    fn segment_of(&self, number: u32) -> Option<(Arc<Segment>, u32)> {
        let after = self.segments.partition_point(|segment| segment.first <= number);
        let Numbered { first, segment } = self.segments.get(after.checked_sub(1)?)?;
        let inside = number - first;
        (inside < segment.layout().packs()).then(|| (segment.clone(), inside))
    }
}

/// Whether an error says that an object is not what it should be. A version that is not known is damage too: the version
/// of the repository is.
pub(crate) fn is_damage(error: &RepoError) -> bool {
    matches!(
        error.class(),
        Class::Corrupt | Class::Unsupported | Class::Store(longshore_store::Class::Corrupt)
    )
}

/// Whether an error says that an object is not there, which for a segment means that it was superseded meanwhile.
fn is_gone(error: &RepoError) -> bool {
    error.class() == Class::Store(longshore_store::Class::NotFound)
}
