//! What a process knows of prune's plans: what is condemned, and which segments are the index.

use crate::{
    RepoError,
    damage::Quarantine,
    index::{IndexView, ViewSource},
    io::Io,
    record,
};
use longshore_crypto::RepositoryKeys;
use longshore_format::{
    PackId,
    names::{self, PlanObject},
    prune::{Plan, PlanResult},
    sealed::RecordKind,
    session::PackList,
};
use longshore_store::Class as StoreClass;
use std::{collections::HashSet, sync::Arc};

/// A plan may go while it is read; then a newer one is there. More often than this in one call cannot be.
const TRIES_MAX: usize = 8;

/// The newest plan and the newest result, as they were at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct PlanView {
    /// The highest plan's number; 0 if there is none.
    pub(crate) newest: u64,
    /// What it condemns, by kind.
    pub(crate) plan: Arc<PackList>,
    /// The same as a set.
    pub(crate) condemned: Arc<HashSet<PackId>>,
    /// The newest result: that of the newest plan or of the one before it.
    pub(crate) result: Option<Arc<PlanResult>>,
    /// Packs that are known to be damaged.
    pub(crate) quarantine: Arc<Quarantine>,
}

impl PlanView {
    /// The least plan under which level-0 segments count.
    pub(crate) fn level_0_from(&self) -> u64 {
        self.result.as_ref().map_or(0, |result| result.number)
    }

    /// Whether the newest plan waits for its result.
    pub(crate) fn is_open(&self) -> bool {
        self.newest > self.level_0_from()
    }

    pub(crate) fn load(io: &Io, keys: &RepositoryKeys) -> Result<Self, RepoError> {
        for _ in 0..TRIES_MAX {
            match Self::try_load(io, keys) {
                Err(RepoError::Store { source }) if source.class() == StoreClass::NotFound => {}
                result => return result,
            }
        }
        Err(RepoError::Misuse { rule: "plans come and go faster than they can be read" })
    }

    fn try_load(io: &Io, keys: &RepositoryKeys) -> Result<Self, RepoError> {
        let (newest, newest_result) = newest_numbers(io)?;
        let result = match newest_result {
            0 => None,
            number => Some(Arc::new(read_result(io, keys, number)?)),
        };
        let plan = match newest {
            0 => PackList::default(),
            number => read_plan(io, keys, number)?.condemned,
        };
        let condemned = Arc::new(plan.iter().map(|(_, pack)| pack).collect());
        let quarantine = Arc::new(Quarantine::load(io, keys)?);
        Ok(Self { newest, plan: Arc::new(plan), condemned, result, quarantine })
    }

    /// What it says about the index.
    pub(crate) fn index(&self) -> IndexView {
        let level_1 = self.result.as_ref().map(|result| result.level_1.iter().copied().collect());
        IndexView {
            plan: self.newest,
            condemned: self.condemned.clone(),
            level_0_from: self.level_0_from(),
            level_1: level_1.unwrap_or_default(),
            quarantine: self.quarantine.clone(),
        }
    }
}

/// Plans and results, read when the index is listed.
pub(crate) struct PlanViews {
    pub(crate) io: Arc<Io>,
    pub(crate) keys: Arc<RepositoryKeys>,
}

impl ViewSource for PlanViews {
    fn view(&self) -> Result<IndexView, RepoError> {
        Ok(PlanView::load(&self.io, &self.keys)?.index())
    }
}

/// The numbers of the newest plan and the newest result, 0 where there is none.
pub(crate) fn newest_numbers(io: &Io) -> Result<(u64, u64), RepoError> {
    let (mut plan, mut result) = (0, 0);
    for object in io.list(names::PLANS)? {
        match names::parse_plan(&object.name) {
            Some((number, PlanObject::Plan)) => plan = plan.max(number),
            Some((number, PlanObject::Result)) => result = result.max(number),
            None => {}
        }
    }
    Ok((plan, result))
}

pub(crate) fn read_plan(io: &Io, keys: &RepositoryKeys, number: u64) -> Result<Plan, RepoError> {
    let name = names::plan(number, PlanObject::Plan);
    let plan = Plan::decode(&record::read(io, keys, RecordKind::Plan, &name)?);
    let plan = plan.map_err(RepoError::format(&name))?;
    if plan.number == number { Ok(plan) } else { Err(RepoError::WrongContent { object: name }) }
}

pub(crate) fn read_result(io: &Io, keys: &RepositoryKeys, number: u64) -> Result<PlanResult, RepoError> {
    let name = names::plan(number, PlanObject::Result);
    let result = PlanResult::decode(&record::read(io, keys, RecordKind::Result, &name)?);
    let result = result.map_err(RepoError::format(&name))?;
    if result.number == number { Ok(result) } else { Err(RepoError::WrongContent { object: name }) }
}
