//! What goes in comes out.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::sandbox::{Sandbox, assert_same_bytes, describe, image, noise};

/// Everything that POSIX holds. The volume crate's own tests go deeper; here the whole road is tried.
pub fn nasty_tree(root: &Path) {
    fs::create_dir_all(root.join("a/b/c")).unwrap();
    fs::create_dir(root.join("empty-folder")).unwrap();
    fs::write(root.join("empty"), b"").unwrap();
    fs::write(root.join("inline"), b"few bytes").unwrap();
    fs::write(root.join("large"), noise(1, 3_000_001)).unwrap();
    fs::write(root.join("a/same"), noise(1, 3_000_001)).unwrap();
    fs::write(root.join(OsStr::from_bytes(b"not\xff\xfeutf8")), b"odd").unwrap();
    fs::write(root.join(" spaces and\ttabs "), b"blank").unwrap();
    fs::hard_link(root.join("large"), root.join("a/b/large-too")).unwrap();
    fs::hard_link(root.join("inline"), root.join("z-inline-too")).unwrap();
    symlink("/etc/passwd", root.join("absolute")).unwrap();
    symlink("../nowhere", root.join("a/dangling")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(200 << 20).unwrap();
    sparse.write_all_at(b"island", 100 << 20).unwrap();
    sparse.write_all_at(&noise(9, 300_000), (130 << 20) + 17).unwrap();
    for (name, arguments) in
        [("pipe", &["p"][..]), ("null", &["c", "1", "3"][..]), ("disk", &["b", "7", "300"][..])]
    {
        let made = Command::new("mknod").arg(root.join(name)).args(arguments).status().unwrap();
        assert!(made.success());
    }
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    std::os::unix::fs::chown(root.join("large"), Some(1000), Some(2000)).unwrap();
    fs::set_permissions(root.join("large"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::set_permissions(root.join("a/b"), fs::Permissions::from_mode(0o1500)).unwrap();
    for number in 0..300 {
        fs::write(root.join(format!("a/b/c/{number}")), noise(number + 50, number as usize * 97)).unwrap();
    }
    let old = fs::File::open(root.join("a/b/c/7")).unwrap();
    old.set_modified(std::time::UNIX_EPOCH - std::time::Duration::new(5, 1)).unwrap();
}

#[test]
fn a_tree_with_everything_comes_back_and_a_second_backup_reads_nothing() {
    let sandbox = Sandbox::new();
    let (source, target) = (sandbox.path("source"), sandbox.path("target"));
    nasty_tree(&source);
    let first = sandbox.backup(&source);
    sandbox.restore(&first, &target);
    let expected = describe(&source);
    assert_eq!(describe(&target), expected);
    assert!(fs::metadata(target.join("sparse")).unwrap().blocks() * 512 < 2 << 20);

    let second = sandbox.ok(&["-o", "json", "backup", source.to_str().unwrap()]);
    let second: serde_json::Value = serde_json::from_str(&second).unwrap();
    let snapshot = &second["snapshot"];
    assert_eq!(snapshot["readBytes"], 0, "{snapshot}");
    assert_eq!(
        snapshot["unchangedFiles"].as_u64(),
        snapshot["files"].as_u64().map(|files| files - 2),
        "{snapshot}"
    );
    assert_eq!(snapshot["parent"], first.as_str());

    fs::write(target.join("inline"), b"FEW BYTES").unwrap();
    fs::write(target.join("not in the snapshot"), b"x").unwrap();
    fs::remove_file(target.join("a/same")).unwrap();
    sandbox.ok(&["restore", "latest", target.to_str().unwrap(), "--delete"]);
    assert_eq!(describe(&target), expected, "a restore onto a changed tree");
}

#[test]
fn a_changed_file_is_read_again_and_force_reads_all() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a"), noise(1, 100_000)).unwrap();
    fs::write(source.join("b"), noise(2, 100_000)).unwrap();
    sandbox.backup(&source);
    let times = fs::metadata(source.join("b")).unwrap().modified().unwrap();
    fs::write(source.join("b"), noise(3, 100_000)).unwrap();
    // The same size and time: only the status change gives it away.
    fs::File::open(source.join("b")).unwrap().set_modified(times).unwrap();
    let id = sandbox.backup(&source);
    let target = sandbox.path("target");
    sandbox.restore(&id, &target);
    assert_eq!(describe(&target), describe(&source));
    let forced = sandbox.ok(&["-o", "json", "backup", "--force", source.to_str().unwrap()]);
    let forced: serde_json::Value = serde_json::from_str(&forced).unwrap();
    assert_eq!(
        (&forced["snapshot"]["readBytes"], &forced["snapshot"]["newBytes"]),
        (&200_000.into(), &0.into())
    );
}

#[test]
fn an_image_comes_back_over_garbage_and_unchanged_parts_are_not_written() {
    let sandbox = Sandbox::new();
    let (source, target) = (sandbox.path("image"), sandbox.path("restored"));
    image(
        &source,
        (200 << 20) + 512,
        &[(0, 5_000_000), (70 << 20, 1), (128 << 20, 9_000_000), (200 << 20, 512)],
    );
    let id = sandbox.backup(&source);
    sandbox.restore(&id, &target);
    assert_same_bytes(&source, &target);
    assert!(fs::metadata(&target).unwrap().blocks() * 512 < 20 << 20, "holes stay holes");

    fs::write(&target, noise(77, 150 << 20)).unwrap();
    sandbox.restore(&id, &target);
    assert_same_bytes(&source, &target);

    let again = sandbox.ok(&["-o", "json", "restore", &id, target.to_str().unwrap()]);
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!((&again["writtenBytes"], &again["fetchedBytes"]), (&0.into(), &0.into()));
}

#[test]
fn a_second_backup_of_an_image_stores_what_changed() {
    let sandbox = Sandbox::new();
    let (source, target) = (sandbox.path("image"), sandbox.path("restored"));
    image(&source, 150 << 20, &[(0, 40 << 20), (100 << 20, 30 << 20)]);
    sandbox.backup(&source);
    let file = fs::File::options().write(true).open(&source).unwrap();
    file.write_all_at(&noise(99, 5000), 10_000_000).unwrap();
    // A hole that begins right behind data, one that ends, and data in the middle of one.
    file.write_all_at(&vec![0; 1 << 20], 20 << 20).unwrap();
    file.write_all_at(&noise(98, 70_000), 60 << 20).unwrap();
    file.write_all_at(&noise(97, 4096), 40 << 20).unwrap();
    let second = sandbox.ok(&["-o", "json", "backup", source.to_str().unwrap()]);
    let second: serde_json::Value = serde_json::from_str(&second).unwrap();
    let new = second["snapshot"]["newBytes"].as_u64().unwrap();
    assert!((79_000..4 << 20).contains(&new), "{new} new bytes");
    sandbox.restore("latest", &target);
    assert_same_bytes(&source, &target);
    // The map must be the one that a backup without a parent makes: then nothing of it is new.
    let third = sandbox.ok(&["-o", "json", "backup", "--host", "elsewhere", source.to_str().unwrap()]);
    let third: serde_json::Value = serde_json::from_str(&third).unwrap();
    assert_eq!(
        (&third["snapshot"]["newBytes"], &third["snapshot"]["parent"]),
        (&0.into(), &serde_json::Value::Null)
    );
}

#[test]
fn a_device_is_backed_up_and_restored_to_a_larger_one_and_not_to_a_smaller_one() {
    let sandbox = Sandbox::new();
    let device = |name: &str, megabytes: u64| {
        let backing = sandbox.path(name);
        image(&backing, megabytes << 20, &[]);
        let output = Command::new("losetup").args(["--find", "--show"]).arg(&backing).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let (source, larger, smaller) = (device("source", 40), device("larger", 60), device("smaller", 39));
    let result = std::panic::catch_unwind(|| {
        let writer = fs::File::options().write(true).open(&source).unwrap();
        writer.write_all_at(&noise(5, 10 << 20), 3 << 20).unwrap();
        writer.sync_all().unwrap();
        let garbage = fs::File::options().write(true).open(&larger).unwrap();
        garbage.write_all_at(&noise(6, 60 << 20), 0).unwrap();
        garbage.sync_all().unwrap();
        drop((writer, garbage));
        let id = sandbox.backup(Path::new(&source));
        sandbox.restore(&id, Path::new(&larger));
        let compared =
            Command::new("cmp").args(["-n", &(40 << 20).to_string(), &source, &larger]).status().unwrap();
        assert!(compared.success());
        let before = fs::read(sandbox.path("smaller")).unwrap();
        let (_, message) = sandbox.expect(1, &["restore", &id, &smaller]);
        assert!(message.contains("too small") && message.contains("41943040"), "{message}");
        assert!(fs::read(sandbox.path("smaller")).unwrap() == before, "not a byte is written");
    });
    for device in [&source, &larger, &smaller] {
        let _best_effort = Command::new("losetup").args(["--detach", device]).status();
    }
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn equal_content_is_stored_once_whatever_it_is_called() {
    let sandbox = Sandbox::new();
    let (one, two) = (sandbox.path("one"), sandbox.path("two"));
    image(&one, 64 << 20, &[(0, 30 << 20)]);
    fs::copy(&one, &two).unwrap();
    sandbox.backup(&one);
    let second = sandbox.ok(&["-o", "json", "backup", two.to_str().unwrap()]);
    let second: serde_json::Value = serde_json::from_str(&second).unwrap();
    assert_eq!(second["snapshot"]["newBytes"], 0);
    assert!(second["snapshot"]["storedBytes"].as_u64().unwrap() < 1 << 20);
}

#[test]
fn ls_shows_names_and_finds_paths() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("source");
    nasty_tree(&source);
    let id = sandbox.backup(&source);
    let all = sandbox.ok(&["ls", &id]);
    assert!(all.contains("not\\xff\\xfeutf8"), "{all}");
    assert!(
        all.lines().any(|line| line.starts_with("l") && line.ends_with("/absolute -> /etc/passwd")),
        "{all}"
    );
    assert!(all.lines().any(|line| line.starts_with("-6755") && line.ends_with("/large")), "{all}");
    assert_eq!(sandbox.ok(&["ls", &id, "a/b/c"]).lines().count(), 300);
    assert_eq!(sandbox.ok(&["ls", &id, "/a/b/c/7/"]).lines().count(), 1);
    assert_eq!(sandbox.ok(&["ls", "-R", &id[..8]]).lines().count(), all.lines().count() + 4 + 2 + 300 - 1);
    sandbox.expect(4, &["ls", &id, "a/nothing"]);
    sandbox.expect(4, &["ls", &id, "a/../a"]);
}

#[test]
fn a_tree_deeper_than_a_stack_and_a_path_comes_back() {
    let sandbox = Sandbox::new();
    let (source, target) = (sandbox.path("source"), sandbox.path("target"));
    fs::create_dir(&source).unwrap();
    let script = "cd \"$1\"; for level in $(seq 1100); do mkdir deeper; cd deeper; done; echo deep > bottom";
    let run = |script: &str, folder: &Path| {
        let output = Command::new("bash").args(["-ec", script, "deep"]).arg(folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    run(script, &source);
    let id = sandbox.backup(&source);
    sandbox.restore(&id, &target);
    let describe = r#"cd "$1"; find . -printf '%d %f %y %m %T@\n'; find . -type f -execdir cat {} +"#;
    let expected = run(describe, &source);
    assert_eq!(expected.split(|byte| *byte == b'\n').count(), 1104);
    assert!(run(describe, &target) == expected);
}
