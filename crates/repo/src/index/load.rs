//! Listing segments, opening them, and loading fingerprints: at the first look-up, and again when a segment is gone.

use super::{
    Index, ListedSegment, Numbered, State,
    fingerprints::{Fingerprints, PACKS_MAX},
    is_damage, is_gone,
    segment::Segment,
    writer::EncodedSegment,
};
use crate::RepoError;
use longshore_format::{
    SegmentId,
    index::{PAGE_ENTRY_BYTES, PageEntry, SECTION_ENTRY_BYTES},
    names,
};
use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

/// Segments read at once.
const AT_ONCE: usize = 12;
/// Fingerprint pages read in one request: 1 MiB.
const PAGES_AT_ONCE: u32 = 25;
/// Listings until segments that stay missing are given up.
const LISTINGS_MAX: usize = 3;
/// A segment has at least so many bytes for each entry.
const ENTRY_BYTES_LEAST: u64 = (SECTION_ENTRY_BYTES + PAGE_ENTRY_BYTES) as u64;

/// What a look-up needs in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The heads of all segments.
    Heads,
    /// And fingerprints.
    Fingerprints,
}

/// Why a segment that was listed could not be opened.
enum Opening {
    Gone,
    Damaged,
}

impl Index {
    /// The segments that count, by a fresh listing; whether it may be incomplete, so that listing again may help.
    pub(crate) fn list_segments(&self) -> Result<(Vec<ListedSegment>, bool), RepoError> {
        self.count(1);
        let listed = self.io.list(names::INDEX)?;
        // Only now: whatever was deleted before the listing was superseded by a result that this view knows.
        let view = self.views.view()?;
        self.guard.adopt(view.plan, &view.condemned);
        let segments: Vec<ListedSegment> = listed
            .iter()
            .filter_map(|object| {
                let (level, id) = names::parse_index_segment(&object.name)?;
                let size_bytes = object.size_bytes;
                view.counts(level, id).then_some(ListedSegment { level, id, size_bytes })
            })
            .collect();
        let found: HashSet<SegmentId> = segments.iter().map(|segment| segment.id).collect();
        Ok((segments, view.level_1.iter().any(|id| !found.contains(id))))
    }

    pub(super) fn ensure(&self, need: Need) -> Result<(), RepoError> {
        if self.has(need) {
            return Ok(());
        }
        let mut gone = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have loaded it while this one waited.
        if self.has(need) { Ok(()) } else { self.load(&mut gone, need) }
    }

    /// Lists again, because segments that were listed are not there any more. Once for each segment.
    pub(super) fn reload_without(&self, missing: &[SegmentId]) -> Result<(), RepoError> {
        let mut gone = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = gone.len();
        gone.extend(missing);
        if gone.len() == before {
            return Ok(());
        }
        let need = match self.state().fingerprints {
            Some(_) => Need::Fingerprints,
            None => Need::Heads,
        };
        self.load(&mut gone, need)
    }

    /// Adds a segment that this process has just stored.
    pub(crate) fn add(&self, encoded: &EncodedSegment) -> Result<(), RepoError> {
        let EncodedSegment { level, id, ref bytes } = *encoded;
        let listed = ListedSegment { level, id, size_bytes: bytes.len() as u64 };
        let segment = Arc::new(Segment::from_tail(&self.keys, &listed, bytes)?);
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.state().is_open || self.state().segment(id).is_some() {
            // It will be listed, or was.
            return Ok(());
        }
        let highest = self.state().fingerprints.as_ref().and_then(Fingerprints::highest);
        let mut entries = Vec::new();
        for page in highest.map_or(0..0, |highest| segment.head().pages_up_to(highest)) {
            let range = segment.layout().page_range(page..page + 1);
            let mut sealed = bytes[range.start as usize..range.end as usize].to_vec();
            entries.extend(segment.open_page(page, &mut sealed)?);
        }
        let mut state = self.state_mut();
        let first = state.reserve(&segment);
        state.insert(first, segment);
        if let (Some(first), Some(fingerprints)) = (first, &mut state.fingerprints) {
            fingerprints.merge(numbered(first, entries));
        }
        Ok(())
    }

    fn has(&self, need: Need) -> bool {
        let state = self.state();
        state.is_open && (need == Need::Heads || state.fingerprints.is_some())
    }

    fn load(&self, gone: &mut HashSet<SegmentId>, need: Need) -> Result<(), RepoError> {
        for listing in 1..=LISTINGS_MAX {
            let (mut wanted, is_incomplete) = self.list_segments()?;
            wanted.retain(|segment| !gone.contains(&segment.id));
            let missing = self.take_over(&wanted, need)?;
            if missing.is_empty() && !is_incomplete {
                break;
            }
            if listing == LISTINGS_MAX {
                tracing::warn!(
                    missing = missing.len(),
                    "segments of the index are missing; `check` says what is wrong, `repair index` mends it"
                );
                gone.extend(missing);
            }
        }
        self.state_mut().is_open = true;
        Ok(())
    }

    /// Makes the state that of the wanted segments; returns those that are not there.
    fn take_over(&self, wanted: &[ListedSegment], need: Need) -> Result<Vec<SegmentId>, RepoError> {
        let ids: HashSet<SegmentId> = wanted.iter().map(|segment| segment.id).collect();
        let fingerprints = {
            let mut state = self.state_mut();
            state.segments.retain(|numbered| ids.contains(&numbered.segment.id()));
            state.unnumbered.retain(|segment| ids.contains(&segment.id()));
            state.damaged.clear();
            // Without fingerprints other threads wait for this one.
            state.fingerprints.take()
        };
        let is_loaded = fingerprints.is_some();
        let fingerprints = match (need, fingerprints) {
            (Need::Heads, None) => None,
            (_, Some(mut fingerprints)) => {
                let state = self.state();
                fingerprints.retain(|number| state.segment_of(number).is_some());
                Some(fingerprints)
            }
            (Need::Fingerprints, None) => {
                let bytes: u64 = wanted.iter().map(|segment| segment.size_bytes).sum();
                Some(Fingerprints::new(self.limits.bytes_max, bytes / ENTRY_BYTES_LEAST))
            }
        };
        let is_new = |id| self.state().segment(id).is_none();
        let reads_pages = fingerprints.is_some() && !is_loaded;
        let todo: Vec<&ListedSegment> =
            wanted.iter().filter(|segment| reads_pages || is_new(segment.id)).collect();
        self.read_all(&todo, fingerprints)
    }

    /// Opens segments, several at once, and reads their fingerprints into the table, if there is one.
    fn read_all(
        &self,
        todo: &[&ListedSegment],
        fingerprints: Option<Fingerprints>,
    ) -> Result<Vec<SegmentId>, RepoError> {
        let table = Mutex::new(fingerprints);
        let next = Mutex::new(todo.iter());
        let work = || -> Result<Vec<(ListedSegment, Opening)>, RepoError> {
            let mut out = Vec::new();
            loop {
                let listed = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(listed) = listed else { return Ok(out) };
                match self.read_one(listed, &table) {
                    Ok(()) => {}
                    Err(error) if is_gone(&error) => out.push((**listed, Opening::Gone)),
                    Err(error) if is_damage(&error) => {
                        let error: &dyn std::error::Error = &error;
                        tracing::warn!(error, segment = listed.name(), "a segment of the index is damaged");
                        out.push((**listed, Opening::Damaged));
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..AT_ONCE.min(todo.len())).map(|_| scope.spawn(work)).collect();
            handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
        });
        let failed: Vec<_> =
            results.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect();
        let mut fingerprints = table.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state_mut();
        if let Some(fingerprints) = &mut fingerprints {
            if !failed.is_empty() {
                // What was read of a segment before it failed names packs that nobody knows.
                fingerprints.retain(|number| state.segment_of(number).is_some());
            }
            fingerprints.sort();
        }
        state.fingerprints = fingerprints;
        let mut missing = Vec::new();
        for (listed, opening) in failed {
            match opening {
                Opening::Gone => missing.push(listed.id),
                Opening::Damaged => state.damaged.push(listed),
            }
        }
        Ok(missing)
    }

    fn read_one(&self, listed: &ListedSegment, table: &Mutex<Option<Fingerprints>>) -> Result<(), RepoError> {
        let known = self.state().segment(listed.id);
        let is_new = known.is_none();
        let (first, segment) = match known {
            Some(known) => known,
            None => {
                let segment = self.open_segment(listed)?;
                (self.state_mut().reserve(&segment), segment)
            }
        };
        if let Some(first) = first {
            self.read_fingerprints(first, &segment, table)?;
        }
        if is_new {
            self.state_mut().insert(first, segment);
        }
        Ok(())
    }

    fn read_fingerprints(
        &self,
        first: u32,
        segment: &Segment,
        table: &Mutex<Option<Fingerprints>>,
    ) -> Result<(), RepoError> {
        let table = || table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut start = 0;
        loop {
            // Anew each time: it falls when the table is full.
            let highest = table().as_ref().and_then(Fingerprints::highest);
            let Some(highest) = highest else { return Ok(()) };
            let end = segment.head().pages_up_to(highest).end;
            if start >= end {
                return Ok(());
            }
            let pages = start..end.min(start + PAGES_AT_ONCE);
            start = pages.end;
            self.count(1);
            segment.read_pages(&self.io, pages, |entries| {
                if let Some(fingerprints) = &mut *table() {
                    fingerprints.append(numbered(first, entries));
                }
            })?;
        }
    }
}

impl State {
    /// A segment, with the number of its first pack if it has one.
    fn segment(&self, id: SegmentId) -> Option<(Option<u32>, Arc<Segment>)> {
        let numbered = self.segments.iter().find(|numbered| numbered.segment.id() == id);
        let unnumbered = || self.unnumbered.iter().find(|segment| segment.id() == id);
        numbered
            .map(|numbered| (Some(numbered.first), numbered.segment.clone()))
            .or_else(|| unnumbered().map(|segment| (None, segment.clone())))
    }

    /// Numbers for the packs of a segment; none if there are no more.
    fn reserve(&mut self, segment: &Segment) -> Option<u32> {
        let first = self.number_next;
        let next = first.checked_add(segment.layout().packs()).filter(|next| *next <= PACKS_MAX)?;
        self.number_next = next;
        Some(first)
    }

    fn insert(&mut self, first: Option<u32>, segment: Arc<Segment>) {
        match first {
            Some(first) => {
                let at = self.segments.partition_point(|numbered| numbered.first < first);
                self.segments.insert(at, Numbered { first, segment });
            }
            None => self.unnumbered.push(segment),
        }
    }
}

fn numbered(first: u32, entries: Vec<PageEntry>) -> impl Iterator<Item = (u64, u32)> {
    entries.into_iter().map(move |entry| (entry.fingerprint, first + u32::from(entry.pack_number)))
}
