//! Volumes come back as they were.

use crate::support::{COST, back_up, new_repository, noise, password, restore, run_id};
use longshore_repo::{CheckOptions, Repository};

/// A volume with noise, text that compresses, a hole, and an odd end.
fn volume() -> Vec<u8> {
    let mut out = noise(1, 3 << 20);
    out.extend(b"all work and no play makes jack a dull boy. ".repeat(50_000));
    out.extend(vec![0; 5 << 20]);
    out.extend(noise(2, (1 << 20) + 777));
    out
}

#[test]
fn a_volume_comes_back_from_a_reopened_repository() {
    let (store, repository) = new_repository();
    let volume = volume();
    let committed = back_up(&repository, "db", run_id(1), &volume, None).unwrap();
    drop(repository);
    let repository = Repository::open(store, &password()).unwrap();
    let snapshot = repository.resolve("latest").unwrap();
    assert_eq!(&snapshot, committed.snapshot());
    assert!(restore(&repository, &snapshot).unwrap() == volume);
    let stats = snapshot.record.stats;
    assert!(stats.stored_bytes < 4_500_000, "text is compressed and the hole is not stored: {stats:?}");
    let report = repository.check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.snapshots, 1);
    assert_eq!(report.read_bytes, report.pack_bytes);
    let _ = COST;
}
