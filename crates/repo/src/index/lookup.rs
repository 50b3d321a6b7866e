//! The two questions: is it stored, so that it need not be stored again; and where is it, wherever that may be.

use super::{Index, is_damage, is_gone, load::Need, segment::Segment};
use crate::RepoError;
use bytes::Bytes;
use futures::StreamExt as _;
use longshore_format::{
    PackId, Place, SegmentId,
    index::{PageEntry, fingerprint},
    names::PackKind,
};
use longshore_store::StoreError;
use std::sync::{Arc, atomic::Ordering::Relaxed};

/// Segments whose pages are fetched for one exact look-up at a time: 2.5 MiB.
const SEGMENTS_AT_ONCE: usize = 64;
/// Requests in flight for them.
const REQUESTS_IN_FLIGHT: usize = 16;
/// Exact look-ups after which all fingerprints are loaded, if they are few enough.
const EXACT_LOOKUPS_MAX: u64 = 8;
/// The part of the memory for fingerprints that a reader may take.
const READER_SHARE: usize = 2;

/// A pack that may hold an id.
type Candidate = (Arc<Segment>, u32);

/// How a search went.
#[derive(Default)]
struct Search {
    found: Option<Place>,
    /// In a condemned or damaged pack: a reader's last resort.
    condemned: Option<Place>,
    /// Segments that were superseded since they were listed.
    gone: Vec<SegmentId>,
    damage: Option<RepoError>,
}

impl Index {
    /// Looks for an id for deduplication. It may miss what is stored, when only a sample of fingerprints is known; its
    /// answer is never in a condemned pack, and is remembered as used.
    pub(crate) fn find(&self, kind: PackKind, id: &[u8; 32]) -> Result<Option<Place>, RepoError> {
        if let Some(place) = self.find_nearby(kind, id)
            && self.guard.hand_out(place.pack)
        {
            return Ok(Some(place));
        }
        self.ensure(Need::Fingerprints)?;
        let search = self.find_held(kind, id)?;
        if search.found.is_some() || search.gone.is_empty() {
            return Ok(search.found);
        }
        self.reload_without(&search.gone)?;
        Ok(self.find_held(kind, id)?.found)
    }

    /// Looks for an id wherever it may be, leaving out packs where it was looked for in vain. Exact, whatever is in memory;
    /// a condemned or damaged pack is named only if nothing else holds the id. What a prune has moved since segments were
    /// listed is found as soon as it was looked for in vain.
    pub(crate) fn find_anywhere(
        &self,
        kind: PackKind,
        id: &[u8; 32],
        but: &[PackId],
    ) -> Result<Option<Place>, RepoError> {
        let is_bad = |place: &Place| but.contains(&place.pack);
        if let Some(place) = self.find_nearby(kind, id)
            && !is_bad(&place)
            && !self.guard.is_last_resort(place.pack)
        {
            return Ok(Some(place));
        }
        self.ensure(Need::Heads)?;
        let mut search = self.find_exactly(kind, id, &is_bad)?;
        if search.found.is_none() && !search.gone.is_empty() {
            self.reload_without(&search.gone)?;
            search = self.find_exactly(kind, id, &is_bad)?;
        }
        if search.found.or(search.condemned).is_none() && self.reload_after(but)? {
            search = self.find_exactly(kind, id, &is_bad)?;
        }
        let damaged = self.state().damaged.first().copied();
        match (search.found.or(search.condemned), search.damage, damaged) {
            (Some(place), ..) => Ok(Some(place)),
            (None, Some(damage), _) => Err(damage),
            // It may stand in a segment that does not open: then this is the reason, not that it is nowhere.
            (None, None, Some(damaged)) => self.open_segment(&damaged).map(|_| None),
            (None, None, None) => Ok(None),
        }
    }

    fn find_held(&self, kind: PackKind, id: &[u8; 32]) -> Result<Search, RepoError> {
        let mut search = Search::default();
        for candidate in self.held(id).unwrap_or_default() {
            self.look(kind, id, &candidate, &mut search, &|_| false)?;
            if let Some(place) = search.found
                && self.guard.hand_out(place.pack)
            {
                return Ok(search);
            }
            search.found = None;
        }
        Ok(search)
    }

    /// The packs that may hold an id, if its fingerprint would be in memory.
    fn held(&self, id: &[u8; 32]) -> Option<Vec<Candidate>> {
        let state = self.state();
        let packs = state.fingerprints.as_ref()?.packs_of(fingerprint(id))?;
        Some(packs.into_iter().filter_map(|number| state.segment_of(number)).collect())
    }

    fn find_exactly(
        &self,
        kind: PackKind,
        id: &[u8; 32],
        is_bad: &dyn Fn(&Place) -> bool,
    ) -> Result<Search, RepoError> {
        let mut search = Search::default();
        let mut held = self.held(id);
        if held.is_none() {
            self.load_for_readers()?;
            held = self.held(id);
        }
        let segments = match held {
            Some(candidates) => {
                for candidate in candidates {
                    self.look(kind, id, &candidate, &mut search, is_bad)?;
                    if search.found.is_some() {
                        return Ok(search);
                    }
                }
                self.state().unnumbered.clone()
            }
            None => self.state().all().cloned().collect(),
        };
        for some in segments.chunks(SEGMENTS_AT_ONCE) {
            for candidate in self.candidates(id, some, &mut search)? {
                self.look(kind, id, &candidate, &mut search, is_bad)?;
                if search.found.is_some() {
                    return Ok(search);
                }
            }
        }
        Ok(search)
    }

    /// A reader with many stale hints is better off with all fingerprints in memory.
    fn load_for_readers(&self) -> Result<(), RepoError> {
        if self.exact_lookups.fetch_add(1, Relaxed) < EXACT_LOOKUPS_MAX {
            return Ok(());
        }
        let entries: usize = self.state().all().map(|segment| segment.layout().entries() as usize).sum();
        if entries * size_of::<u64>() <= self.limits.bytes_max / READER_SHARE {
            self.ensure(Need::Fingerprints)?;
        }
        Ok(())
    }

    /// Looks for an id in one pack.
    fn look(
        &self,
        kind: PackKind,
        id: &[u8; 32],
        (segment, number): &Candidate,
        search: &mut Search,
        is_bad: &dyn Fn(&Place) -> bool,
    ) -> Result<(), RepoError> {
        let found = self.table(segment, *number).and_then(|(table, at)| {
            if table[at].kind != kind {
                return Ok(None);
            }
            Ok(self.pack(segment, *number, &table, at)?.find(id))
        });
        match found {
            Ok(Some(place)) if is_bad(&place) => {}
            Ok(Some(place)) if self.guard.is_last_resort(place.pack) => search.condemned = Some(place),
            Ok(found) => search.found = found,
            Err(error) if is_gone(&error) => search.gone.push(segment.id()),
            Err(error) if is_damage(&error) => search.damage = Some(error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// The packs of some segments that may hold an id, by their fingerprint pages.
    fn candidates(
        &self,
        id: &[u8; 32],
        segments: &[Arc<Segment>],
        search: &mut Search,
    ) -> Result<Vec<Candidate>, RepoError> {
        let wanted = fingerprint(id);
        let mut out = Vec::new();
        let mut take = |segment: &Arc<Segment>, page: &[PageEntry]| {
            let equal = page.iter().filter(|entry| entry.fingerprint == wanted);
            out.extend(equal.map(|entry| (segment.clone(), u32::from(entry.pack_number))));
        };
        let mut missing = Vec::new();
        for segment in segments {
            for page in segment.head().pages_of(wanted) {
                match self.pages.get(segment.id(), page) {
                    Some(entries) => take(segment, &entries),
                    None => missing.push((segment.clone(), page)),
                }
            }
        }
        for ((segment, page), sealed) in missing.iter().zip(self.fetch_pages(&missing)?) {
            let opened = sealed
                .map_err(|source| RepoError::Store { source })
                .and_then(|sealed| segment.open_page(*page, &mut Vec::from(sealed)));
            match opened {
                Ok(entries) => take(segment, &self.pages.put(segment.id(), *page, entries)),
                Err(error) if is_gone(&error) => search.gone.push(segment.id()),
                Err(error) if is_damage(&error) => search.damage = Some(error),
                Err(error) => return Err(error),
            }
        }
        Ok(out)
    }

    fn fetch_pages(
        &self,
        pages: &[(Arc<Segment>, u32)],
    ) -> Result<Vec<Result<Bytes, StoreError>>, RepoError> {
        self.count(pages.len() as u64);
        let store = self.io.store().clone();
        let requests: Vec<_> = pages
            .iter()
            .map(|(segment, page)| (segment.name().to_owned(), segment.layout().page_range(*page..*page + 1)))
            .collect();
        self.io.wait(async move {
            let fetches = requests.into_iter().map(|(name, range)| {
                let store = store.clone();
                async move { store.get_range(&name, range.start, range.end - range.start).await }
            });
            Ok(futures::stream::iter(fetches).buffered(REQUESTS_IN_FLIGHT).collect().await)
        })
    }
}
