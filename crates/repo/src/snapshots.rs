//! Listing and finding snapshots.

use crate::{RepoError, Repository, record};
use longshore_format::{
    RunId, SourceId,
    names::{self, SnapshotKey},
    sealed::RecordKind,
    snapshot::SnapshotRecord,
};
use longshore_store::Class as StoreClass;

/// Records read at once.
const RECORDS_AT_ONCE: usize = 16;

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

impl Repository {
    /// All snapshots, oldest first.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>, RepoError> {
        self.read_all(self.snapshot_keys(names::SNAPSHOTS)?)
    }

    /// All snapshots of a source, oldest first.
    pub fn snapshots_of(&self, source: SourceId) -> Result<Vec<Snapshot>, RepoError> {
        self.read_all(self.snapshot_keys(&names::source(source))?)
    }

    /// The newest complete snapshot of a source: the natural parent of the next.
    pub fn latest_of(&self, source: SourceId) -> Result<Option<Snapshot>, RepoError> {
        Ok(self.snapshots_of(source)?.into_iter().rfind(|snapshot| !snapshot.record.incomplete))
    }

    /// The snapshot of a run, if the run has committed.
    pub fn find_run(&self, source: SourceId, run: RunId) -> Result<Option<Snapshot>, RepoError> {
        let key = SnapshotKey { source, run, attempt: 1 };
        match read(self, key) {
            Ok(snapshot) => Ok(Some(snapshot)),
            Err(RepoError::Store { source }) if source.class() == StoreClass::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The snapshot that a user means: an id, the unique beginning of one (dashes do not matter), or `latest`.
    pub fn resolve(&self, wanted: &str) -> Result<Snapshot, RepoError> {
        if wanted == "latest" {
            let newest = self.snapshots()?.pop();
            return newest.ok_or_else(|| RepoError::SnapshotNotFound { wanted: wanted.to_owned() });
        }
        let prefix = wanted.replace('-', "").to_ascii_lowercase();
        let mut keys = self.snapshot_keys(names::SNAPSHOTS)?;
        keys.retain(|key| !prefix.is_empty() && key.run.0.as_simple().to_string().starts_with(&prefix));
        match keys.as_slice() {
            [] => Err(RepoError::SnapshotNotFound { wanted: wanted.to_owned() }),
            [key] => read(self, *key),
            several => Err(RepoError::SnapshotAmbiguous { wanted: wanted.to_owned(), count: several.len() }),
        }
    }

    fn snapshot_keys(&self, prefix: &str) -> Result<Vec<SnapshotKey>, RepoError> {
        Ok(self.io.list(prefix)?.iter().filter_map(|object| names::parse_snapshot(&object.name)).collect())
    }

    fn read_all(&self, keys: Vec<SnapshotKey>) -> Result<Vec<Snapshot>, RepoError> {
        let mut out = Vec::with_capacity(keys.len());
        for some in keys.chunks(RECORDS_AT_ONCE) {
            let results: Vec<_> = std::thread::scope(|scope| {
                let handles: Vec<_> = some.iter().map(|key| scope.spawn(|| read(self, *key))).collect();
                handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
            });
            for result in results {
                out.push(result?);
            }
        }
        out.sort_by_key(|snapshot| (snapshot.record.finished_at, snapshot.key));
        Ok(out)
    }
}

/// Reads the record at a key.
pub(crate) fn read(repository: &Repository, key: SnapshotKey) -> Result<Snapshot, RepoError> {
    let name = names::snapshot(&key);
    let bytes = repository.io.get(&name, RecordKind::Snapshot.object_bytes_max() as u64)?;
    let plain = record::open(&repository.keys, RecordKind::Snapshot, &name, &bytes)?;
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
