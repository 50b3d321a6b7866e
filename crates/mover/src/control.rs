//! The reins of a running pipeline: how far it is, and the wish that it stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};

use longshore_job::{Progress, Stage};

use crate::MoverError;

/// Shared between a pipeline's threads and whoever watches it; cloning shares.
#[derive(Clone, Debug, Default)]
pub struct Control {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    stage: AtomicU8,
    bytes_done: AtomicU64,
    bytes_total: AtomicU64,
    bytes_transferred: AtomicU64,
    files_done: AtomicU64,
}

impl Control {
    /// Asks the pipeline to stop; it does at the next chunk, with [`MoverError::Cancelled`].
    pub fn cancel(&self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
    }

    /// True once [`Self::cancel`] was called.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Relaxed)
    }

    /// Fails once the pipeline was asked to stop.
    pub(crate) fn check(&self) -> Result<(), MoverError> {
        if self.is_cancelled() { Err(MoverError::Cancelled) } else { Ok(()) }
    }

    /// How far the pipeline is. Counters never go back.
    pub fn progress(&self) -> Progress {
        let shared = &self.shared;
        Progress {
            stage: match shared.stage.load(Ordering::Relaxed) {
                0 => Stage::Opening,
                1 => Stage::Scanning,
                2 => Stage::Transferring,
                _ => Stage::Finishing,
            },
            bytes_done: shared.bytes_done.load(Ordering::Relaxed),
            bytes_total: shared.bytes_total.load(Ordering::Relaxed),
            bytes_transferred: shared.bytes_transferred.load(Ordering::Relaxed),
            files_done: shared.files_done.load(Ordering::Relaxed),
        }
    }

    /// Tells the watcher what is being done now.
    pub fn set_stage(&self, stage: Stage) {
        let number = match stage {
            Stage::Opening => 0,
            Stage::Scanning => 1,
            Stage::Transferring => 2,
            _ => 3,
        };
        self.shared.stage.store(number, Ordering::Relaxed);
    }

    /// Sets the bytes to handle in all.
    pub fn set_total(&self, bytes: u64) {
        self.shared.bytes_total.store(bytes, Ordering::Relaxed);
    }

    /// Adds to the bytes to handle in all.
    pub(crate) fn add_total(&self, bytes: u64) {
        self.shared.bytes_total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Adds handled bytes.
    pub fn add_done(&self, bytes: u64) {
        self.shared.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Raises the count of handled bytes to `bytes`.
    pub fn raise_done(&self, bytes: u64) {
        self.shared.bytes_done.fetch_max(bytes, Ordering::Relaxed);
    }

    /// Adds a handled file.
    pub(crate) fn add_file(&self) {
        self.shared.files_done.fetch_add(1, Ordering::Relaxed);
    }

    /// Raises the count of bytes sent or fetched to `bytes`.
    pub(crate) fn raise_transferred(&self, bytes: u64) {
        self.shared.bytes_transferred.fetch_max(bytes, Ordering::Relaxed);
    }
}
