//! Listing and finding snapshots.

use crate::{
    RepoError, Repository,
    check::says_damage,
    error::chain,
    parallel::{self, AT_ONCE},
    record,
};
use longshore_format::{
    RunId, SourceId,
    names::{self, SnapshotKey},
    prune::{Fence, Tombstone},
    sealed::{EnvelopeHead, RecordKind},
    snapshot::SnapshotRecord,
};
use longshore_store::Class as StoreClass;
use std::collections::HashSet;

/// A committed snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Where its record stands.
    pub key: SnapshotKey,
    /// Its record.
    pub record: SnapshotRecord,
}

impl Snapshot {
    /// The snapshot's public id: the run that made it.
    pub fn id(&self) -> RunId {
        self.key.run
    }
}

/// Something at a snapshot's key, or at its tombstone's, that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DamagedSnapshot {
    /// The key of the record.
    pub key: SnapshotKey,
    /// The object that is damaged: the record, or the tombstone.
    pub object: String,
    /// What is wrong, with all causes.
    pub reason: String,
}

impl DamagedSnapshot {
    /// Whether it is the record that cannot be read, and not only its tombstone.
    fn is_record(&self) -> bool {
        self.object == names::snapshot(&self.key)
    }
}

/// What there is of snapshots.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SnapshotList {
    /// Those that were not forgotten, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// What cannot be read. Nobody knows what such a snapshot needs, so prune deletes nothing until it is forgotten.
    pub damaged: Vec<DamagedSnapshot>,
}

/// What stands at a commit key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum AtKey {
    Snapshot(Box<Snapshot>),
    /// The attempt can never commit.
    Fence,
}

/// A commit key, and what stands there or why that cannot be read.
pub(crate) type KeyRead = (SnapshotKey, Result<AtKey, RepoError>);

/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RunState {
    /// It has its snapshot.
    Committed(Box<Snapshot>),
    /// It had one, and that was forgotten: it must not come back.
    Forgotten,
    /// This is the attempt that may commit.
    Open(u32),
}

impl Repository {
    /// All snapshots that can be read and were not forgotten, oldest first.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, RepoError> {
        Ok(self.list_snapshots()?.snapshots)
    }

    /// All snapshots, also those that cannot be read.
    pub fn list_snapshots(&self) -> Result<SnapshotList, RepoError> {
        self.read_all(names::SNAPSHOTS, names::TOMBSTONES)
    }

    /// All snapshots of a source that can be read and were not forgotten, oldest first.
    pub fn snapshots_of(&self, source: SourceId) -> Result<Vec<Snapshot>, RepoError> {
        Ok(self.read_all(&names::source(source), &names::tombstones_of(source))?.snapshots)
    }

    /// The damaged record that a user means, by its run's id or the unique beginning of one.
    pub fn resolve_damaged(&self, wanted: &str) -> Result<Option<DamagedSnapshot>, RepoError> {
        let prefix = plain_prefix(wanted);
        let mut found = self.list_snapshots()?.damaged;
        found.retain(|damaged| is_meant(&damaged.key, &prefix));
        Ok(if found.len() == 1 { found.pop() } else { None })
    }

    /// The newest complete snapshot of a source: the natural parent of the next.
    pub fn latest_of(&self, source: SourceId) -> Result<Option<Snapshot>, RepoError> {
        Ok(self.snapshots_of(source)?.into_iter().rfind(|snapshot| !snapshot.record.incomplete))
    }

    /// The snapshot of a run, if the run has committed and was not forgotten.
    pub fn find_run(&self, source: SourceId, run: RunId) -> Result<Option<Snapshot>, RepoError> {
        match self.run_state(source, run)? {
            RunState::Committed(snapshot) => Ok(Some(*snapshot)),
            RunState::Forgotten | RunState::Open(_) => Ok(None),
        }
    }

    pub(crate) fn run_state(&self, source: SourceId, run: RunId) -> Result<RunState, RepoError> {
        if self.is_forgotten(source, run)? {
            return Ok(RunState::Forgotten);
        }
        let mut attempt = 1;
        for key in self.snapshot_keys(&names::run(source, run))? {
            match read_key(self, key)? {
                AtKey::Snapshot(snapshot) => return Ok(RunState::Committed(snapshot)),
                AtKey::Fence => attempt = attempt.max(key.attempt + 1),
            }
        }
        Ok(RunState::Open(attempt))
    }

    /// The snapshot that a user means: an id, the unique beginning of one (dashes do not matter), or `latest`, which nobody
    /// knows while a record cannot be read.
    pub fn resolve(&self, wanted: &str) -> Result<Snapshot, RepoError> {
        if wanted == "latest" {
            let mut list = self.list_snapshots()?;
            // The one before it would be restored without a word.
            if let Some(damaged) = list.damaged.iter().find(|damaged| damaged.is_record()) {
                return Err(RepoError::LatestUnknown { object: damaged.object.clone() });
            }
            let newest = list.snapshots.pop();
            return newest.ok_or_else(|| RepoError::SnapshotNotFound { wanted: wanted.to_owned() });
        }
        let prefix = plain_prefix(wanted);
        let mut keys = self.snapshot_keys(names::SNAPSHOTS)?;
        keys.retain(|key| is_meant(key, &prefix));
        let mut found = Vec::new();
        let at_keys = self.read_keys(&keys)?;
        let runs = runs_of(&at_keys);
        for (key, at_key) in at_keys {
            if at_key.is_err() && runs.contains(&key.run) {
                continue;
            }
            match at_key? {
                AtKey::Snapshot(snapshot) if !self.is_forgotten(key.source, key.run)? => {
                    found.push(*snapshot)
                }
                AtKey::Snapshot(_) | AtKey::Fence => {}
            }
        }
        match (found.len(), found.pop()) {
            (1, Some(snapshot)) => Ok(snapshot),
            (0, _) | (_, None) => Err(RepoError::SnapshotNotFound { wanted: wanted.to_owned() }),
            (count, _) => Err(RepoError::SnapshotAmbiguous { wanted: wanted.to_owned(), count }),
        }
    }

    /// Whether a run's snapshot was forgotten. Only a tombstone that maintenance signed counts.
    pub(crate) fn is_forgotten(&self, source: SourceId, run: RunId) -> Result<bool, RepoError> {
        let name = names::tombstone(source, run);
        let plain = match record::read(&self.io, &self.keys, RecordKind::Forget, &name) {
            Ok(plain) => plain,
            Err(RepoError::Store { source }) if source.class() == StoreClass::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let tombstone = Tombstone::decode(&plain).map_err(RepoError::format(&name))?;
        if tombstone.source == source && tombstone.run == run {
            Ok(true)
        } else {
            Err(RepoError::WrongContent { object: name })
        }
    }

    /// Keys under a prefix, in order.
    pub(crate) fn snapshot_keys(&self, prefix: &str) -> Result<Vec<SnapshotKey>, RepoError> {
        Ok(self.io.list(prefix)?.iter().filter_map(|object| names::parse_snapshot(&object.name)).collect())
    }

    /// What stands at each of these keys. A key that is gone by now is left out: its snapshot was forgotten and pruned.
    /// What is damaged comes with its error.
    pub(crate) fn read_keys(&self, keys: &[SnapshotKey]) -> Result<Vec<KeyRead>, RepoError> {
        let found = parallel::map(keys, AT_ONCE, |key| match read_key(self, *key) {
            Ok(at_key) => Ok(Some((*key, Ok(at_key)))),
            Err(RepoError::Store { source }) if source.class() == StoreClass::NotFound => Ok(None),
            Err(error) if says_damage(&error) => Ok(Some((*key, Err(error)))),
            Err(error) => Err(error),
        })?;
        Ok(found.into_iter().flatten().collect())
    }

    fn read_all(&self, prefix: &str, tombstones: &str) -> Result<SnapshotList, RepoError> {
        let keys = self.snapshot_keys(prefix)?;
        let mut buried = HashSet::new();
        for object in self.io.list(tombstones)? {
            buried.extend(names::parse_tombstone(&object.name));
        }
        let mut list = SnapshotList::default();
        let found = self.read_keys(&keys)?;
        let runs: HashSet<RunId> = runs_of(&found);
        for (key, at_key) in found {
            if matches!(at_key, Ok(AtKey::Fence)) || (at_key.is_err() && runs.contains(&key.run)) {
                continue;
            }
            // A listed name proves nothing: the tombstone itself must be authentic.
            if buried.contains(&(key.source, key.run)) {
                match self.is_forgotten(key.source, key.run) {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(error) if says_damage(&error) => {
                        list.damage(key, names::tombstone(key.source, key.run), &error);
                    }
                    Err(error) => return Err(error),
                }
            }
            match at_key {
                Ok(AtKey::Snapshot(snapshot)) => list.snapshots.push(*snapshot),
                Ok(AtKey::Fence) => {}
                Err(error) => list.damage(key, names::snapshot(&key), &error),
            }
        }
        list.snapshots.sort_by_key(|snapshot| (snapshot.record.finished_at, snapshot.key));
        Ok(list)
    }
}

impl SnapshotList {
    fn damage(&mut self, key: SnapshotKey, object: String, error: &RepoError) {
        let reason = chain(error);
        tracing::warn!(object, reason, "what stands at a snapshot's key cannot be read");
        self.damaged.push(DamagedSnapshot { key, object, reason });
    }
}

/// Runs whose snapshot can be read. A run has one, and what else stands at its keys can only be, or have been, a fence.
pub(crate) fn runs_of(found: &[KeyRead]) -> HashSet<RunId> {
    let snapshots = found.iter().filter(|(_, at_key)| matches!(at_key, Ok(AtKey::Snapshot(_))));
    snapshots.map(|(key, _)| key.run).collect()
}

/// The beginning of an id as it stands without dashes.
fn plain_prefix(wanted: &str) -> String {
    wanted.replace('-', "").to_ascii_lowercase()
}

fn is_meant(key: &SnapshotKey, prefix: &str) -> bool {
    !prefix.is_empty() && key.run.0.as_simple().to_string().starts_with(prefix)
}

/// Reads what stands at a commit key.
pub(crate) fn read_key(repository: &Repository, key: SnapshotKey) -> Result<AtKey, RepoError> {
    let name = names::snapshot(&key);
    let bytes = repository.io.get(&name, RecordKind::Snapshot.object_bytes_max() as u64)?;
    let (head, _) = EnvelopeHead::split_any(&bytes).map_err(RepoError::format(&name))?;
    if head.kind != RecordKind::Fence {
        return Ok(AtKey::Snapshot(Box::new(decode(repository, key, &bytes)?)));
    }
    let plain = record::open(&repository.keys, RecordKind::Fence, &name, &bytes)?;
    let fence = Fence::decode(&plain).map_err(RepoError::format(&name))?;
    if SnapshotKey::from(fence.key) == key {
        Ok(AtKey::Fence)
    } else {
        Err(RepoError::WrongContent { object: name })
    }
}

fn decode(repository: &Repository, key: SnapshotKey, bytes: &[u8]) -> Result<Snapshot, RepoError> {
    let name = names::snapshot(&key);
    let plain = record::open(&repository.keys, RecordKind::Snapshot, &name, bytes)?;
    let record = SnapshotRecord::decode(&plain).map_err(RepoError::format(&name))?;
    let stands_where_it_says = record.run == key.run
        && record.attempt == key.attempt
        && repository.source_id(&record.source) == key.source;
    if stands_where_it_says {
        Ok(Snapshot { key, record })
    } else {
        Err(RepoError::WrongContent { object: name })
    }
}
