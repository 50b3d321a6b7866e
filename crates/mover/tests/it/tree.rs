//! Trees: metadata that only the whole road can lose.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

use longshore_mover::{
    Control, TreeBackupOptions, TreeParent, TreeRestoreOptions, TreeTotals, backup_tree, restore_tree,
};
use longshore_repo::{Entry, EntryContent, Repository, Snapshot, TreeReader};
use longshore_volume::{TargetOptions, Timestamp, Tree, TreeOptions, TreeTarget};
use rustix::fs::{XattrFlags, lsetxattr};

use crate::{commit, repository};

fn backup(repository: &Repository, path: &Path, parent: Option<&Snapshot>) -> (Snapshot, TreeTotals) {
    let tree = Tree::open(path, TreeOptions::default()).unwrap();
    let reader = parent.map(|snapshot| repository.open_tree(snapshot).unwrap());
    let began = Timestamp { seconds: i64::MAX, nanoseconds: 0 };
    let options = TreeBackupOptions { parent: reader.as_ref().map(|reader| TreeParent { reader, began }) };
    let mut totals = TreeTotals::default();
    let snapshot = commit(repository, |session| {
        let splitter = repository.file_splitter();
        let stored = backup_tree(session, &splitter, &tree, &options, &Control::default()).unwrap();
        assert_eq!(stored.failures.count, 0, "{:?}", stored.failures);
        totals = stored.totals;
        stored.content
    });
    (snapshot, totals)
}

/// All entries of a tree with their paths, without the hints of chunks, and without what a restore cannot set.
fn entries(reader: &TreeReader<'_>) -> Vec<(String, Entry)> {
    fn below(reader: &TreeReader<'_>, path: &str, entry: &Entry, found: &mut Vec<(String, Entry)>) {
        let mut plain = entry.clone();
        (plain.inode, plain.changed, plain.accessed, plain.hard_link_group) = Default::default();
        plain.content = match &entry.content {
            EntryContent::Runs(_) | EntryContent::File(_) => {
                let runs: Vec<_> = reader.file_runs(&entry.content).map(Result::unwrap).collect();
                EntryContent::Inline(
                    format!("{:?}", runs.iter().map(longshore_repo::Run::length_bytes).collect::<Vec<_>>())
                        .into(),
                )
            }
            EntryContent::Directory(_) => EntryContent::None,
            other => other.clone(),
        };
        found.push((path.to_owned(), plain));
        if let EntryContent::Directory(node) = &entry.content {
            for inner in reader.directory(node) {
                let inner = inner.unwrap();
                below(reader, &format!("{path}/{}", inner.name.escape_ascii()), &inner, found);
            }
        }
    }
    let mut found = Vec::new();
    below(reader, "", &reader.root().unwrap(), &mut found);
    found
}

#[test]
fn attributes_links_and_large_files_survive_the_whole_road() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    fs::create_dir_all(source.join("folder")).unwrap();
    fs::write(source.join("file"), b"content").unwrap();
    fs::hard_link(source.join("file"), source.join("folder/other")).unwrap();
    std::os::unix::fs::symlink("nowhere", source.join("link")).unwrap();
    let set = |name: &str, attribute: &str, value: &[u8]| {
        lsetxattr(source.join(name), attribute, value, XattrFlags::empty()).unwrap();
    };
    set("file", "user.one", b"\0\xff");
    set("folder", "user.two", &[7; 3000]);
    set("link", "trusted.three", b"on a link");
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in
        [(1_u16, 7_u16, u32::MAX), (2, 5, 99), (4, 0, u32::MAX), (16, 5, u32::MAX), (32, 0, u32::MAX)]
    {
        acl.extend([tag.to_le_bytes(), permissions.to_le_bytes()].concat());
        acl.extend(id.to_le_bytes());
    }
    set("folder", "system.posix_acl_default", &acl);
    set("file", "system.posix_acl_access", &acl);
    // Three segments, a hole over a border of two, and one that ends the file.
    let large = fs::File::create(source.join("large")).unwrap();
    for place in [0_u64, 50 << 20, (64 << 20) - 4096, 130 << 20] {
        large.write_all_at(&vec![place as u8 | 3; 1_000_001], place).unwrap();
    }
    large.set_len(140 << 20).unwrap();

    let repository = repository();
    let (first, totals) = backup(&repository, &source, None);
    assert_eq!((totals.files, totals.directories, totals.specials), (3, 2, 1));
    assert!(totals.read_bytes < 5 << 20, "holes are not read");
    let reader = repository.open_tree(&first).unwrap();
    let out = TreeTarget::open(&target, TargetOptions::default()).unwrap();
    let restored =
        restore_tree(&repository, &reader, &out, TreeRestoreOptions::default(), &Control::default()).unwrap();
    assert_eq!(restored.files, 3);
    assert!(fs::read(source.join("large")).unwrap() == fs::read(target.join("large")).unwrap());

    let (second, again) = backup(&repository, &target, None);
    assert_eq!(again.files, 3);
    let second = repository.open_tree(&second).unwrap();
    assert_eq!(entries(&second), entries(&reader));
}

/// Somebody reads everything between two backups, as a search tool does.
#[test]
fn reading_alone_stores_no_directory_anew() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir_all(source.join("inner")).unwrap();
    for name in ["one", "inner/two", "three"] {
        fs::write(source.join(name), b"content").unwrap();
    }
    let repository = repository();
    let (first, _) = backup(&repository, &source, None);
    let accessed = |name: &str| fs::metadata(source.join(name)).unwrap().accessed().unwrap();
    let before = accessed("one");
    std::thread::sleep(std::time::Duration::from_millis(20));
    for name in ["one", "inner/two"] {
        assert_eq!(fs::read(source.join(name)).unwrap(), b"content");
    }
    assert_eq!(fs::read_dir(source.join("inner")).unwrap().count(), 1);
    assert!(accessed("one") > before, "this file system keeps no access times: the test proves nothing");
    let (second, _) = backup(&repository, &source, Some(&first));
    let root = |snapshot| repository.open_tree(snapshot).unwrap().root().unwrap();
    assert_eq!(root(&second), root(&first));

    // With any other change the access time is taken along.
    fs::set_permissions(source.join("one"), fs::Permissions::from_mode(0o600)).unwrap();
    let (third, _) = backup(&repository, &source, Some(&second));
    let reader = repository.open_tree(&third).unwrap();
    let EntryContent::Directory(node) = reader.root().unwrap().content else { panic!("a directory") };
    let one = reader.directory(&node).map(Result::unwrap).find(|entry| entry.name == b"one").unwrap();
    let time = accessed("one").duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(one.accessed.unwrap().seconds, time.as_secs() as i64);
    assert_eq!(one.accessed.unwrap().nanoseconds, time.subsec_nanos());
}

#[test]
fn names_that_come_and_go_do_not_confuse_the_comparison() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("source");
    fs::create_dir(&source).unwrap();
    let write = |name: &str| fs::write(source.join(name), vec![b'x'; 700]).unwrap();
    for name in ["b", "d", "f", "h"] {
        write(name);
    }
    fs::create_dir(source.join("m")).unwrap();
    write("m/deep");
    let repository = repository();
    let (first, _) = backup(&repository, &source, None);
    for name in ["a", "c", "g", "z"] {
        write(name);
    }
    fs::remove_file(source.join("d")).unwrap();
    fs::remove_file(source.join("f")).unwrap();
    fs::create_dir(source.join("f")).unwrap();
    write("f/new");
    let (_, totals) = backup(&repository, &source, Some(&first));
    assert_eq!((totals.unchanged_files, totals.files), (3, 8), "b, h and m/deep are unchanged");
}
