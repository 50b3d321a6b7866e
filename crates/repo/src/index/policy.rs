//! Which segments are worth writing anew.

use longshore_format::{SegmentId, index::Level};

/// A segment as the policy sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentSummary {
    pub(crate) id: SegmentId,
    pub(crate) level: Level,
    /// Frames of all its packs.
    pub(crate) entries: u64,
    /// Packs that must not be listed any more.
    pub(crate) dropped_packs: u64,
}

/// The segments to merge, in the order in which they were given; the others stay as they are.
///
/// Level 0 always is, since its segments stop counting. A segment of level 1 is if it lists a pack that must go (a
/// writer that knows only the newest plan would take it for usable), or if it is less than half full and there is
/// something to merge it with.
pub(crate) fn segments_to_merge(segments: &[SegmentSummary], entries_max: u64) -> Vec<SegmentId> {
    let must =
        |segment: &SegmentSummary| matches!(segment.level, Level::Zero { .. }) || segment.dropped_packs > 0;
    let is_small = |segment: &SegmentSummary| segment.entries < entries_max / 2;
    let small = segments.iter().filter(|segment| must(segment) || is_small(segment)).count();
    let merged = segments.iter().filter(|segment| must(segment) || (is_small(segment) && small > 1));
    merged.map(|segment| segment.id).collect()
}
