//! Files that failed while the others went on.

use std::sync::{Mutex, PoisonError};

use longshore_volume::{Class, VolumeError};

use longshore_job::chain;

/// How many failures are kept word for word.
const SHOWN_MAX: usize = 20;

/// Counts failures and keeps the first few.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    inner: Mutex<Report>,
}

/// Files that failed: how many, and the first few with their causes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many in all.
    pub count: u64,
    /// The first few, each a path and its cause.
    pub first: Vec<String>,
    /// True when the target ran full.
    pub full: bool,
}

impl Failures {
    pub(crate) fn add(&self, error: &VolumeError) {
        let line = chain(error);
        tracing::warn!(error = %line, "a file failed");
        let mut report = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        report.count += 1;
        report.full |= error.class() == Class::Full;
        if report.first.len() < SHOWN_MAX {
            report.first.push(line);
        }
    }

    pub(crate) fn report(&self) -> Report {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
