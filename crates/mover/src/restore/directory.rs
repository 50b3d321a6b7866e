//! A directory of the target that is finished when the last file in it is.

use std::sync::Arc;

use longshore_volume::{Entry, TargetDirectory};

use crate::failures::Failures;

/// A directory of the target together with what the snapshot says of it. When nobody needs it any more, because the walk has
/// left it and every file in it is written, it gets its owner, mode and times; not sooner, because writing in it changes them.
pub(super) struct OpenDirectory<'a> {
    pub(super) target: Arc<TargetDirectory>,
    entry: Entry,
    failures: &'a Failures,
    /// Keeps the directory above open: it is finished after this one.
    above: Option<Arc<OpenDirectory<'a>>>,
}

impl<'a> OpenDirectory<'a> {
    pub(super) fn new(
        target: Arc<TargetDirectory>,
        entry: Entry,
        failures: &'a Failures,
        above: Option<Arc<Self>>,
    ) -> Arc<Self> {
        Arc::new(Self { target, entry, failures, above })
    }
}

impl Drop for OpenDirectory<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.target.finish_self(&self.entry) {
            self.failures.add(&error);
        }
        // One level at a time, not by recursion: a tree may be deeper than a thread's stack.
        let mut above = self.above.take();
        while let Some(mut directory) = above.and_then(Arc::into_inner) {
            above = directory.above.take();
        }
    }
}
