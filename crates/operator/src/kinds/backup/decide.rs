//! What to do next for a backup. Pure, total, without clock and client.
//!
//! ```text
//!            source found            slot free              mover's result read      temporary objects
//!   (new) ──────────────► InProgress ────────► InProgress ───────────► SnapshotBackupDone ──► Cleanup ──────► Completed
//!     │                    Queued               Processing                  Completed                  gone
//!     │                      │                      │  Velero gave up: the mover is stopped first
//!     └──────────────────────┴──────────────────────┴──► Failed (temporary objects are removed after the write)
//!
//!   deleted in any phase: temporary objects are removed, then the finalizer; data in the repository stays.
//! ```

use std::time::Duration;

use jiff::Timestamp;
use longshore_api::{
    BatchingStatus, Phase, ResolvedSource, RunProgress, SourcePVCData, VolumeSnapshotBackupStatus,
};
use longshore_job::{BackupSummary, Outcome};

use crate::children::Child;
use crate::kinds::{ending, waiting};
use crate::mover::MoverState;
use crate::reason::{OperatorReason, Trouble};
use crate::status::{LIMITED, Limits, PROGRESSING, REQUEUE_OVER, RunStatus, overdue, set_condition};
use crate::velero::{self, Requester};

/// A change to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Make the run wait for us when it is deleted.
    AddFinalizer,
    /// Copy of the VolumeSnapshotContent.
    CreateContent,
    /// VolumeSnapshot in the protected namespace.
    CreateSnapshot,
    /// PVC of at least this many bytes from that VolumeSnapshot.
    CreateClaim {
        /// What the snapshot needs at least.
        bytes: Option<i64>,
    },
    /// The mover.
    CreateJob,
    /// Copy progress from the running mover's output into the status.
    FollowProgress,
    /// Delete the Job and its pods.
    DeleteMover,
    /// Delete every temporary object.
    Dismantle,
}

/// Everything a decision may look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The run is being deleted.
    pub deleting: bool,
    /// Our finalizer is on it.
    pub finalizer: bool,
    /// Its status.
    pub status: VolumeSnapshotBackupStatus,
    /// The source; looked for only while the phase is new.
    pub source: Source,
    /// The Velero object that asked for the run; looked for only while that matters.
    pub requester: Requester,
    /// The run may work now.
    pub has_slot: bool,
    /// Copy of the content.
    pub content: Child,
    /// VolumeSnapshot.
    pub snapshot: Child,
    /// PVC.
    pub claim: Child,
    /// Job and pods.
    pub mover: MoverState,
    /// Neither Job nor pod is there.
    pub mover_gone: bool,
    /// Temporary objects that exist, for messages.
    pub leftovers: Vec<String>,
    /// Something that keeps the operator from looking.
    pub blocked: Option<Trouble>,
}

/// What was found of the source.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// Not looked for.
    Unknown,
    /// Something is wrong that time will not mend.
    Refused(Trouble),
    /// Something is missing that may still come.
    Missing(Trouble),
    /// All there.
    Found(Box<Found>),
}

/// The source as it was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The application's PVC.
    pub pvc: SourcePVCData,
    /// VolumeSnapshotClass.
    pub snapshot_class: String,
    /// Reference of the restore point to be.
    pub reference: String,
    /// Everything else.
    pub resolved: ResolvedSource,
}

/// What a pass over a backup will do.
pub type Decision = crate::status::Decision<VolumeSnapshotBackupStatus, Step>;

const EXPOSING: &str = "making the snapshot readable in the protected namespace";

/// What to do next.
pub fn decide(now: Timestamp, limits: &Limits, seen: &Seen) -> Decision {
    let mut decision = Decision::new(&seen.status);
    let phase = seen.status.phase();
    if seen.deleting || phase.is_terminal() {
        leave(&mut decision, seen);
        return decision;
    }
    if !seen.finalizer {
        decision.step(Step::AddFinalizer);
    }
    if matches!(phase, Phase::New | Phase::InProgress)
        && let Some(trouble) = velero::follow(&mut decision, now, &seen.requester)
        && stop(&mut decision, now, seen, &trouble)
    {
        return decision;
    }
    if let Some(trouble) = &seen.blocked {
        decision.wait_or_fail(now, limits, trouble);
        return decision;
    }
    match phase {
        Phase::New => accept(&mut decision, now, limits, seen),
        Phase::InProgress if seen.status.batching().is_none() => accept(&mut decision, now, limits, seen),
        Phase::InProgress if seen.status.batching() == Some(BatchingStatus::Processing) => {
            work(&mut decision, now, limits, seen);
        }
        Phase::InProgress => decision.take_place(now, seen.has_slot, EXPOSING),
        Phase::SnapshotBackupDone => {
            decision.step(Step::Dismantle);
            decision.enter(Phase::Cleanup);
            decision.progressing(
                now,
                "CleaningUp",
                "the data is in the repository; temporary objects are being removed",
            );
        }
        // SnapshotRestoreDone is no phase of ours; cleaning up is the safe reading of a foreign word.
        _ => clean_up(&mut decision, now, seen),
    }
    decision
}

/// Deleted or over: nothing stays but the result.
fn leave(decision: &mut Decision, seen: &Seen) {
    if seen.leftovers.is_empty() {
        decision.release = seen.finalizer;
        decision.requeue = REQUEUE_OVER;
    } else {
        decision.step(Step::Dismantle);
        decision.requeue = Duration::from_secs(30);
    }
}

/// Nobody would use what the run makes: the mover goes first, so that whoever gets the slot does not share it. A restore point that is made already
/// is recorded all the same. False if the run goes on.
fn stop(decision: &mut Decision, now: Timestamp, seen: &Seen, trouble: &Trouble) -> bool {
    if matches!(&seen.mover, MoverState::Succeeded(Outcome::BackedUp(_))) {
        return false;
    }
    if seen.mover_gone {
        decision.fail(now, trouble);
    } else {
        decision.step(Step::DeleteMover);
        decision.progressing(now, "Stopping", &trouble.message);
    }
    true
}

fn accept(decision: &mut Decision, now: Timestamp, limits: &Limits, seen: &Seen) {
    match &seen.source {
        Source::Refused(trouble) => decision.fail(now, trouble),
        Source::Missing(trouble) => decision.accept_later(now, limits, trouble),
        Source::Unknown => decision.requeue = Duration::from_secs(1),
        Source::Found(found) => {
            let status = &mut decision.status;
            status.source_pvc_data = Some(found.pvc.clone());
            status.volume_snapshot_class_name = Some(found.snapshot_class.clone());
            status.restic_repository = Some(found.reference.clone());
            status.resolved_source = Some(found.resolved.clone());
            decision.accept(now);
        }
    }
}

fn work(decision: &mut Decision, now: Timestamp, limits: &Limits, seen: &Seen) {
    match &seen.mover {
        MoverState::Absent => {
            if let Some(trouble) = overdue(now, limits, &seen.status) {
                decision.fail(now, &trouble);
            } else {
                expose(decision, now, limits, seen);
            }
        }
        MoverState::Leaving => decision.progressing(now, "Restarting", "the mover is being started again"),
        MoverState::Starting { trouble } => {
            waiting::for_start(decision, now, limits, &seen.claim, trouble.as_ref());
        }
        MoverState::Running { .. } => {
            decision.step(Step::FollowProgress);
            decision.steps.sort();
            set_running(decision, now);
        }
        MoverState::Retrying { trouble } => waiting::for_retry(decision, now, trouble),
        MoverState::Succeeded(Outcome::BackedUp(summary)) => done(decision, now, summary),
        MoverState::Succeeded(_) | MoverState::ResultLost => {
            decision.step(Step::DeleteMover);
            ending::result_lost(decision, now);
        }
        MoverState::Failed { trouble, .. } => decision.fail(now, trouble),
    }
}

fn set_running(decision: &mut Decision, now: Timestamp) {
    set_condition(
        decision.status.conditions_mut(),
        now,
        PROGRESSING,
        true,
        "Transferring",
        "the mover is at work",
    );
}

/// Content, VolumeSnapshot, PVC, mover: each only when the one before is ready, since some drivers retry late what they met unready.
fn expose(decision: &mut Decision, now: Timestamp, limits: &Limits, seen: &Seen) {
    let chain = [
        (&seen.content, Step::CreateContent, "VolumeSnapshotContent"),
        (&seen.snapshot, Step::CreateSnapshot, "VolumeSnapshot"),
    ];
    let mut bytes = None;
    for (child, create, kind) in chain {
        match child {
            Child::Ready { bytes: found } => bytes = found.or(bytes),
            Child::Absent => {
                decision.step(create);
                decision.progressing(now, "Exposing", EXPOSING);
                return;
            }
            Child::Foreign => {
                let message = format!("a {kind} of the name exists");
                decision.fail(now, &Trouble::new(OperatorReason::NameTaken, message));
                return;
            }
            Child::Leaving => {
                decision.progressing(now, "Exposing", "an old object of this run is going away");
                return;
            }
            Child::Pending { error } => {
                if error.is_none() && decision.is_patient(now, "Exposing") {
                    return;
                }
                let message = error.clone().unwrap_or_else(|| format!("waiting for the copy's {kind}"));
                decision.wait_or_fail(now, limits, &Trouble::new(OperatorReason::SnapshotNotReady, message));
                return;
            }
        }
    }
    match &seen.claim {
        Child::Absent => decision.step(Step::CreateClaim { bytes }),
        Child::Foreign => {
            let trouble = Trouble::new(OperatorReason::NameTaken, "a PVC of the name exists");
            decision.fail(now, &trouble);
            return;
        }
        Child::Leaving => {}
        // The mover is the first consumer, so it is made before the PVC is bound.
        Child::Pending { .. } | Child::Ready { .. } => decision.step(Step::CreateJob),
    }
    decision.progressing(now, "Exposing", EXPOSING);
}

fn done(decision: &mut Decision, now: Timestamp, summary: &BackupSummary) {
    let number = |bytes: u64| Some(i64::try_from(bytes).unwrap_or(i64::MAX));
    decision.status.snapshot_id = Some(summary.snapshot_id.clone());
    *decision.status.progress_mut() = Some(RunProgress {
        bytes_done: number(summary.bytes_total),
        bytes_total: number(summary.bytes_total),
        bytes_transferred: number(summary.bytes_uploaded),
        bytes_read: number(summary.bytes_read),
        stage: Some("Done".to_owned()),
    });
    decision.enter(Phase::SnapshotBackupDone);
    decision.queue(BatchingStatus::Completed);
    set_condition(
        decision.status.conditions_mut(),
        now,
        PROGRESSING,
        true,
        "Uploaded",
        "the data is in the repository",
    );
    if summary.trusted_xattrs_unseen {
        let message = "trusted.* attributes, if the volume has any, are not in the restore point: the mover is not privileged to see them";
        let conditions = decision.status.conditions_mut();
        set_condition(conditions, now, LIMITED, true, "TrustedAttributesUnseen", message);
    }
    decision.requeue = Duration::from_secs(1);
}

fn clean_up(decision: &mut Decision, now: Timestamp, seen: &Seen) {
    let gone = seen.leftovers.is_empty();
    if !gone {
        decision.step(Step::Dismantle);
    }
    if ending::complete_without(decision, now, &seen.leftovers, "the restore point is complete") {
        decision.status.completed = Some(true);
        decision.release = gone && seen.finalizer;
    }
}
