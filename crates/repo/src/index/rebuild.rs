//! The index from nothing but packs.

use super::{IndexedPack, SegmentLimits, is_damage, is_gone, merge::merge};
use crate::{RepoError, Repository, error::chain, pack, plans::PlanView};
use longshore_format::{
    PackId,
    names::{self, PackKind},
};
use std::collections::{HashMap, HashSet};

/// Trailers read at once.
const TRAILERS_AT_ONCE: usize = 16;

/// What rebuilding the index did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RebuildReport {
    /// Packs that the index lists already.
    pub listed_packs: u64,
    /// Packs that it lists from now on.
    pub added_packs: u64,
    /// Segments that were written.
    pub segments: u64,
    /// Segments that were damaged, with the reason, and are deleted: others list now what they listed.
    pub damaged_segments: Vec<(String, String)>,
    /// Packs whose trailers cannot be read, with the reason. Of them the index lists what a damaged segment still said.
    pub unreadable_packs: Vec<(String, String)>,
}

/// What the segments list.
#[derive(Default)]
struct Listings {
    /// By segments that can be read whole.
    sound: HashSet<PackId>,
    /// By the parts of damaged ones that can be read.
    salvaged: HashMap<PackId, IndexedPack>,
}

impl Repository {
    /// Lists every pack of the store that no sound segment lists: all of them, when the whole index is lost. Then damaged
    /// segments are deleted.
    ///
    /// Reads the trailer of each such pack, so it needs the right to read data packs. What is condemned stays out. It
    /// must not run beside a prune: a pack that is condemned after it was listed here would stay in the index.
    ///
    /// # Errors
    /// [`crate::Class::NoAuthority`] if the key that opened the repository is a mover's.
    pub fn rebuild_index(&self) -> Result<RebuildReport, RepoError> {
        if !self.can_maintain() {
            return Err(RepoError::NoAuthority);
        }
        // What is written under an older plan counts no more.
        self.index.adopt_view(&PlanView::load(&self.io, &self.keys)?.index());
        let mut report = RebuildReport::default();
        let listings = self.read_listings(&mut report)?;
        report.listed_packs = listings.sound.len() as u64;
        let packs = self.unlisted_packs(&listings.sound)?;
        let (mut added, mut unreadable) = (0, Vec::new());
        let read = packs.chunks(TRAILERS_AT_ONCE).flat_map(|some| self.read_trailers(some));
        let found = read.filter_map(|(id, name, read)| match read {
            Err(error) if is_damage(&error) || is_gone(&error) => {
                unreadable.push((name, chain(&error)));
                listings.salvaged.get(&id).cloned().map(Ok)
            }
            read => {
                added += u64::from(read.is_ok());
                Some(read)
            }
        });
        let level = self.index.level();
        for segment in merge(&self.keys, level, SegmentLimits::default(), found, |_, _| true) {
            let segment = segment?;
            self.io.create(&segment.name(), segment.bytes.clone())?;
            self.index.add(&segment)?;
            report.segments += 1;
        }
        report.added_packs = added;
        report.unreadable_packs = unreadable;
        for (segment, _) in &report.damaged_segments {
            self.io.delete(segment)?;
        }
        Ok(report)
    }

    fn read_listings(&self, report: &mut RebuildReport) -> Result<Listings, RepoError> {
        let mut listings = Listings::default();
        for segment in &self.index.list_segments()?.0 {
            let mut packs = Vec::new();
            match self.index.prove(segment, |pack| packs.push(pack.id)) {
                Ok(()) => listings.sound.extend(packs),
                Err(error) if is_gone(&error) => {}
                Err(error) if is_damage(&error) => {
                    report.damaged_segments.push((segment.name(), chain(&error)));
                    let mut salvage =
                        |pack: &IndexedPack| drop(listings.salvaged.insert(pack.id, pack.clone()));
                    match self.index.each_of(segment, &mut salvage) {
                        Err(error) if !is_damage(&error) => return Err(error),
                        _ => {}
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(listings)
    }

    /// Packs that are there and neither listed nor condemned.
    fn unlisted_packs(&self, listed: &HashSet<PackId>) -> Result<Vec<(PackKind, PackId)>, RepoError> {
        let mut unlisted = Vec::new();
        for kind in PackKind::ALL {
            let objects = self.io.list(kind.prefix())?;
            let packs = objects.iter().filter_map(|object| names::parse_pack(&object.name));
            unlisted
                .extend(packs.filter(|(_, pack)| !listed.contains(pack) && !self.index.is_condemned(*pack)));
        }
        Ok(unlisted)
    }

    fn read_trailers(
        &self,
        packs: &[(PackKind, PackId)],
    ) -> Vec<(PackId, String, Result<IndexedPack, RepoError>)> {
        let read = |kind, id| {
            let name = names::pack(kind, id);
            let trailer = pack::read_trailer(&self.io, &self.keys, kind, &name);
            (id, name, trailer.map(|(_, trailer)| IndexedPack { kind, id, entries: trailer.entries }))
        };
        std::thread::scope(|scope| {
            let handles: Vec<_> =
                packs.iter().map(|&(kind, id)| scope.spawn(move || read(kind, id))).collect();
            handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
        })
    }
}
