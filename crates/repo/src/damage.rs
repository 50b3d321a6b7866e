//! Packs that are known to be damaged: the reports under `bad/`, and what follows from them (`docs/concurrency.md`).

use crate::{
    RepoError, Repository,
    error::chain,
    io::Io,
    parallel::{self, AT_ONCE},
    record,
};
use longshore_crypto::RepositoryKeys;
use longshore_format::{PackId, damage::DamageReport, names, sealed::RecordKind};
use longshore_store::Class as StoreClass;
use std::collections::{HashMap, HashSet};

/// All reports that count, as they were at one moment.
#[derive(Debug, Default)]
pub(crate) struct Quarantine {
    reports: HashMap<PackId, DamageReport>,
    /// Ids that some report names as lost: where a hint says that they are is not believed.
    lost: HashSet<[u8; 32]>,
}

impl Quarantine {
    /// Reads all reports. One that maintenance has not signed, or that cannot be read, means nothing; `check` names it.
    pub(crate) fn load(io: &Io, keys: &RepositoryKeys) -> Result<Self, RepoError> {
        let packs = match io.list(names::DAMAGE) {
            Ok(objects) => objects.iter().filter_map(|object| names::parse_damage(&object.name)).collect(),
            // A mover whose rights are older than reports are.
            Err(RepoError::Store { source }) if source.class() == StoreClass::AccessDenied => {
                tracing::warn!("damage reports may not be listed; what they say is not known");
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        let read = parallel::map(&packs, AT_ONCE, |pack| match read_report(io, keys, *pack) {
            Ok(report) => Ok(Some(report)),
            Err(error) if error.class().is_transient() => Err(error),
            Err(error) => {
                let name = names::damage(*pack);
                tracing::warn!(object = name, error = %chain(&error), "a damage report is passed over");
                Ok(None)
            }
        })?;
        let mut quarantine = Self::default();
        for report in read.into_iter().flatten() {
            quarantine.lost.extend(report.lost.iter().flatten().map(|id| id.0));
            quarantine.reports.insert(report.pack, report);
        }
        Ok(quarantine)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    pub(crate) fn report(&self, pack: PackId) -> Option<&DamageReport> {
        self.reports.get(&pack)
    }

    pub(crate) fn reports(&self) -> impl Iterator<Item = &DamageReport> {
        self.reports.values()
    }

    /// Whether a writer must not rely on this pack.
    pub(crate) fn holds(&self, pack: PackId) -> bool {
        self.reports.contains_key(&pack)
    }

    /// Whether a place for an id that a parent or another hint names must be doubted.
    pub(crate) fn doubts(&self, pack: PackId, id: &[u8; 32]) -> bool {
        self.holds(pack) || self.names_lost(id)
    }

    /// Whether some report names the id as lost, so that only the index is asked for it.
    pub(crate) fn names_lost(&self, id: &[u8; 32]) -> bool {
        self.lost.contains(id)
    }

    /// Whether this pack does not hold the id for sure.
    pub(crate) fn is_lost(&self, pack: PackId, id: &[u8; 32]) -> bool {
        self.reports.get(&pack).is_some_and(|report| match &report.lost {
            Some(lost) => lost.iter().any(|lost| &lost.0 == id),
            None => true,
        })
    }
}

fn read_report(io: &Io, keys: &RepositoryKeys, pack: PackId) -> Result<DamageReport, RepoError> {
    let name = names::damage(pack);
    let report = DamageReport::decode(&record::read(io, keys, RecordKind::Bad, &name)?);
    let report = report.map_err(RepoError::format(&name))?;
    if report.pack == pack { Ok(report) } else { Err(RepoError::WrongContent { object: name }) }
}

impl Repository {
    /// Makes a report, unless there is one. What stands at its name and does not count is removed first: somebody who
    /// may not report damage put it there, or it is damaged itself.
    pub(crate) fn report_damage(&self, report: &DamageReport) -> Result<(), RepoError> {
        let name = names::damage(report.pack);
        let plain = report.encode().map_err(RepoError::format(&name))?;
        let sealed = record::seal(&self.keys, RecordKind::Bad, &name, &plain)?;
        match self.io.create(&name, sealed.clone()) {
            Err(RepoError::Store { source }) if source.class() == StoreClass::AlreadyExists => {}
            result => return result,
        }
        match read_report(&self.io, &self.keys, report.pack) {
            Ok(_) => Ok(()),
            Err(error) if error.class().is_transient() => Err(error),
            Err(_) => {
                self.io.delete(&name)?;
                self.io.create(&name, sealed)
            }
        }
    }
}
