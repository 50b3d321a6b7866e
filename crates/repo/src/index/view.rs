use crate::{RepoError, damage::Quarantine};
use longshore_format::{PackId, SegmentId, index::Level};
use std::{collections::HashSet, sync::Arc};

/// Packs that a plan condemns. Shared, since there may be hundreds of thousands.
pub(crate) type Condemned = Arc<HashSet<PackId>>;

/// What the newest plan and the newest result say about the index.
#[derive(Debug, Clone, Default)]
pub(crate) struct IndexView {
    /// The highest plan that is known; 0 if there is none yet.
    pub(crate) plan: u64,
    /// What that plan condemns.
    pub(crate) condemned: Condemned,
    /// The plan of the newest result; segments of level 0 that stand under a lower one do not count any more.
    pub(crate) level_0_from: u64,
    /// The segments of level 1 that count.
    pub(crate) level_1: HashSet<SegmentId>,
    /// Packs that are known to be damaged: no writer relies on them.
    pub(crate) quarantine: Arc<Quarantine>,
}

impl IndexView {
    /// Whether a segment is part of the index.
    pub(crate) fn counts(&self, level: Level, id: SegmentId) -> bool {
        match level {
            Level::Zero { plan } => plan >= self.level_0_from,
            Level::One => self.level_1.contains(&id),
        }
    }
}

/// Where an [`crate::index::Index`] learns what counts; asked each time when it lists segments.
pub(crate) trait ViewSource: Send + Sync {
    /// The newest view.
    fn view(&self) -> Result<IndexView, RepoError>;
}
