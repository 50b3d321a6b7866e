//! Threads that take numbered work until there is none, or until one of them fails.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::{Control, MoverError};

/// Most workers of one pipeline: each holds buffers, and memory must not grow with the machine.
const WORKERS_MAX: usize = 8;
/// Most batches of chunks that are fetched at once; fetching is parallel in itself, and each batch holds up to 60 MiB.
const FETCHERS_MAX: usize = 2;

/// Threads for work that keeps a processor busy: one a core.
pub fn worker_count() -> usize {
    std::thread::available_parallelism().map_or(2, std::num::NonZeroUsize::get).min(WORKERS_MAX)
}

/// Threads that fetch batches of chunks.
pub(crate) fn fetcher_count() -> usize {
    worker_count().min(FETCHERS_MAX)
}

/// Calls `work` once for each number below `count`, from `threads` threads, each with its own state from `start`. Numbers are
/// taken in order. The first error stops the others at their next number and is returned.
pub(crate) fn for_each_number<S>(
    threads: usize,
    count: u64,
    control: &Control,
    start: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, u64) -> Result<(), MoverError> + Sync,
) -> Result<(), MoverError> {
    let next = AtomicU64::new(0);
    let stopped = AtomicBool::new(false);
    let failure = Mutex::new(None);
    let run = || {
        let mut state = start();
        while !stopped.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return;
            }
            if let Err(error) = control.check().and_then(|()| work(&mut state, number)) {
                stopped.store(true, Ordering::Relaxed);
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                return;
            }
        }
    };
    let joined = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(run)).collect();
        handles.into_iter().all(|handle| handle.join().is_ok())
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None if joined => Ok(()),
        None => Err(MoverError::Broken),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_worked_on_once() {
        let seen = Mutex::new(Vec::new());
        let work = |_: &mut (), number| {
            seen.lock().unwrap().push(number);
            Ok(())
        };
        for_each_number(3, 1000, &Control::default(), || (), work).unwrap();
        let mut seen = seen.into_inner().unwrap();
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn the_first_failure_stops_the_rest() {
        let done = AtomicU64::new(0);
        let work = |_: &mut (), number| {
            done.fetch_add(1, Ordering::Relaxed);
            if number == 5 { Err(MoverError::Broken) } else { Ok(()) }
        };
        assert!(for_each_number(2, u64::MAX, &Control::default(), || (), work).is_err());
        assert!(done.into_inner() < 1_000_000);
    }

    #[test]
    fn a_cancelled_pipeline_stops() {
        let control = Control::default();
        control.cancel();
        let result = for_each_number(2, 10, &control, || (), |_: &mut (), _| Ok(()));
        assert!(matches!(result, Err(MoverError::Cancelled)));
    }
}
