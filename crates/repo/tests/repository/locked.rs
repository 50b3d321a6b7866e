//! A bucket with versions and Object Lock in compliance mode, on a real MinIO.

use crate::support::{COST, back_up, block_on, class, noise, objects, password, restore, run_id};
use jiff::{SignedDuration, Timestamp};
use longshore_repo::{
    Class, LockOptions, Locks, PruneOptions, PrunePolicy, Repository, RepositorySettings, Snapshot,
    is_short_lived,
    store::{Bucket, LockMode, Store, open},
    undelete,
};
use longshore_testkit::{FaultStore, minio::Minio};
use std::{sync::Arc, time::Duration};

struct Place {
    _minio: Minio,
    store: Arc<dyn Store>,
    bucket: Bucket,
    repository: Repository,
}

/// `days`: for how long the bucket locks whatever is put into it.
fn place(days: Option<i32>) -> Place {
    let minio = Minio::start(false).unwrap();
    block_on(minio.make_locked_bucket("locked", days)).unwrap();
    let settings = minio.settings().with_short_lived(is_short_lived);
    let store = open("s3://locked/p", &settings).unwrap().0;
    let bucket = Bucket::open("s3://locked/p", &settings).unwrap().unwrap();
    let settings =
        RepositorySettings { silence_limit_seconds: 3, reader_grace_seconds: 0, ..Default::default() };
    let repository = Repository::init_with(store.clone(), &password(), COST, settings).unwrap();
    Place { _minio: minio, store, bucket, repository }
}

impl Place {
    fn back_up(&self, run: u128, data: &[u8]) -> Snapshot {
        back_up(&self.repository, "db", run_id(run), data, None).unwrap().snapshot().clone()
    }

    fn forget_and_prune(&self, snapshot: &Snapshot) {
        self.repository.forget(snapshot, "test", Timestamp::UNIX_EPOCH).unwrap();
        let policy = PrunePolicy { max_unused_percent: 0, ..PrunePolicy::default() };
        let options = PruneOptions { policy, patience: Duration::from_secs(60) };
        assert!(self.repository.prune(&options, &mut |_| {}).unwrap().deleted_bytes > 0);
    }

    fn locks(&self) -> Locks {
        self.repository.protection(&self.bucket).unwrap().locks.unwrap()
    }

    /// A thief who has all rights but those over locks.
    fn delete_everything(&self) {
        for name in objects(&self.store).keys() {
            block_on(self.store.delete(name)).unwrap();
        }
        assert!(objects(&self.store).is_empty());
    }
}

#[test]
fn everything_works_in_a_bucket_that_locks_whatever_is_put_into_it() {
    let place = place(Some(2));
    let (old, new) = (noise(1, 3 << 20), noise(2, 3 << 20));
    let (first, second) = (place.back_up(1, &old), place.back_up(2, &new));
    assert!(restore(&place.repository, &first).unwrap() == old);
    place.forget_and_prune(&first);
    assert!(restore(&place.repository, &second).unwrap() == new);
    let names = objects(&place.store);
    assert!(!names.keys().any(|name| is_short_lived(name)), "sessions do not pile up: {names:?}");
    // Their versions are locked for a day at most, and those of data as long as the bucket says.
    let report = place.locks();
    let hours = report.until.unwrap().duration_since(Timestamp::now()).as_hours();
    assert!((report.unlocked, report.governed) == (0, 0) && (46..=48).contains(&hours), "{report:?}");
    let removed = place.repository.remove_hidden(&place.bucket, Timestamp::now()).unwrap();
    assert!(removed.versions == 0 && removed.locked > 3, "everything hidden is still locked: {removed:?}");
}

#[test]
fn what_a_thief_deletes_is_shown_again_with_nothing_but_the_bucket() {
    let place = place(Some(1));
    let data = noise(1, 3 << 20);
    let forgotten = place.back_up(1, &noise(2, 1 << 20));
    let kept = place.back_up(2, &data);
    place.forget_and_prune(&forgotten);
    // The store tells whole seconds of versions.
    std::thread::sleep(Duration::from_millis(1100));
    let before = Timestamp::now();
    std::thread::sleep(Duration::from_millis(1100));
    place.delete_everything();
    assert_eq!(class(Repository::open(place.store.clone(), &password())), Class::NoRepository);
    let planned = undelete(place.store.clone(), &place.bucket, before, true).unwrap();
    assert!(objects(&place.store).is_empty(), "a dry run changes nothing");
    assert_eq!(undelete(place.store.clone(), &place.bucket, before, false).unwrap(), planned);
    assert!(planned.shown > 5 && planned.restored == 0 && planned.bytes > 3 << 20, "{planned:?}");
    let repository = Repository::open(place.store.clone(), &password()).unwrap();
    assert_eq!(repository.snapshots().unwrap(), std::slice::from_ref(&kept), "what was forgotten stays so");
    assert!(restore(&repository, &kept).unwrap() == data);
    assert!(repository.check(&Default::default(), &mut |_| {}).unwrap().is_sound());
    let again = undelete(place.store.clone(), &place.bucket, before, false).unwrap();
    assert_eq!((again.shown, again.restored), (0, 0));
}

#[test]
fn versions_go_once_they_are_free_but_never_those_that_somebody_else_has_hidden() {
    let place = place(None);
    let data = noise(1, 3 << 20);
    let (first, second) = (place.back_up(1, &noise(2, 3 << 20)), place.back_up(2, &data));
    place.forget_and_prune(&first);
    let removed =
        place.repository.remove_hidden(&place.bucket, Timestamp::now() - SignedDuration::from_hours(1));
    assert_eq!(removed.unwrap().versions, 0, "too young");
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let record = longshore_format::names::snapshot(&second.key);
    let packs: Vec<_> = objects(&place.store).into_keys().filter(|name| name.starts_with("data/")).collect();
    for stolen in [&record, &packs[0]] {
        block_on(place.store.delete(stolen)).unwrap();
        let error = place.repository.remove_hidden(&place.bucket, later).unwrap_err();
        assert!(error.to_string().contains(stolen.as_str()), "{error}");
        let marker = block_on(place.bucket.versions(stolen)).unwrap().remove(0);
        block_on(place.bucket.delete_version(stolen, &marker.id)).unwrap();
    }
    let removed = place.repository.remove_hidden(&place.bucket, later).unwrap();
    assert!(removed.bytes > 3 << 20 && removed.locked == 0, "{removed:?}");
    let hidden = block_on(place.bucket.versions("")).unwrap().into_iter().filter(|version| version.is_marker);
    assert_eq!(hidden.count(), 0);
    assert!(restore(&place.repository, &second).unwrap() == data);
}

#[test]
fn a_lock_covers_what_kept_snapshots_need_and_nothing_else() {
    let place = place(None);
    let first = place.back_up(1, &noise(1, 3 << 20));
    let second = place.back_up(2, &noise(2, 3 << 20));
    place.repository.forget(&first, "test", Timestamp::UNIX_EPOCH).unwrap();
    let before = place.locks();
    assert!(before.unlocked == before.objects && before.until.is_none(), "{before:?}");
    let month = LockOptions { mode: LockMode::Compliance, period: SignedDuration::from_hours(720) };
    let report = place.repository.lock(&place.bucket, month).unwrap();
    assert_eq!((report.objects, report.extended), (before.objects, before.objects));
    assert_eq!(place.repository.lock(&place.bucket, month).unwrap().extended, 0, "locked for long enough");
    let week = LockOptions { mode: LockMode::Governance, period: SignedDuration::from_hours(168) };
    assert_eq!(
        place.repository.lock(&place.bucket, week).unwrap().extended,
        0,
        "locked longer and more firmly"
    );
    let longer = LockOptions { period: SignedDuration::from_hours(2000), ..month };
    assert_eq!(place.repository.lock(&place.bucket, longer).unwrap().extended, before.objects);
    let after = place.locks();
    let hours = after.until.unwrap().duration_since(Timestamp::now()).as_hours();
    assert!(after.unlocked == 0 && (1998..=2000).contains(&hours), "{after:?}");
    let lock = |snapshot: &Snapshot| {
        block_on(place.bucket.retention(&longshore_format::names::snapshot(&snapshot.key))).unwrap()
    };
    assert!(lock(&first).is_none() && lock(&second).is_some());
}

/// A check of a bucket without locks must not walk everything once more for nothing.
#[test]
fn a_bucket_without_locks_or_hidden_versions_costs_no_walk() {
    let minio = Minio::start(false).unwrap();
    let (store, _) = open("s3://bucket/p", &minio.settings()).unwrap();
    let bucket = Bucket::open("s3://bucket/p", &minio.settings()).unwrap().unwrap();
    let store = FaultStore::new(store, |_, _| None);
    let repository = Repository::init(store.clone(), &password(), COST).unwrap();
    back_up(&repository, "db", run_id(1), &noise(1, 1 << 20), None).unwrap();
    let requests = store.requests().len();
    assert_eq!(repository.protection(&bucket).unwrap().locks, None);
    assert_eq!(repository.remove_hidden(&bucket, Timestamp::now()).unwrap().versions, 0);
    assert_eq!(store.requests().len(), requests, "the repository itself is asked nothing");
}
