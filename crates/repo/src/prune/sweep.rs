//! Deleting what a plan and its result name (P8), and nothing by a fresh judgement. Everything here may be done twice, or by
//! two at once.

use super::look::Look;
use crate::{
    RepoError, Repository,
    parallel::{self, AT_ONCE},
    plans::PlanView,
};
use longshore_format::{
    PackId,
    names::{self, PackKind, SessionObject},
    prune::{Plan, PlanResult},
};
use std::collections::{HashMap, HashSet};

/// What was deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Swept {
    pub(super) packs: u64,
    pub(super) pack_bytes: u64,
    pub(super) objects: u64,
}

impl Repository {
    /// Deletes in the protocol's order. `look`: the one in which all sessions had settled. `spared`: packs that could not be
    /// copied out of.
    pub(super) fn sweep(
        &self,
        plan: &Plan,
        result: &PlanResult,
        look: &Look,
        sizes: &HashMap<(PackKind, PackId), u64>,
        spared: &HashSet<PackId>,
    ) -> Result<Swept, RepoError> {
        let mut swept = Swept::default();
        let records = result.forgotten.iter().map(|key| names::snapshot(&(*key).into())).collect();
        self.delete_all(records, &mut swept)?;
        let is_segment = |name: &&String| names::parse_index_segment(name).is_some();
        self.delete_all(result.stale.iter().filter(is_segment).cloned().collect(), &mut swept)?;
        let packs = plan.condemned.iter().filter(|(_, pack)| !spared.contains(pack));
        let packs: Vec<_> = packs.filter(|pack| sizes.contains_key(pack)).collect();
        self.delete_all(packs.iter().map(|(kind, pack)| names::pack(*kind, *pack)).collect(), &mut swept)?;
        // A report goes after its pack: without one, writers would rely on the pack again.
        let quarantine = self.index.quarantine();
        let reported = packs.iter().filter(|(_, pack)| quarantine.holds(*pack));
        self.delete_all(reported.map(|(_, pack)| names::damage(*pack)).collect(), &mut swept)?;
        swept.packs = packs.len() as u64;
        swept.pack_bytes = packs.iter().filter_map(|pack| sizes.get(pack)).sum();
        swept.objects += self.sweep_sessions(look)?;
        self.delete_all(self.stale_plans(plan.number)?, &mut swept)?;
        Ok(swept)
    }

    fn delete_all(&self, names: Vec<String>, swept: &mut Swept) -> Result<(), RepoError> {
        parallel::map(&names, AT_ONCE, |name| self.io.delete(name))?;
        swept.objects += names.len() as u64;
        Ok(())
    }

    /// Deletes what sessions that are over have left, and returns how many objects that were. `open` goes first: a session
    /// without it is over, however much else of it is left.
    pub(super) fn sweep_sessions(&self, look: &Look) -> Result<u64, RepoError> {
        let mut swept = Swept::default();
        let opens = look.ended.iter().map(|(run, id)| names::session(*run, *id, SessionObject::Open));
        self.delete_all(opens.collect(), &mut swept)?;
        let ended: HashSet<_> = look.ended.iter().copied().collect();
        let objects = self.io.list(names::SESSIONS)?.into_iter().map(|object| object.name);
        let of_ended = objects.filter(|name| {
            names::parse_session(name).is_some_and(|(run, session, _)| ended.contains(&(run, session)))
        });
        self.delete_all(of_ended.collect(), &mut swept)?;
        Ok(swept.objects)
    }

    /// What a prune that was killed has not come to delete, and no snapshot's end will remind anybody of: objects of plans that mean
    /// nothing any more, segments that do not count. The next plan deletes it, even if it condemns nothing.
    pub(super) fn has_leftovers(&self, view: &PlanView) -> Result<bool, RepoError> {
        if !self.stale_plans(view.newest)?.is_empty() {
            return Ok(true);
        }
        let index = view.index();
        let counts =
            |name: &str| names::parse_index_segment(name).is_none_or(|(level, id)| index.counts(level, id));
        Ok(self.io.list(names::INDEX)?.iter().any(|object| !counts(&object.name)))
    }

    /// Everything of plans before this one, and what killed prunes left of the store's clock.
    fn stale_plans(&self, number: u64) -> Result<Vec<String>, RepoError> {
        let objects = self.io.list(names::PLANS)?.into_iter().map(|object| object.name);
        let stale = objects.filter(|name| {
            let is_clock = names::parse_plan(name).is_none();
            names::plan_number(name).is_some_and(|found| found < number || (found == number && is_clock))
        });
        Ok(stale.collect())
    }
}
