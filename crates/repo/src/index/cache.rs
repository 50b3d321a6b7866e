use longshore_format::SegmentId;
use std::{collections::HashMap, sync::Arc};

/// Pages by segment and number; the longest unused one gives way.
pub(super) struct PageCache {
    pages: HashMap<(SegmentId, u32), (Arc<Vec<u8>>, u64)>,
    clock: u64,
    pages_max: usize,
}

impl PageCache {
    pub(super) fn new(pages_max: usize) -> Self {
        Self { pages: HashMap::new(), clock: 0, pages_max }
    }

    pub(super) fn get(&mut self, key: &(SegmentId, u32)) -> Option<Arc<Vec<u8>>> {
        self.clock += 1;
        let (page, used) = self.pages.get_mut(key)?;
        *used = self.clock;
        Some(page.clone())
    }

    pub(super) fn put(&mut self, key: (SegmentId, u32), page: Arc<Vec<u8>>) {
        self.clock += 1;
        if self.pages.len() >= self.pages_max {
            // A few hundred pages: looking through all of them costs less than a request.
            let oldest = self.pages.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.pages.remove(&oldest);
            }
        }
        self.pages.insert(key, (page, self.clock));
    }
}
