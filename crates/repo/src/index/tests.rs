mod adopt;
mod gone;
mod hostile;
mod lookup;
mod maintenance;
mod sampling;
mod table;

use super::*;
use longshore_crypto::Keyset;
use longshore_format::{
    Place, RepositoryId,
    names::{self, PackKind},
    pack::TrailerEntry,
};
use longshore_store::{Store, memory};
use std::ops::Range;

/// Ids as keyed hashes are: uniform.
fn id(number: u64) -> [u8; 32] {
    *blake3::hash(&number.to_le_bytes()).as_bytes()
}

fn pack_id(number: u64) -> PackId {
    PackId(*blake3::hash(&[&b"pack"[..], &number.to_le_bytes()].concat()).as_bytes())
}

/// A pack of these chunks; frame lengths differ, so that offsets do.
fn pack(number: u64, ids: Range<u64>) -> IndexedPack {
    let entries = ids.map(|number| TrailerEntry { id: id(number), length_bytes: 10 + number as u32 % 7 });
    IndexedPack { kind: PackKind::Data, id: pack_id(number), entries: entries.collect() }
}

/// A view that a test changes as prunes would.
#[derive(Clone, Default)]
struct TestView(Arc<Mutex<IndexView>>);

impl TestView {
    fn set(&self, view: IndexView) {
        *self.0.lock().unwrap() = view;
    }
}

impl ViewSource for TestView {
    fn view(&self) -> Result<IndexView, RepoError> {
        Ok(self.0.lock().unwrap().clone())
    }
}

/// A repository's index and what may be done to it from outside.
struct World {
    keys: Arc<RepositoryKeys>,
    io: Arc<Io>,
    view: TestView,
}

impl World {
    fn new() -> Self {
        Self::on(memory())
    }

    fn on(store: Arc<dyn Store>) -> Self {
        let keys = RepositoryKeys::new(RepositoryId([1; 16]), Keyset::for_tests([2; 32], [3; 32])).unwrap();
        Self { keys: Arc::new(keys), io: Arc::new(Io::new(store).unwrap()), view: TestView::default() }
    }

    fn index(&self) -> Index {
        self.index_of(INDEX_BYTES_MAX)
    }

    fn index_of(&self, bytes_max: usize) -> Index {
        let limits = IndexLimits { bytes_max, ..IndexLimits::STANDARD };
        Index::new(self.keys.clone(), self.io.clone(), limits, Box::new(self.view.clone()))
    }

    fn encode(&self, level: Level, packs: &[IndexedPack]) -> EncodedSegment {
        let mut builder = SegmentBuilder::new(&self.keys, level, SegmentLimits::default()).unwrap();
        packs.iter().for_each(|pack| builder.push(pack).unwrap());
        builder.finish(&self.keys).unwrap().unwrap()
    }

    fn put(&self, segment: &EncodedSegment) {
        self.io.create(&segment.name(), segment.bytes.clone()).unwrap();
    }

    /// Stores a segment of level 0.
    fn segment(&self, packs: &[IndexedPack]) -> EncodedSegment {
        let segment = self.encode(Level::Zero { plan: 0 }, packs);
        self.put(&segment);
        segment
    }

    /// Stores segments of level 0 of `per_segment` packs of `per_pack` chunks each, chunks and packs in order.
    fn fill(&self, segments: u64, per_segment: u64, per_pack: u64) {
        for segment in 0..segments {
            let numbers = segment * per_segment..(segment + 1) * per_segment;
            let packs: Vec<_> =
                numbers.map(|number| pack(number, number * per_pack..(number + 1) * per_pack)).collect();
            self.segment(&packs);
        }
    }
}

/// Where chunk `number` is, if packs of `per_pack` chunks hold all in order.
fn expected(number: u64, per_pack: u64) -> Place {
    let all = pack(number / per_pack, number / per_pack * per_pack..(number / per_pack + 1) * per_pack);
    all.place((number % per_pack) as usize).unwrap()
}
