//! The index from nothing but packs.

use super::{IndexedPack, SegmentLimits, is_damage, is_gone, merge::merge};
use crate::{RepoError, Repository, error::chain, pack};
use longshore_format::{
    PackId,
    names::{self, PackKind},
};
use std::collections::HashSet;

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
    /// Packs and segments that could not be read, with the reason. Everything else is in the index now.
    pub unreadable: Vec<(String, String)>,
}

impl Repository {
    /// Lists every pack of the store that no sound segment lists: all of them, when the whole index is lost.
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
        let mut report = RebuildReport::default();
        let listed = self.soundly_listed(&mut report)?;
        report.listed_packs = listed.len() as u64;
        let mut missing = Vec::new();
        for kind in PackKind::ALL {
            let objects = self.io.list(kind.prefix())?;
            let packs = objects.iter().filter_map(|object| names::parse_pack(&object.name));
            missing
                .extend(packs.filter(|(_, pack)| !listed.contains(pack) && !self.index.is_condemned(*pack)));
        }
        let (mut added, mut unreadable) = (0, Vec::new());
        let packs = missing.chunks(TRAILERS_AT_ONCE).flat_map(|some| self.read_trailers(some)).filter_map(
            |(name, read)| match read {
                Ok(pack) => {
                    added += 1;
                    Some(Ok(pack))
                }
                Err(error) if is_damage(&error) || is_gone(&error) => {
                    unreadable.push((name, chain(&error)));
                    None
                }
                Err(error) => Some(Err(error)),
            },
        );
        let level = self.index.level();
        for segment in merge(&self.keys, level, SegmentLimits::default(), packs, |_, _| true) {
            let segment = segment?;
            self.io.create(&segment.name(), segment.bytes.clone())?;
            self.index.add(&segment)?;
            report.segments += 1;
        }
        report.added_packs = added;
        report.unreadable.extend(unreadable);
        Ok(report)
    }

    /// The packs of all segments that can be read whole.
    fn soundly_listed(&self, report: &mut RebuildReport) -> Result<HashSet<PackId>, RepoError> {
        let mut listed = HashSet::new();
        let (segments, _) = self.index.list_segments()?;
        for segment in &segments {
            let mut packs = Vec::new();
            match self.index.prove(segment, |pack| packs.push(pack.id)) {
                Ok(()) => listed.extend(packs),
                Err(error) if is_damage(&error) || is_gone(&error) => {
                    report.unreadable.push((segment.name(), chain(&error)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(listed)
    }

    fn read_trailers(&self, packs: &[(PackKind, PackId)]) -> Vec<(String, Result<IndexedPack, RepoError>)> {
        let read = |kind, id| {
            let name = names::pack(kind, id);
            let trailer = pack::read_trailer(&self.io, &self.keys, kind, &name);
            (name, trailer.map(|(_, trailer)| IndexedPack { kind, id, entries: trailer.entries }))
        };
        std::thread::scope(|scope| {
            let handles: Vec<_> =
                packs.iter().map(|&(kind, id)| scope.spawn(move || read(kind, id))).collect();
            handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
        })
    }
}
