//! Retries: what is repeated, what is not, and what an unclear answer means.

use crate::support::SlowStore;
use bytes::Bytes;
use futures::TryStreamExt as _;
use longshore_store::{
    Class, DeadlineStore, Deadlines, ObjectInfo, Operation, RefreshStore, RetryPolicy, RetryStore, Store,
    memory,
};
use longshore_testkit::{Fault, FaultStore, RightsStore};
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Four attempts in all, but for an endpoint that never answered.
const QUICK: RetryPolicy = RetryPolicy {
    budget: Duration::ZERO,
    budget_unreachable: Duration::ZERO,
    budget_credentials: Duration::ZERO,
    attempts_min: 4,
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

/// Engine.md F7: a pack's create whose answer was lost is refused at the second attempt. A mover may not read packs, so it
/// learns that the name is taken, which by content-named objects means that the content is there.
#[tokio::test]
async fn a_lost_answer_where_reading_is_forbidden_says_that_the_name_is_taken() {
    let inner = memory();
    let mover = RightsStore::new(inner.clone(), |operation, name| {
        operation != Operation::Delete && !(operation == Operation::Read && name.starts_with("data/"))
    });
    let lost = |number: u64, _: &_| (number == 0).then_some(Fault::FailAfter(Class::Transient));
    let store = RetryStore::new(FaultStore::new(mover, lost), QUICK);
    let error = store.create("data/aa/hash", Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(error.class(), Class::AlreadyExists);
    assert_eq!(&inner.get("data/aa/hash", 1).await.unwrap()[..], b"x");
}

/// Whether it is ours cannot be found out now: neither success nor "somebody else's" may be claimed.
#[tokio::test]
async fn a_lost_answer_on_a_store_that_goes_away_stays_unknown() {
    let faults = FaultStore::new(memory(), |number, _| match number {
        0 => Some(Fault::FailAfter(Class::Transient)),
        1 => None,
        _ => Some(Fault::FailBefore(Class::Transient)),
    });
    let error = RetryStore::new(faults, QUICK).create("a", Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!(error.class(), Class::Transient);
}

/// Nothing of ours can be there before the first attempt, so equal bytes of another are another's.
#[tokio::test]
async fn a_name_that_was_taken_from_the_start_is_not_ours_even_if_the_bytes_are() {
    let inner = memory();
    inner.create("a", Bytes::from_static(b"x")).await.unwrap();
    let recorded = FaultStore::recording(inner);
    let error =
        RetryStore::new(recorded.clone(), QUICK).create("a", Bytes::from_static(b"x")).await.unwrap_err();
    assert_eq!((error.class(), recorded.requests().len()), (Class::AlreadyExists, 1));
}

/// Fails as it is told by the time since it was made.
fn failing_by_time(class: impl Fn(Duration) -> Option<Class> + Send + Sync + 'static) -> Arc<SlowStore> {
    let start = Instant::now();
    SlowStore::new(Duration::from_millis(20), move |_| class(start.elapsed()))
}

#[tokio::test(start_paused = true)]
async fn slow_down_is_never_fatal_before_the_whole_budget_is_spent() {
    let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
    let recovers = failing_by_time(move |passed| (passed < minutes(9)).then_some(Class::Transient));
    let store = RetryStore::new(recovers.clone(), RetryPolicy::STANDARD);
    store.create("a", Bytes::from_static(b"x")).await.unwrap();
    assert!(recovers.requests() > 30, "{} attempts in nine minutes", recovers.requests());
    let start = Instant::now();
    let store = RetryStore::new(failing_by_time(|_| Some(Class::Transient)), RetryPolicy::STANDARD);
    assert_eq!(store.get("a", 1).await.unwrap_err().class(), Class::Transient);
    assert!((minutes(10)..minutes(11)).contains(&start.elapsed()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn attempts_that_run_into_their_deadline_are_never_fatal_before_the_budget_either() {
    // Each answer comes after two minutes: five of them spend the ten minutes, and five it must be.
    let slow = SlowStore::new(Duration::from_secs(120), |_| None);
    let deadlines = Deadlines { base: Duration::from_secs(60), per_mib: Duration::ZERO };
    let policy = RetryPolicy { budget: Duration::from_secs(90), ..RetryPolicy::STANDARD };
    let store = RetryStore::new(Arc::new(DeadlineStore::new(slow.clone(), deadlines)), policy);
    assert_eq!(store.info("a").await.unwrap_err().class(), Class::Transient);
    assert_eq!(slow.requests(), 5);
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_and_are_jittered_in_full() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let noted = times.clone();
    let failing = failing_by_time(move |passed| {
        noted.lock().unwrap().push(passed.as_secs_f64());
        Some(Class::Transient)
    });
    assert!(RetryStore::new(failing, RetryPolicy::STANDARD).get("a", 1).await.is_err());
    let times = times.lock().unwrap().clone();
    let pauses: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0] - 0.02).collect();
    for (number, pause) in pauses.iter().enumerate() {
        let bound = (0.5 * 2f64.powi(number as i32)).min(20.0);
        assert!((-0.01..bound + 0.01).contains(pause), "{number}: {pause} s, at most {bound}");
    }
    let late = &pauses[6..];
    assert!(late.iter().any(|pause| *pause < 7.0) && late.iter().any(|pause| *pause > 13.0), "{late:?}");
}

#[tokio::test(start_paused = true)]
async fn an_address_that_never_answers_is_given_up_soon() {
    let start = Instant::now();
    let store = RetryStore::new(failing_by_time(|_| Some(Class::Unreachable)), RetryPolicy::STANDARD);
    assert_eq!(store.info("a").await.unwrap_err().class(), Class::Unreachable);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

/// A store that restarts in the middle of a long backup is waited for; one that was never there is not.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_once_answered_is_waited_for_longer() {
    let down = Duration::from_secs(1)..Duration::from_secs(300);
    let store = failing_by_time(move |passed| down.contains(&passed).then_some(Class::Unreachable));
    let store = RetryStore::new(store, RetryPolicy::STANDARD);
    store.create("a", Bytes::from_static(b"x")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    store.create("b", Bytes::from_static(b"x")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn credentials_that_worked_before_are_being_replaced_perhaps() {
    let replaced = Duration::from_secs(1)..Duration::from_secs(90);
    let store = failing_by_time(move |passed| replaced.contains(&passed).then_some(Class::BadCredentials));
    let store = RetryStore::new(store, RetryPolicy::STANDARD);
    store.create("a", Bytes::from_static(b"x")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    store.create("b", Bytes::from_static(b"x")).await.unwrap();
    // Some that never worked are simply wrong: see `what_cannot_get_better_is_not_asked_again`.
}

/// What a mounted Secret does: the old key stops, the file has a new one.
#[tokio::test(start_paused = true)]
async fn new_credentials_are_taken_when_the_old_ones_are_refused() {
    let revoked = Arc::new(AtomicBool::new(false));
    let asked = revoked.clone();
    let old = SlowStore::new(Duration::from_millis(1), move |_| {
        asked.load(SeqCst).then_some(Class::BadCredentials)
    });
    let new = SlowStore::new(Duration::from_millis(1), |_| None);
    let (reopened, file) = (new.clone(), Arc::new(AtomicBool::new(false)));
    let ready = file.clone();
    let refreshing = RefreshStore::new(old, move || {
        // The file changes a while after the key was revoked.
        ready.swap(true, SeqCst).then(|| reopened.clone() as Arc<dyn Store>)
    });
    let store = RetryStore::new(Arc::new(refreshing), RetryPolicy::STANDARD);
    store.create("a", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(new.requests(), 0);
    revoked.store(true, SeqCst);
    store.create("b", Bytes::from_static(b"x")).await.unwrap();
    let all: Vec<ObjectInfo> = store.list("").try_collect().await.unwrap();
    assert_eq!(all.iter().map(|info| &info.name[..]).collect::<Vec<_>>(), ["b"]);
    assert_eq!(new.requests(), 1);
}
