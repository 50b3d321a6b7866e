use longshore_format::SegmentId;
use std::{collections::HashMap, sync::Arc};

/// Pages by segment and number; the longest unused one gives way.
pub(super) struct PageCache {
    pages: HashMap<(SegmentId, u32), Kept>,
    clock: u64,
    pages_max: usize,
}

struct Kept {
    page: Arc<Vec<u8>>,
    used: u64,
}

impl PageCache {
    pub(super) fn new(pages_max: usize) -> Self {
        Self { pages: HashMap::new(), clock: 0, pages_max }
    }

    pub(super) fn get(&mut self, key: &(SegmentId, u32)) -> Option<Arc<Vec<u8>>> {
        self.clock += 1;
        let kept = self.pages.get_mut(key)?;
        kept.used = self.clock;
        Some(kept.page.clone())
    }

    pub(super) fn put(&mut self, key: (SegmentId, u32), page: Arc<Vec<u8>>) {
        self.clock += 1;
        if self.pages.len() >= self.pages_max {
            // A few hundred pages: looking through all of them costs less than a request.
            let oldest = self.pages.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                self.pages.remove(&oldest);
            }
        }
        self.pages.insert(key, Kept { page, used: self.clock });
    }
}
