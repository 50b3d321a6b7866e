use super::{counted, diff};
use crate::support::{draft, new_repository, noise, pvc, run_id};
use longshore_repo::{
    BackupOptions, BackupSession, Difference, Entry, EntryChange, EntryContent, EntryKind, NodeRef,
    Repository, Run, Snapshot, Time, TreeReader,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A tree as a test makes it up.
#[derive(Debug, Clone)]
enum Thing {
    /// Seeds of its chunks, 0 for a hole; a number of links.
    File(Vec<u64>, u64),
    Inline(u8),
    Link(u8),
    Device(u64),
    Folder(BTreeMap<String, (u32, Thing)>),
}

fn entry(name: &[u8], mode: u32, kind: EntryKind, content: EntryContent) -> Entry {
    Entry {
        name: name.to_vec(),
        kind,
        mode,
        uid: 1,
        gid: 2,
        size_bytes: 3,
        modified: Time { seconds: 4, nanoseconds: 5 },
        changed: Time::default(),
        accessed: None,
        inode: 8,
        device: 0,
        links: 1,
        device_node: 0,
        hard_link_group: 0,
        xattrs: Vec::new(),
        content,
    }
}

fn store(session: &BackupSession<'_>, name: &[u8], mode: u32, thing: &Thing) -> Entry {
    match thing {
        Thing::Inline(byte) => entry(name, mode, EntryKind::File, EntryContent::Inline(vec![*byte; 3])),
        Thing::Link(byte) => entry(name, mode, EntryKind::Symlink, EntryContent::Symlink(vec![*byte])),
        Thing::Device(number) => Entry {
            device_node: *number,
            ..entry(name, mode, EntryKind::CharacterDevice, EntryContent::None)
        },
        Thing::File(seeds, links) => {
            let mut writer = session.file();
            for seed in seeds {
                let run = match seed {
                    0 => Run::Hole { length_bytes: 10 },
                    seed => Run::Chunk(session.put_chunk(&noise(*seed, 100 + *seed as usize), None).unwrap()),
                };
                writer.push(run).unwrap();
            }
            Entry { links: *links, ..entry(name, mode, EntryKind::File, writer.finish().unwrap()) }
        }
        Thing::Folder(things) => {
            let mut writer = session.directory();
            for (name, (mode, thing)) in things {
                writer.push(store(session, name.as_bytes(), *mode, thing)).unwrap();
            }
            let node = writer.finish().unwrap();
            entry(name, mode, EntryKind::Directory, EntryContent::Directory(node))
        }
    }
}

fn commit(repository: &Repository, run: u128, root: &Thing) -> Snapshot {
    let source = repository.source_id(&pvc("files"));
    let session = repository.begin_backup(source, run_id(run), None, BackupOptions::default()).unwrap();
    let content = session.finish_tree(store(&session, b"", 0o755, root), 77).unwrap();
    session.commit(draft(pvc("files"), content)).unwrap().snapshot().clone()
}

/// A tree with nothing in it.
pub fn empty(repository: &Repository, run: u128) -> Snapshot {
    commit(repository, run, &Thing::Folder(BTreeMap::new()))
}

/// An entry as a full comparison sees it: the chunks of a file spelled out, no word of what lies below a directory.
#[derive(Debug, PartialEq)]
struct Flat {
    kind: EntryKind,
    attributes: (u32, u64),
    device: u64,
    small: Option<EntryContent>,
    chunks: Vec<Option<([u8; 32], u32)>>,
}

fn flatten(repository: &Repository, snapshot: &Snapshot) -> BTreeMap<Vec<u8>, Flat> {
    fn below(tree: &TreeReader<'_>, path: Vec<u8>, entry: &Entry, out: &mut BTreeMap<Vec<u8>, Flat>) {
        let run = |run: Run| match run {
            Run::Chunk(chunk) => Some((chunk.id.0, chunk.length_bytes)),
            Run::Hole { .. } => None,
        };
        if let EntryContent::Directory(node) = &entry.content {
            for inner in tree.directory(node) {
                let inner = inner.unwrap();
                let path = if path == b"/" { Vec::new() } else { path.clone() };
                below(tree, [&path, &b"/"[..], &inner.name].concat(), &inner, out);
            }
        }
        let small = matches!(entry.content, EntryContent::Inline(_) | EntryContent::Symlink(_));
        let flat = Flat {
            kind: entry.kind,
            attributes: (entry.mode, entry.links),
            device: entry.device_node,
            small: small.then(|| entry.content.clone()),
            chunks: tree.file_runs(&entry.content).map(|found| run(found.unwrap())).collect(),
        };
        out.insert(path, flat);
    }
    let tree = repository.open_tree(snapshot).unwrap();
    let mut out = BTreeMap::new();
    below(&tree, b"/".to_vec(), &tree.root().unwrap(), &mut out);
    out
}

impl Flat {
    fn bytes(&self) -> BTreeMap<([u8; 32], u32), u64> {
        let mut out = BTreeMap::new();
        self.chunks.iter().flatten().for_each(|chunk| *out.entry(*chunk).or_default() += 1);
        if let Some(EntryContent::Inline(bytes)) = &self.small {
            let mut id = [0; 32];
            id[0] = bytes[0];
            out.insert((id, bytes.len() as u32), 1);
        }
        out
    }
}

/// Bytes that `one` holds and `other` does not.
fn only(one: Option<&Flat>, other: Option<&Flat>) -> u64 {
    let other = other.map(Flat::bytes).unwrap_or_default();
    let one = one.map(Flat::bytes).unwrap_or_default();
    let left = |(chunk, count): (&([u8; 32], u32), &u64)| {
        count.saturating_sub(other.get(chunk).copied().unwrap_or(0)) * u64::from(chunk.1)
    };
    one.iter().map(left).sum()
}

type Found = BTreeMap<Vec<u8>, (EntryChange, u64, u64)>;

fn naive(before: &BTreeMap<Vec<u8>, Flat>, after: &BTreeMap<Vec<u8>, Flat>) -> Found {
    let mut out = BTreeMap::new();
    for path in before.keys().chain(after.keys()) {
        let (old, new) = (before.get(path), after.get(path));
        let change = match (old, new) {
            (Some(old), Some(new)) if old == new => continue,
            (Some(_), None) => EntryChange::Removed,
            (None, _) => EntryChange::Added,
            (Some(old), Some(new)) if old.kind != new.kind => EntryChange::Type,
            (Some(old), Some(new))
                if (&old.small, &old.chunks, old.device) == (&new.small, &new.chunks, new.device) =>
            {
                EntryChange::Metadata
            }
            _ => EntryChange::Content,
        };
        out.insert(path.clone(), (change, only(new, old), only(old, new)));
    }
    out
}

fn thing() -> impl Strategy<Value = Thing> {
    let leaf = prop_oneof![
        // Up to 90 runs: some files have a node of their own.
        (prop::collection::vec(0u64..5, 0..90), 1u64..3).prop_map(|(seeds, links)| Thing::File(seeds, links)),
        (0u8..3).prop_map(Thing::Inline),
        (0u8..3).prop_map(Thing::Link),
        (0u64..3).prop_map(Thing::Device),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop::collection::btree_map("[a-d]{1,2}", (0u32..2, inner), 0..6).prop_map(Thing::Folder)
    })
}

fn folder() -> impl Strategy<Value = BTreeMap<String, (u32, Thing)>> {
    prop::collection::btree_map("[a-d]{1,2}", (0u32..2, thing()), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn entries_are_those_of_a_full_comparison(one in folder(), two in folder(), mixed in any::<bool>()) {
        let (_, repository) = new_repository();
        let mut later = if mixed { one.clone() } else { BTreeMap::new() };
        later.extend(two);
        let before = commit(&repository, 1, &Thing::Folder(one));
        let after = commit(&repository, 2, &Thing::Folder(later));
        let flat = [flatten(&repository, &before), flatten(&repository, &after)];
        for (before, after, old, new) in
            [(&before, &after, &flat[0], &flat[1]), (&after, &before, &flat[1], &flat[0]), (&after, &after, &flat[1], &flat[1])]
        {
            let (found, totals) = diff(&repository, before, after);
            let mut seen = Found::new();
            for difference in found {
                let Difference::Entry(entry) = difference else { panic!("{difference:?}") };
                let value = (entry.change, entry.added_bytes, entry.removed_bytes);
                prop_assert!(seen.insert(entry.path.clone(), value).is_none(), "{:?} comes twice", entry.path);
            }
            let expected = naive(old, new);
            prop_assert_eq!(&seen, &expected);
            let count = |wanted| expected.values().filter(|(change, ..)| *change == wanted).count() as u64;
            let all = |counts: longshore_repo::EntryCounts| counts.files + counts.directories + counts.others;
            prop_assert_eq!(all(totals.added), count(EntryChange::Added));
            prop_assert_eq!(all(totals.removed), count(EntryChange::Removed));
            prop_assert_eq!(all(totals.changed), count(EntryChange::Content));
            prop_assert_eq!((totals.types, totals.metadata), (count(EntryChange::Type), count(EntryChange::Metadata)));
            prop_assert_eq!(totals.added_bytes, expected.values().map(|(_, added, _)| added).sum::<u64>());
            prop_assert_eq!(totals.removed_bytes, expected.values().map(|(.., removed)| removed).sum::<u64>());
        }
    }
}

/// A directory that takes an index of several nodes, and many small ones beside it.
fn large(session: &BackupSession<'_>, extra: &[usize]) -> NodeRef {
    let mut numbers: Vec<usize> =
        (0..30_000).map(|number| number * 10).chain(extra.iter().copied()).collect();
    numbers.sort_unstable();
    let mut writer = session.directory();
    for number in numbers {
        let name = format!("file-{number:06}");
        let content = EntryContent::Inline(name.clone().into_bytes());
        writer.push(entry(name.as_bytes(), 0o644, EntryKind::File, content)).unwrap();
    }
    writer.finish().unwrap()
}

fn commit_large(repository: &Repository, run: u128, extra: &[usize]) -> Snapshot {
    let source = repository.source_id(&pvc("files"));
    let session = repository.begin_backup(source, run_id(run), None, BackupOptions::default()).unwrap();
    let mut writer = session.directory();
    for number in 0..500 {
        let inner = entry(b"inner", 0o644, EntryKind::File, EntryContent::Inline(vec![number as u8; 9]));
        let mut folder = session.directory();
        folder.push(inner).unwrap();
        let node = folder.finish().unwrap();
        let name = format!("folder-{number:03}");
        let content = EntryContent::Directory(node);
        writer.push(entry(name.as_bytes(), 0o755, EntryKind::Directory, content)).unwrap();
    }
    let node = large(&session, extra);
    writer.push(entry(b"large", 0o755, EntryKind::Directory, EntryContent::Directory(node))).unwrap();
    let root = EntryContent::Directory(writer.finish().unwrap());
    let content = session.finish_tree(entry(b"", 0o755, EntryKind::Directory, root), 77).unwrap();
    session.commit(draft(pvc("files"), content)).unwrap().snapshot().clone()
}

#[test]
fn the_cost_is_that_of_what_differs() {
    let (counters, repository) = counted();
    let before = commit_large(&repository, 1, &[]);
    let all = counters.now().creates;
    for changed in [0usize, 1, 10, 100] {
        let extra: Vec<usize> = (0..changed).map(|number| number * 2950 + 5).collect();
        let after = commit_large(&repository, 2 + changed as u128, &extra);
        let reads = counters.now().reads;
        let (found, totals) = diff(&repository, &before, &after);
        let reads = counters.now().reads - reads;
        assert_eq!((found.len(), totals.added.files), (changed, changed as u64), "{totals:?}");
        // About 130 nodes hold the large directory; each changed name touches one or two of them on each side.
        let most = 14 + 5 * changed as u64;
        assert!(reads <= most, "{reads} reads for {changed} new names, {all} objects");
    }
}

/// A file of very many chunks of which few changed: nodes that both have are not read.
#[test]
fn a_changed_part_of_a_large_file_costs_little() {
    let (counters, repository) = counted();
    let file = |changed: Option<u64>| {
        let seeds = (0..20_000u64).map(|number| if changed == Some(number) { 99_999 } else { number + 1 });
        BTreeMap::from([("file".to_owned(), (0o644, Thing::File(seeds.collect(), 1)))])
    };
    let before = commit(&repository, 1, &Thing::Folder(file(None)));
    let after = commit(&repository, 2, &Thing::Folder(file(Some(7_777))));
    let reads = counters.now().reads;
    let (found, totals) = diff(&repository, &before, &after);
    let reads = counters.now().reads - reads;
    assert_eq!(found.len(), 1);
    assert_eq!((totals.added_bytes, totals.removed_bytes), (100_099, 7_878));
    assert!(reads < 20, "{reads} reads");
}
