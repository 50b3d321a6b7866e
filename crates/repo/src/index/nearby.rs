//! What lies around a pack in its segment: its table entry, its section and those after it.

use super::{Index, IndexedPack, recent::Next, segment::Segment};
use crate::RepoError;
use longshore_format::{
    Place,
    index::{PACKS_PER_TABLE_PAGE, SECTION_ENTRY_BYTES, TableEntry},
    names::PackKind,
};
use std::sync::Arc;

/// Bytes of sections that are read at once: some ten packs. More costs nothing worth a request.
const SECTIONS_BYTES: usize = 64 << 10;

impl Index {
    /// The packs of the table page that holds pack `number`, and its place among them.
    pub(super) fn table(
        &self,
        segment: &Segment,
        number: u32,
    ) -> Result<(Arc<Vec<TableEntry>>, usize), RepoError> {
        let page = number / PACKS_PER_TABLE_PAGE as u32;
        let entries = match self.tables.get(segment.id(), page) {
            Some(entries) => entries,
            None => {
                // Not under a lock: two threads may read one page twice, which only costs a request.
                self.count(1);
                self.tables.put(segment.id(), page, segment.read_table_page(&self.io, page)?)
            }
        };
        let at = number as usize % PACKS_PER_TABLE_PAGE;
        if at < entries.len() {
            Ok((entries, at))
        } else {
            Err(RepoError::WrongContent { object: segment.name().to_owned() })
        }
    }

    /// A pack with all its frames. What was not met lately is read, with the packs after it.
    pub(super) fn pack(
        &self,
        segment: &Arc<Segment>,
        number: u32,
        table: &[TableEntry],
        at: usize,
    ) -> Result<Arc<IndexedPack>, RepoError> {
        if let Some(pack) = self.recent().pack(table[at].pack) {
            return Ok(pack);
        }
        let mut bytes = 0;
        let count = table[at..]
            .iter()
            .take_while(|entry| {
                bytes += entry.frames as usize * SECTION_ENTRY_BYTES;
                bytes <= SECTIONS_BYTES
            })
            .count()
            .max(1);
        self.count(1);
        let packs = segment.read_sections(&self.io, number, &table[at..at + count])?;
        let packs: Vec<Arc<IndexedPack>> = packs.into_iter().map(Arc::new).collect();
        let after = number + count as u32;
        let next =
            (after < segment.layout().packs()).then(|| Next { segment: segment.clone(), number: after });
        let mut recent = self.recent();
        for (index, pack) in packs.iter().enumerate() {
            // Its packs are known to nobody who may use them; their place in the window is for others.
            if !self.guard.is_condemned(pack.id) {
                recent.put(pack.clone(), next.clone().filter(|_| index + 1 == count));
            }
        }
        packs.first().cloned().ok_or_else(|| RepoError::WrongContent { object: segment.name().to_owned() })
    }

    /// An id that stands in a pack that was met lately.
    ///
    /// Where only a sample of fingerprints is known, a stream that reaches the end of what was read would lose the thread
    /// until the next sampled id: what comes then is read as soon as the last pack is met.
    pub(super) fn find_nearby(&self, kind: PackKind, id: &[u8; 32]) -> Option<Place> {
        let (place, next) = self.recent().find(kind, id)?;
        if let Some(Next { segment, number }) = next
            && self.state().fingerprints.as_ref().is_some_and(|fingerprints| !fingerprints.is_exact())
        {
            // A shortcut: failing is no failure, and who needs to know meets the error again.
            let read = self
                .table(&segment, number)
                .and_then(|(table, at)| self.pack(&segment, number, &table, at).map(drop));
            if let Err(error) = read {
                let error: &dyn std::error::Error = &error;
                tracing::debug!(error, segment = segment.name(), "sections could not be read ahead");
            }
        }
        Some(place)
    }
}
