//! What to do next for a DataUpload. Pure, total, without clock and client.
//!
//! ```text
//!          taken            run has a slot          mover at work            run's restore point
//!   (new) ───────► Accepted ───────────► Prepared ───────────────► InProgress ───────────► Completed
//!     │            snapshot ready?          │                          │
//!     │            source kept, run made    │                          │
//!     │                  └──────────────────┴──────────────────────────┴──► Failed
//!     │
//!     └── told to end, deleted, or Velero's Backup over, in any phase ──► Canceling ──► Canceled
//!                                                                          run deleted, gone
//!
//!   terminal: when the run has nothing in the cluster any more the source snapshot goes, then the finalizer.
//! ```
//!
//! The source snapshot is kept (policy Retain) before the run is made and goes (policy Delete) only after the run's copies are gone.

use jiff::{SignedDuration, Timestamp};
use longshore_api::{DataMovePhase, DataMoveProgress, DataUploadStatus};

use crate::kinds::data_move::{self, ACCEPTED, CANCEL_LIMIT, CANCELING, DataMoveStatus, PREPARED, Record};
use crate::reason::{OperatorReason, Trouble};

/// A change to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Keep the snapshot in the storage whatever happens to its VolumeSnapshot.
    ProtectSource,
    /// The VolumeSnapshotBackup that does the work.
    CreateRun,
    /// Delete that VolumeSnapshotBackup, which cancels it.
    DeleteRun,
    /// Let the source snapshot go, or give it its own policy back if snapshots are kept.
    DisposeSource,
}

/// Everything a decision may look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// It is being deleted.
    pub deleting: bool,
    /// Status, notes, finalizer.
    pub record: Record<DataUploadStatus>,
    /// It lives where nobody may have movers: it is refused, and nothing that it names is touched.
    pub outside: Option<Trouble>,
    /// Why it shall end, if it shall.
    pub cancel: Option<String>,
    /// Something that time will not mend: its own fields, or no repository.
    pub refused: Option<Trouble>,
    /// The VolumeSnapshot; looked for only while there is no run.
    pub source: Source,
    /// The VolumeSnapshotBackup.
    pub run: Run,
    /// Neither a run at work nor a temporary object of it is there.
    pub run_released: bool,
    /// Source objects that are still to be disposed of.
    pub source_left: bool,
}

/// The source snapshot.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Not looked for.
    Unknown,
    /// Not there, or not ready.
    NotReady(Trouble),
    /// Ready to use.
    Ready {
        /// It stays in the storage whatever happens to the VolumeSnapshot.
        protected: bool,
    },
}

/// The VolumeSnapshotBackup that serves the DataUpload.
#[derive(Debug, Clone, PartialEq)]
pub enum Run {
    /// Not there.
    Absent,
    /// One of the name is there and is not ours.
    Foreign,
    /// Going away.
    Leaving,
    /// Not accepted yet, with what it waits for.
    Unaccepted(Option<String>),
    /// Waits for a slot, or with one for a node that is not full of other movers, which it says.
    Queued(Option<String>),
    /// Has a slot; its mover does not work yet.
    Starting(Option<String>),
    /// The mover has worked, with what holds it up now.
    Moving(Progress, Option<String>),
    /// The data is in the repository; temporary objects are going away.
    Cleaning(Progress),
    /// Over, with its result.
    Completed(Progress),
    /// Over, without one.
    Failed(String),
}

/// What the run says of its progress and result.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes handled and in all.
    pub bytes: DataMoveProgress,
    /// Bytes that went to the store.
    pub uploaded: Option<i64>,
    /// Reference of the restore point, once its data is in the repository.
    pub reference: Option<String>,
}

/// What a pass over a DataUpload will do.
pub type Plan = data_move::Plan<DataUploadStatus, Step>;

/// What to do next.
pub fn decide(now: Timestamp, prepare_limit: SignedDuration, seen: &Seen) -> Plan {
    let mut plan = Plan::new(&seen.record);
    let phase = seen.record.status.phase();
    if phase.is_terminal() {
        leave(&mut plan, phase, seen);
    } else if let Some(trouble) = &seen.outside {
        plan.fail(now, trouble);
    } else if !seen.record.finalizer {
        // A finalizer cannot be added any more to what is being deleted; nothing of ours is there either.
        if !seen.deleting {
            plan.accept(now);
        }
    } else if let Some(why) = &seen.cancel {
        cancel(&mut plan, now, why, seen);
    } else if phase == DataMovePhase::Canceling {
        cancel(&mut plan, now, "canceled", seen);
    } else {
        work(&mut plan, now, prepare_limit, phase, seen);
    }
    plan
}

/// Over: nothing stays but the result, and the run, which goes with the DataUpload.
fn leave(plan: &mut Plan, phase: DataMovePhase, seen: &Seen) {
    if !seen.record.finalizer {
        plan.requeue = crate::status::REQUEUE_OVER;
        return;
    }
    if !seen.run_released {
        let ended = matches!(seen.run, Run::Completed(_) | Run::Failed(_));
        // A run that is over cleans up by itself; its status is worth keeping.
        let wanted = ended && phase != DataMovePhase::Canceled;
        if !wanted && !matches!(seen.run, Run::Absent | Run::Foreign | Run::Leaving) {
            plan.step(Step::DeleteRun);
        }
        plan.again(10);
    } else if seen.source_left {
        plan.step(Step::DisposeSource);
        plan.again(5);
    } else {
        plan.release();
    }
}

fn cancel(plan: &mut Plan, now: Timestamp, why: &str, seen: &Seen) {
    if let Run::Cleaning(progress) | Run::Completed(progress) = &seen.run {
        // The point exists: named here, it can be forgotten together with Velero's Backup.
        set_result(plan, progress);
    }
    plan.enter(DataMovePhase::Canceling);
    plan.record.notes.set_time(CANCELING, now);
    let since = plan.record.notes.time(CANCELING).unwrap_or(now);
    match &seen.run {
        Run::Absent | Run::Foreign => plan.canceled(now, why),
        _ if now.duration_since(since) >= CANCEL_LIMIT => {
            plan.canceled(now, &format!("{why}; temporary objects are still there, and being deleted"));
        }
        Run::Leaving => plan.again(10),
        _ => {
            plan.step(Step::DeleteRun);
            plan.again(2);
        }
    }
}

fn work(plan: &mut Plan, now: Timestamp, limit: SignedDuration, phase: DataMovePhase, seen: &Seen) {
    let accepted = seen.record.notes.time(ACCEPTED);
    match &seen.run {
        Run::Absent if matches!(phase, DataMovePhase::New | DataMovePhase::Accepted) => {
            begin(plan, now, limit, accepted, seen);
        }
        Run::Absent => {
            let message = "the VolumeSnapshotBackup is gone before it was done";
            plan.fail(now, &Trouble::new(OperatorReason::BackupRunDeleted, message));
        }
        Run::Foreign => {
            let message = "a VolumeSnapshotBackup of the same name exists and serves something else";
            plan.fail(now, &Trouble::new(OperatorReason::NameTaken, message));
        }
        Run::Leaving => {
            let trouble =
                Trouble::new(OperatorReason::BackupRunDeleted, "the VolumeSnapshotBackup is being deleted");
            plan.wait_or_fail(now, accepted, limit, &trouble);
            plan.again(5);
        }
        Run::Unaccepted(trouble) => hold(plan, now, accepted, limit, trouble.as_ref()),
        // Others are at work; that says nothing of this one, so the clock stands still.
        Run::Queued(waits) => {
            plan.record.notes.remove(PREPARED);
            plan.say(waits.as_deref().unwrap_or_default());
        }
        Run::Starting(trouble) => {
            if matches!(phase, DataMovePhase::New | DataMovePhase::Accepted) {
                plan.enter(DataMovePhase::Prepared);
            }
            if phase == DataMovePhase::InProgress {
                // It worked before and begins again, within the bounds that the run itself keeps.
                plan.say(trouble.as_deref().unwrap_or_default());
            } else {
                plan.record.notes.set_time(PREPARED, now);
                let since = plan.record.notes.time(PREPARED);
                hold(plan, now, since, limit, trouble.as_ref());
            }
        }
        Run::Moving(progress, trouble) => {
            move_on(plan, now, progress);
            plan.say(trouble.as_deref().unwrap_or_default());
        }
        Run::Cleaning(progress) => {
            move_on(plan, now, progress);
            plan.say("");
        }
        Run::Completed(progress) => {
            set_result(plan, progress);
            plan.complete(now);
        }
        Run::Failed(message) => {
            plan.fail(now, &Trouble::new(OperatorReason::MoverFailed, "the run failed"));
            // In the run's own words: reason, message and advice are there already.
            plan.say(message);
        }
    }
}

/// There is no run yet.
fn begin(plan: &mut Plan, now: Timestamp, limit: SignedDuration, accepted: Option<Timestamp>, seen: &Seen) {
    if let Some(trouble) = &seen.refused {
        plan.fail(now, trouble);
        return;
    }
    match &seen.source {
        Source::Unknown => plan.again(1),
        Source::NotReady(trouble) => plan.wait_or_fail(now, accepted, limit, trouble),
        Source::Ready { protected } => {
            if !protected {
                plan.step(Step::ProtectSource);
            }
            plan.step(Step::CreateRun);
            // A step that is refused says so in the message; that must not last for ever.
            let refusal = seen.record.status.message().unwrap_or_default();
            hold(plan, now, accepted, limit, (!refusal.is_empty()).then(|| refusal.to_owned()).as_ref());
            if plan.record.status.phase().is_terminal() {
                plan.steps.clear();
            }
            plan.again(5);
        }
    }
}

/// The mover has not started: shows why, and fails in time with that.
fn hold(
    plan: &mut Plan,
    now: Timestamp,
    since: Option<Timestamp>,
    limit: SignedDuration,
    trouble: Option<&String>,
) {
    let waited = now.duration_since(since.unwrap_or(now));
    if waited >= limit {
        let cause = trouble.map_or("no cause is known", String::as_str);
        let message = format!("the mover has not started: {cause}");
        plan.fail(now, &Trouble::new(OperatorReason::PrepareTimeout, message));
    } else {
        plan.say(trouble.map_or("", String::as_str));
    }
}

fn move_on(plan: &mut Plan, now: Timestamp, progress: &Progress) {
    plan.start(now);
    if progress.bytes != DataMoveProgress::default() {
        plan.record.status.progress = Some(progress.bytes.clone());
    }
}

fn set_result(plan: &mut Plan, progress: &Progress) {
    let status = &mut plan.record.status;
    status.snapshot_id = progress.reference.clone();
    status.progress = Some(progress.bytes.clone());
    status.incremental_bytes = progress.uploaded;
    status.node_os = Some("linux".to_owned());
}
