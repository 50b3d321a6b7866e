//! Who is there and what they need, listed in the order that the protocol needs (`docs/concurrency.md`): tombstones, then
//! sessions, then snapshots. Whoever chooses a snapshot that this look finds forgotten is a session that it finds.

use super::sessions::{self, SessionState};
use crate::{
    RepoError, Repository, Snapshot,
    snapshots::{self, AtKey},
};
use longshore_format::{
    RunId, SessionId, SourceId,
    names::{self, SnapshotKey},
};
use std::collections::HashSet;

/// One look.
pub(super) struct Look {
    /// Sessions that are not over.
    pub(super) sessions: Vec<SessionState>,
    /// Sessions that are over: their objects can go.
    pub(super) ended: Vec<(RunId, SessionId)>,
    /// Snapshots that were not forgotten.
    pub(super) snapshots: Vec<Snapshot>,
    /// Keys of records of forgotten snapshots.
    forgotten: Vec<SnapshotKey>,
}

impl Look {
    pub(super) fn take(repository: &Repository) -> Result<Self, RepoError> {
        let mut buried: HashSet<(SourceId, RunId)> = HashSet::new();
        for object in repository.io.list(names::TOMBSTONES)? {
            buried.extend(names::parse_tombstone(&object.name));
        }
        let listed = sessions::list(repository)?;
        let keys = repository.snapshot_keys(names::SNAPSHOTS)?;
        let (mut snapshots, mut forgotten) = (Vec::new(), Vec::new());
        let found = repository.read_keys(&keys)?;
        let runs = snapshots::runs_of(&found);
        for (key, at_key) in found {
            if matches!(at_key, Ok(AtKey::Fence)) || (at_key.is_err() && runs.contains(&key.run)) {
                continue;
            }
            // A name proves nothing; only a signed tombstone makes a snapshot disposable.
            if buried.contains(&(key.source, key.run)) && repository.is_forgotten(key.source, key.run)? {
                forgotten.push(key);
                continue;
            }
            match at_key {
                Ok(AtKey::Snapshot(snapshot)) => snapshots.push(*snapshot),
                Ok(AtKey::Fence) => {}
                // It may need anything.
                Err(error) => {
                    let object = names::snapshot(&key);
                    return Err(RepoError::Undecidable { object, source: Box::new(error) });
                }
            }
        }
        // A key that holds anything can take no record any more, whatever it holds.
        let mut taken: HashSet<SnapshotKey> = keys.into_iter().collect();
        for key in listed.iter().filter_map(SessionState::commit) {
            if buried.contains(&(key.source, key.run)) && repository.is_forgotten(key.source, key.run)? {
                taken.insert(key);
            }
        }
        let over = sessions::over(&listed, |key| taken.contains(&key));
        let (mut open, mut ended) = (Vec::new(), Vec::new());
        for (session, is_over) in listed.into_iter().zip(over) {
            if is_over {
                ended.push((session.run, session.id));
            } else {
                open.push(session);
            }
        }
        Ok(Self { sessions: open, ended, snapshots, forgotten })
    }

    /// Records of forgotten snapshots that no session builds on or reads.
    pub(super) fn disposable(&self) -> Vec<SnapshotKey> {
        let needed: HashSet<_> = self.sessions.iter().filter_map(SessionState::snapshot).collect();
        self.forgotten.iter().copied().filter(|key| !needed.contains(key)).collect()
    }
}
