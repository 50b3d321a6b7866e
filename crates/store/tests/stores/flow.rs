//! How many requests run at once, how fast, and how long: on a clock that the tests own.

use crate::support::SlowStore;
use bytes::Bytes;
use futures::future::join_all;
use longshore_store::{
    AdaptiveStore, Class, Concurrency, DeadlineStore, Deadlines, RateLimits, RateStore, Store, memory,
};
use std::{
    num::NonZeroU64,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::Instant;

const MOMENT: Duration = Duration::from_millis(10);

async fn ask(store: &dyn Store, times: usize) {
    join_all((0..times).map(|_| store.info("none"))).await;
}

#[tokio::test(start_paused = true)]
async fn concurrency_begins_low_and_grows_to_its_bound() {
    let slow = SlowStore::new(MOMENT, |_| None);
    let store = AdaptiveStore::new(slow.clone(), Concurrency::STANDARD);
    ask(&store, 4).await;
    assert_eq!((slow.peak(), store.limit()), (4, 5));
    // One more a round: 5 and 6 and so on up to 31 are this many.
    ask(&store, (5..32).sum()).await;
    assert_eq!(store.limit(), 32);
    ask(&store, 1000).await;
    assert_eq!((slow.peak(), store.limit()), (32, 32));
}

#[tokio::test(start_paused = true)]
async fn a_struggling_store_gets_half_as_much_and_failures_together_count_once() {
    let struggling = Arc::new(AtomicBool::new(false));
    let asked = struggling.clone();
    let slow = SlowStore::new(MOMENT, move |_| asked.load(SeqCst).then_some(Class::Transient));
    let store = AdaptiveStore::new(slow.clone(), Concurrency::STANDARD);
    ask(&store, 2000).await;
    assert_eq!((slow.peak(), store.limit()), (32, 32));
    struggling.store(true, SeqCst);
    for limit in [16, 8, 4, 2, 1, 1] {
        // As many as may run: all of them fail in the same moment.
        ask(&store, store.limit()).await;
        assert_eq!(store.limit(), limit);
    }
    // The bound holds for what is in flight, too, and it grows again from there.
    struggling.store(false, SeqCst);
    slow.peak();
    ask(&store, 1).await;
    assert_eq!((slow.peak(), store.limit()), (1, 2));
    ask(&store, 500).await;
    assert!(store.limit() > 16);
}

#[tokio::test(start_paused = true)]
async fn what_runs_when_the_bound_sinks_is_counted_against_it() {
    let slow = SlowStore::new(MOMENT, |number| (number == 0).then_some(Class::Transient));
    let start = Concurrency { start: Concurrency::STANDARD.max, ..Concurrency::STANDARD };
    let store = AdaptiveStore::new(slow.clone(), start);
    // The first of 32 fails, and 32 wait: 16 of them may follow.
    let first = join_all((0..32).map(|_| store.info("none")));
    let then = async {
        tokio::time::sleep(MOMENT / 2).await;
        join_all((0..32).map(|_| store.info("none"))).await;
    };
    let watch = async {
        tokio::time::sleep(MOMENT + MOMENT / 4).await;
        slow.peak();
        tokio::time::sleep(MOMENT / 2).await;
        store.info("none").await
    };
    let _ = tokio::join!(first, then, watch);
    assert!(slow.peak() <= 17, "half of 32, and one for the round that succeeded");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_gives_its_place_back() {
    let slow = SlowStore::new(MOMENT, |_| None);
    let store = AdaptiveStore::new(slow.clone(), Concurrency::STANDARD);
    for _ in 0..10 {
        assert!(tokio::time::timeout(MOMENT / 2, ask(&store, 100)).await.is_err());
    }
    ask(&store, 4).await;
    assert_eq!(slow.peak(), 4);
}

#[tokio::test(start_paused = true)]
async fn answers_that_are_no_sign_of_struggle_do_not_slow_anything_down() {
    let slow = SlowStore::new(MOMENT, |_| Some(Class::AccessDenied));
    let store = AdaptiveStore::new(slow, Concurrency::STANDARD);
    ask(&store, 2000).await;
    assert_eq!(store.limit(), 32);
}

fn limits(upload: u64, download: u64, requests: u64) -> RateLimits {
    RateLimits {
        upload_bytes_per_second: NonZeroU64::new(upload),
        download_bytes_per_second: NonZeroU64::new(download),
        requests_per_second: NonZeroU64::new(requests),
    }
}

async fn seconds(work: impl Future) -> f64 {
    let start = Instant::now();
    work.await;
    start.elapsed().as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn uploads_keep_to_their_rate() {
    let store = RateStore::new(memory(), limits(1 << 20, 0, 0));
    let body = Bytes::from(vec![0; 512 << 10]);
    let creates = |names: std::ops::Range<u32>| {
        let (store, body) = (&store, &body);
        async move {
            for number in names {
                store.create(&format!("a/{number}"), body.clone()).await.unwrap();
            }
        }
    };
    // 10 MiB in 10 s, less what a second's bucket lends at the start, and the last object.
    let took = seconds(creates(0..20)).await;
    assert!((8.4..=10.0).contains(&took), "{took}");
    // Side by side it is the same line.
    let took = seconds(join_all((1..=10).map(|ten| creates(ten * 20..ten * 20 + 2)))).await;
    assert!((9.0..=10.5).contains(&took), "{took}");
    // Reads are not uploads.
    assert_eq!(seconds(store.get("a/1", 1 << 20)).await, 0.0);
    // What was not used for a while is not saved up beyond a second.
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let took = seconds(creates(1000..1020)).await;
    assert!((8.4..=10.0).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn downloads_keep_to_their_rate_however_they_are_read() {
    let inner = memory();
    inner.create("a", Bytes::from(vec![0; 1 << 20])).await.unwrap();
    let store = RateStore::new(inner, limits(0, 1 << 20, 0));
    let reads = async {
        for _ in 0..4 {
            store.get("a", 1 << 20).await.unwrap();
            store.get_range("a", 0, 1 << 20).await.unwrap();
            store.get_tail("a", 1 << 20).await.unwrap();
        }
    };
    let took = seconds(reads).await;
    assert!((9.5..=12.0).contains(&took), "{took}");
    assert_eq!(seconds(store.create("b", Bytes::from(vec![0; 1 << 20]))).await, 0.0);
}

#[tokio::test(start_paused = true)]
async fn requests_keep_to_their_rate() {
    let store = RateStore::new(memory(), limits(0, 0, 10));
    let took = seconds(ask(&store, 100)).await;
    assert!((8.5..=10.0).contains(&took), "{took}");
    let unlimited = RateStore::new(memory(), RateLimits::NONE);
    assert_eq!(seconds(ask(&unlimited, 10_000)).await, 0.0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_at_its_deadline_which_grows_with_the_object() {
    let slow = SlowStore::new(Duration::from_secs(1 << 30), |_| None);
    let deadlines = Deadlines { base: Duration::from_secs(60), per_mib: Duration::from_secs(2) };
    let store = DeadlineStore::new(slow, deadlines);
    let start = Instant::now();
    let error = store.create("a", Bytes::from(vec![0; 10 << 20])).await.unwrap_err();
    assert_eq!((error.class(), start.elapsed().as_secs()), (Class::Transient, 80));
    let start = Instant::now();
    assert_eq!(store.delete("a").await.unwrap_err().class(), Class::Transient);
    assert_eq!(start.elapsed().as_secs(), 60);
    let start = Instant::now();
    assert_eq!(store.get_range("a", 0, 1 << 20).await.unwrap_err().class(), Class::Transient);
    assert_eq!(start.elapsed().as_secs(), 62);
}
