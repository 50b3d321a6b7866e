//! What the engine writes, a stranger with the document can read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod engine;
mod python;
mod trees;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use longshore_repo::Repository;

use engine::{Engine, noise};
use python::Reader;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/repo/testdata/v1")
}

/// The first repository ever written. The password and the volumes are those of `crates/repo/tests/repository/golden.rs`.
#[test]
fn the_golden_repository_is_read() {
    let reader = Reader::new(&golden(), "correct horse");
    let listed = reader.list();
    assert_eq!(listed.len(), 2);
    let folder = tempfile::tempdir().unwrap();
    for (number, record) in listed.iter().enumerate() {
        let target = folder.path().join(number.to_string());
        reader.restore(record["run"].as_str().unwrap(), &target);
        let mut expected = vec![0; 40_000];
        let seed = number as u64 + 1;
        blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut expected);
        expected.extend(vec![0; 100_000]);
        expected.extend(b"golden ".repeat(5000));
        assert!(fs::read(&target).unwrap() == expected, "volume {number}");
    }
    let proven = reader.verify();
    assert!(proven["packs"] >= 4 && proven["segments"] >= 2 && proven["records"] >= 3, "{proven:?}");
}

#[test]
fn another_password_opens_nothing() {
    let error = Reader::new(&golden(), "wrong horse").refused(&["list"]);
    assert!(error.contains("the password opens none of"), "{error}");
}

#[test]
fn trees_come_back_with_all_that_a_file_system_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(&folder.path().join("repository"));
    let source = folder.path().join("source");
    trees::make(&source);
    let first = engine.back_up(&source);
    trees::change(&source);
    let second = engine.back_up(&source);
    let reader = engine.reader();
    for snapshot in [&first, &second] {
        let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
        engine.restore(snapshot, &ours);
        reader.restore(&snapshot.id().to_string(), &theirs);
        assert_eq!(trees::describe(&theirs), trees::describe(&ours));
        assert!(fs::metadata(theirs.join("sparse")).unwrap().blocks() * 512 < 2 << 20, "holes are holes");
        fs::remove_dir_all(&ours).unwrap();
        fs::remove_dir_all(&theirs).unwrap();
    }
    assert_eq!(trees::describe(&source), trees::describe_restored(&reader, &second, folder.path()));
    reader.verify();
}

/// Name and size of an image, and offset and length of what is no hole.
type Image<'a> = (&'a str, u64, &'a [(u64, usize)]);

#[test]
fn volumes_of_odd_and_of_great_size_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(&folder.path().join("repository"));
    // More than 256 spans: a map of two levels. Nearly all of it is hole.
    let islands = [
        (0, 3_000_001),
        (100 << 20, 50_000),
        (300 * (64 << 20) - 4096, 4096 + 777),
        (17_179_869_184, 70_000),
    ];
    let images: [Image<'_>; 3] =
        [("great", 20_132_659_200 + 777, &islands), ("odd", 4097, &[(4096, 1)]), ("empty", 1 << 20, &[])];
    let mut snapshots = BTreeMap::new();
    for (name, size, islands) in images {
        let path = folder.path().join(name);
        let file = fs::File::create(&path).unwrap();
        file.set_len(size).unwrap();
        for (number, (offset, length)) in islands.iter().enumerate() {
            file.write_all_at(&noise(number as u64 + 1, *length), *offset).unwrap();
        }
        snapshots.insert(name, engine.back_up(&path));
    }
    let reader = engine.reader();
    for (name, size, islands) in images {
        let target = folder.path().join(format!("{name}-restored"));
        reader.restore(&snapshots[name].id().to_string(), &target);
        let file = fs::File::open(&target).unwrap();
        let status = file.metadata().unwrap();
        assert_eq!(status.len(), size);
        let data: usize = islands.iter().map(|(_, length)| *length).sum();
        assert!(status.blocks() * 512 <= data as u64 + (1 << 20), "{name}: holes are holes");
        for (number, (offset, length)) in islands.iter().enumerate() {
            let mut found = vec![0; *length];
            file.read_exact_at(&mut found, *offset).unwrap();
            assert!(found == noise(number as u64 + 1, *length), "{name} at {offset}");
        }
    }
    reader.verify();
}

/// After a prune that copied chunks out, nearly every hint is wrong, segments are of level 1, and there are tombstones; after a
/// rotation of the keys there are two epochs, two authorities and a chain of keyset revisions.
#[test]
fn what_maintenance_leaves_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::new(&folder.path().join("repository"));
    let image = folder.path().join("image");
    let mut content = noise(1, 9 << 20);
    fs::write(&image, &content).unwrap();
    let first = engine.back_up(&image);
    // Many places, so that dead chunks lie beside living ones in nearly every pack, however the random key cuts the image.
    for place in 0..9 {
        content[place << 20..][..300_000].copy_from_slice(&noise(2 + place as u64, 300_000));
    }
    fs::write(&image, &content).unwrap();
    let second = engine.back_up(&image);
    engine.forget(&first);
    let copied_bytes = engine.prune();
    assert!(copied_bytes > 100_000, "{copied_bytes} bytes copied: the test proves nothing");
    engine.rotate_keys();
    content.truncate((8 << 20) + 5);
    fs::write(&image, &content).unwrap();
    let third = engine.back_up(&image);
    let reader = engine.reader();
    let runs: Vec<String> =
        reader.list().iter().map(|record| record["run"].as_str().unwrap().to_owned()).collect();
    assert_eq!(runs, [second.id().to_string(), third.id().to_string()], "one was forgotten");
    for snapshot in [&second, &third] {
        let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
        engine.restore(snapshot, &ours);
        reader.restore(&snapshot.id().to_string(), &theirs);
        assert!(fs::read(&ours).unwrap() == fs::read(&theirs).unwrap());
    }
    assert!(fs::read(folder.path().join("theirs")).unwrap() == content);
    reader.verify();
}

/// A reader that takes anything would prove nothing: each byte that is changed is noticed.
#[test]
fn damage_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repository");
    let engine = Engine::new(&root);
    let image = folder.path().join("image");
    fs::write(&image, noise(1, 300_000)).unwrap();
    engine.back_up(&image);
    let reader = engine.reader();
    reader.verify();
    for prefix in ["data", "meta", "idx", "snap", "config", "keyset", "repo"] {
        let path = some_object(&root.join(prefix));
        let good = fs::read(&path).unwrap();
        for at in [good.len() / 3, good.len() - 1] {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            fs::write(&path, &bad).unwrap();
            let error = reader.refused(&["verify"]);
            assert!(!error.contains("Traceback"), "{prefix} at {at}: {error}");
        }
        fs::write(&path, good).unwrap();
    }
    reader.verify();
    let _still_open: &Repository = engine.repository();
}

fn some_object(path: &Path) -> PathBuf {
    if path.is_file() {
        return path.to_owned();
    }
    let inner = fs::read_dir(path).unwrap().next().unwrap().unwrap().path();
    some_object(&inner)
}
