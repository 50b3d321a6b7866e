//! Deletion works on a full store, and takes along what killed processes left.

use crate::support::{COST, back_up, class, noise, objects, open, password, run_id, small_packs, store_of};
use bytes::Bytes;
use longshore_repo::{
    CheckOptions, Class, PruneOptions, PrunePolicy, PruneReport, Repository, RepositorySettings,
    store::{Class as StoreClass, Operation, Store, StoreSettings, memory, open as open_store},
};
use longshore_testkit::{Fault, FaultStore};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, SystemTime},
};

const RESERVE_BYTES: u32 = 300_000;

fn with_reserve() -> (Arc<dyn Store>, Repository) {
    let store = memory();
    let settings = RepositorySettings {
        pack_bytes: 1 << 20,
        reserve_bytes: RESERVE_BYTES,
        ..RepositorySettings::default()
    };
    let repository = Repository::init_with(store.clone(), &password(), COST, settings).unwrap();
    (store, repository)
}

fn prune(repository: &Repository) -> Result<PruneReport, longshore_repo::RepoError> {
    let policy = PrunePolicy { max_unused_percent: 0, ..PrunePolicy::default() };
    repository.prune(&PruneOptions { policy, patience: Duration::ZERO }, &mut |_| {})
}

/// A store without a free byte: each create must fit into what deletes have freed.
fn full(inner: Arc<dyn Store>, has_reserve: bool) -> Arc<FaultStore> {
    let free = Arc::new(AtomicU64::new(0));
    FaultStore::new(inner, move |_, request| match request.operation {
        Operation::Delete if request.name == "reserve" && has_reserve => {
            free.fetch_add(RESERVE_BYTES.into(), SeqCst);
            None
        }
        Operation::Delete if request.name.starts_with("data/") => {
            free.fetch_add(1 << 20, SeqCst);
            None
        }
        Operation::Create => {
            // Records and segments of this test are of a few kilobytes.
            let length = if request.name == "reserve" { RESERVE_BYTES.into() } else { 8 << 10 };
            let taken = free.fetch_update(SeqCst, SeqCst, |free| free.checked_sub(length));
            taken.err().map(|_| Fault::FailBefore(StoreClass::Full))
        }
        _ => None,
    })
}

#[test]
fn a_full_store_can_be_emptied_by_way_of_the_reserve_which_is_made_again() {
    let (store, repository) = with_reserve();
    let volume = noise(1, 4 << 20);
    back_up(&repository, "db", run_id(1), &volume, None).unwrap();
    back_up(&repository, "other", run_id(2), &noise(2, 2 << 20), None).unwrap();
    assert_eq!(objects(&store)["reserve"].len(), RESERVE_BYTES as usize);
    let repository = open_on(full(store.clone(), true));
    let snapshot = repository.resolve(&run_id(1).to_string()).unwrap();
    repository.forget(&snapshot, "test", jiff::Timestamp::UNIX_EPOCH).unwrap();
    assert!(!objects(&store).contains_key("reserve"), "it made room for the tombstone");
    let report = prune(&repository).unwrap();
    assert!(report.deleted_bytes > 3 << 20 && !report.is_reserve_missing, "{report:?}");
    assert_eq!(objects(&store)["reserve"].len(), RESERVE_BYTES as usize);
    let report = open(&store).unwrap().check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap();
    assert_eq!((report.problems.len(), report.snapshots), (0, 1));
}

fn open_on(store: Arc<FaultStore>) -> Repository {
    Repository::open(store, &password()).unwrap()
}

#[test]
fn a_checkpoint_finds_room_on_a_full_store_too() {
    let (store, repository) = with_reserve();
    back_up(&repository, "db", run_id(1), &noise(1, 1 << 20), None).unwrap();
    let anchor = open_on(full(store.clone(), true)).checkpoint().unwrap();
    open(&store).unwrap().expect_checkpoint(&anchor).unwrap();
}

#[test]
fn without_a_reserve_a_full_store_stays_full() {
    let (store, repository) = small_packs();
    back_up(&repository, "db", run_id(1), &noise(1, 2 << 20), None).unwrap();
    let repository = open_on(full(store.clone(), false));
    let snapshot = repository.resolve("latest").unwrap();
    let forgotten = repository.forget(&snapshot, "test", jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(class(forgotten), Class::Store(StoreClass::Full));
}

#[test]
fn a_prune_that_cannot_make_the_reserve_again_says_so_and_has_pruned() {
    let (store, repository) = with_reserve();
    back_up(&repository, "db", run_id(1), &noise(1, 2 << 20), None).unwrap();
    let snapshot = repository.resolve("latest").unwrap();
    repository.forget(&snapshot, "test", jiff::Timestamp::UNIX_EPOCH).unwrap();
    let is_gone = AtomicBool::new(false);
    let full = FaultStore::new(store.clone(), move |_, request| {
        if request.operation == Operation::Delete && request.name == "reserve" {
            is_gone.store(true, SeqCst);
        }
        let is_refused =
            request.operation == Operation::Create && (request.name == "reserve" || !is_gone.load(SeqCst));
        is_refused.then_some(Fault::FailBefore(StoreClass::Full))
    });
    let report = prune(&open_on(full)).unwrap();
    assert!(report.is_reserve_missing && report.deleted_bytes > 1 << 20, "{report:?}");
    assert!(!prune(&open(&store).unwrap()).unwrap().is_reserve_missing);
    assert_eq!(objects(&store)["reserve"].len(), RESERVE_BYTES as usize);
}

#[test]
fn the_reserve_of_an_interrupted_init_does_not_forbid_another() {
    let store = store_of(&[("reserve".to_owned(), Bytes::from_static(b"noise"))].into());
    let settings = RepositorySettings { reserve_bytes: RESERVE_BYTES, ..RepositorySettings::default() };
    Repository::init_with(store.clone(), &password(), COST, settings).unwrap();
    assert_eq!(objects(&store)["reserve"].len(), 5, "nothing is ever overwritten");
}

/// A file with a time in the past, as a process left it that died then.
fn leave(path: &Path, age: Duration) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, b"x").unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

#[test]
fn prune_removes_old_probes_and_leaves_those_that_may_be_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let location = folder.path().join("repository");
    let store = open_store(location.to_str().unwrap(), &StoreSettings::new(BTreeMap::new())).unwrap().0;
    let repository = Repository::init(store, &password(), COST).unwrap();
    let (old, young) = (location.join("probe/aa/object"), location.join("probe/bb/object"));
    leave(&old, Duration::from_secs(2 * 3600));
    leave(&young, Duration::from_secs(60));
    assert_eq!(prune(&repository).unwrap().deleted_objects, 1);
    assert!(!old.exists() && young.exists());
    let left: Vec<_> =
        std::fs::read_dir(&location).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.contains(&"gc".into()), "the store's clock leaves nothing: {left:?}");
}

/// A prune that is killed while it deletes leaves segments and plans that mean nothing. No snapshot that is forgotten later may
/// be needed to make them go.
#[test]
fn what_a_prune_did_not_come_to_delete_goes_with_the_next_one() {
    let (store, repository) = small_packs();
    back_up(&repository, "db", run_id(1), &noise(1, 2 << 20), None).unwrap();
    back_up(&repository, "db", run_id(2), &noise(2, 2 << 20), None).unwrap();
    let snapshot = repository.resolve(&run_id(1).to_string()).unwrap();
    repository.forget(&snapshot, "test", jiff::Timestamp::UNIX_EPOCH).unwrap();
    let dying = FaultStore::new(store.clone(), |_, request| {
        let deletes_index = request.operation == Operation::Delete && request.name.starts_with("idx/");
        deletes_index.then_some(Fault::DeadFrom)
    });
    prune(&open_on(dying)).unwrap_err();
    // What is condemned goes with the next plan; here it goes at once, so that only segments are left.
    let mut all = objects(&store);
    let segments = all.keys().filter(|name| name.starts_with("idx/")).count();
    let result = all.keys().any(|name| name.ends_with("/result"));
    assert!(segments >= 2 && result);
    all.insert("gc/00000001/clock/00000000000000aa".into(), Bytes::new());
    let store = store_of(&all);
    while prune(&open(&store).unwrap()).unwrap().plan > 0 {}
    let names: Vec<String> = objects(&store).into_keys().collect();
    let left = |prefix: &str| names.iter().filter(|name| name.starts_with(prefix)).count();
    assert_eq!((left("idx/"), left("gc/")), (1, 2), "{names:?}");
    let report = open(&store).unwrap().check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap();
    assert_eq!((report.problems.len(), report.snapshots), (0, 1));
}
