use longshore_repo::{Content, Repository, RunId, Snapshot};

use super::common_runs;
use crate::MoverError;

/// One snapshot as both repositories hold it: what is the same node or chunk in the source is the same in the target.
pub(super) struct Base {
    pub(super) source: Snapshot,
    pub(super) target: Snapshot,
}

impl Base {
    /// The parent of the snapshot, or else the newest one before it, if both repositories hold it.
    pub(super) fn find(
        source: &Repository,
        snapshot: &Snapshot,
        target: &Repository,
    ) -> Result<Option<Self>, MoverError> {
        let target_source = target.source_id(&snapshot.record.source);
        let theirs = target.snapshots_of(target_source)?;
        if theirs.is_empty() {
            return Ok(None);
        }
        let ours = source.snapshots_of(snapshot.key.source).map_err(MoverError::CopySource)?;
        let common = common_runs(&ours, &theirs);
        let candidate = ours
            .into_iter()
            .filter(|candidate| {
                common.contains(&candidate.record.run)
                    && candidate.record.finished_at <= snapshot.record.finished_at
            })
            .max_by_key(|candidate| {
                let is_parent = snapshot.record.parent == Some(candidate.record.run);
                (is_parent, candidate.record.finished_at)
            });
        let Some(source) = candidate else { return Ok(None) };
        let target = theirs.into_iter().find(|found| found.record.run == source.record.run);
        Ok(target.map(|target| Self { source, target }).filter(Self::is_one_snapshot))
    }

    pub(super) fn run(&self) -> RunId {
        self.source.record.run
    }

    /// A run is committed once in a repository, and a copy keeps its times; what disagrees is no copy.
    fn is_one_snapshot(&self) -> bool {
        let (source, target) = (&self.source.record, &self.target.record);
        let kinds_agree = matches!(
            (&source.content, &target.content),
            (Content::Volume { .. }, Content::Volume { .. }) | (Content::Tree { .. }, Content::Tree { .. })
        );
        kinds_agree
            && source.content.size_bytes() == target.content.size_bytes()
            && (source.started_at, source.finished_at, source.data_at)
                == (target.started_at, target.finished_at, target.data_at)
    }
}
