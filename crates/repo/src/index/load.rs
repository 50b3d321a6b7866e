//! Listing segments, opening them, and loading fingerprints: at the first look-up, and again when a segment is gone.

use super::{
    Index, ListedSegment, Numbered, State, fingerprints::Fingerprints, is_damage, is_gone, segment::Segment,
    writer::EncodedSegment,
};
use crate::RepoError;
use longshore_format::{PackId, SegmentId, index::PageEntry, names};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

/// Segments read at once.
const AT_ONCE: usize = 12;
/// Fingerprint pages read in one request: 1 MiB.
const PAGES_AT_ONCE: u32 = 25;
/// Packs for which segments are listed again. In a repository that misses more, what is damaged is damaged.
const PACKS_IN_VAIN_MAX: usize = 256;
/// Listings until segments that stay missing are given up.
const LISTINGS_MAX: usize = 3;

/// What a look-up needs in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// The heads of all segments.
    Heads,
    /// And fingerprints.
    Fingerprints,
}

impl Index {
    /// The segments that count, by a fresh listing; whether it may be incomplete, so that listing again may help.
    pub(crate) fn list_segments(&self) -> Result<(Vec<ListedSegment>, bool), RepoError> {
        self.count(1);
        let listed = self.io.list(names::INDEX)?;
        // Only now: whatever was deleted before the listing was superseded by a result that this view knows.
        let view = self.views.view()?;
        self.guard.adopt(view.plan, &view.condemned);
        self.guard.set_quarantine(view.quarantine.clone());
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
        let mut in_vain = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have loaded it while this one waited.
        if self.has(need) { Ok(()) } else { self.load(&mut in_vain.segments, need) }
    }

    /// Lists again, because segments that were listed are not there any more. Once for each segment.
    pub(super) fn reload_without(&self, missing: &[SegmentId]) -> Result<(), RepoError> {
        let mut in_vain = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = in_vain.segments.len();
        in_vain.segments.extend(missing);
        if in_vain.segments.len() == before {
            return Ok(());
        }
        let need = self.need();
        self.load(&mut in_vain.segments, need)
    }

    /// Lists again, because something was not in the packs that held it when segments were listed: a prune may have moved it.
    /// Once for each pack; false if nothing was done.
    pub(super) fn reload_after(&self, packs: &[PackId]) -> Result<bool, RepoError> {
        let mut in_vain = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = in_vain.packs.len();
        let room = PACKS_IN_VAIN_MAX.saturating_sub(before);
        in_vain.packs.extend(packs.iter().take(room));
        if in_vain.packs.len() == before {
            return Ok(false);
        }
        let need = self.need();
        self.load(&mut in_vain.segments, need)?;
        Ok(true)
    }

    /// What is in memory now.
    fn need(&self) -> Need {
        match self.state().fingerprints {
            Some(_) => Need::Fingerprints,
            None => Need::Heads,
        }
    }

    /// Adds a segment that this process has just stored.
    pub(crate) fn add(&self, encoded: &EncodedSegment) -> Result<(), RepoError> {
        let EncodedSegment { level, id, ref bytes } = *encoded;
        let listed = ListedSegment { level, id, size_bytes: bytes.len() as u64 };
        let segment = Arc::new(Segment::from_tail(&self.keys, &listed, bytes)?);
        let _loading = self.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.state().is_open || self.state().all().any(|segment| segment.id() == id) {
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
        let first = state.insert(segment, self.limits.packs_max);
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
        let mut state = self.state_mut();
        state.is_open = true;
        tracing::debug!(segments = state.all().count(), "the index is open");
        Ok(())
    }

    /// Makes the state that of the wanted segments; returns those that are not there.
    fn take_over(&self, wanted: &[ListedSegment], need: Need) -> Result<Vec<SegmentId>, RepoError> {
        let ids: HashSet<SegmentId> = wanted.iter().map(|segment| segment.id).collect();
        let (known, fingerprints) = {
            let mut state = self.state_mut();
            state.segments.retain(|numbered| ids.contains(&numbered.segment.id()));
            state.unnumbered.retain(|segment| ids.contains(&segment.id()));
            state.damaged.clear();
            let known: HashSet<SegmentId> = state.all().map(|segment| segment.id()).collect();
            // Without fingerprints other threads wait for this one.
            (known, state.fingerprints.take())
        };
        let new: Vec<&ListedSegment> = wanted.iter().filter(|segment| !known.contains(&segment.id)).collect();
        let mut missing = self.each(&new, |listed| {
            let segment = self.open_segment(listed)?;
            self.state_mut().insert(segment, self.limits.packs_max);
            Ok(())
        })?;
        if need == Need::Fingerprints || fingerprints.is_some() {
            missing.extend(self.load_fingerprints(wanted, &known, fingerprints)?);
        }
        Ok(missing)
    }

    /// Reads the fingerprints of all segments; if those of `known` ones are there, only of the others.
    fn load_fingerprints(
        &self,
        wanted: &[ListedSegment],
        known: &HashSet<SegmentId>,
        old: Option<Fingerprints>,
    ) -> Result<Vec<SegmentId>, RepoError> {
        let is_loaded = |id| old.is_some() && known.contains(&id);
        let (firsts, entries) = {
            let state = self.state();
            let firsts: HashMap<SegmentId, Numbered> =
                state.segments.iter().map(|numbered| (numbered.segment.id(), numbered.clone())).collect();
            let layouts = state.segments.iter().map(|numbered| numbered.segment.layout());
            (firsts, layouts.map(|layout| u64::from(layout.entries())).sum())
        };
        let todo: Vec<&ListedSegment> = wanted
            .iter()
            .filter(|segment| firsts.contains_key(&segment.id) && !is_loaded(segment.id))
            .collect();
        let table = Mutex::new(old.unwrap_or_else(|| Fingerprints::new(self.limits.bytes_max, entries)));
        let missing = self.each(&todo, |listed| match firsts.get(&listed.id) {
            Some(Numbered { first, segment }) => self.read_fingerprints(*first, segment, &table),
            None => Ok(()),
        })?;
        let mut fingerprints = table.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state_mut();
        // Of segments that are gone since, or that failed half way.
        fingerprints.retain(|number| state.segment_of(number).is_some());
        fingerprints.sort();
        state.fingerprints = Some(fingerprints);
        Ok(missing)
    }

    /// Does something with segments, several at once. Those that are not there are returned and those that are damaged
    /// noted; neither is part of the state afterwards.
    fn each(
        &self,
        segments: &[&ListedSegment],
        work: impl Fn(&ListedSegment) -> Result<(), RepoError> + Sync,
    ) -> Result<Vec<SegmentId>, RepoError> {
        let next = Mutex::new(segments.iter());
        let run = || -> Result<Vec<SegmentId>, RepoError> {
            let mut missing = Vec::new();
            loop {
                let listed = next.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(listed) = listed else { return Ok(missing) };
                let Err(error) = work(listed) else { continue };
                if is_gone(&error) {
                    missing.push(listed.id);
                } else if is_damage(&error) {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, segment = listed.name(), "a segment of the index is damaged");
                    self.state_mut().damaged.push(**listed);
                } else {
                    return Err(error);
                }
                self.state_mut().segments.retain(|numbered| numbered.segment.id() != listed.id);
            }
        };
        let results: Vec<_> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..AT_ONCE.min(segments.len())).map(|_| scope.spawn(run)).collect();
            handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
        });
        Ok(results.into_iter().collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn read_fingerprints(
        &self,
        first: u32,
        segment: &Segment,
        table: &Mutex<Fingerprints>,
    ) -> Result<(), RepoError> {
        let table = || table.lock().unwrap_or_else(PoisonError::into_inner);
        let mut start = 0;
        loop {
            // Anew each time: it falls when the table is full.
            let Some(highest) = table().highest() else { return Ok(()) };
            let end = segment.head().pages_up_to(highest).end;
            if start >= end {
                return Ok(());
            }
            let pages = start..end.min(start + PAGES_AT_ONCE);
            start = pages.end;
            self.count(1);
            segment.read_pages(&self.io, pages, |entries| table().append(numbered(first, entries)))?;
        }
    }
}

impl State {
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.segments.iter().map(|numbered| &numbered.segment).chain(&self.unnumbered)
    }

    /// Adds a segment; returns the number of its first pack, unless there are no numbers left.
    fn insert(&mut self, segment: Arc<Segment>, packs_max: u32) -> Option<u32> {
        let first = self.number_next;
        match first.checked_add(segment.layout().packs()) {
            Some(next) if next <= packs_max => {
                self.number_next = next;
                self.segments.push(Numbered { first, segment });
                Some(first)
            }
            _ => {
                self.unnumbered.push(segment);
                None
            }
        }
    }
}

fn numbered(first: u32, entries: Vec<PageEntry>) -> impl Iterator<Item = (u64, u32)> {
    entries.into_iter().map(move |entry| (entry.fingerprint, first + u32::from(entry.pack_number)))
}
