//! The small records beside snapshots: sessions, tombstones, plans and their results, checkpoints, damage reports. Each must open;
//! what they say is prune's business.

use super::CheckReport;
use crate::{
    RepoError, Repository,
    parallel::{self, AT_ONCE},
    record,
};
use longshore_format::{
    names::{self, PlanObject},
    sealed::RecordKind,
};
use longshore_store::Class as StoreClass;

impl Repository {
    pub(super) fn check_records(&self, report: &mut CheckReport) -> Result<(), RepoError> {
        let places = [names::SESSIONS, names::TOMBSTONES, names::PLANS, names::CHECKPOINTS, names::DAMAGE];
        for prefix in places {
            let objects = self.io.list(prefix)?;
            let found = parallel::map(&objects, AT_ONCE, |object| {
                let Some(kind) = kind_of(&object.name) else { return Ok(None) };
                match record::read(&self.io, &self.keys, kind, &object.name) {
                    Ok(_) => Ok(None),
                    // It was listed, and a session or prune that is at work has ended since.
                    Err(RepoError::Store { source }) if source.class() == StoreClass::NotFound => Ok(None),
                    Err(error) => Ok(Some((object.name.clone(), error))),
                }
            })?;
            for (name, error) in found.into_iter().flatten() {
                report.damage(&name, error)?;
            }
        }
        Ok(())
    }
}

/// The kind of record that stands at a name; none for what is no record.
fn kind_of(name: &str) -> Option<RecordKind> {
    if names::parse_session(name).is_some() {
        return Some(RecordKind::Session);
    }
    if names::parse_tombstone(name).is_some() {
        return Some(RecordKind::Forget);
    }
    if names::parse_checkpoint(name).is_some() {
        return Some(RecordKind::Checkpoint);
    }
    if names::parse_damage(name).is_some() {
        return Some(RecordKind::Bad);
    }
    match names::parse_plan(name)?.1 {
        PlanObject::Plan => Some(RecordKind::Plan),
        PlanObject::Result => Some(RecordKind::Result),
    }
}
