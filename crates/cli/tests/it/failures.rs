//! What goes wrong has a name and an exit code.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::sandbox::{PASSWORD, Sandbox, image, noise, texts};

#[test]
fn a_wrong_password_is_12() {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("password"), "wrong").unwrap();
    for arguments in
        [&["snapshots"][..], &["backup", "/etc/hostname"], &["restore", "latest", "x"], &["check"]]
    {
        let (out, err) = sandbox.expect(12, arguments);
        assert!(out.is_empty() && !err.is_empty());
    }
}

#[test]
fn a_missing_repository_is_10_and_is_not_made_by_chance() {
    let sandbox = Sandbox::empty();
    for arguments in
        [&["snapshots"][..], &["backup", "/etc/hostname"], &["restore", "latest", "x"], &["check"]]
    {
        sandbox.expect(10, arguments);
        assert!(!sandbox.path("repository").join("repo").exists());
    }
    sandbox.ok(&["backup", "--init", "/etc/hostname"]);
    assert_eq!(sandbox.ok(&["snapshots"]).lines().count(), 2);
}

#[test]
fn a_second_init_changes_nothing() {
    let sandbox = Sandbox::new();
    let id = sandbox.backup(std::path::Path::new("/etc/hostname"));
    sandbox.expect(1, &["init"]);
    assert!(sandbox.ok(&["snapshots"]).contains(&id));
}

#[test]
fn a_missing_snapshot_source_or_path_is_4() {
    let sandbox = Sandbox::new();
    sandbox.expect(4, &["restore", "latest", "x"]);
    sandbox.expect(4, &["ls", "0198"]);
    sandbox.expect(4, &["backup", "/does/not/exist"]);
    assert!(sandbox.ok(&["snapshots"]).contains("no snapshots"));
}

#[test]
fn wrong_usage_is_2() {
    let sandbox = Sandbox::new();
    sandbox.expect(2, &["backup"]);
    sandbox.expect(2, &["unknown"]);
    sandbox.expect(2, &["backup", "--label", "=x", "/etc"]);
    let without = |name: &str| {
        let output = sandbox.command(&["snapshots"]).env_remove(name).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
    };
    without("LONGSHORE_REPOSITORY");
    without("LONGSHORE_PASSWORD_FILE");
    sandbox.expect(2, &["--repo", "ftp://host/x", "snapshots"]);
    fs::write(sandbox.path("password"), "\n").unwrap();
    sandbox.expect(2, &["snapshots"]);
}

#[test]
fn the_password_may_come_from_the_environment() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["snapshots"]);
    command.env_remove("LONGSHORE_PASSWORD_FILE").env("LONGSHORE_PASSWORD", PASSWORD);
    assert!(command.output().unwrap().status.success());
}

#[test]
fn errors_are_json_when_asked_for() {
    let sandbox = Sandbox::empty();
    for (arguments, code, reason) in [
        (&["-o", "json", "snapshots"][..], 10, "RepositoryNotFound"),
        (&["-o", "json", "backup"][..], 2, "Usage"),
        (&["backup", "/does/not/exist", "--output=json"][..], 4, "NotFound"),
    ] {
        let (out, err) = sandbox.expect(code, arguments);
        assert!(out.is_empty());
        let error: serde_json::Value = serde_json::from_str(&err).unwrap_or_else(|_| panic!("{err}"));
        assert_eq!((&error["version"], &error["kind"]), (&1.into(), &"Error".into()));
        assert_eq!((&error["reason"], &error["exitCode"]), (&reason.into(), &code.into()));
    }
}

#[test]
fn kinds_are_not_mixed_up() {
    let sandbox = Sandbox::new();
    let (folder, file) = (sandbox.path("folder"), sandbox.path("file"));
    fs::create_dir(&folder).unwrap();
    image(&file, 1 << 20, &[(0, 1000)]);
    let tree = sandbox.backup(&folder);
    let volume = sandbox.backup(&file);
    sandbox.expect(2, &["restore", &tree, file.to_str().unwrap()]);
    sandbox.expect(2, &["restore", &volume, folder.to_str().unwrap()]);
    sandbox.expect(2, &["ls", &volume]);
}

#[test]
fn an_unreadable_file_makes_an_incomplete_snapshot_and_3() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("good"), noise(1, 5000)).unwrap();
    fs::write(source.join("bad"), noise(2, 5000)).unwrap();
    fs::set_permissions(source.join("bad"), fs::Permissions::from_mode(0o0)).unwrap();
    let output =
        sandbox.command_of_nobody(&["-o", "json", "backup", source.to_str().unwrap()]).output().unwrap();
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(3), "{out}\n{err}");
    let done: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(done["snapshot"]["incomplete"], true);
    assert_eq!((&done["snapshot"]["failedFiles"], &done["snapshot"]["files"]), (&1.into(), &1.into()));
    assert!(done["unreadable"][0].as_str().unwrap().contains("bad"), "{done}");
    assert!(err.contains("bad"), "{err}");
    assert!(sandbox.ok(&["snapshots"]).contains("incomplete"));
}

#[test]
fn damage_is_found_by_check_and_never_restored() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("image");
    image(&source, 8 << 20, &[(0, 4 << 20)]);
    let id = sandbox.backup(&source);
    sandbox.ok(&["check"]);
    sandbox.ok(&["check", "--read-data"]);
    let pack = walk(&sandbox.path("repository/data"))
        .into_iter()
        .max_by_key(|file| file.metadata().unwrap().len())
        .unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();
    let (_, message) = sandbox.expect(1, &["check", "--read-data"]);
    assert!(!message.is_empty());
    sandbox.expect(1, &["restore", &id, sandbox.path("target").to_str().unwrap()]);
    fs::remove_file(&pack).unwrap();
    sandbox.expect(1, &["check"]);
}

pub fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files
}

#[test]
fn a_file_system_that_is_too_small_or_runs_full_is_said_so() {
    let sandbox = Sandbox::new();
    let (source, target) = (sandbox.path("source"), sandbox.path("target"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&target).unwrap();
    for number in 0..10 {
        fs::write(source.join(format!("{number}")), noise(number, 2 << 20)).unwrap();
    }
    let id = sandbox.backup(&source);
    let mount = |size: &str| {
        let options = format!("size={size}");
        let mut command = std::process::Command::new("mount");
        assert!(
            command.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&target).status().unwrap().success()
        );
    };
    let attempt = |prepare: &dyn Fn()| {
        prepare();
        let output = sandbox.run(&["-o", "json", "restore", &id, target.to_str().unwrap()]);
        let left: Vec<_> = fs::read_dir(&target).unwrap().flatten().map(|entry| entry.file_name()).collect();
        let unmounted = std::process::Command::new("umount").arg(&target).status().unwrap();
        assert!(unmounted.success());
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{err}");
        let line =
            err.lines().find(|line| line.contains("\"kind\":\"Error\"")).unwrap_or_else(|| panic!("{err}"));
        let error: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(error["reason"], "VolumeTooSmall", "{error}");
        left
    };
    let left = attempt(&|| mount("8m"));
    assert!(left.is_empty(), "not a byte is written: {left:?}");
    let left = attempt(&|| {
        mount("24m");
        fs::write(target.join("filler"), noise(99, 10 << 20)).unwrap();
    });
    assert!(left.len() > 3, "what had room was restored: {left:?}");
}
