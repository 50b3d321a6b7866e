//! The road back from a damaged repository, as the runbook has it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::failures::walk;
use crate::sandbox::{Sandbox, assert_same_bytes, image, noise};

fn value(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"))
}

/// Flips a bit in the middle of an object.
fn damage(object: &Path) {
    let mut bytes = fs::read(object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::set_permissions(object, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(object, bytes).unwrap();
}

fn largest_pack(sandbox: &Sandbox) -> PathBuf {
    let packs = walk(&sandbox.path("repository/data")).into_iter();
    packs.max_by_key(|file| file.metadata().unwrap().len()).unwrap()
}

/// An image that was backed up, with a pack of it damaged since.
fn damaged() -> (Sandbox, PathBuf, String) {
    let sandbox = Sandbox::new();
    let source = sandbox.path("image");
    image(&source, 8 << 20, &[(0, 4 << 20)]);
    let id = sandbox.backup(&source);
    damage(&largest_pack(&sandbox));
    (sandbox, source, id)
}

#[test]
fn the_runbooks_road_heals_a_damaged_pack() {
    let (sandbox, source, id) = damaged();
    let (out, err) = sandbox.expect(1, &["check", "--read-data"]);
    assert!(out.contains(&format!("snapshot {id}")) && out.contains("repair packs"), "{out}");
    assert!(err.contains("problems"), "{err}");
    let (out, _) = sandbox.expect(1, &["repair", "packs", "--dry-run"]);
    assert!(out.contains(&id), "{out}");
    assert!(!sandbox.path("repository/bad").exists());
    let (out, _) = sandbox.expect(1, &["-o", "json", "repair", "packs"]);
    let done = value(&out);
    assert_eq!(
        (&done["kind"], &done["damaged"][0]["lost"].as_array().map(Vec::len)),
        (&"RepairPacks".into(), &Some(1))
    );
    assert_eq!(done["losses"][0]["snapshot"]["id"], id.as_str());
    assert!(done["savedBytes"].as_u64().unwrap() > 3 << 20, "{done}");
    sandbox.expect(1, &["check"]);
    let healed = sandbox.ok(&["-o", "json", "backup", source.to_str().unwrap()]);
    let new = value(&healed)["snapshot"]["newBytes"].as_u64().unwrap();
    assert!((1..=512 << 10).contains(&new), "{new}");
    let target = sandbox.path("target");
    sandbox.restore(&id, &target);
    assert_same_bytes(&source, &target);
    assert!(sandbox.ok(&["check", "--read-data"]).contains("1 packs are known to be damaged"));
    sandbox.ok(&["prune"]);
    assert!(!sandbox.ok(&["check", "--read-data"]).contains("known to be damaged"));
    fs::remove_file(&target).unwrap();
    sandbox.restore(&id, &target);
    assert_same_bytes(&source, &target);
}

#[test]
fn a_file_that_did_not_change_is_read_again_if_its_chunk_is_lost() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("folder");
    fs::create_dir(&folder).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(folder.join(name), noise(name.as_bytes()[0].into(), 100_000)).unwrap();
    }
    let id = sandbox.backup(&folder);
    damage(&largest_pack(&sandbox));
    let (out, _) = sandbox.expect(1, &["repair", "packs"]);
    let lost: Vec<&str> =
        out.lines().filter_map(|line| line.strip_prefix("  ")).filter(|name| name.len() == 1).collect();
    assert!(out.contains("1 parts lost") && lost.len() == 1, "{out}");
    let done = value(&sandbox.ok(&["-o", "json", "backup", folder.to_str().unwrap()]));
    let counts =
        ["readBytes", "newBytes", "unchangedFiles"].map(|name| done["snapshot"][name].as_u64().unwrap());
    assert_eq!(counts, [100_000, 100_000, 2]);
    sandbox.restore(&id, &sandbox.path("target"));
    let restored = fs::read(sandbox.path("target").join(lost[0])).unwrap();
    assert_eq!(restored, noise(lost[0].as_bytes()[0].into(), 100_000));
}

#[test]
fn what_stays_lost_is_left_out_of_a_repaired_snapshot() {
    let (sandbox, source, id) = damaged();
    sandbox.expect(1, &["repair", "packs"]);
    let (out, target) = (sandbox.ok(&["repair", "snapshots", "-n"]), sandbox.path("target"));
    assert!(out.contains("1 snapshots miss something, 0 repaired"), "{out}");
    let done = value(&sandbox.ok(&["-o", "json", "repair", "snapshots", "--forget"]));
    let repaired = done["repaired"][0]["id"].as_str().unwrap();
    assert_eq!((&done["repaired"][0]["incomplete"], &done["forgotten"]), (&true.into(), &1.into()));
    assert_eq!(done["repaired"][0]["labels"]["longshore/repaired-from"], id.as_str());
    sandbox.expect(4, &["restore", &id, target.to_str().unwrap()]);
    sandbox.restore(repaired, &target);
    let (before, after) = (fs::read(source).unwrap(), fs::read(target).unwrap());
    let differing = before.chunks(4096).zip(after.chunks(4096)).filter(|(before, after)| before != after);
    assert!(
        differing.clone().count() <= 128
            && differing.clone().all(|(_, after)| after.iter().all(|byte| *byte == 0))
    );
    assert!(differing.count() > 0);
    sandbox.ok(&["prune"]);
    sandbox.ok(&["check", "--read-data"]);
}

#[test]
fn a_damaged_record_is_shown_and_can_be_given_up() {
    let sandbox = Sandbox::new();
    let id = sandbox.backup(Path::new("/etc/hostname"));
    let other = sandbox.backup(Path::new("/etc/passwd"));
    let record =
        walk(&sandbox.path("repository/snap")).into_iter().find(|file| file.to_string_lossy().contains(&id));
    damage(&record.unwrap());
    let out = sandbox.ok(&["snapshots"]);
    assert!(out.contains(&format!("DAMAGED {id}")) && out.contains(&other), "{out}");
    let (_, err) = sandbox.expect(1, &["prune"]);
    assert!(err.contains("nothing may be deleted"), "{err}");
    sandbox.expect(1, &["repair", "snapshots"]);
    assert!(sandbox.ok(&["forget", &id]).contains("not readable, forgotten"));
    sandbox.ok(&["prune"]);
    sandbox.ok(&["check", "--read-data"]);
    assert!(!sandbox.ok(&["snapshots"]).contains("DAMAGED"));
}

#[test]
fn parts_cover_everything_and_no_key_is_needed_to_compare_names() {
    let sandbox = Sandbox::new();
    let source = sandbox.path("image");
    image(&source, 64 << 20, &[(0, 60 << 20)]);
    sandbox.backup(&source);
    let packs = value(&sandbox.ok(&["-o", "json", "check"]))["packs"].as_u64().unwrap();
    let read = |part: &str| {
        let report = value(&sandbox.ok(&["-o", "json", "check", "--read-data=25%", "--part", part]));
        report["readPacks"].as_u64().unwrap()
    };
    let parts: Vec<u64> = ["0", "1", "2", "3"].into_iter().map(read).collect();
    assert_eq!(parts.iter().sum::<u64>(), packs, "{parts:?}");
    sandbox.ok(&["check", "--read-data=10"]);
    for wrong in
        [&["check", "--read-data=0"][..], &["check", "--part", "1"], &["check", "--keyless", "--read-data"]]
    {
        sandbox.expect(2, wrong);
    }
    let keyless = || {
        let mut command = sandbox.command(&["check", "--keyless"]);
        command.env_remove("LONGSHORE_PASSWORD_FILE").output().unwrap()
    };
    let output = keyless();
    assert!(output.status.success(), "{output:?}");
    let pack = largest_pack(&sandbox);
    damage(&pack);
    let output = keyless();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = pack.file_name().unwrap().to_string_lossy().into_owned();
    assert!(output.status.code() == Some(1) && out.contains(&name), "{out}");
    let empty = Sandbox::empty();
    empty.expect(10, &["check", "--keyless"]);
}

#[test]
fn repairing_needs_a_key_of_maintenance() {
    let (sandbox, _, _) = damaged();
    let key = sandbox.path("mover.key");
    sandbox.ok(&["key", "add", "--new-key-file", key.to_str().unwrap()]);
    let as_mover = |arguments: &[&str], code: i32| {
        let mut all = vec!["--key-file", key.to_str().unwrap()];
        all.extend(arguments);
        sandbox.expect(code, &all).1
    };
    for verb in [&["repair", "packs"][..], &["repair", "index"]] {
        let err = as_mover(verb, 1);
        assert!(err.contains("maintenance"), "{err}");
    }
    sandbox.expect(1, &["repair", "packs"]);
    let err = as_mover(&["repair", "snapshots"], 1);
    assert!(err.contains("maintenance"), "{err}");
}
