//! Requests side by side: they wait for the store, not for a processor.

use crate::RepoError;
use std::{
    collections::HashSet,
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Requests at once.
pub(crate) const AT_ONCE: usize = 16;
/// A piece of work that takes longer waits for the store: then it is worth having several threads.
const ALONE_ONE_MAX: Duration = Duration::from_millis(2);
/// So is work that takes longer in all.
const ALONE_MAX: Duration = Duration::from_millis(20);

/// Does `work` with every item, several at once; the results come in the items' order. After the first failure no more
/// is begun, and that failure is the answer.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    at_once: usize,
    work: impl Fn(&T) -> Result<R, RepoError> + Sync,
) -> Result<Vec<R>, RepoError> {
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
    let failure = Mutex::new(None);
    // False when nothing is left to do.
    let one = || {
        if failure.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
            return false;
        }
        let number = next.fetch_add(1, Relaxed);
        let Some(item) = items.get(number) else { return false };
        match work(item) {
            Ok(result) => {
                results.lock().unwrap_or_else(PoisonError::into_inner)[number] = Some(result);
            }
            Err(error) => {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
        true
    };
    let is_more = || next.load(Relaxed) < items.len();
    with_helpers(at_once.min(items.len()), &one, &is_more);
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => {
            Ok(results.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect())
        }
    }
}

/// Does `one` piece of work after the other until there is none: alone, and, once that takes time and more is waiting, with others.
fn with_helpers(at_once: usize, one: &(impl Fn() -> bool + Sync), is_more: &impl Fn() -> bool) {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let mut is_alone = true;
        let mut last = begun;
        while one() {
            let now = Instant::now();
            let is_slow = now - last >= ALONE_ONE_MAX || now - begun >= ALONE_MAX;
            last = now;
            if is_alone && is_slow && is_more() {
                is_alone = false;
                for _ in 1..at_once {
                    scope.spawn(|| while one() {});
                }
            }
        }
    });
}

/// Things that lead to others, each met once, from any number of threads.
pub(crate) struct Frontier<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: Vec<T>,
    busy: usize,
    failure: Option<RepoError>,
}

impl<T: Send> Frontier<T> {
    /// Visits `first` and everything that visits return, until nothing is left. Which was met before is the caller's to tell.
    pub(crate) fn visit(
        first: Vec<T>,
        at_once: usize,
        visit: impl Fn(T) -> Result<Vec<T>, RepoError> + Sync,
    ) -> Result<(), RepoError> {
        let state = State { waiting: first, busy: 0, failure: None };
        let frontier = Self { state: Mutex::new(state), changed: Condvar::new() };
        let one = || match frontier.next() {
            Some(next) => {
                frontier.done(visit(next));
                true
            }
            None => false,
        };
        with_helpers(at_once, &one, &|| !frontier.lock().waiting.is_empty());
        match frontier.state.into_inner().unwrap_or_else(PoisonError::into_inner).failure {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.failure.is_some() || (state.waiting.is_empty() && state.busy == 0) {
                self.changed.notify_all();
                return None;
            }
            if let Some(next) = state.waiting.pop() {
                state.busy += 1;
                return Some(next);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, result: Result<Vec<T>, RepoError>) {
        let mut state = self.lock();
        state.busy -= 1;
        match result {
            Ok(more) => state.waiting.extend(more),
            Err(error) => {
                state.failure.get_or_insert(error);
            }
        }
        self.changed.notify_all();
    }
}

/// A set that many threads add to.
pub(crate) struct SharedSet<T>(Mutex<HashSet<T>>);

impl<T: Eq + std::hash::Hash> SharedSet<T> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(HashSet::new()))
    }

    /// Whether it was new.
    pub(crate) fn insert(&self, item: T) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(item)
    }

    pub(crate) fn contains(&self, item: &T) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> RepoError {
        RepoError::Misuse { rule: "broken" }
    }

    #[test]
    fn results_keep_their_order_and_a_failure_is_the_answer() {
        let items: Vec<u32> = (0..100).collect();
        assert_eq!(map(&items, 7, |item| Ok(item * 2)).unwrap()[99], 198);
        assert!(map(&items, 7, |item| if *item == 50 { Err(broken()) } else { Ok(()) }).is_err());
        assert_eq!(map(&[] as &[u32], 7, |_| Ok(())).unwrap().len(), 0);
    }

    #[test]
    fn work_that_takes_time_is_done_by_several_at_once() {
        let (busy, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let slow = |_: &u32| {
            most.fetch_max(busy.fetch_add(1, Relaxed) + 1, Relaxed);
            std::thread::sleep(Duration::from_millis(5));
            busy.fetch_sub(1, Relaxed);
            Ok(())
        };
        map(&[0; 40], 7, slow).unwrap();
        assert!((2..=7).contains(&most.into_inner()));
    }

    #[test]
    fn everything_reachable_is_visited_once() {
        let seen = SharedSet::new();
        let count = AtomicUsize::new(0);
        Frontier::visit(vec![1u32], 5, |number| {
            count.fetch_add(1, Relaxed);
            Ok([number * 2, number * 2 + 1]
                .into_iter()
                .filter(|next| *next < 1000 && seen.insert(*next))
                .collect())
        })
        .unwrap();
        assert_eq!(count.into_inner(), 999);
        assert!(Frontier::visit(vec![1u32], 5, |_| Err(broken())).is_err());
    }
}
