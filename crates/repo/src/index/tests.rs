use super::*;
use longshore_crypto::Keyset;
use longshore_format::{PackId, RepositoryId, pack::TrailerEntry};
use longshore_store::memory;

/// Ids as keyed hashes are: uniform.
fn id(number: u64) -> [u8; 32] {
    *blake3::hash(&number.to_le_bytes()).as_bytes()
}

fn parts() -> (Arc<RepositoryKeys>, Arc<Io>) {
    let keys = RepositoryKeys::new(RepositoryId([1; 16]), Keyset::for_tests([2; 32], [3; 32])).unwrap();
    (Arc::new(keys), Arc::new(Io::new(memory()).unwrap()))
}

fn store_segment(keys: &RepositoryKeys, io: &Io, pack: u8, ids: std::ops::Range<u64>) {
    let entries = ids.map(|number| TrailerEntry { id: id(number), length_bytes: 10 }).collect();
    let packs = [IndexedPack { kind: PackKind::Data, id: PackId([pack; 32]), entries }];
    let bytes = encode_segment(keys, &packs).unwrap();
    io.create(&names::index_segment(SegmentId(*blake3::hash(&bytes).as_bytes())), bytes).unwrap();
}

#[test]
fn every_entry_of_every_segment_is_found_where_it_is() {
    let (keys, io) = parts();
    store_segment(&keys, &io, 1, 0..5000);
    store_segment(&keys, &io, 2, 5000..5001);
    let index = Index::new(keys, io, HEADS_BYTES_MAX);
    for number in 0..5001 {
        let place = index.find(PackKind::Data, &id(number)).unwrap().unwrap();
        let (pack, slot) = if number < 5000 { (1, number) } else { (2, 0) };
        assert_eq!((place.pack, u64::from(place.slot)), (PackId([pack; 32]), slot));
        assert_eq!((u64::from(place.offset_bytes), place.length_bytes), (slot * 10, 10));
    }
    assert_eq!(index.find(PackKind::Data, &id(9999)).unwrap(), None);
    assert_eq!(index.find(PackKind::Meta, &id(1)).unwrap(), None, "a chunk is no node");
}

#[test]
fn a_bad_place_is_left_out_when_another_is_wanted() {
    let (keys, io) = parts();
    store_segment(&keys, &io, 1, 0..10);
    store_segment(&keys, &io, 2, 0..10);
    let index = Index::new(keys, io, HEADS_BYTES_MAX);
    let first = index.find_anywhere(PackKind::Data, &id(3), None).unwrap().unwrap();
    let second = index.find_anywhere(PackKind::Data, &id(3), Some(first)).unwrap().unwrap();
    assert_ne!(first.pack, second.pack);
}

/// Invariant 5: the index's memory does not grow with the repository; what does not fit is found by readers only.
#[test]
fn an_index_larger_than_its_memory_still_answers_readers() {
    let (keys, io) = parts();
    for pack in 0..6u8 {
        let from = u64::from(pack) * 1000;
        store_segment(&keys, &io, pack, from..from + 1000);
    }
    let index = Index::new(keys, io, 10_000);
    let wanted = || (0..6000).step_by(500).map(id);
    let for_writers = wanted().filter(|id| index.find(PackKind::Data, id).unwrap().is_some()).count();
    assert!(for_writers > 0 && for_writers < 12, "{for_writers}");
    assert!(index.state.read().unwrap().heads_bytes <= 10_000);
    assert!(wanted().all(|id| index.find_anywhere(PackKind::Data, &id, None).unwrap().is_some()));
}
