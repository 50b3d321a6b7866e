//! Invariant 2: a crash at any request leaves garbage, never damage.

use crate::support::{
    back_up, back_up_with, noise, objects, open, password, restore, run_id, small_packs, store_of,
};
use longshore_repo::{
    BackupOptions, CheckOptions, Repository,
    store::{Class, Operation},
};
use longshore_testkit::{Fault, FaultStore};

fn options() -> BackupOptions {
    BackupOptions { index_after_bytes: 1 << 20, ..BackupOptions::default() }
}

fn volumes() -> (Vec<u8>, Vec<u8>) {
    let old = noise(1, 3 << 20);
    let mut new = old.clone();
    new.extend(noise(2, 3 << 20));
    new[1 << 20] ^= 1;
    (old, new)
}

fn crash_at_every_request(fault: Fault) {
    let (old, new) = volumes();
    let (store, repository) = small_packs();
    back_up(&repository, "db", run_id(1), &old, None).unwrap();
    let before = objects(&store);
    for number in 0.. {
        let store = store_of(&before);
        let faults = FaultStore::new(store.clone(), move |at, _| (at == number).then_some(fault));
        let result = Repository::open(faults.clone(), &password()).and_then(|repository| {
            let parent = repository.resolve("latest")?;
            back_up_with(&repository, "db", run_id(2), &new, Some(&parent), options(), 2)
        });
        let reached = faults.requests().len() as u64 > number;
        let repository = open(&store).unwrap();
        let report = repository.check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap();
        assert_eq!(report.problems, [], "crash at request {number}: {:?}", faults.requests().last());
        let snapshots = repository.snapshots().unwrap();
        assert!(restore(&repository, &snapshots[0]).unwrap() == old, "the old point survives");
        assert!(result.is_err() || snapshots.len() == 2, "what was reported as committed is there");
        if let Some(second) = snapshots.get(1) {
            assert!(restore(&repository, second).unwrap() == new, "what is there is whole");
        }
        let again = back_up_with(&repository, "db", run_id(2), &new, None, options(), 2).unwrap();
        assert!(restore(&repository, again.snapshot()).unwrap() == new, "the run converges");
        if !reached {
            assert!(result.is_ok() && number > 15, "{number} requests");
            return;
        }
    }
}

#[test]
fn killed_before_any_request() {
    crash_at_every_request(Fault::DeadFrom);
}

#[test]
fn killed_after_any_request() {
    crash_at_every_request(Fault::DeadAfter);
}

#[test]
fn a_request_that_fails_for_good() {
    crash_at_every_request(Fault::FailBefore(Class::AccessDenied));
}

#[test]
fn a_request_whose_answer_is_lost() {
    crash_at_every_request(Fault::FailAfter(Class::Transient));
}

/// The order itself, seen from the store: nothing names what is not durable.
#[test]
fn packs_then_index_then_record() {
    let (_, new) = volumes();
    let (store, repository) = small_packs();
    drop(repository);
    let recording = FaultStore::recording(store);
    let repository = Repository::open(recording.clone(), &password()).unwrap();
    back_up_with(&repository, "db", run_id(1), &new, None, options(), 2).unwrap();
    let created: Vec<String> = recording
        .requests()
        .into_iter()
        .filter(|request| request.operation == Operation::Create && !request.name.starts_with("sess/"))
        .map(|request| request.name)
        .collect();
    let last = |prefix: &str| created.iter().rposition(|name| name.starts_with(prefix)).unwrap();
    assert!(last("data/") < last("meta/") && last("meta/") < last("idx/") && last("idx/") < last("snap/"));
    assert_eq!(last("snap/"), created.len() - 1);
}

/// A store that answers a listing without its newest object may cost space, never data.
#[test]
fn stale_listings_cost_space_only() {
    let (old, new) = volumes();
    let (store, repository) = small_packs();
    back_up(&repository, "db", run_id(1), &old, None).unwrap();
    let stale = FaultStore::new(store.clone(), |_, request| {
        (request.operation == Operation::List && request.name.starts_with("idx/")).then_some(Fault::StaleList)
    });
    let repository = Repository::open(stale, &password()).unwrap();
    let committed = back_up(&repository, "db", run_id(2), &new, None).unwrap();
    let repository = open(&store).unwrap();
    assert!(restore(&repository, committed.snapshot()).unwrap() == new);
    assert_eq!(repository.check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap().problems, []);
}

/// While a data pack is not durable, no node that names it and no index may be sent; if it never arrives, they never are.
#[test]
fn what_names_a_pack_waits_for_it() {
    let (_, new) = volumes();
    let (store, repository) = small_packs();
    drop(repository);
    let late = FaultStore::new(store, |_, request| {
        let is_pack = request.operation == Operation::Create && request.name.starts_with("data/");
        is_pack.then_some(Fault::FailLate(Class::Full))
    });
    let repository = Repository::open(late.clone(), &password()).unwrap();
    back_up(&repository, "db", run_id(1), &new[..1 << 19], None).unwrap_err();
    let named: Vec<String> = late
        .requests()
        .into_iter()
        .filter(|request| request.operation == Operation::Create)
        .map(|request| request.name)
        .filter(|name| !name.starts_with("data/") && !name.starts_with("sess/"))
        .collect();
    assert_eq!(named, [""; 0]);
}
