//! Invariant 9: a repository that was once written stays readable, with either cryptographic library.
//!
//! `testdata/v1` holds a whole repository. Set `LONGSHORE_WRITE_GOLDEN=1` to write it if it is missing.

use crate::support::{COST, back_up, noise, password, restore, run_id};
use longshore_repo::{
    CheckOptions, Repository,
    store::{Store, StoreSettings, open},
};
use std::{collections::BTreeMap, path::Path, path::PathBuf, sync::Arc};

fn volume(number: u64) -> Vec<u8> {
    let mut out = noise(number, 40_000);
    out.extend(vec![0; 100_000]);
    out.extend(b"golden ".repeat(5000));
    out
}

fn store_at(folder: &Path) -> Arc<dyn Store> {
    open(folder.to_str().unwrap(), &StoreSettings::new(BTreeMap::new())).unwrap().0
}

#[test]
fn the_first_repository_ever_written_is_still_readable() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/v1");
    if !folder.exists() && std::env::var_os("LONGSHORE_WRITE_GOLDEN").is_some() {
        let repository = Repository::init(store_at(&folder), &password(), COST).unwrap();
        for number in 1..3 {
            back_up(&repository, "golden", run_id(number.into()), &volume(number), None).unwrap();
        }
    }
    // A check says that it is at work: not in the golden repository itself.
    let copied = tempfile::tempdir().unwrap();
    copy(&folder, copied.path());
    let repository = Repository::open(store_at(copied.path()), &password()).unwrap();
    for number in 1..3u64 {
        let snapshot = repository.resolve(&run_id(number.into()).to_string()).unwrap();
        assert!(restore(&repository, &snapshot).unwrap() == volume(number));
    }
    assert_eq!(repository.check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap().problems, []);
}

/// Equal content still gets equal ids and cuts: a new backup of the old volume stores nothing.
#[test]
fn old_content_is_still_recognised() {
    let folder = tempfile::tempdir().unwrap();
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/v1");
    copy(&golden, folder.path());
    let repository = Repository::open(store_at(folder.path()), &password()).unwrap();
    let committed = back_up(&repository, "golden", run_id(9), &volume(1), None).unwrap();
    assert_eq!(committed.snapshot().record.stats.new_bytes, 0);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
