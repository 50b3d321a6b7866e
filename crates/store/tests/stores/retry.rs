//! Retries: what is repeated, what is not, and what an unclear answer means.

use bytes::Bytes;
use futures::TryStreamExt as _;
use longshore_store::{Class, ObjectInfo, RetryPolicy, RetryStore, Store, memory};
use longshore_testkit::{Fault, FaultStore};
use std::{sync::Arc, time::Duration};

const QUICK: RetryPolicy = RetryPolicy {
    attempts: 4,
    attempts_unreachable: 2,
    pause_first: Duration::from_millis(1),
    pause_max: Duration::from_millis(2),
};

fn failing(first: u64, fault: Fault) -> (Arc<FaultStore>, RetryStore) {
    let faults = FaultStore::new(memory(), move |number, _| (number < first).then_some(fault));
    (faults.clone(), RetryStore::new(faults, QUICK))
}

#[tokio::test]
async fn a_struggling_store_is_asked_again() {
    let (faults, store) = failing(3, Fault::FailBefore(Class::Transient));
    store.create("a", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(faults.requests().len(), 4);
    let (faults, store) = failing(4, Fault::FailBefore(Class::Transient));
    assert_eq!(store.create("a", Bytes::from_static(b"x")).await.unwrap_err().class(), Class::Transient);
    assert_eq!(faults.requests().len(), 4);
}

#[tokio::test]
async fn what_cannot_get_better_is_not_asked_again() {
    for class in [
        Class::AccessDenied,
        Class::BadCredentials,
        Class::BucketMissing,
        Class::CertificateUntrusted,
        Class::Full,
    ] {
        let (faults, store) = failing(9, Fault::FailBefore(class));
        assert_eq!(store.get("a", 9).await.unwrap_err().class(), class);
        assert_eq!(faults.requests().len(), 1, "{class:?}");
    }
    let (faults, store) = failing(9, Fault::FailBefore(Class::Unreachable));
    assert_eq!(store.info("a").await.unwrap_err().class(), Class::Unreachable);
    assert_eq!(faults.requests().len(), 2);
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_a_success() {
    let (_, store) = failing(1, Fault::FailAfter(Class::Transient));
    store.create("a", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(&store.get("a", 1).await.unwrap()[..], b"x");
}

#[tokio::test]
async fn a_create_that_lost_to_another_after_a_lost_answer_is_not() {
    let inner = memory();
    inner.create("a", Bytes::from_static(b"other")).await.unwrap();
    let faults =
        FaultStore::new(inner, |number, _| (number == 0).then_some(Fault::FailBefore(Class::Transient)));
    let store = RetryStore::new(faults, QUICK);
    assert_eq!(
        store.create("a", Bytes::from_static(b"mine")).await.unwrap_err().class(),
        Class::AlreadyExists
    );
}

#[tokio::test]
async fn a_broken_listing_starts_again_and_names_nothing_twice() {
    let inner = memory();
    for name in ["a/1", "a/2"] {
        inner.create(name, Bytes::from_static(b"x")).await.unwrap();
    }
    let faults =
        FaultStore::new(inner, |number, _| (number == 0).then_some(Fault::FailBefore(Class::Transient)));
    let store: Arc<dyn Store> = Arc::new(RetryStore::new(faults, QUICK));
    let all: Vec<ObjectInfo> = store.list("a/").try_collect().await.unwrap();
    assert_eq!(all.len(), 2);
}

/// A store that restarts in the middle of a long backup is waited for; one that was never there is not.
#[tokio::test]
async fn an_endpoint_that_once_answered_is_waited_for_longer() {
    let faults = FaultStore::new(memory(), |number, _| {
        (1..4).contains(&number).then_some(Fault::FailBefore(Class::Unreachable))
    });
    let store = RetryStore::new(faults.clone(), QUICK);
    store.create("a", Bytes::from_static(b"x")).await.unwrap();
    store.create("b", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(faults.requests().len(), 5);
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_is_a_success() {
    for fault in [Fault::FailBefore(Class::Transient), Fault::FailAfter(Class::Transient)] {
        let inner = memory();
        inner.create("a", Bytes::from_static(b"x")).await.unwrap();
        let faults = FaultStore::new(inner.clone(), move |number, _| (number == 0).then_some(fault));
        RetryStore::new(faults.clone(), QUICK).delete("a").await.unwrap();
        assert_eq!(inner.get("a", 1).await.unwrap_err().class(), Class::NotFound);
        assert_eq!(faults.requests().len(), 2);
    }
}
