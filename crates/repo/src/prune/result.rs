//! The index without what is condemned (P7): the one step of prune that others see.

use super::look::Look;
use crate::{
    RepoError, Repository,
    plans::{self, PlanView},
    record,
};
use jiff::Timestamp;
use longshore_format::{
    SegmentId,
    index::Level,
    names::{self, PlanObject},
    prune::{Plan, PlanResult},
    sealed::RecordKind,
};
use longshore_store::Class as StoreClass;
use std::collections::HashSet;

impl Repository {
    /// Writes level-1 segments and the result, and returns the result that counts: this one, or that of another prune that was
    /// first.
    pub(super) fn write_result(&self, plan: &Plan, look: &Look) -> Result<PlanResult, RepoError> {
        let view = PlanView::load(&self.io, &self.keys)?;
        let before = view.result.as_ref().map(|result| result.level_1.clone()).unwrap_or_default();
        let counted: HashSet<SegmentId> = before.iter().copied().collect();
        let (mut merged, mut kept, mut stale) = (Vec::new(), Vec::new(), Vec::new());
        for object in self.io.list(names::INDEX)? {
            let Some((level, id)) = names::parse_index_segment(&object.name) else { continue };
            match level {
                // Copies that prunes of this very plan have made: they stay in level 0 until the next one.
                Level::Zero { plan: under } if under >= plan.number => {}
                Level::Zero { plan: under } => {
                    if under >= view.level_0_from() {
                        merged.push((level, id));
                    }
                    stale.push(object.name);
                }
                Level::One if !counted.contains(&id) => stale.push(object.name),
                Level::One if self.index.is_worth_merging(id)? => {
                    merged.push((level, id));
                    stale.push(object.name);
                }
                Level::One => kept.push(id),
            }
        }
        let new = self.index.merge(&merged)?;
        let written: HashSet<String> =
            new.iter().map(|id| names::index_segment(Level::One, *id)).collect();
        stale.retain(|name| !written.contains(name));
        let result = PlanResult {
            number: plan.number,
            created_at: Timestamp::now(),
            level_1: kept.into_iter().chain(new).collect(),
            stale,
            forgotten: look.disposable().into_iter().map(Into::into).collect(),
        };
        let result = self.create_result(result)?;
        self.index.adopt(&PlanView::load(&self.io, &self.keys)?)?;
        Ok(result)
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
