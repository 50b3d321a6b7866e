//! Trees: everything POSIX holds goes out and comes back.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use longshore_volume::{
    Directory, Entry, Kind, OpenedFile, TargetDirectory, TargetOptions, Tree, TreeOptions, TreeTarget,
    VolumeError,
};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags, lsetxattr, makedev, mknodat, utimensat,
};

/// A tree with everything that has ever broken a backup program.
fn make_nasty_tree(root: &Path) {
    fs::create_dir_all(root.join("deep/er/still")).unwrap();
    fs::write(root.join("plain"), b"plain").unwrap();
    fs::write(root.join("empty"), b"").unwrap();
    fs::write(root.join(OsStr::from_bytes(b"not\xff\xfeutf8\n")), b"odd name").unwrap();
    fs::hard_link(root.join("plain"), root.join("deep/er/second-name")).unwrap();
    symlink("/etc/passwd", root.join("absolute-link")).unwrap();
    symlink(OsStr::from_bytes(b"dangling\xff"), root.join("deep/dangling")).unwrap();
    let sparse = fs::File::create_new(root.join("sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"island", 5 << 20).unwrap();
    sparse.set_len(9 << 20).unwrap();
    let node = |name: &str, kind, device| {
        mknodat(CWD, root.join(name), kind, Mode::from_raw_mode(0o640), device).unwrap();
    };
    node("pipe", FileType::Fifo, 0);
    node("socket", FileType::Socket, 0);
    node("null", FileType::CharacterDevice, makedev(1, 3));
    node("disk", FileType::BlockDevice, makedev(250, 70_000));
    std::os::unix::fs::lchown(root.join("empty"), Some(1234), Some(4321)).unwrap();
    fs::set_permissions(root.join("empty"), fs::Permissions::from_mode(0o6751)).unwrap();
    std::os::unix::fs::lchown(root.join("absolute-link"), Some(77), Some(88)).unwrap();
    lsetxattr(root.join("plain"), "user.comment", b"\0bytes\xff", XattrFlags::empty()).unwrap();
    // A valid version 2 capability: CAP_NET_BIND_SERVICE, effective.
    let mut capability = [0_u8; 20];
    capability[..4].copy_from_slice(&0x0200_0001_u32.to_le_bytes());
    capability[4..8].copy_from_slice(&(1_u32 << 10).to_le_bytes());
    lsetxattr(root.join("plain"), "security.capability", &capability, XattrFlags::empty()).unwrap();
    // u::rw-, u:1000:r--, g::---, m::r--, o::---
    let mut acl = 2_u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in
        [(1_u16, 6_u16, u32::MAX), (2, 4, 1000), (4, 0, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
    {
        acl.extend(tag.to_le_bytes());
        acl.extend(permissions.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    lsetxattr(root.join("sparse"), "system.posix_acl_access", &acl, XattrFlags::empty()).unwrap();
    lsetxattr(root.join("deep"), "system.posix_acl_default", &acl, XattrFlags::empty()).unwrap();
    lsetxattr(root.join("absolute-link"), "trusted.on-a-link", b"x", XattrFlags::empty()).unwrap();
    fs::set_permissions(root.join("deep/er"), fs::Permissions::from_mode(0o1500)).unwrap();
    for (name, seconds, nanoseconds) in [
        ("plain", -5, 999_999_999),
        ("absolute-link", 1, 1),
        ("deep/er", 1_000_000_000, 123_456_789),
        ("pipe", 7, 0),
    ] {
        let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: time, last_modification: time };
        utimensat(CWD, root.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    }
}

fn copy(source: &Path, target: &Path) -> Result<(), VolumeError> {
    let tree = Tree::open(source, TreeOptions::default())?;
    let out = TreeTarget::open(target, TargetOptions::default())?;
    let mut links = std::collections::HashMap::new();
    copy_directory(&tree.root(), &out, &out.root(), &mut links)?;
    out.root().finish_self(tree.root_entry())?;
    out.sync()
}

fn copy_directory(
    from: &Directory,
    out: &TreeTarget,
    to: &TargetDirectory,
    links: &mut std::collections::HashMap<u64, Vec<u8>>,
) -> Result<(), VolumeError> {
    for name in from.names()?.iter() {
        let entry = from.entry(name)?;
        match entry.metadata.kind {
            Kind::Directory => {
                let inner = to.enter(name)?;
                if let Some(directory) = from.enter(&entry)? {
                    copy_directory(&directory, out, &inner, links)?;
                }
            }
            Kind::File => {
                if entry.metadata.links > 1 {
                    if let Some(first) = links.get(&entry.metadata.inode) {
                        out.hard_link(first, to, name)?;
                        continue;
                    }
                    links.insert(entry.metadata.inode, to.path_of(name));
                }
                copy_file(from, &entry, to)?;
            }
            _ => to.make_special(&entry)?,
        }
        to.finish(&entry)?;
    }
    Ok(())
}

fn copy_file(from: &Directory, entry: &Entry, to: &TargetDirectory) -> Result<(), VolumeError> {
    let reader = from.open_file(entry)?;
    let (OpenedFile::New(target) | OpenedFile::Existing(target)) =
        to.file(&entry.name, entry.metadata.size)?;
    let mut at = 0;
    while let Some(range) = reader.next_data(at)? {
        target.zero(at, range.start - at)?;
        let mut bytes = vec![0; (range.end - range.start) as usize];
        reader.read_at(range.start, &mut bytes)?;
        target.write_at(range.start, &bytes)?;
        at = range.end;
    }
    target.zero(at, entry.metadata.size - at)?;
    reader.check_unchanged()
}

/// Everything about a tree as text, so that a difference shows which line differs.
fn describe(root: &Path) -> Vec<String> {
    let tree = Tree::open(root, TreeOptions::default()).unwrap();
    let mut lines = vec![describe_entry(tree.root_entry(), b"", None)];
    describe_directory(&tree.root(), &mut lines);
    lines
}

fn describe_directory(directory: &Directory, lines: &mut Vec<String>) {
    for name in directory.names().unwrap().iter() {
        let entry = directory.entry(name).unwrap();
        let content = (entry.metadata.kind == Kind::File).then(|| {
            let reader = directory.open_file(&entry).unwrap();
            let mut bytes = vec![0; entry.metadata.size as usize];
            reader.read_at(0, &mut bytes).unwrap();
            bytes
        });
        lines.push(describe_entry(&entry, &directory.path_of(name), content.as_deref()));
        if entry.metadata.kind == Kind::Directory {
            describe_directory(&directory.enter(&entry).unwrap().unwrap(), lines);
        }
    }
}

fn describe_entry(entry: &Entry, path: &[u8], content: Option<&[u8]>) -> String {
    let metadata = &entry.metadata;
    let digest = content.map(|bytes| {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        })
    });
    format!(
        "{} {:?} {:o} {}:{} size {:?} links {} node {:?} mtime {:?} to {:?} {:?} {digest:x?}",
        path.escape_ascii(),
        metadata.kind,
        metadata.mode,
        metadata.uid,
        metadata.gid,
        content.map(<[u8]>::len),
        if metadata.kind == Kind::Directory { 0 } else { metadata.links },
        metadata.device_node,
        metadata.mtime,
        entry.link_target,
        entry.xattrs,
    )
}

#[test]
fn everything_posix_holds_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    make_nasty_tree(&source);
    copy(&source, &target).unwrap();
    let expected = describe(&source);
    assert!(expected.len() > 14);
    assert_eq!(describe(&target), expected);
    let sparse = fs::metadata(target.join("sparse")).unwrap();
    assert!(sparse.blocks() * 512 < 1 << 20, "{} blocks", sparse.blocks());
    copy(&source, &target).unwrap();
    assert_eq!(describe(&target), expected, "a second restore onto the first");
}

#[test]
fn what_is_in_the_way_is_replaced_and_links_in_the_target_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("source"), folder.path().join("target"));
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), b"precious").unwrap();
    make_nasty_tree(&source);
    fs::create_dir(&target).unwrap();
    symlink(&outside, target.join("deep")).unwrap();
    symlink(outside.join("precious"), target.join("plain")).unwrap();
    fs::hard_link(outside.join("precious"), target.join("empty")).unwrap();
    fs::create_dir(target.join("pipe")).unwrap();
    fs::write(target.join("sparse"), vec![1; 10 << 20]).unwrap();
    copy(&source, &target).unwrap();
    assert_eq!(describe(&target), describe(&source));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read(outside.join("precious")).unwrap(), b"precious");
    assert_eq!(fs::metadata(outside.join("precious")).unwrap().nlink(), 1);
}

#[test]
fn a_directory_that_holds_something_is_never_removed_for_a_file() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("name/inner")).unwrap();
    let target = TreeTarget::open(folder.path(), TargetOptions::default()).unwrap();
    let error = target.root().file(b"name", 1).err().unwrap();
    assert!(matches!(error, VolumeError::Remove { .. }), "{error}");
    target.root().remove(b"name").unwrap();
    assert!(target.root().file(b"name", 1).is_ok());
}

#[test]
fn hostile_names_are_refused_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let target = TreeTarget::open(&folder.path().join("target"), TargetOptions::default()).unwrap();
    let root = target.root();
    for name in [&b".."[..], b"../x", b"/etc", b"", b"a\0b"] {
        assert!(matches!(root.file(name, 0).err(), Some(VolumeError::HostileName { .. })));
        assert!(matches!(root.enter(name).err(), Some(VolumeError::HostileName { .. })));
        assert!(matches!(root.remove(name).err(), Some(VolumeError::HostileName { .. })));
        assert!(matches!(target.hard_link(name, &root, b"y").err(), Some(VolumeError::HostileName { .. })));
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_hard_link_never_goes_through_a_link_in_the_target() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), b"secret").unwrap();
    let path = folder.path().join("target");
    let target = TreeTarget::open(&path, TargetOptions::default()).unwrap();
    symlink(&outside, path.join("way")).unwrap();
    assert!(target.hard_link(b"way/secret", &target.root(), b"stolen").is_err());
    assert!(!path.join("stolen").exists());
}

#[test]
fn a_file_that_changes_while_it_is_read_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), b"before").unwrap();
    let tree = Tree::open(folder.path(), TreeOptions::default()).unwrap();
    let entry = tree.root().entry(b"file").unwrap();
    let reader = tree.root().open_file(&entry).unwrap();
    reader.check_unchanged().unwrap();
    fs::write(folder.path().join("file"), b"and after").unwrap();
    assert!(matches!(reader.check_unchanged(), Err(VolumeError::Changed { .. })));
    assert!(matches!(tree.root().open_file(&entry), Err(VolumeError::Changed { .. })));
}

#[test]
fn an_empty_lost_and_found_is_left_out_and_a_full_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let lost = folder.path().join("lost+found");
    fs::create_dir(&lost).unwrap();
    fs::set_permissions(&lost, fs::Permissions::from_mode(0o700)).unwrap();
    let names = || Tree::open(folder.path(), TreeOptions::default()).unwrap().root().names().unwrap();
    assert!(names().is_empty());
    fs::write(lost.join("#12"), b"found").unwrap();
    assert!(names().contains(b"lost+found"));
}

#[test]
fn another_file_system_is_entered_only_on_request() {
    let tree = |one_file_system| Tree::open(Path::new("/"), TreeOptions { one_file_system }).unwrap().root();
    let inside = |root: std::sync::Arc<Directory>| {
        let entry = root.entry(b"proc").unwrap();
        root.enter(&entry).unwrap().is_some()
    };
    assert!(!inside(tree(true)));
    assert!(inside(tree(false)));
}
