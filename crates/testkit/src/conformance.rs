//! What every [`Store`] must do. Each implementation runs the whole suite on an empty store.

use bytes::Bytes;
use futures::TryStreamExt as _;
use longshore_store::{Class, ObjectInfo, PROBE_PREFIX, Store, StoreError, probe};
use std::sync::Arc;

/// Runs the suite; panics at the first broken promise. The store must be empty.
pub async fn run(store: Arc<dyn Store>) {
    empty_store(&*store).await;
    objects_come_back(&*store).await;
    nothing_is_overwritten(&*store).await;
    ranges_are_exact(&*store).await;
    limits_hold(&*store).await;
    listings_are_complete(&*store).await;
    what_is_deleted_is_gone(&*store).await;
    times_are_the_stores(&*store).await;
    one_of_many_creates_wins(store.clone()).await;
    a_probe_finds_all_of_it(&*store).await;
}

async fn listed(store: &dyn Store, prefix: &str) -> Vec<ObjectInfo> {
    let mut all: Vec<ObjectInfo> = store.list(prefix).try_collect().await.expect("listing works");
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn names_of(infos: &[ObjectInfo]) -> Vec<&str> {
    infos.iter().map(|info| info.name.as_str()).collect()
}

fn class<T>(result: Result<T, StoreError>) -> Class {
    match result {
        Ok(_) => panic!("the request should have failed"),
        Err(error) => error.class(),
    }
}

async fn empty_store(store: &dyn Store) {
    assert_eq!(listed(store, "").await, []);
    assert_eq!(class(store.get("repo", 100).await), Class::NotFound);
    assert_eq!(class(store.get_range("data/aa/x", 0, 1).await), Class::NotFound);
    assert_eq!(class(store.get_tail("data/aa/x", 1).await), Class::NotFound);
    assert_eq!(class(store.info("data/aa/x").await), Class::NotFound);
    assert!(!store.describe().is_empty());
}

async fn objects_come_back(store: &dyn Store) {
    for length in [1usize, 4096, 3 << 20] {
        let name = format!("come-back/{length}");
        let body = Bytes::from((0..length).map(|at| (at % 251) as u8).collect::<Vec<_>>());
        store.create(&name, body.clone()).await.expect("creating works");
        assert_eq!(store.get(&name, length as u64).await.expect("reading works"), body);
        let info = store.info(&name).await.expect("asking for length and time works");
        assert_eq!((info.name, info.size_bytes), (name, length as u64));
    }
}

async fn nothing_is_overwritten(store: &dyn Store) {
    store.create("once/a", Bytes::from_static(b"first")).await.expect("the first create works");
    assert_eq!(class(store.create("once/a", Bytes::from_static(b"second")).await), Class::AlreadyExists);
    assert_eq!(class(store.create("once/a", Bytes::from_static(b"first")).await), Class::AlreadyExists);
    assert_eq!(&store.get("once/a", 100).await.expect("reading works")[..], b"first");
}

async fn ranges_are_exact(store: &dyn Store) {
    store.create("range/a", Bytes::from_static(b"0123456789")).await.expect("creating works");
    assert_eq!(&store.get_range("range/a", 0, 10).await.expect("all of it")[..], b"0123456789");
    assert_eq!(&store.get_range("range/a", 3, 4).await.expect("the middle")[..], b"3456");
    assert_eq!(&store.get_range("range/a", 9, 1).await.expect("the last byte")[..], b"9");
    for (offset, length) in [(5, 6), (9, 2), (10, 1), (1000, 1), (u64::MAX, 2)] {
        assert_eq!(
            class(store.get_range("range/a", offset, length).await),
            Class::Corrupt,
            "{offset}+{length}"
        );
    }
    assert_eq!(&store.get_tail("range/a", 3).await.expect("the end")[..], b"789");
    assert_eq!(&store.get_tail("range/a", 10).await.expect("all of it")[..], b"0123456789");
    assert_eq!(&store.get_tail("range/a", 1000).await.expect("more than all of it")[..], b"0123456789");
}

async fn limits_hold(store: &dyn Store) {
    store.create("limit/a", Bytes::from_static(b"0123456789")).await.expect("creating works");
    assert_eq!(store.get("limit/a", 10).await.expect("at the limit").len(), 10);
    assert_eq!(class(store.get("limit/a", 9).await), Class::Corrupt);
}

async fn listings_are_complete(store: &dyn Store) {
    let names = ["list/a/1", "list/a/2", "list/b/c/3", "list-not/4"];
    for name in names {
        store.create(name, Bytes::from_static(b"xy")).await.expect("creating works");
    }
    assert!(listed(store, "list/").await.iter().all(|info| info.size_bytes == 2));
    assert_eq!(names_of(&listed(store, "list/").await), ["list/a/1", "list/a/2", "list/b/c/3"]);
    assert_eq!(names_of(&listed(store, "list/a/").await), ["list/a/1", "list/a/2"]);
    assert_eq!(listed(store, "list/none/").await, []);
    let all = listed(store, "").await;
    assert!(names.iter().all(|name| names_of(&all).contains(name)));
    // More than one page of S3's listing.
    let creates = (0..1100).map(|number| store.create_named(format!("many/{number:04}")));
    futures::future::join_all(creates).await;
    assert_eq!(listed(store, "many/").await.len(), 1100);
}

async fn what_is_deleted_is_gone(store: &dyn Store) {
    for name in ["delete/a", "delete/b"] {
        store.create(name, Bytes::from_static(b"old")).await.expect("creating works");
    }
    store.delete("delete/a").await.expect("deleting works");
    assert_eq!(class(store.get("delete/a", 100).await), Class::NotFound);
    assert_eq!(class(store.info("delete/a").await), Class::NotFound);
    assert_eq!(names_of(&listed(store, "delete/").await), ["delete/b"]);
    assert_eq!(&store.get("delete/b", 100).await.expect("its neighbour stays")[..], b"old");
    store.delete("delete/a").await.expect("deleting again works");
    store.delete("delete-never/was/here").await.expect("deleting what never was works");
    store.create("delete/a", Bytes::from_static(b"new")).await.expect("the name is free again");
    assert_eq!(&store.get("delete/a", 100).await.expect("reading works")[..], b"new");
    for name in ["delete/a", "delete/b"] {
        store.delete(name).await.expect("deleting works");
    }
    assert_eq!(listed(store, "delete/").await, []);
}

/// To the second, which is all that some stores tell.
async fn times_are_the_stores(store: &dyn Store) {
    for name in ["time/1", "time/2", "time/3"] {
        store.create(name, Bytes::from_static(b"x")).await.expect("creating works");
    }
    let all = listed(store, "time/").await;
    let seconds: Vec<i64> = all.iter().map(|info| info.modified_at.as_second()).collect();
    assert!(seconds.is_sorted(), "later creates are not older: {all:?}");
    // However wrong the store's clock may be, a moment of the suite is a moment to it.
    assert!(seconds[2] - seconds[0] < 60, "{all:?}");
    for listed in &all {
        let asked = store.info(&listed.name).await.expect("asking for length and time works");
        assert_eq!(asked.modified_at.as_second(), listed.modified_at.as_second(), "{asked:?} {listed:?}");
    }
}

async fn one_of_many_creates_wins(store: Arc<dyn Store>) {
    for round in 0..5 {
        let name = format!("race/{round}");
        let racers = (0..16u8).map(|racer| {
            let (store, name) = (store.clone(), name.clone());
            async move { (racer, insist(&*store, &name, racer).await) }
        });
        let results = futures::future::join_all(racers).await;
        let winners: Vec<u8> = results.iter().filter(|(_, won)| *won).map(|(racer, _)| *racer).collect();
        assert_eq!(winners.len(), 1, "one create of {name} wins");
        assert_eq!(&store.get(&name, 1).await.expect("reading works")[..], &winners[..]);
    }
}

async fn a_probe_finds_all_of_it(store: &dyn Store) {
    let found = probe(store).await.expect("every promise is kept");
    assert!(found.conditional_create && found.deletes, "{found:?}");
    let info = store.info("once/a").await.expect("asking for length and time works");
    assert!(found.probed_at >= info.modified_at, "the probe was made later: {found:?} {info:?}");
    assert_eq!(listed(store, PROBE_PREFIX).await, []);
}

/// A store may ask racers to try again.
async fn insist(store: &dyn Store, name: &str, racer: u8) -> bool {
    for _ in 0..50 {
        match store.create(name, Bytes::copy_from_slice(&[racer])).await {
            Ok(()) => return true,
            Err(error) if error.class() == Class::AlreadyExists => return false,
            Err(error) => assert!(error.class().is_transient(), "{error:?}"),
        }
    }
    panic!("no decision after 50 tries")
}

trait CreateNamed {
    fn create_named(&self, name: String) -> impl Future<Output = ()>;
}

impl CreateNamed for dyn Store + '_ {
    async fn create_named(&self, name: String) {
        self.create(&name, Bytes::from_static(b"x")).await.expect("creating works");
    }
}
