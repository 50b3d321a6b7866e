//! Making new segments out of the packs of old ones.

use super::{EncodedSegment, IndexedPack, SegmentBuilder, SegmentLimits};
use crate::RepoError;
use longshore_crypto::RepositoryKeys;
use longshore_format::{PackId, index::Level, names::PackKind};
use std::collections::HashSet;

/// Lists packs in as few segments as their limits allow, in the order in which they come: what was written together
/// stays together. Packs that `keeps` refuses are left out, and one that comes twice is listed once.
///
/// Memory: one segment that is being filled, the one that was just handed out, and 33 bytes for each pack that came.
/// Ends after the first failure, of a source or of its own.
pub(crate) fn merge<'k>(
    keys: &'k RepositoryKeys,
    level: Level,
    limits: SegmentLimits,
    packs: impl Iterator<Item = Result<IndexedPack, RepoError>> + 'k,
    keeps: impl FnMut(PackKind, PackId) -> bool + 'k,
) -> impl Iterator<Item = Result<EncodedSegment, RepoError>> + 'k {
    Merge { keys, level, limits, packs, keeps, open: None, listed: HashSet::new(), is_over: false }
}

struct Merge<'k, P, K> {
    keys: &'k RepositoryKeys,
    level: Level,
    limits: SegmentLimits,
    packs: P,
    keeps: K,
    open: Option<SegmentBuilder>,
    listed: HashSet<PackId>,
    is_over: bool,
}

impl<P, K> Merge<'_, P, K>
where
    P: Iterator<Item = Result<IndexedPack, RepoError>>,
    K: FnMut(PackKind, PackId) -> bool,
{
    /// Takes packs until a segment is full or none is left.
    fn fill(&mut self) -> Result<Option<EncodedSegment>, RepoError> {
        for pack in self.packs.by_ref() {
            let pack = pack?;
            if !(self.keeps)(pack.kind, pack.id) || !self.listed.insert(pack.id) {
                continue;
            }
            let full = match &self.open {
                Some(open) if !open.has_room(pack.entries.len()) => self.open.take(),
                _ => None,
            };
            let open = match &mut self.open {
                Some(open) => open,
                none => none.insert(SegmentBuilder::new(self.keys, self.level, self.limits)?),
            };
            open.push(&pack)?;
            if let Some(full) = full {
                return full.finish(self.keys);
            }
        }
        self.is_over = true;
        match self.open.take() {
            Some(open) => open.finish(self.keys),
            None => Ok(None),
        }
    }
}

impl<P, K> Iterator for Merge<'_, P, K>
where
    P: Iterator<Item = Result<IndexedPack, RepoError>>,
    K: FnMut(PackKind, PackId) -> bool,
{
    type Item = Result<EncodedSegment, RepoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let filled = self.fill();
        self.is_over |= filled.is_err();
        filled.transpose()
    }
}
