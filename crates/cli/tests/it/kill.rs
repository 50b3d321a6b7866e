//! SIGKILL at any moment: the next run goes on, and what comes back is equal.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::failures::walk;
use crate::sandbox::{Sandbox, assert_same_bytes, describe, image, noise};

const PATIENCE: Duration = Duration::from_secs(60);

/// Kills `child` as soon as `reached` says so; false when it ended before.
fn kill_when(child: &mut Child, mut reached: impl FnMut() -> bool) -> bool {
    let started = Instant::now();
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if reached() {
            child.kill().unwrap();
            child.wait().unwrap();
            return true;
        }
        assert!(started.elapsed() < PATIENCE, "the moment to kill never came");
        std::thread::yield_now();
    }
}

fn spawn(sandbox: &Sandbox, arguments: &[&str]) -> Child {
    sandbox.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn objects(sandbox: &Sandbox) -> usize {
    walk(&sandbox.path("repository")).len()
}

#[test]
fn a_backup_that_is_killed_again_and_again_ends_equal_and_uses_what_is_stored() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("image");
    image(&source, 600 << 20, &[(0, 70 << 20), (300 << 20, 70 << 20)]);
    let mut killed = 0;
    for more in 1..=6 {
        let before = objects(&sandbox);
        let mut child = spawn(&sandbox, &["backup", source.to_str().unwrap()]);
        killed += u32::from(kill_when(&mut child, || objects(&sandbox) >= before + more % 4));
        sandbox.ok(&["check"]);
    }
    assert!(killed >= 3, "only {killed} backups were killed in the middle");
    let id = sandbox.backup(&source);
    let target = sandbox.path("target");
    sandbox.restore(&id, &target);
    assert_same_bytes(&source, &target);
    sandbox.ok(&["check", "--read-data"]);
}

#[test]
fn a_restore_of_a_volume_that_is_killed_goes_on_where_it_was() {
    let sandbox = Sandbox::new();
    let (source, target) = (sandbox.path("image"), sandbox.path("target"));
    image(&source, 600 << 20, &[(1 << 20, 60 << 20), (300 << 20, 60 << 20)]);
    let id = sandbox.backup(&source);
    let written = |target: &Path| fs::metadata(target).map_or(0, |status| status.blocks() * 512);
    let mut killed = 0;
    for _ in 0..4 {
        let before = written(&target);
        let mut child = spawn(&sandbox, &["restore", &id, target.to_str().unwrap()]);
        killed += u32::from(kill_when(&mut child, || written(&target) >= before + (10 << 20)));
    }
    assert!(killed >= 2, "only {killed} restores were killed in the middle");
    let last = sandbox.ok(&["-o", "json", "restore", &id, target.to_str().unwrap()]);
    let last: serde_json::Value = serde_json::from_str(&last).unwrap();
    assert!(last["fetchedBytes"].as_u64().unwrap() < 115 << 20, "{last}");
    assert_same_bytes(&source, &target);
}

#[test]
fn a_tree_that_is_killed_both_ways_comes_back_equal() {
    let sandbox = Sandbox::new();
    let (source, target) = (sandbox.path("source"), sandbox.path("target"));
    for folder in 0..40 {
        let folder = source.join(format!("{folder}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..20 {
            fs::write(
                folder.join(format!("{file}")),
                noise(folder.as_os_str().len() as u64 * 31 + file, 150_000),
            )
            .unwrap();
        }
    }
    fs::hard_link(source.join("0/0"), source.join("39/again")).unwrap();
    let mut child = spawn(&sandbox, &["backup", source.to_str().unwrap()]);
    let before = objects(&sandbox);
    kill_when(&mut child, || objects(&sandbox) > before);
    let id = sandbox.backup(&source);
    for moment in [3, 11, 25] {
        let mut child = spawn(&sandbox, &["restore", &id, target.to_str().unwrap()]);
        kill_when(&mut child, || fs::read_dir(&target).is_ok_and(|entries| entries.count() >= moment));
    }
    sandbox.restore(&id, &target);
    assert_eq!(describe(&target), describe(&source));
}

#[test]
fn ctrl_c_ends_with_130_and_harms_nothing() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("image");
    image(&source, 300 << 20, &[(0, 250 << 20)]);
    let before = objects(&sandbox);
    let child = sandbox
        .command(&["-o", "json", "backup", source.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = Instant::now();
    while objects(&sandbox) == before {
        assert!(started.elapsed() < PATIENCE, "the backup never began");
        std::thread::yield_now();
    }
    let signalled =
        std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(signalled.success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty());
    assert!(sandbox.ok(&["snapshots"]).contains("no snapshots"));
    sandbox.ok(&["check"]);
}
