//! What benches and tests of scale need of the index, and what people who look for a chunk need.

use super::{IndexedPack, SegmentLimits, merge};
use crate::{RepoError, Repository};
use longshore_format::{ChunkId, PackId, Place, names::PackKind, pack::TrailerEntry};

impl Repository {
    /// Where the index says that a chunk is: exact, however large the index, and without reading the chunk.
    pub fn locate_chunk(&self, id: &ChunkId) -> Result<Option<Place>, RepoError> {
        self.index.find_anywhere(PackKind::Data, &id.0, &[])
    }

    /// Lists data packs that do not exist, so that tests have an index of any size. Returns how many segments were made.
    #[doc(hidden)]
    pub fn list_made_up_packs(
        &self,
        packs: impl Iterator<Item = (PackId, Vec<ChunkId>)>,
    ) -> Result<u64, RepoError> {
        let packs = packs.map(|(id, chunks)| {
            let entries = chunks.iter().map(|chunk| TrailerEntry { id: chunk.0, length_bytes: 1 << 10 });
            Ok(IndexedPack { kind: PackKind::Data, id, entries: entries.collect() })
        });
        let mut segments = 0;
        for segment in merge(&self.keys, self.index.level(), SegmentLimits::default(), packs, |_, _| true) {
            let segment = segment?;
            self.io.create(&segment.name(), segment.bytes)?;
            segments += 1;
        }
        Ok(segments)
    }
}
