//! Trees with everything in them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use longshore_repo::Snapshot;
use rustix::fs::{XattrFlags, lgetxattr, llistxattr, lsetxattr};

use crate::{Reader, noise};

/// Everything that POSIX keeps of a file, and directories and files that need several nodes.
pub fn make(root: &Path) {
    fs::create_dir_all(root.join("a/b/c")).unwrap();
    fs::create_dir(root.join("empty-folder")).unwrap();
    fs::write(root.join("empty"), b"").unwrap();
    fs::write(root.join("inline"), b"few bytes").unwrap();
    // More than 64 chunks: runs in a node of their own.
    fs::write(root.join("large"), noise(1, 12_000_001)).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"not\xff\xfeutf8")), b"odd").unwrap();
    fs::hard_link(root.join("large"), root.join("a/b/large-too")).unwrap();
    fs::hard_link(root.join("inline"), root.join("z-inline-too")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("../nowhere", root.join("a/dangling")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(200 << 20).unwrap();
    sparse.write_all_at(b"island", 100 << 20).unwrap();
    sparse.write_all_at(&noise(9, 300_000), (130 << 20) + 17).unwrap();
    for (name, arguments) in
        [("pipe", &["p"][..]), ("null", &["c", "1", "3"][..]), ("disk", &["b", "259", "70000"][..])]
    {
        assert!(Command::new("mknod").arg(root.join(name)).args(arguments).status().unwrap().success());
    }
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    std::os::unix::fs::chown(root.join("large"), Some(1000), Some(2000)).unwrap();
    std::os::unix::fs::lchown(root.join("absolute"), Some(3), Some(4)).unwrap();
    fs::set_permissions(root.join("large"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::set_permissions(root.join("a/b"), fs::Permissions::from_mode(0o1500)).unwrap();
    lsetxattr(root.join("inline"), "user.one", b"\0\xff", XattrFlags::empty()).unwrap();
    lsetxattr(root.join("a"), "user.two", &[7; 3000], XattrFlags::empty()).unwrap();
    lsetxattr(root.join("absolute"), "trusted.three", b"on a link", XattrFlags::empty()).unwrap();
    // Names enough for a directory of several nodes.
    for number in 0..1500 {
        let name = format!("a/b/c/{number}-with-a-name-that-takes-some-room-in-its-directory");
        fs::write(root.join(name), noise(number + 50, number as usize % 900)).unwrap();
    }
    let old = fs::File::open(root.join("a/b/c/7-with-a-name-that-takes-some-room-in-its-directory")).unwrap();
    old.set_modified(std::time::UNIX_EPOCH - std::time::Duration::new(5, 1)).unwrap();
}

/// Some of it becomes other.
pub fn change(root: &Path) {
    fs::write(root.join("inline"), b"OTHER").unwrap();
    fs::remove_dir(root.join("empty-folder")).unwrap();
    fs::write(root.join("empty-folder"), b"a file now").unwrap();
    fs::remove_file(root.join("a/dangling")).unwrap();
    let large = fs::File::options().write(true).open(root.join("large")).unwrap();
    large.write_all_at(b"changed", 5_000_000).unwrap();
}

/// All that the system's tools see of a tree, and the attributes that they do not.
pub fn describe(root: &Path) -> String {
    let script = r#"
        export LC_ALL=C
        cd "$1"
        find . -printf '%p|%y|%m|%U:%G|%T@|%l|%n\n' | sed -E 's/^([^|]*\|d\|.*)\|[0-9]+$/\1/' | sort -z
        find . \( -type b -o -type c \) -exec stat -c '%n %t:%T' {} + | sort
        find . -type f -links +1 -printf "%i %p\n" | sort | awk '{ names[$1] = names[$1] " " $2 } END { for (inode in names) print names[inode] }' | sort
        find . -type f -print0 | sort -z | xargs -0 -r sha256sum
    "#;
    let output = Command::new("bash").args(["-ec", script, "describe"]).arg(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in ["inline", "a", "absolute"] {
        text.push_str(&format!("{name} {:?}\n", attributes(&root.join(name))));
    }
    text
}

fn attributes(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let length = llistxattr(path, &mut names[..]).unwrap();
    names.truncate(length);
    let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65536];
        let length = lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
        value.truncate(length);
        found.push((name.to_vec(), value));
    }
    found.sort();
    found
}

/// What the reader makes of a snapshot.
pub fn describe_restored(reader: &Reader, snapshot: &Snapshot, folder: &Path) -> String {
    let target = folder.join("restored-to-be-described");
    reader.restore(&snapshot.id().to_string(), &target);
    describe(&target)
}
