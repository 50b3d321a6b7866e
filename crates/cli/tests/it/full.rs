//! A repository on a file system without a free block: forget and prune work, by way of the reserve.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use longshore_testkit::{SmallVolume, small_volume};

use crate::sandbox::{Sandbox, image, texts};

const PROOF: &str = "pruned on a full file system";

#[test]
fn a_repository_on_a_full_tmpfs_can_be_pruned() {
    SmallVolume::Tmpfs.run(40, "full::inside", PROOF);
}

#[test]
fn a_repository_on_a_full_ext4_can_be_pruned() {
    SmallVolume::Ext4.run(48, "full::inside", PROOF);
}

/// Does nothing unless one of the tests above runs it.
#[test]
fn inside() {
    let Some(folder) = small_volume() else { return };
    for reserve in ["0", "4M"] {
        empty_a_full_one(&folder, reserve);
    }
    println!("{PROOF}");
}

fn empty_a_full_one(folder: &Path, reserve: &str) {
    let sandbox = Sandbox::empty();
    let repository = folder.join("repository");
    let run = |arguments: &[&str]| {
        let output = sandbox.command(arguments).env("LONGSHORE_REPOSITORY", &repository).output().unwrap();
        let (out, err) = texts(&output);
        (output.status.success(), out, err)
    };
    let ok = |arguments: &[&str]| {
        let (is_done, out, err) = run(arguments);
        assert!(is_done, "longshore {arguments:?}\n{out}\n{err}");
        out
    };
    ok(&["init", "--reserve-size", reserve, "--pack-size", "1M", "--silence-limit", "1s"]);
    let (small, large) = (sandbox.path("small"), sandbox.path("large"));
    image(&small, 8 << 20, &[(0, 8 << 20)]);
    image(&large, 64 << 20, &[(0, 8 << 20), (9 << 20, 50 << 20)]);
    let first = ok(&["backup", small.to_str().unwrap()]);
    let (is_done, _, err) = run(&["backup", large.to_str().unwrap()]);
    assert!(!is_done && err.contains("failed: Full"), "{err}");
    // Whatever rest there is, somebody else takes it.
    fill(&folder.join("filler"));
    let (is_done, _, err) = run(&["forget", &first]);
    if reserve == "0" {
        assert!(!is_done && err.contains("failed: Full"), "{err}");
        for leaving in ["repository", "filler"] {
            super::kills::remove(&folder.join(leaving));
        }
        return;
    }
    assert!(is_done, "{err}");
    std::thread::sleep(std::time::Duration::from_secs(2));
    let said = ok(&["prune", "--max-unused", "0"]);
    assert!(!said.contains("no room for the reserve"), "{said}");
    assert_eq!(repository.join("reserve").metadata().unwrap().len(), 4 << 20);
    let second = ok(&["backup", small.to_str().unwrap()]);
    ok(&["check", "--read-data"]);
    ok(&["restore", &second, sandbox.path("target").to_str().unwrap()]);
    crate::sandbox::assert_same_bytes(&small, &sandbox.path("target"));
}

/// Takes every block that is left, the last one byte by byte.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for length in [64 << 10, 4096, 1] {
        while file.write_all(&vec![7; length]).is_ok() {}
    }
    // Where blocks are given out late, the last of them are asked for now.
    let _ = file.sync_all();
    while file.write_all(&[7]).is_ok() {}
}
