//! What to do next for a restore. Pure, total, without clock and client.
//!
//! ```text
//!           accepted            slot free           data on the volume      snapshot ready, kept       target bound
//!   (new) ──────────► InProgress ────────► InProgress ─────────────► InProgress ────────► SnapshotRestoreDone ──► Cleanup ──► Completed
//!     │                Queued               Processing               Processing                Completed                gone
//!     │                                    PVC, mover           mover gone, VolumeSnapshot    handle published
//!     └────────────────────┴────────────────────┴────────────────────────┴──► Failed
//!
//!   deleted in any phase: what is temporary goes, then the finalizer. Before the handle is published the snapshot goes too; after that it
//!   stays for whoever may use it, and its keeper lets it go in time.
//! ```

use std::time::Duration;

use jiff::Timestamp;
use longshore_api::{BatchingStatus, Phase, RunProgress, VolumeSnapshotRestoreStatus};
use longshore_job::{Outcome, RestoreSummary};

use crate::children::Child;
use crate::kinds::{ending, waiting};
use crate::mover::MoverState;
use crate::reason::{OperatorReason, Trouble};
use crate::status::{Limits, PROGRESSING, REQUEUE_OVER, RunStatus, TARGET_BOUND, overdue, set_condition};
use crate::velero::{self, Requester};

/// A change to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Make the run wait for us when it is deleted.
    AddFinalizer,
    /// Empty PVC in the protected namespace.
    CreateClaim,
    /// The mover.
    CreateJob,
    /// Copy progress from the running mover's output into the status.
    FollowProgress,
    /// Delete the Job and its pods.
    DeleteMover,
    /// VolumeSnapshot of the restored volume.
    CreateSnapshot,
    /// Make the snapshot's content ours and let it outlive its VolumeSnapshot.
    AdoptResult,
    /// Remember the snapshot until it may be deleted.
    CreateKeeper,
    /// Content for the target.
    CreateTargetContent,
    /// VolumeSnapshot for the target.
    CreateTargetSnapshot,
    /// The application's PVC.
    CreateTargetClaim {
        /// What the snapshot needs at least.
        bytes: Option<i64>,
    },
    /// Delete content and VolumeSnapshot of the target, never the PVC.
    DismantleTarget,
    /// Delete every temporary object, and a snapshot that was not published.
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
    pub status: VolumeSnapshotRestoreStatus,
    /// Whether the run can be done; looked at only while that matters.
    pub request: Request,
    /// The Velero object that asked for the run; looked for only while that matters.
    pub requester: Requester,
    /// The run may work now.
    pub has_slot: bool,
    /// PVC in the protected namespace.
    pub claim: Child,
    /// Storage request of that PVC, in bytes.
    pub request_bytes: Option<i64>,
    /// Job and pods.
    pub mover: MoverState,
    /// Neither Job nor pod is there.
    pub mover_gone: bool,
    /// VolumeSnapshot of the restored volume.
    pub snapshot: Child,
    /// Its content.
    pub result: Option<ResultContent>,
    /// The keeper is there.
    pub keeper: Child,
    /// The application's PVC.
    pub target: Target,
    /// Objects that must go, for messages.
    pub leftovers: Vec<String>,
    /// Content and VolumeSnapshot of the target that are there.
    pub target_leftovers: Vec<String>,
    /// Something that keeps the operator from looking.
    pub blocked: Option<Trouble>,
}

/// Whether the run can be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Not looked at.
    Unknown,
    /// Something is wrong that time will not mend.
    Refused(Trouble),
    /// Something is missing that may still come.
    Missing(Trouble),
    /// It can.
    Accepted,
}

/// Content of the restored volume's snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultContent {
    /// Name of the content.
    pub name: String,
    /// The storage's name of the snapshot, once it is ready to use.
    pub ready_handle: Option<String>,
    /// Smallest volume that can be made from it.
    pub bytes: Option<i64>,
    /// It carries our label and is kept when its VolumeSnapshot goes.
    pub adopted: bool,
}

/// The application's PVC, if one is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Not asked for.
    Unwanted,
    /// Asked for.
    Wanted {
        /// Its content.
        content: Child,
        /// Its VolumeSnapshot.
        snapshot: Child,
        /// The PVC.
        claim: Child,
        /// Its class binds only when a pod uses it.
        waits_for_consumer: bool,
    },
}

/// What a pass over a restore will do.
pub type Decision = crate::status::Decision<VolumeSnapshotRestoreStatus, Step>;

const EXPOSING: &str = "making a volume in the protected namespace";

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
    {
        stop(&mut decision, now, seen, &trouble);
        return decision;
    }
    if let Some(trouble) = &seen.blocked {
        decision.wait_or_fail(now, limits, trouble);
        return decision;
    }
    if let Some(trouble) = overdue(now, limits, &seen.status) {
        decision.fail(now, &trouble);
        return decision;
    }
    if let (Phase::InProgress, Request::Refused(trouble)) = (phase, &seen.request) {
        // The operator was started again with other flags: what it would refuse now it does not finish.
        decision.fail(now, trouble);
        return decision;
    }
    match phase {
        Phase::New => accept(&mut decision, now, limits, seen),
        Phase::InProgress if seen.status.batching().is_none() => accept(&mut decision, now, limits, seen),
        Phase::InProgress if seen.status.batching() == Some(BatchingStatus::Processing) => {
            if seen.status.snapshot_id.is_none() {
                restore(&mut decision, now, limits, seen);
            } else {
                publish(&mut decision, now, limits, seen);
            }
        }
        Phase::InProgress => decision.take_place(now, seen.has_slot, EXPOSING),
        Phase::SnapshotRestoreDone => deliver(&mut decision, now, limits, seen),
        _ => clean_up(&mut decision, now, seen),
    }
    decision
}

/// Deleted or over: nothing stays but what was published.
fn leave(decision: &mut Decision, seen: &Seen) {
    let handed_over = matches!(
        &seen.target,
        Target::Wanted { claim: Child::Pending { .. } | Child::Ready { .. } | Child::Leaving, .. }
    );
    if !seen.leftovers.is_empty() {
        decision.step(Step::Dismantle);
    }
    // While the application's PVC is being made its content must stay; the keeper takes both away.
    if !seen.target_leftovers.is_empty() && !handed_over {
        decision.step(Step::DismantleTarget);
    }
    if decision.steps.is_empty() {
        decision.release = seen.finalizer;
        decision.requeue = REQUEUE_OVER;
    } else {
        decision.requeue = Duration::from_secs(30);
    }
}

/// Nobody would use what the run makes: the mover goes first, so that whoever gets the slot does not share it.
fn stop(decision: &mut Decision, now: Timestamp, seen: &Seen, trouble: &Trouble) {
    if seen.mover_gone {
        decision.fail(now, trouble);
    } else {
        decision.step(Step::DeleteMover);
        decision.progressing(now, "Stopping", &trouble.message);
    }
}

fn accept(decision: &mut Decision, now: Timestamp, limits: &Limits, seen: &Seen) {
    match &seen.request {
        Request::Refused(trouble) => decision.fail(now, trouble),
        Request::Missing(trouble) => decision.accept_later(now, limits, trouble),
        Request::Unknown => decision.requeue = Duration::from_secs(1),
        Request::Accepted => decision.accept(now),
    }
}

fn progressing(decision: &mut Decision, now: Timestamp, reason: &str, message: &str) {
    set_condition(decision.status.conditions_mut(), now, PROGRESSING, true, reason, message);
}

fn name_taken(decision: &mut Decision, now: Timestamp, kind: &str) {
    let message = format!("a {kind} with the name of a temporary object exists");
    decision.fail(now, &Trouble::new(OperatorReason::NameTaken, message));
}

/// From nothing to data on the volume.
fn restore(decision: &mut Decision, now: Timestamp, limits: &Limits, seen: &Seen) {
    match &seen.mover {
        MoverState::Absent => match &seen.claim {
            Child::Foreign => name_taken(decision, now, "PVC"),
            Child::Leaving => {}
            child => {
                let absent = *child == Child::Absent;
                decision.step(if absent { Step::CreateClaim } else { Step::CreateJob });
                decision.progressing(now, "Exposing", EXPOSING);
            }
        },
        MoverState::Leaving => {}
        MoverState::Starting { trouble } => {
            waiting::for_start(decision, now, limits, &seen.claim, trouble.as_ref());
        }
        MoverState::Running { .. } => {
            decision.step(Step::FollowProgress);
            progressing(decision, now, "Transferring", "the mover is at work");
        }
        MoverState::Retrying { trouble } => waiting::for_retry(decision, now, trouble),
        MoverState::Succeeded(Outcome::Restored(summary)) => restored(decision, now, summary),
        MoverState::Succeeded(_) | MoverState::ResultLost => {
            decision.step(Step::DeleteMover);
            ending::result_lost(decision, now);
        }
        MoverState::Failed { trouble, .. } => decision.fail(now, trouble),
    }
}

fn restored(decision: &mut Decision, now: Timestamp, summary: &RestoreSummary) {
    let number = |bytes: u64| Some(i64::try_from(bytes).unwrap_or(i64::MAX));
    decision.status.snapshot_id = Some(summary.snapshot_id.clone());
    decision.status.progress = Some(RunProgress {
        bytes_done: number(summary.bytes_total),
        bytes_total: number(summary.bytes_total),
        bytes_transferred: number(summary.bytes_downloaded),
        bytes_read: None,
        stage: Some("Done".to_owned()),
    });
    // The mover is deleted by the next pass: were it gone before this is written, it would have to run again.
    decision.requeue = Duration::from_secs(1);
    progressing(decision, now, "TakingSnapshot", "the data is on the volume; its snapshot is being taken");
}

/// From data on the volume to a handle that others may use.
fn publish(decision: &mut Decision, now: Timestamp, limits: &Limits, seen: &Seen) {
    if !seen.mover_gone {
        // The volume must be detached first: only then is everything that was written in the snapshot.
        decision.step(Step::DeleteMover);
        return;
    }
    let not_ready = |error: Option<&String>| {
        let message =
            error.cloned().unwrap_or_else(|| "waiting for the snapshot of the restored volume".into());
        Trouble::new(OperatorReason::SnapshotNotReady, message)
    };
    match &seen.snapshot {
        Child::Absent => {
            match &seen.request {
                Request::Refused(trouble) => decision.fail(now, trouble),
                Request::Missing(trouble) => decision.wait_or_fail(now, limits, trouble),
                Request::Unknown => decision.requeue = Duration::from_secs(1),
                Request::Accepted => decision.step(Step::CreateSnapshot),
            }
            return;
        }
        Child::Foreign => {
            name_taken(decision, now, "VolumeSnapshot");
            return;
        }
        Child::Leaving => {
            decision
                .fail(now, &not_ready(Some(&"the snapshot of the restored volume was deleted".to_owned())));
            return;
        }
        Child::Pending { .. } | Child::Ready { .. } => {}
    }
    let error = if let Child::Pending { error } = &seen.snapshot { error.as_ref() } else { None };
    let Some(result) = &seen.result else {
        if error.is_some() || !decision.is_patient(now, "TakingSnapshot") {
            decision.wait_or_fail(now, limits, &not_ready(error));
        }
        return;
    };
    if !result.adopted {
        decision.step(Step::AdoptResult);
        return;
    }
    let (Some(handle), Child::Ready { .. }) = (&result.ready_handle, &seen.snapshot) else {
        if error.is_some() || !decision.is_patient(now, "TakingSnapshot") {
            decision.wait_or_fail(now, limits, &not_ready(error));
        }
        return;
    };
    if let Some(trouble) = too_large(seen, result) {
        decision.fail(now, &trouble);
        return;
    }
    match seen.keeper {
        Child::Absent => decision.step(Step::CreateKeeper),
        Child::Foreign => name_taken(decision, now, "VolumeSnapshotContent"),
        _ => {
            decision.status.snapshot_handle = Some(handle.clone());
            decision.status.volume_snapshot_content_name = Some(result.name.clone());
            decision.enter(Phase::SnapshotRestoreDone);
            decision.queue(BatchingStatus::Completed);
            progressing(decision, now, "SnapshotRestored", "the restored snapshot is published");
            decision.requeue = Duration::from_secs(1);
        }
    }
}

/// A snapshot that needs more than the storage made of the source's request would leave the application's PVC pending for ever.
fn too_large(seen: &Seen, result: &ResultContent) -> Option<Trouble> {
    if seen.target != Target::Unwanted {
        return None;
    }
    let capacity = if let Child::Ready { bytes } = seen.claim { bytes } else { None };
    let (needed, offered) = (result.bytes?, capacity.max(seen.request_bytes)?);
    (needed > offered).then(|| {
        let message =
            format!("a volume from the snapshot needs {needed} bytes, the source's request gives {offered}");
        Trouble::new(OperatorReason::RestoreSizeMismatch, message)
    })
}

/// The application's PVC, if one is asked for; temporary objects go meanwhile.
fn deliver(decision: &mut Decision, now: Timestamp, limits: &Limits, seen: &Seen) {
    if !seen.leftovers.is_empty() {
        decision.step(Step::Dismantle);
    }
    if deliver_target(decision, now, limits, seen) {
        decision.enter(Phase::Cleanup);
        progressing(decision, now, "CleaningUp", "temporary objects are being removed");
        decision.requeue = Duration::from_secs(1);
    }
}

/// True when there is nothing more to do for the target.
fn deliver_target(decision: &mut Decision, now: Timestamp, limits: &Limits, seen: &Seen) -> bool {
    let Target::Wanted { content, snapshot, claim, waits_for_consumer } = &seen.target else { return true };
    let bound = |decision: &mut Decision, status: bool, reason: &str, message: &str| {
        set_condition(decision.status.conditions_mut(), now, TARGET_BOUND, status, reason, message);
    };
    match claim {
        Child::Ready { .. } => {
            bound(decision, true, "Bound", "the application's PVC is bound");
            if !seen.target_leftovers.is_empty() {
                decision.step(Step::DismantleTarget);
                decision.requeue = Duration::from_secs(30);
            }
            seen.target_leftovers.is_empty()
        }
        Child::Pending { .. } if *waits_for_consumer => {
            bound(
                decision,
                false,
                "WaitForFirstConsumer",
                "the application's PVC is bound when a pod uses it",
            );
            true
        }
        Child::Pending { error } => {
            let message =
                error.clone().unwrap_or_else(|| "waiting for the application's PVC to be bound".into());
            decision.wait_or_fail(now, limits, &Trouble::new(OperatorReason::TargetNotBound, message));
            false
        }
        // Somebody deletes the PVC that we made: their will.
        Child::Leaving => true,
        Child::Foreign => {
            let message = "a PVC with the target's name came into being meanwhile";
            decision.fail(now, &Trouble::new(OperatorReason::TargetPVCExists, message));
            false
        }
        Child::Absent => {
            make_target(decision, now, limits, content, snapshot);
            false
        }
    }
}

fn make_target(decision: &mut Decision, now: Timestamp, limits: &Limits, content: &Child, snapshot: &Child) {
    let mut needed = None;
    for (child, create) in [(content, Step::CreateTargetContent), (snapshot, Step::CreateTargetSnapshot)] {
        match child {
            Child::Ready { bytes } => needed = bytes.or(needed),
            Child::Absent => {
                decision.step(create);
                decision.progressing(
                    now,
                    "DeliveringTarget",
                    "making the application's PVC from the snapshot",
                );
                return;
            }
            Child::Foreign => {
                name_taken(decision, now, "snapshot object");
                return;
            }
            Child::Leaving => return,
            Child::Pending { error } => {
                if error.is_none() && decision.is_patient(now, "DeliveringTarget") {
                    return;
                }
                let message =
                    error.clone().unwrap_or_else(|| "waiting for the target's snapshot objects".into());
                decision.wait_or_fail(now, limits, &Trouble::new(OperatorReason::SnapshotNotReady, message));
                return;
            }
        }
    }
    decision.step(Step::CreateTargetClaim { bytes: needed });
    decision.progressing(now, "DeliveringTarget", "making the application's PVC from the snapshot");
}

fn clean_up(decision: &mut Decision, now: Timestamp, seen: &Seen) {
    let gone = seen.leftovers.is_empty();
    if !gone {
        decision.step(Step::Dismantle);
    }
    if ending::complete_without(decision, now, &seen.leftovers, "the restored snapshot is published") {
        decision.release = gone && seen.finalizer;
    }
}
