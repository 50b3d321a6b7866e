//! The index without what is condemned (P7): the one step of prune that others see.

use super::look::Look;
use crate::{
    RepoError, Repository,
    index::{IndexedPack, ListedSegment, SegmentLimits, is_damage, merge, segments_to_merge},
    plans::{self, PlanView},
    record,
};
use jiff::Timestamp;
use longshore_format::{
    SegmentId,
    index::{ENTRIES_MAX, Level},
    names::{self, PlanObject},
    prune::{Plan, PlanResult},
    sealed::RecordKind,
};
use longshore_store::Class as StoreClass;
use std::collections::HashSet;

/// What becomes of the segments that are there.
struct Sorted {
    /// To be written anew.
    merged: Vec<ListedSegment>,
    /// Of level 1, to stay as they are.
    kept: Vec<SegmentId>,
    /// Names of those that count no more once the result is there.
    stale: Vec<String>,
}

impl Repository {
    /// Writes level-1 segments and the result, and returns the result that counts: this one, or that of another prune that was
    /// first.
    pub(super) fn write_result(&self, plan: &Plan, look: &Look) -> Result<PlanResult, RepoError> {
        let view = PlanView::load(&self.io, &self.keys)?;
        let sorted = self.sort_segments(plan, &view)?;
        let new = self.merge_segments(&sorted.merged, &view)?;
        let written: HashSet<String> = new.iter().map(|id| names::index_segment(Level::One, *id)).collect();
        let mut stale = sorted.stale;
        stale.retain(|name| !written.contains(name));
        let result = PlanResult {
            number: plan.number,
            created_at: Timestamp::now(),
            level_1: sorted.kept.into_iter().chain(new).collect(),
            stale,
            forgotten: look.disposable().into_iter().map(Into::into).collect(),
        };
        let result = self.create_result(result)?;
        self.index.adopt_view(&PlanView::load(&self.io, &self.keys)?.index());
        Ok(result)
    }

    fn sort_segments(&self, plan: &Plan, view: &PlanView) -> Result<Sorted, RepoError> {
        let index = view.index();
        let (mut counting, mut stale) = (Vec::new(), Vec::new());
        for object in self.io.list(names::INDEX)? {
            let Some((level, id)) = names::parse_index_segment(&object.name) else { continue };
            match level {
                // What was written since the plan was seen, copies of this prune among it, stays in level 0 until the next.
                Level::Zero { plan: under } if under >= plan.number => {}
                _ if index.counts(level, id) => {
                    counting.push(ListedSegment { level, id, size_bytes: object.size_bytes });
                }
                _ => stale.push(object.name),
            }
        }
        let (mut summaries, mut readable) = (Vec::new(), Vec::new());
        for segment in counting {
            // Proven whole: what cannot be merged later must not be chosen now.
            let summary = self
                .index
                .prove(&segment, |_| ())
                .and_then(|()| self.index.summary(&segment, |pack| view.condemned.contains(&pack)));
            match summary {
                Ok(summary) => {
                    summaries.push(summary);
                    readable.push(segment);
                }
                // What only it listed is as if no segment did, which is what the plan was made by.
                Err(error) if is_damage(&error) => stale.push(segment.name()),
                Err(error) => return Err(error),
            }
        }
        let chosen: HashSet<SegmentId> =
            segments_to_merge(&summaries, ENTRIES_MAX as u64).into_iter().collect();
        let (merged, kept): (Vec<_>, Vec<_>) =
            readable.into_iter().partition(|segment| chosen.contains(&segment.id));
        stale.extend(merged.iter().map(ListedSegment::name));
        Ok(Sorted { merged, kept: kept.into_iter().map(|segment| segment.id).collect(), stale })
    }

    fn merge_segments(
        &self,
        segments: &[ListedSegment],
        view: &PlanView,
    ) -> Result<Vec<SegmentId>, RepoError> {
        let packs =
            segments.iter().flat_map(|listed| -> Box<dyn Iterator<Item = Result<IndexedPack, RepoError>>> {
                match self.index.open_segment(listed) {
                    Ok(segment) => Box::new(self.index.packs_of(segment)),
                    Err(error) => Box::new(std::iter::once(Err(error))),
                }
            });
        let keeps = |_, pack| !view.condemned.contains(&pack);
        let mut written = Vec::new();
        for segment in merge(&self.keys, Level::One, SegmentLimits::default(), packs, keeps) {
            let segment = segment?;
            self.io.create(&segment.name(), segment.bytes)?;
            written.push(segment.id);
        }
        Ok(written)
    }

    fn create_result(&self, result: PlanResult) -> Result<PlanResult, RepoError> {
        let name = names::plan(result.number, PlanObject::Result);
        let plain = result.encode().map_err(RepoError::format(&name))?;
        match self.io.create(&name, record::seal(&self.keys, RecordKind::Result, &name, &plain)?) {
            Ok(()) => {}
            Err(RepoError::Store { source }) if source.class() == StoreClass::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        // Also after the own create: if the number is not the newest any more, it means nothing.
        self.require_newest(result.number)?;
        plans::read_result(&self.io, &self.keys, result.number)
    }
}
