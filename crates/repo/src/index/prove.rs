//! Reading a segment whole: do its fingerprints say what its sections say?

use super::{Index, IndexedPack, ListedSegment};
use crate::RepoError;
use longshore_format::index::{PageEntry, fingerprint};

/// Fingerprint pages read in one request.
const PAGES_AT_ONCE: usize = 25;

impl Index {
    /// Opens every seal of a segment and proves that its parts agree; hands out each pack that it lists.
    /// Memory: 16 bytes for each of its entries, and a megabyte.
    pub(crate) fn prove(
        &self,
        listed: &ListedSegment,
        mut each: impl FnMut(&IndexedPack),
    ) -> Result<(), RepoError> {
        let wrong = || RepoError::WrongContent { object: listed.name() };
        let segment = self.open_segment(listed)?;
        let mut expected = Vec::with_capacity(segment.layout().entries() as usize);
        for (pack_number, pack) in (0..).zip(self.packs_of(segment.clone())) {
            let pack = pack?;
            let entries = pack.entries.iter();
            expected
                .extend(entries.map(|entry| PageEntry { fingerprint: fingerprint(&entry.id), pack_number }));
            each(&pack);
        }
        expected.sort_unstable();
        let mut rest = expected.as_slice();
        for start in (0..segment.layout().pages()).step_by(PAGES_AT_ONCE) {
            let pages = start..segment.layout().pages().min(start + PAGES_AT_ONCE as u32);
            let mut agrees = true;
            segment.read_pages(&self.io, pages, |entries| match rest.split_at_checked(entries.len()) {
                Some((some, after)) if some == entries => rest = after,
                _ => agrees = false,
            })?;
            if !agrees {
                return Err(wrong());
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(wrong()) }
    }
}
