//! First use: one repository per place, never one where something else is, never one by restoring.

use crate::support::{COST, back_up, class, new_repository, objects, open, password, run_id, store_of};
use bytes::Bytes;
use longshore_repo::{
    Class, Opened, Repository, Secret,
    store::{Operation, PROBE_PREFIX, StoreKind, memory},
};
use longshore_testkit::{Fault, FaultStore, RightsStore};
use std::collections::BTreeMap;

#[test]
fn what_is_not_there_is_never_an_empty_repository() {
    let store = memory();
    assert_eq!(class(Repository::open(store.clone(), &password())), Class::NoRepository);
    assert_eq!(objects(&store).len(), 0, "opening writes nothing");
}

#[test]
fn a_wrong_password_opens_nothing() {
    let (store, _) = new_repository();
    for wrong in ["", "correct hors", "correct horse "] {
        assert_eq!(class(Repository::open(store.clone(), &Secret::from(wrong))), Class::WrongPassword);
        let opened = Repository::open_or_init_empty(store.clone(), &Secret::from(wrong), COST);
        assert_eq!(class(opened), Class::WrongPassword);
    }
}

#[test]
fn a_place_is_initialised_once() {
    let (store, first) = new_repository();
    assert_eq!(class(Repository::init(store.clone(), &password(), COST)), Class::AlreadyInitialised);
    let (second, how) = Repository::open_or_init_empty(store, &password(), COST).unwrap();
    assert_eq!((second.id(), how), (first.id(), Opened::Existing));
}

#[test]
fn nothing_is_made_where_something_else_is() {
    let store = store_of(&BTreeMap::from([("backups/velero.json".to_owned(), Bytes::from_static(b"{}"))]));
    for result in [
        Repository::init(store.clone(), &password(), COST),
        Repository::open_or_init_empty(store.clone(), &password(), COST).map(|(repository, _)| repository),
    ] {
        assert_eq!(class(result), Class::NotEmpty);
    }
    assert_eq!(objects(&store).len(), 1);
}

/// A repository that lost its header is not a place for a new one: its data would become unreachable.
#[test]
fn a_repository_without_its_header_is_not_empty() {
    let (store, repository) = new_repository();
    back_up(&repository, "db", run_id(1), &[1; 5000], None).unwrap();
    let mut all = objects(&store);
    all.remove("repo").unwrap();
    let store = store_of(&all);
    assert_eq!(class(Repository::open_or_init_empty(store, &password(), COST)), Class::NotEmpty);
}

#[test]
fn an_init_killed_at_any_request_can_be_repeated() {
    for number in 0.. {
        let store = memory();
        let faults = FaultStore::new(store.clone(), move |at, _| (at == number).then_some(Fault::DeadAfter));
        let first = Repository::init(faults.clone(), &password(), COST);
        let reached = faults.requests().len() as u64 > number;
        let (second, how) = Repository::open_or_init_empty(store.clone(), &password(), COST).unwrap();
        if let Ok(first) = &first {
            assert_eq!((second.id(), how), (first.id(), Opened::Existing));
        }
        assert_eq!(open(&store).unwrap().id(), second.id());
        if !reached {
            return;
        }
    }
}

/// The configuration says what the store was found able to do, and nothing else is left of finding out.
#[test]
fn the_store_is_tried_out_first_and_remembered() {
    let (store, repository) = new_repository();
    let found = repository.store_capabilities().unwrap();
    assert!(found.conditional_create && found.deletes && found.kind == StoreKind::Objects, "{found:?}");
    assert_eq!(open(&store).unwrap().store_capabilities(), Some(found));
    assert!(objects(&store).keys().all(|name| !name.starts_with(PROBE_PREFIX)));
    // Who may not delete leaves the probe behind, which is no content.
    let store = memory();
    let movers = RightsStore::new(store.clone(), |operation, _| operation != Operation::Delete);
    let faults = FaultStore::new(movers.clone(), |_, request| {
        (request.operation == Operation::Create && request.name == "repo").then_some(Fault::DeadFrom)
    });
    assert!(Repository::init(faults, &password(), COST).is_err());
    assert!(objects(&store).keys().any(|name| name.starts_with(PROBE_PREFIX)));
    let (repository, how) = Repository::open_or_init_empty(movers, &password(), COST).unwrap();
    assert_eq!(how, Opened::Initialised);
    assert!(!repository.store_capabilities().unwrap().deletes);
}

#[test]
fn no_repository_is_made_in_a_store_that_breaks_a_promise() {
    let store = memory();
    let stale = FaultStore::new(store.clone(), |_, request| {
        (request.operation == Operation::List && request.name.starts_with(PROBE_PREFIX))
            .then_some(Fault::StaleList)
    });
    assert_eq!(class(Repository::init(stale, &password(), COST)), Class::StoreUnsuitable);
    assert!(objects(&store).keys().all(|name| name.starts_with(PROBE_PREFIX)));
    let refused = RightsStore::new(memory(), |operation, _| operation != Operation::Create);
    assert_eq!(
        class(Repository::init(refused, &password(), COST)),
        Class::Store(longshore_repo::store::Class::AccessDenied)
    );
}

#[test]
fn of_racing_initialisers_all_get_the_same_repository() {
    for _ in 0..10 {
        let store = memory();
        let ids: Vec<_> = std::thread::scope(|scope| {
            let race = || Repository::open_or_init_empty(store.clone(), &password(), COST).unwrap();
            let handles: Vec<_> = (0..6).map(|_| scope.spawn(race)).collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|(repository, _)| repository.id() == ids[0].0.id()));
        assert_eq!(ids.iter().filter(|(_, how)| *how == Opened::Initialised).count(), 1);
    }
}

#[test]
fn the_loser_of_a_race_with_another_password_fails() {
    for _ in 0..5 {
        let store = memory();
        let results: Vec<_> = std::thread::scope(|scope| {
            let race = |password: &'static str| {
                let store = store.clone();
                move || Repository::open_or_init_empty(store, &Secret::from(password), COST)
            };
            let handles = ["one", "two"].map(|password| scope.spawn(race(password)));
            handles.into_iter().map(|handle| handle.join().unwrap()).collect()
        });
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        let failure = results.into_iter().find_map(Result::err).unwrap();
        assert_eq!(failure.class(), Class::WrongPassword);
    }
}

#[test]
fn nothing_debugged_shows_a_secret() {
    let (_, repository) = new_repository();
    let text = format!("{repository:?} {:?}", password());
    assert!(!text.contains("correct horse") && !text.contains("99, 111, 114"), "{text}");
}
