//! What the lab says while it works.

use std::time::Instant;

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

/// Says nothing.
pub struct Silent;

impl Reporter for Silent {
    fn line(&self, _text: &str) {}
}
