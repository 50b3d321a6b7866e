//! File trees come back entry by entry, however large a directory or file is.

use crate::support::{draft, new_repository, noise, open, pvc, run_id};
use longshore_repo::{
    BackupOptions, BackupSession, CheckOptions, ChunkRef, Class, Entry, EntryContent, EntryKind, NodeRef,
    RepoError, Repository, Run, Snapshot, Time, Xattr,
};

fn entry(name: &[u8], kind: EntryKind, content: EntryContent) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        mode: 0o644,
        uid: 1,
        gid: 2,
        size_bytes: 3,
        modified: Time { seconds: 4, nanoseconds: 5 },
        changed: Time { seconds: 6, nanoseconds: 7 },
        accessed: None,
        inode: 8,
        device: 9,
        links: 1,
        device_node: 0,
        hard_link_group: 0,
        xattrs: vec![Xattr { name: b"user.k".to_vec(), value: b"v".to_vec() }],
        content,
    }
}

fn commit(repository: &Repository, run: u128, root: impl FnOnce(&BackupSession<'_>) -> NodeRef) -> Snapshot {
    let source = repository.source_id(&pvc("files"));
    let session = repository.begin_backup(source, run_id(run), None, BackupOptions::default()).unwrap();
    let node = root(&session);
    let content =
        session.finish_tree(entry(b"", EntryKind::Directory, EntryContent::Directory(node)), 77).unwrap();
    session.commit(draft(pvc("files"), content)).unwrap().snapshot().clone()
}

fn directory(session: &BackupSession<'_>, entries: impl IntoIterator<Item = Entry>) -> NodeRef {
    let mut writer = session.directory();
    entries.into_iter().for_each(|entry| writer.push(entry).unwrap());
    writer.finish().unwrap()
}

fn read(repository: &Repository, snapshot: &Snapshot) -> Vec<Entry> {
    let tree = repository.open_tree(snapshot).unwrap();
    let EntryContent::Directory(root) = tree.root().unwrap().content else {
        panic!("the root is a directory")
    };
    tree.directory(&root).collect::<Result<_, _>>().unwrap()
}

fn small_file(number: usize) -> Entry {
    let name = format!("file-{number:06}");
    entry(name.as_bytes(), EntryKind::File, EntryContent::Inline(name.clone().into_bytes()))
}

fn id_of(content: &EntryContent) -> Option<longshore_repo::NodeId> {
    match content {
        EntryContent::File(node) | EntryContent::Directory(node) => Some(node.id),
        _ => None,
    }
}

#[test]
fn a_tree_comes_back_with_all_that_a_filesystem_keeps() {
    let (store, repository) = new_repository();
    let data = noise(1, 300_000);
    let snapshot = commit(&repository, 1, |session| {
        let chunk = session.put_chunk(&data, None).unwrap();
        let mut file = session.file();
        file.push(Run::Hole { length_bytes: 10 }).unwrap();
        file.push(Run::Hole { length_bytes: 20 }).unwrap();
        file.push(Run::Chunk(chunk)).unwrap();
        let inner = directory(session, [entry(b"\xff\xfe", EntryKind::Fifo, EntryContent::None)]);
        directory(
            session,
            [
                entry(b"big", EntryKind::File, file.finish().unwrap()),
                entry(b"dir", EntryKind::Directory, EntryContent::Directory(inner)),
                entry(b"link", EntryKind::Symlink, EntryContent::Symlink(b"big".to_vec())),
            ],
        )
    });
    drop(repository);
    let repository = open(&store).unwrap();
    let entries = read(&repository, &snapshot);
    let names: Vec<&[u8]> = entries.iter().map(|entry| &entry.name[..]).collect();
    assert_eq!(names, [&b"big"[..], b"dir", b"link"]);
    let tree = repository.open_tree(&snapshot).unwrap();
    let runs: Vec<Run> = tree.file_runs(&entries[0].content).collect::<Result<_, _>>().unwrap();
    assert_eq!(runs[0], Run::Hole { length_bytes: 30 });
    let Run::Chunk(chunk) = runs[1] else { panic!("{runs:?}") };
    assert!(repository.read_chunk(&chunk).unwrap() == data);
    let EntryContent::Directory(inner) = &entries[1].content else { panic!("{entries:?}") };
    let inner: Vec<Entry> = tree.directory(inner).collect::<Result<_, _>>().unwrap();
    assert_eq!(inner, [entry(b"\xff\xfe", EntryKind::Fifo, EntryContent::None)]);
    assert_eq!(class(repository.open_volume(&snapshot)), Class::Misuse);
    assert_eq!(repository.check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap().problems, []);
}

fn class<T>(result: Result<T, RepoError>) -> Class {
    result.err().unwrap().class()
}

#[test]
fn a_huge_directory_is_a_tree_and_one_new_file_rewrites_one_path() {
    let (_, repository) = new_repository();
    let count = 30_000;
    let first =
        commit(&repository, 1, |session| directory(session, (0..count).map(|number| small_file(number * 2))));
    let entries = read(&repository, &first);
    assert_eq!(entries.len(), count);
    assert!(entries.iter().enumerate().all(|(number, entry)| *entry == small_file(number * 2)));
    let second = commit(&repository, 2, |session| {
        let numbers = (0..count).map(|number| number * 2).chain([20_001]);
        let mut numbers: Vec<usize> = numbers.collect();
        numbers.sort_unstable();
        directory(session, numbers.into_iter().map(small_file))
    });
    assert_eq!(read(&repository, &second).len(), count + 1);
    let (first, second) = (first.record.stats.stored_bytes, second.record.stats.stored_bytes);
    assert!(second * 5 < first, "{second} bytes for one new file, {first} for all");
}

#[test]
fn a_file_of_many_runs_is_a_tree_and_an_unchanged_one_is_the_same_node() {
    let (_, repository) = new_repository();
    let chunk_of = |session: &BackupSession<'_>, number: u64| -> ChunkRef {
        session.put_chunk(&number.to_le_bytes(), None).unwrap()
    };
    let file = |session: &BackupSession<'_>, count: u64| {
        let mut writer = session.file();
        (0..count).for_each(|number| writer.push(Run::Chunk(chunk_of(session, number))).unwrap());
        writer.finish().unwrap()
    };
    let mut contents = Vec::new();
    for (run, count) in [(1, 20_000), (2, 20_000), (3, 64), (4, 65), (5, 0)] {
        let snapshot = commit(&repository, run, |session| {
            let content = file(session, count);
            directory(session, [entry(b"f", EntryKind::File, content)])
        });
        let entries = read(&repository, &snapshot);
        let tree = repository.open_tree(&snapshot).unwrap();
        let runs: Vec<Run> = tree.file_runs(&entries[0].content).collect::<Result<_, _>>().unwrap();
        assert_eq!(runs.len() as u64, count);
        for (number, run) in runs.iter().enumerate().step_by(1777) {
            let Run::Chunk(chunk) = run else { panic!("{run:?}") };
            assert_eq!(repository.read_chunk(chunk).unwrap(), (number as u64).to_le_bytes());
        }
        contents.push(entries[0].content.clone());
    }
    assert_eq!(id_of(&contents[0]), id_of(&contents[1]));
    assert!(matches!(contents[2], EntryContent::Runs(_)) && matches!(contents[3], EntryContent::File(_)));
    assert_eq!(contents[4], EntryContent::None);
}

#[test]
fn entries_must_come_in_order_and_with_names() {
    let (_, repository) = new_repository();
    let source = repository.source_id(&pvc("files"));
    let session = repository.begin_backup(source, run_id(1), None, BackupOptions::default()).unwrap();
    for names in [[&b"b"[..], b"a"], [b"a", b"a"], [b"a", b".."], [b"", b"a"], [b"a", b"b/c"]] {
        let mut writer = session.directory();
        let results = names.map(|name| writer.push(entry(name, EntryKind::Fifo, EntryContent::None)));
        assert_eq!(
            results.into_iter().find_map(Result::err).map(|error| error.class()),
            Some(Class::Misuse),
            "{names:?}"
        );
    }
}
