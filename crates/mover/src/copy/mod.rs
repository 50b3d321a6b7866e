//! Snapshots from one repository into another one, with other keys.
//!
//! Ids are keyed, so nothing that is sealed can be taken over: chunks are read, proven and stored anew by an ordinary backup
//! session of the target. Cuts are kept where both repositories cut alike, so that a second snapshot of a source costs what
//! changed since a first one that both hold: the *base*.

mod base;
mod chunks;
mod recut;
mod tree;
mod volume;
mod walk;

use std::collections::BTreeSet;

use longshore_job::Stage;
use longshore_repo::{
    BackupOptions, BackupSession, Class, Committed, Content, ReadError, RepoError, Repository, RunId,
    Snapshot, SnapshotDraft,
};

use crate::{Control, MoverError};
use base::Base;

/// What a copy of one snapshot came to.
#[derive(Clone, Debug, PartialEq)]
pub enum CopyOutcome {
    /// This is the snapshot in the target.
    Copied(Snapshot),
    /// The target had it before; nothing was read.
    AlreadyThere(Snapshot),
    /// The target had it before and forgot it: it does not come back.
    Forgotten(RunId),
}

/// Copies `snapshots` of `source` into `target`, oldest first, and calls `done` after each. Run, times, source, labels and what
/// Kubernetes knew are those of the original. What was copied before is only reported, so a copy that was stopped is simply
/// repeated. What is read is protected from prune.
///
/// # Errors
/// [`MoverError::CopySource`] when `source` fails; [`MoverError::Repository`] when `target` does; [`MoverError::Cancelled`].
pub fn run_copy(
    source: &Repository,
    snapshots: &[Snapshot],
    target: &Repository,
    control: &Control,
    done: &mut dyn FnMut(&CopyOutcome),
) -> Result<(), MoverError> {
    let mut ordered: Vec<&Snapshot> = snapshots.iter().collect();
    ordered.sort_by_key(|snapshot| (snapshot.record.finished_at, snapshot.key));
    control.set_total(ordered.iter().map(|snapshot| snapshot.record.content.size_bytes()).sum());
    let (mut passed_bytes, mut sent_bytes) = (0, 0);
    for snapshot in ordered {
        control.check()?;
        control.set_stage(Stage::Transferring);
        let outcome = copy(source, snapshot, target, control, sent_bytes)?;
        passed_bytes += snapshot.record.content.size_bytes();
        control.raise_done(passed_bytes);
        if let CopyOutcome::Copied(snapshot) = &outcome {
            sent_bytes += snapshot.record.stats.stored_bytes;
            control.raise_transferred(sent_bytes);
        }
        done(&outcome);
    }
    Ok(())
}

fn copy(
    source: &Repository,
    snapshot: &Snapshot,
    target: &Repository,
    control: &Control,
    sent_bytes: u64,
) -> Result<CopyOutcome, MoverError> {
    let record = &snapshot.record;
    let target_source = target.source_id(&record.source);
    if let Some(snapshot) = target.find_run(target_source, record.run)? {
        return Ok(CopyOutcome::AlreadyThere(snapshot));
    }
    let base = Base::find(source, snapshot, target)?;
    let _reading = source.begin_reading(snapshot).map_err(MoverError::CopySource)?;
    let base_in_target = base.as_ref().map(|base| &base.target);
    let begun = target.begin_backup(target_source, record.run, base_in_target, BackupOptions::default());
    let session = match begun {
        Ok(session) => session,
        Err(error) if error.class() == Class::Forgotten => return Ok(CopyOutcome::Forgotten(record.run)),
        Err(error) => return Err(error.into()),
    };
    // Of a base that was forgotten meanwhile nothing may be used.
    let base = base.filter(|_| session.parent().is_some());
    tracing::info!(run = %record.run, base = base.as_ref().map(|base| base.run().to_string()), "copying a snapshot");
    let task = Task { source, target, session: &session, control, sent_bytes };
    let content = match record.content {
        Content::Volume { .. } => volume::copy(&task, snapshot, base.as_ref()),
        Content::Tree { .. } => tree::copy(&task, snapshot, base.as_ref()),
    };
    let content = content.inspect_err(|error| keep_for_the_next_copy(&session, error))?;
    control.set_stage(Stage::Finishing);
    let draft = SnapshotDraft {
        source: record.source.clone(),
        started_at: record.started_at,
        finished_at: record.finished_at,
        data_at: record.data_at,
        content,
        // A parent that the target does not hold would lead nowhere.
        parent: parent_in(target, snapshot)?,
        incomplete: record.incomplete,
        stats: record.stats,
        kubernetes: record.kubernetes.clone(),
        labels: record.labels.clone(),
    };
    Ok(match session.commit(draft)? {
        Committed::New(snapshot) => CopyOutcome::Copied(snapshot),
        Committed::AlreadyCommitted(snapshot) => CopyOutcome::AlreadyThere(snapshot),
    })
}

/// What was stored before a stop is made findable, so that the next copy of the snapshot need not store it again.
fn keep_for_the_next_copy(session: &BackupSession<'_>, error: &MoverError) {
    if matches!(error, MoverError::Repository(_)) {
        return;
    }
    if let Err(error) = session.checkpoint() {
        tracing::warn!(error = %longshore_job::chain(&error), "what was stored last will be stored again");
    }
}

fn parent_in(target: &Repository, snapshot: &Snapshot) -> Result<Option<RunId>, MoverError> {
    let Some(parent) = snapshot.record.parent else { return Ok(None) };
    let found = target.find_run(target.source_id(&snapshot.record.source), parent)?;
    Ok(found.map(|found| found.record.run))
}

/// What all steps of one copy share.
struct Task<'a> {
    source: &'a Repository,
    target: &'a Repository,
    session: &'a BackupSession<'a>,
    control: &'a Control,
    /// Bytes that earlier snapshots of the same copy took in the target.
    sent_bytes: u64,
}

impl Task<'_> {
    /// Whether both repositories cut by the same sizes: then the cuts of the source are as good as any.
    fn keeps_cuts(&self) -> bool {
        self.source.config().chunk_bytes == self.target.config().chunk_bytes
    }

    fn passed(&self, bytes: u64) {
        self.control.add_done(bytes);
        self.control.raise_transferred(self.sent_bytes + self.session.stats().stored_bytes);
    }
}

/// A stop within a batch of chunks.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error("the target failed")]
    Target(#[source] RepoError),
    #[error("stopped on request")]
    Cancelled,
}

fn read_error(error: ReadError<Halt>) -> MoverError {
    match error {
        ReadError::Repo(error) => MoverError::CopySource(error),
        ReadError::Deliver(Halt::Target(error)) => error.into(),
        ReadError::Deliver(Halt::Cancelled) => MoverError::Cancelled,
    }
}

/// The runs of a source that both repositories hold.
fn common_runs(source: &[Snapshot], target: &[Snapshot]) -> BTreeSet<RunId> {
    let held: BTreeSet<RunId> = target.iter().map(|snapshot| snapshot.record.run).collect();
    source.iter().map(|snapshot| snapshot.record.run).filter(|run| held.contains(run)).collect()
}
