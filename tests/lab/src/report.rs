//! What the lab says while it works.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// Receives one line per step. Called from several threads.
pub trait Reporter: Sync {
    /// One finished or started step, in plain words.
    fn line(&self, text: &str);
}

/// Prints each line with the seconds since its creation.
pub struct Console {
    start: Instant,
}

impl Console {
    /// A console whose clock starts now.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Reporter for Console {
    fn line(&self, text: &str) {
        eprintln!("[{:7.1} s] {text}", self.start.elapsed().as_secs_f64());
    }
}

/// Runs `work` and says every quarter of a minute that it still goes on.
pub(crate) fn while_saying<T>(reporter: &dyn Reporter, what: &str, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    thread::scope(|scope| {
        let (done, wait) = mpsc::channel::<()>();
        scope.spawn(move || {
            while wait.recv_timeout(Duration::from_secs(15)) == Err(RecvTimeoutError::Timeout) {
                reporter.line(&format!("still {what}, for {} s", start.elapsed().as_secs()));
            }
        });
        let result = work();
        drop(done);
        result
    })
}

/// Says nothing.
pub struct Silent;

impl Reporter for Silent {
    fn line(&self, _text: &str) {}
}
