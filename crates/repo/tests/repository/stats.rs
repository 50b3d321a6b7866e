//! Figures agree with what was put in, and cost no data.

use crate::support::{COST, back_up, draft, noise, password, pvc, run_id, small_packs};
use longshore_repo::{
    BackupOptions, Class, Entry, EntryContent, EntryKind, Repository, RunId, Snapshot, Time, Usage,
    store::{Class as StoreClass, Operation, Store, memory},
};
use longshore_testkit::{Fault, FaultStore};
use std::sync::Arc;

/// The store, but as if every data pack were unreadable.
fn without_data(store: &Arc<dyn Store>) -> Arc<dyn Store> {
    FaultStore::new(store.clone(), |_, request| {
        let is_data = request.name.starts_with("data/") && request.name.len() > "data/".len();
        let reads = matches!(request.operation, Operation::Read | Operation::Info);
        (is_data && reads).then_some(Fault::FailBefore(StoreClass::Permanent))
    })
}

fn usages(repository: &Repository) -> Vec<(Snapshot, u64, Usage)> {
    let mut snapshots = repository.snapshots().unwrap();
    snapshots.sort_by_key(Snapshot::id);
    let stats = repository.stats(snapshots, &mut |_| {}).unwrap();
    stats.snapshots.into_iter().map(|usage| (usage.snapshot, usage.referenced_bytes, usage.added)).collect()
}

#[test]
fn figures_are_those_of_what_was_stored_and_no_data_pack_is_read() {
    let (store, repository) = small_packs();
    let mut first = noise(1, 6 << 20);
    first.extend(vec![0; 4 << 20]);
    first.extend(b"all work and no play makes jack a dull boy. ".repeat(100_000));
    first.resize(first.len().next_multiple_of(4096), 1);
    let mut second = first.clone();
    second[1 << 20..2 << 20].copy_from_slice(&noise(2, 1 << 20));
    back_up(&repository, "one", run_id(1), &first, None).unwrap();
    back_up(&repository, "two", run_id(2), &first, None).unwrap();
    back_up(&repository, "three", run_id(3), &second, None).unwrap();
    drop(repository);
    let repository = Repository::open(without_data(&store), &password()).unwrap();
    let error = repository.read_chunk(&some_chunk(&repository)).unwrap_err();
    assert!(matches!(error.class(), Class::Store(_)), "data is out of reach");

    let found = usages(&repository);
    let data_bytes = (first.len() - (4 << 20)) as u64;
    for (snapshot, referenced_bytes, _) in &found {
        assert_eq!(*referenced_bytes, data_bytes, "{:?}", snapshot.record.source);
    }
    let of = |run: RunId| found.iter().find(|(snapshot, ..)| snapshot.id() == run).unwrap().2;
    let (one, two, three) = (of(run_id(1)), of(run_id(2)), of(run_id(3)));
    let record = |run: u128| found.iter().find(|found| found.0.id() == run_id(run)).unwrap().0.record.stats;
    assert_eq!((one.unique_bytes, one.chunks), (record(1).new_bytes, record(1).new_chunks));
    assert_eq!(two, Usage::default(), "the same again");
    assert_eq!((three.unique_bytes, three.chunks), (record(3).new_bytes, record(3).new_chunks));
    assert!(three.unique_bytes < 2 << 20 && three.nodes >= 1, "{three:?}");
    assert!(one.stored_bytes < one.unique_bytes && one.stored_bytes > 6 << 20, "text is compressed: {one:?}");

    let stats = repository.stats(repository.snapshots().unwrap(), &mut |_| {}).unwrap();
    assert_eq!(stats.usage.unique_bytes, one.unique_bytes + three.unique_bytes);
    assert_eq!(stats.logical_bytes(), first.len() as u64 * 3);
    assert_eq!(stats.referenced_bytes(), data_bytes * 3);
    let packs = stats.data_packs.objects + stats.meta_packs.objects;
    assert_eq!(stats.usage.packs, packs, "every pack is needed");
    // Frames, and beside them a trailer entry of 36 bytes each and less than 200 bytes for each pack.
    let frames = stats.usage.stored_bytes + stats.usage.metadata_bytes;
    let all = stats.data_packs.bytes + stats.meta_packs.bytes;
    let beside = 36 * (stats.usage.chunks + stats.usage.nodes);
    assert!(frames + beside <= all && all <= frames + beside + 200 * packs, "{stats:?}");
    assert!(stats.index.objects >= 1 && stats.index.bytes > 0 && stats.all.bytes > all, "{stats:?}");
}

fn some_chunk(repository: &Repository) -> longshore_repo::ChunkRef {
    let snapshot = repository.resolve("latest").unwrap();
    let runs = repository.open_volume(&snapshot).unwrap().span(0).unwrap().unwrap();
    let chunk = runs.iter().find_map(|run| match run {
        longshore_repo::Run::Chunk(chunk) => Some(*chunk),
        longshore_repo::Run::Hole { .. } => None,
    });
    chunk.unwrap()
}

/// The same directory in two places is one node, and its data is referenced twice.
#[test]
fn what_a_tree_names_twice_is_referenced_twice_and_needed_once() {
    let repository = Repository::init(memory(), &password(), COST).unwrap();
    let session = repository
        .begin_backup(repository.source_id(&pvc("files")), run_id(1), None, BackupOptions::default())
        .unwrap();
    let entry = |name: &[u8], kind, content| Entry {
        name: name.to_vec(),
        kind,
        mode: 0o644,
        uid: 1,
        gid: 2,
        size_bytes: 3,
        modified: Time::default(),
        changed: Time::default(),
        accessed: None,
        inode: 8,
        device: 0,
        links: 1,
        device_node: 0,
        hard_link_group: 0,
        xattrs: Vec::new(),
        content,
    };
    let mut folder = session.directory();
    let chunk = session.put_chunk(&noise(1, 1000), None).unwrap();
    let mut file = session.file();
    file.push(longshore_repo::Run::Chunk(chunk)).unwrap();
    file.push(longshore_repo::Run::Hole { length_bytes: 5000 }).unwrap();
    file.push(longshore_repo::Run::Chunk(chunk)).unwrap();
    folder.push(entry(b"file", EntryKind::File, file.finish().unwrap())).unwrap();
    let folder = folder.finish().unwrap();
    let mut root = session.directory();
    for name in [&b"a"[..], b"b", b"c"] {
        root.push(entry(name, EntryKind::Directory, EntryContent::Directory(folder))).unwrap();
    }
    let root = EntryContent::Directory(root.finish().unwrap());
    let content = session.finish_tree(entry(b"", EntryKind::Directory, root), 9000).unwrap();
    session.commit(draft(pvc("files"), content)).unwrap();
    let found = usages(&repository);
    let (_, referenced_bytes, usage) = &found[0];
    assert_eq!(*referenced_bytes, 6000);
    assert_eq!((usage.unique_bytes, usage.chunks, usage.nodes, usage.packs), (1000, 1, 3, 2));
}
