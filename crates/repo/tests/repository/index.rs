//! The index as backups, restores, check and repair use it.

use crate::support::{back_up, noise, objects, open, pvc, restore, run_id, small_packs, store_of};
use longshore_repo::{
    BackupOptions, BackupSession, CheckOptions, ChunkId, Repository, SessionStats,
    store::{Operation, Store},
};
use longshore_testkit::FaultStore;
use std::sync::Arc;

fn splitting<'v>(repository: &Repository, volume: &'v [u8]) -> Vec<&'v [u8]> {
    let mut rest = volume;
    let pieces = repository.volume_splitter().split_span(volume);
    pieces
        .iter()
        .map(|piece| {
            let (chunk, after) = rest.split_at(piece.length_bytes);
            rest = after;
            chunk
        })
        .collect()
}

fn session<'r>(repository: &'r Repository, name: &str) -> BackupSession<'r> {
    let source = repository.source_id(&pvc(name));
    repository.begin_backup(source, run_id(99), None, BackupOptions::default()).unwrap()
}

/// Puts all chunks of a volume from a process that has just opened the repository.
fn put_again(store: &Arc<dyn Store>, volume: &[u8]) -> SessionStats {
    let repository = open(store).unwrap();
    let session = session(&repository, "again");
    for chunk in splitting(&repository, volume) {
        session.put_chunk(chunk, None).unwrap();
    }
    session.stats()
}

/// Decision 8: movers have no right to read data packs, and deduplication does without.
#[test]
fn deduplication_reads_no_data_pack() {
    let (store, repository) = small_packs();
    let volume = noise(1, 8 << 20);
    back_up(&repository, "one", run_id(1), &volume, None).unwrap();
    let recording = FaultStore::recording(store);
    let as_store: Arc<dyn Store> = recording.clone();
    let stats = put_again(&as_store, &volume);
    assert!(stats.chunks > 40 && stats.new_chunks == 0, "{stats:?}");
    let read: Vec<_> = recording
        .requests()
        .into_iter()
        .filter(|request| request.operation == Operation::Read && request.name.starts_with("data/"))
        .collect();
    assert_eq!(read, []);
}

/// A reader whose hints are good neither lists nor reads the index.
#[test]
fn a_restore_with_good_hints_never_asks_the_index() {
    let (store, repository) = small_packs();
    let volume = noise(2, 6 << 20);
    back_up(&repository, "one", run_id(1), &volume, None).unwrap();
    let recording = FaultStore::recording(store);
    let as_store: Arc<dyn Store> = recording.clone();
    let repository = open(&as_store).unwrap();
    assert!(restore(&repository, &repository.resolve("latest").unwrap()).unwrap() == volume);
    let asked: Vec<_> =
        recording.requests().into_iter().filter(|request| request.name.starts_with("idx/")).collect();
    assert_eq!(asked, []);
}

/// Unique data costs the requests that open the index, and no more.
#[test]
fn unique_data_costs_no_requests() {
    let (store, repository) = small_packs();
    for number in 0..3 {
        back_up(&repository, "one", run_id(number), &noise(10 + number as u64, 2 << 20), None).unwrap();
    }
    let stats = put_again(&store, &noise(20, 12 << 20));
    assert!(stats.new_chunks > 60 && stats.index_requests <= 1 + 2 * 3, "{stats:?}");
}

fn without_index(store: &Arc<dyn Store>) -> Arc<dyn Store> {
    let mut objects = objects(store);
    objects.retain(|name, _| !name.starts_with("idx/"));
    store_of(&objects)
}

#[test]
fn a_lost_index_is_rebuilt_from_trailers_alone() {
    let (store, repository) = small_packs();
    let volume = noise(3, 8 << 20);
    back_up(&repository, "one", run_id(1), &volume, None).unwrap();
    let before = repository.check(&CheckOptions::default(), &mut |_| {}).unwrap();
    let lost = without_index(&store);
    assert_ne!(put_again(&lost, &volume).new_chunks, 0, "without index nothing is recognised");
    let lost = without_index(&store);
    let repository = open(&lost).unwrap();
    let report = repository.rebuild_index().unwrap();
    assert_eq!((report.listed_packs, report.added_packs, report.segments), (0, before.packs, 1));
    assert_eq!((report.damaged_segments, report.unreadable_packs), (vec![], vec![]));
    assert_eq!(put_again(&lost, &volume).new_chunks, 0);
    let after = open(&lost).unwrap().check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap();
    assert_eq!((after.problems, after.unindexed_packs), (vec![], 0));
    let again = open(&lost).unwrap().rebuild_index().unwrap();
    assert_eq!((again.listed_packs, again.added_packs, again.segments), (before.packs, 0, 0));
}

/// What cannot be read is named, and everything else is listed.
#[test]
fn rebuilding_survives_damaged_packs_and_segments() {
    let (store, repository) = small_packs();
    for number in 0..2 {
        back_up(&repository, "one", run_id(number), &noise(30 + number as u64, 4 << 20), None).unwrap();
    }
    let mut all = objects(&store);
    let segments: Vec<String> = all.keys().filter(|name| name.starts_with("idx/")).cloned().collect();
    let packs: Vec<String> = all.keys().filter(|name| name.starts_with("data/")).cloned().collect();
    let mut damage = |name: &String| {
        let mut bytes = all[name].to_vec();
        let at = bytes.len() - 20 - 128;
        bytes[at] ^= 1;
        all.insert(name.clone(), bytes.into());
    };
    damage(&segments[0]);
    packs.iter().for_each(&mut damage);
    let damaged = store_of(&all);
    let repository = open(&damaged).unwrap();
    let report = repository.rebuild_index().unwrap();
    let listed_by_the_other = report.listed_packs > 0 && report.added_packs > 0;
    assert!(listed_by_the_other && report.segments == 1, "{report:?}");
    let of = |objects: &[(String, String)]| objects.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(of(&report.damaged_segments), segments[..1]);
    let unreadable = of(&report.unreadable_packs);
    assert!(!unreadable.is_empty() && unreadable.iter().all(|name| packs.contains(name)), "{unreadable:?}");
    assert!(!objects(&damaged).contains_key(&segments[0]), "what is listed anew needs it no more");
}

#[test]
fn a_chunk_is_located_by_its_id_alone() {
    let (store, repository) = small_packs();
    let volume = noise(4, 2 << 20);
    back_up(&repository, "one", run_id(1), &volume, None).unwrap();
    let repository = open(&store).unwrap();
    for chunk in splitting(&repository, &volume) {
        let place = repository.locate_chunk(&repository.chunk_id(chunk)).unwrap().unwrap();
        assert!(objects(&store).keys().any(|name| name.ends_with(&place.pack.to_string())));
    }
    assert_eq!(repository.locate_chunk(&ChunkId([7; 32])).unwrap(), None);
}
