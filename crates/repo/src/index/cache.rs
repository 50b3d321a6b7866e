use longshore_format::SegmentId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Opened pages by segment and number; the longest unused one gives way.
pub(super) struct PageCache<T> {
    inner: Mutex<Inner<T>>,
    pages_max: usize,
}

struct Inner<T> {
    pages: HashMap<(SegmentId, u32), Kept<T>>,
    clock: u64,
}

struct Kept<T> {
    page: Arc<Vec<T>>,
    used: u64,
}

impl<T> PageCache<T> {
    pub(super) fn new(pages_max: usize) -> Self {
        Self { inner: Mutex::new(Inner { pages: HashMap::new(), clock: 0 }), pages_max }
    }

    pub(super) fn get(&self, segment: SegmentId, page: u32) -> Option<Arc<Vec<T>>> {
        let mut inner = self.lock();
        inner.clock += 1;
        let clock = inner.clock;
        let kept = inner.pages.get_mut(&(segment, page))?;
        kept.used = clock;
        Some(kept.page.clone())
    }

    pub(super) fn put(&self, segment: SegmentId, page: u32, entries: Vec<T>) -> Arc<Vec<T>> {
        let entries = Arc::new(entries);
        let mut inner = self.lock();
        inner.clock += 1;
        if inner.pages.len() >= self.pages_max {
            // A few hundred pages: looking through all of them costs less than a request.
            let oldest = inner.pages.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                inner.pages.remove(&oldest);
            }
        }
        let used = inner.clock;
        inner.pages.insert((segment, page), Kept { page: entries.clone(), used });
        entries
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
