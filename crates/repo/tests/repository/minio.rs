//! The repository on a real MinIO: the whole road, and races decided by real conditional creates.

use crate::support::{COST, back_up, back_up_with, class, noise, password, restore, run_id};
use longshore_repo::{
    BackupOptions, CheckOptions, Class, Committed, Opened, Repository,
    store::{self, Store, open},
};
use longshore_testkit::minio::Minio;
use std::{path::Path, sync::Arc};

fn store(minio: &Minio, prefix: &str) -> Arc<dyn Store> {
    open(&format!("s3://bucket/{prefix}"), &minio.settings()).unwrap().0
}

#[test]
fn volumes_go_to_minio_and_come_back() {
    let minio = Minio::start(false).unwrap();
    let (repository, how) = Repository::open_or_init_empty(store(&minio, "a/b"), &password(), COST).unwrap();
    assert_eq!(how, Opened::Initialised);
    let mut volume = noise(1, 40 << 20);
    volume[5 << 20..9 << 20].fill(0);
    let options = BackupOptions { index_after_bytes: 16 << 20, ..BackupOptions::default() };
    back_up_with(&repository, "db", run_id(1), &volume, None, options, 2).unwrap();
    let repository = Repository::open(store(&minio, "a/b"), &password()).unwrap();
    let again = back_up(&repository, "clone", run_id(2), &volume, None).unwrap();
    assert_eq!(again.snapshot().record.stats.stored_bytes, 0);
    assert!(restore(&repository, &repository.resolve("latest").unwrap()).unwrap() == volume);
    let report = repository.check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap();
    assert_eq!((report.problems.len(), report.snapshots), (0, 2));
    // Nothing outside the prefix.
    assert_eq!(names(&minio.folder().join("data/bucket")), ["a"]);
    assert_eq!(
        names(&minio.folder().join("data/bucket/a/b")),
        ["config", "data", "idx", "keys", "keyset", "meta", "repo", "sess", "snap"]
    );
    assert_eq!(class(Repository::open(store(&minio, "a"), &password())), Class::NoRepository);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn racers_on_minio_share_one_repository_and_one_snapshot() {
    let minio = Minio::start(false).unwrap();
    let results: Vec<(longshore_repo::RepositoryId, Committed)> = std::thread::scope(|scope| {
        let racer = |number: u64| {
            let store = store(&minio, "race");
            move || {
                let (repository, _) = Repository::open_or_init_empty(store, &password(), COST).unwrap();
                (
                    repository.id(),
                    back_up(&repository, "db", run_id(1), &noise(number, 1 << 20), None).unwrap(),
                )
            }
        };
        let handles: Vec<_> = (0..4).map(|number| scope.spawn(racer(number))).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    assert!(results.iter().all(|(id, _)| *id == results[0].0));
    assert!(results.iter().all(|(_, committed)| committed.snapshot() == results[0].1.snapshot()));
    assert_eq!(results.iter().filter(|(_, committed)| matches!(committed, Committed::New(_))).count(), 1);
}

#[test]
fn a_missing_bucket_is_named_and_not_made() {
    let minio = Minio::start(false).unwrap();
    let (store, _) = open("s3://no-such-bucket/p", &minio.settings()).unwrap();
    let opened = Repository::open_or_init_empty(store, &password(), COST);
    assert_eq!(class(opened), Class::Store(store::Class::BucketMissing));
}
