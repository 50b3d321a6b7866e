//! What to do next for a DataDownload. Pure, total, without clock and client.
//!
//! ```text
//!          taken           PVC waits for us          slot free            volume bound to the PVC
//!   (new) ───────► Accepted ─────────────► Prepared ─────────► InProgress ────────────────────► Completed
//!     │               │                       │                    │
//!     │               └───────────────────────┴────────────────────┴──► Failed
//!     │
//!     └── told to end, deleted, or Velero's Restore over, in any phase ──► Canceling ──► Canceled
//!
//!   InProgress: own PVC ─► mover ─► data on the volume (noted) ─► volume kept (Retain) ─► mover gone ─► own PVC gone
//!               ─► volume names the target ─► target names the volume ─► bound ─► volume's own policy again
//!
//!   Failed and Canceled: what was made goes. A volume that is not bound to the target gets policy Delete back, and goes too.
//!   Once it is bound to the target it is the application's: the pass to Completed goes on, whatever is asked.
//! ```

use jiff::{SignedDuration, Timestamp};
use longshore_api::{DataDownloadStatus, DataMovePhase, DataMoveProgress};
use longshore_job::{Outcome, RestoreSummary};

use crate::children::Child;
use crate::kinds::data_move::{
    self, ACCEPTED, CANCEL_LIMIT, CANCELING, DataMoveStatus, PREPARED, RESTARTS, RESTORED, Record, SECRET,
    VOLUME,
};
use crate::mover::MoverState;
use crate::reason::{OperatorReason, Trouble};

/// How often a mover is started again because its result was lost.
const RESTARTS_MAX: u32 = 2;

/// How long it waits.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// For its PVC, and for its mover to start.
    pub prepare: SignedDuration,
    /// For the volume to get to the PVC.
    pub rebind: SignedDuration,
}

/// A change to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// Empty PVC beside the mover.
    CreateClaim,
    /// The mover.
    CreateJob,
    /// Copy progress from the running mover's output into the status.
    FollowProgress,
    /// Delete Job and pods.
    DeleteMover,
    /// Mark the volume and let it outlive its PVC.
    RetainVolume,
    /// Delete our PVC, and not its volume.
    DeleteClaim,
    /// Let the volume name the target, with the labels that the target selects.
    OfferVolume,
    /// Let the target name the volume.
    TouchTarget,
    /// Give the volume its own policy back and take our marks off.
    FinishVolume,
    /// Give the volume back to our PVC that is gone, with policy Delete: it goes.
    RemoveVolume,
    /// Delete Job, pods and PVC, and its volume with it.
    Dismantle,
}

/// Everything a decision may look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// It is being deleted.
    pub deleting: bool,
    /// Status, notes, finalizer.
    pub record: Record<DataDownloadStatus>,
    /// It lives where nobody may have movers: it is refused, and nothing that it names is touched.
    pub outside: Option<Trouble>,
    /// Why it shall end, if it shall.
    pub cancel: Option<String>,
    /// Whether it can be done.
    pub request: Request,
    /// Secret of the repository, when it was looked for.
    pub secret: Option<String>,
    /// It may work now.
    pub has_slot: bool,
    /// The application's PVC.
    pub target: Target,
    /// Our PVC.
    pub claim: Child,
    /// The volume of our PVC, once it is bound.
    pub claim_volume: Option<String>,
    /// Job and pods.
    pub mover: MoverState,
    /// Neither Job nor pod is there.
    pub mover_gone: bool,
    /// The volume with the data; looked for once it is noted.
    pub volume: Volume,
    /// Objects of ours that are there, for messages.
    pub leftovers: Vec<String>,
    /// Something that keeps the operator from looking.
    pub blocked: Option<Trouble>,
    /// Why no mover of the repository may begin now.
    pub busy: Option<Trouble>,
}

/// Whether it can be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Something is wrong that time will not mend.
    Refused(Trouble),
    /// It can.
    Accepted,
}

/// The application's PVC.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// Not there (yet), or going away, or of a class that is not there.
    Missing(Trouble),
    /// No node is selected yet.
    Unused(Trouble),
    /// Of the other volume mode than the restore point.
    Unfit(Trouble),
    /// Waits for its volume.
    Waiting {
        /// It names our volume already.
        names_volume: bool,
    },
    /// Bound to another volume than ours, or about to be.
    Taken,
    /// Bound to our volume.
    Bound,
}

/// The volume with the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volume {
    /// None is noted.
    None,
    /// It was noted and is not there.
    Gone,
    /// Of our PVC.
    Ours {
        /// It is marked and outlives the PVC.
        retained: bool,
    },
    /// Ours once, and told to go now that our PVC is gone.
    Leaving,
    /// Marked, and names the target.
    Offered,
    /// Bound to the target, still marked.
    Delivered,
    /// Bound to the target, or nobody's that we know; no mark of ours.
    Free,
}

/// What a pass over a DataDownload will do.
pub type Plan = data_move::Plan<DataDownloadStatus, Step>;

/// What to do next.
pub fn decide(now: Timestamp, limits: Limits, seen: &Seen) -> Plan {
    let mut plan = Plan::new(&seen.record);
    let phase = seen.record.status.phase();
    if phase.is_terminal() {
        leave(&mut plan, seen);
    } else if let Some(trouble) = &seen.outside {
        plan.fail(now, trouble);
    } else if !seen.record.finalizer {
        // A finalizer cannot be added any more to what is being deleted; nothing of ours is there either.
        if !seen.deleting {
            plan.accept(now);
        }
    } else if is_delivered(seen) {
        deliver(&mut plan, now, limits, seen);
    } else if let Some(why) = &seen.cancel {
        cancel(&mut plan, now, why, seen);
    } else if phase == DataMovePhase::Canceling {
        cancel(&mut plan, now, "canceled", seen);
    } else if let Request::Refused(trouble) = &seen.request {
        plan.fail(now, trouble);
    } else {
        match phase {
            DataMovePhase::Prepared => queue(&mut plan, now, seen),
            DataMovePhase::InProgress if seen.record.notes.text(VOLUME).is_some() => {
                rebind(&mut plan, now, limits, seen);
            }
            DataMovePhase::InProgress => restore(&mut plan, now, limits, seen),
            _ => prepare(&mut plan, now, limits, seen),
        }
    }
    plan
}

fn is_delivered(seen: &Seen) -> bool {
    seen.record.notes.text(VOLUME).is_some()
        && seen.target == Target::Bound
        && matches!(seen.volume, Volume::Delivered | Volume::Free)
}

/// The application has its volume. Our marks come off before that is said, unless somebody keeps them from coming off.
fn deliver(plan: &mut Plan, now: Timestamp, limits: Limits, seen: &Seen) {
    let since = seen.record.notes.time(RESTORED).unwrap_or(now);
    if seen.volume == Volume::Delivered && now.duration_since(since) < limits.rebind * 2 {
        plan.step(Step::FinishVolume);
        plan.again(1);
    } else {
        plan.complete(now);
    }
}

/// Takes away what was made. True if nothing is left.
fn dismantle(plan: &mut Plan, seen: &Seen) -> bool {
    let claim_gone = seen.claim == Child::Absent || seen.claim == Child::Foreign;
    if !seen.leftovers.is_empty() {
        plan.step(Step::Dismantle);
    }
    match seen.volume {
        // With our PVC there, dismantling it takes the volume along.
        Volume::Ours { .. } if claim_gone => plan.step(Step::RemoveVolume),
        Volume::Offered if seen.target != Target::Bound => plan.step(Step::RemoveVolume),
        Volume::Delivered => plan.step(Step::FinishVolume),
        _ => {}
    }
    let volume_gone = matches!(seen.volume, Volume::None | Volume::Gone | Volume::Free);
    seen.leftovers.is_empty() && volume_gone
}

/// Over: nothing stays but the application's volume.
fn leave(plan: &mut Plan, seen: &Seen) {
    if !seen.record.finalizer {
        plan.requeue = crate::status::REQUEUE_OVER;
    } else if dismantle(plan, seen) {
        plan.release();
    } else {
        plan.again(5);
    }
}

fn cancel(plan: &mut Plan, now: Timestamp, why: &str, seen: &Seen) {
    plan.enter(DataMovePhase::Canceling);
    plan.record.notes.set_time(CANCELING, now);
    let since = plan.record.notes.time(CANCELING).unwrap_or(now);
    plan.again(2);
    if dismantle(plan, seen) {
        plan.canceled(now, why);
    } else if now.duration_since(since) >= CANCEL_LIMIT {
        let names = seen.leftovers.join(", ");
        // What is left goes afterwards; a step that is refused must not keep this from being written.
        plan.steps.clear();
        plan.canceled(now, &format!("{why}; still there, and being deleted: volume or {names}"));
    }
}

fn taken(plan: &mut Plan, now: Timestamp) {
    plan.fail(now, &Trouble::new(OperatorReason::TargetPVCBound, "the PVC got another volume"));
}

/// Waits for the PVC that wants the volume.
fn prepare(plan: &mut Plan, now: Timestamp, limits: Limits, seen: &Seen) {
    let since = seen.record.notes.time(ACCEPTED);
    if let Some(trouble) = &seen.blocked {
        plan.wait_or_fail(now, since, limits.prepare, trouble);
        return;
    }
    match &seen.target {
        Target::Missing(trouble) | Target::Unused(trouble) => {
            plan.wait_or_fail(now, since, limits.prepare, trouble);
            plan.again(30);
        }
        Target::Unfit(trouble) => plan.fail(now, trouble),
        Target::Taken | Target::Bound => taken(plan, now),
        Target::Waiting { .. } => {
            plan.enter(DataMovePhase::Prepared);
            if let Some(secret) = &seen.secret {
                plan.record.notes.set(SECRET, secret.clone());
            }
            plan.say("");
            plan.again(1);
        }
    }
}

/// Waits for a slot.
fn queue(plan: &mut Plan, now: Timestamp, seen: &Seen) {
    match &seen.target {
        Target::Taken | Target::Bound => taken(plan, now),
        _ if seen.has_slot => {
            plan.start(now);
            plan.record.notes.set_time(PREPARED, now);
            plan.again(1);
        }
        _ => {}
    }
}

/// From nothing to data on the volume.
fn restore(plan: &mut Plan, now: Timestamp, limits: Limits, seen: &Seen) {
    if matches!(seen.target, Target::Taken | Target::Bound) {
        taken(plan, now);
        return;
    }
    match &seen.mover {
        MoverState::Absent => expose(plan, now, limits, seen),
        MoverState::Leaving => {}
        MoverState::Starting { trouble } => {
            let unbound = match &seen.claim {
                Child::Pending { error: Some(error) } => {
                    Some(Trouble::new(OperatorReason::PVCNotBound, error.clone()))
                }
                _ => None,
            };
            hold(plan, now, limits, seen, unbound.as_ref().or(trouble.as_ref()));
        }
        MoverState::Running { .. } => {
            plan.step(Step::FollowProgress);
            plan.record.status.progress.get_or_insert_default();
            plan.say("");
        }
        MoverState::Retrying { trouble } => plan.say(&data_move::text(trouble)),
        MoverState::Succeeded(Outcome::Restored(summary)) => restored(plan, now, summary, seen),
        MoverState::Succeeded(_) | MoverState::ResultLost => result_lost(plan, now, seen),
        MoverState::Failed { trouble, .. } => plan.fail(now, trouble),
    }
}

fn expose(plan: &mut Plan, now: Timestamp, limits: Limits, seen: &Seen) {
    if let Target::Missing(trouble) = &seen.target {
        // There is nothing to make ours like, nor anybody to give it to.
        hold(plan, now, limits, seen, Some(trouble));
        return;
    }
    if let Some(trouble) = &seen.busy {
        plan.again(15);
        hold(plan, now, limits, seen, Some(trouble));
        return;
    }
    match &seen.claim {
        Child::Foreign => {
            let message = "a PVC with the name of a temporary object exists";
            plan.fail(now, &Trouble::new(OperatorReason::NameTaken, message));
            return;
        }
        Child::Leaving => plan.again(5),
        Child::Absent => plan.step(Step::CreateClaim),
        // The mover is the first consumer, so it is made before the PVC is bound.
        Child::Pending { .. } | Child::Ready { .. } => plan.step(Step::CreateJob),
    }
    plan.again(5);
    hold(plan, now, limits, seen, None);
    if plan.record.status.phase().is_terminal() {
        plan.steps.clear();
    }
}

/// No mover works yet: shows why, and fails in time with that. One that has worked begins again within the Job's own bounds.
fn hold(plan: &mut Plan, now: Timestamp, limits: Limits, seen: &Seen, trouble: Option<&Trouble>) {
    let others = [OperatorReason::MoverWaitsForNode, OperatorReason::RepositoryInMaintenance];
    let others_first = |one: &&Trouble| others.iter().any(|other| other.as_str() == one.reason.as_str());
    if let Some(full) = trouble.filter(others_first) {
        plan.record.notes.remove(PREPARED);
        plan.say(&data_move::text(full));
        return;
    }
    plan.record.notes.set_time(PREPARED, now);
    let status = &seen.record.status;
    let waited = now.duration_since(plan.record.notes.time(PREPARED).unwrap_or(now));
    let known = trouble.map(data_move::text).or_else(|| status.message.clone()).unwrap_or_default();
    if status.progress.is_none() && waited >= limits.prepare {
        let cause = if known.is_empty() { "no cause is known" } else { known.as_str() };
        let message = format!("the mover has not started: {cause}");
        plan.fail(now, &Trouble::new(OperatorReason::PrepareTimeout, message));
    } else {
        plan.say(&known);
        plan.again(30);
    }
}

/// The mover is deleted by the next pass: were it gone before this is written, it would have to run again.
fn restored(plan: &mut Plan, now: Timestamp, summary: &RestoreSummary, seen: &Seen) {
    let Some(volume) = &seen.claim_volume else {
        let message = "the PVC that was restored to names no volume";
        plan.fail(now, &Trouble::new(OperatorReason::RebindFailed, message));
        return;
    };
    let bytes = Some(i64::try_from(summary.bytes_total).unwrap_or(i64::MAX));
    plan.record.status.progress = Some(DataMoveProgress { total_bytes: bytes, bytes_done: bytes });
    plan.record.notes.set(VOLUME, volume.clone());
    plan.record.notes.set_time(RESTORED, now);
    plan.say("");
    plan.again(1);
}

fn result_lost(plan: &mut Plan, now: Timestamp, seen: &Seen) {
    let restarts: u32 = seen.record.notes.text(RESTARTS).and_then(|text| text.parse().ok()).unwrap_or(0);
    if restarts >= RESTARTS_MAX {
        let message = format!("the mover's result was lost {} times", restarts + 1);
        plan.fail(now, &Trouble::new(OperatorReason::MoverResultLost, message));
    } else {
        plan.step(Step::DeleteMover);
        plan.record.notes.set(RESTARTS, (restarts + 1).to_string());
        plan.again(5);
    }
}

/// From data on the volume to a volume of the application.
fn rebind(plan: &mut Plan, now: Timestamp, limits: Limits, seen: &Seen) {
    let since = seen.record.notes.time(RESTORED).unwrap_or(now);
    let failed = |message: &str| Trouble::new(OperatorReason::RebindFailed, message);
    let waits = match (&seen.target, seen.volume) {
        (Target::Taken, _) | (Target::Bound, Volume::Gone | Volume::None) => {
            taken(plan, now);
            return;
        }
        (_, Volume::Gone) => {
            plan.fail(now, &failed("the restored volume is gone"));
            return;
        }
        (_, Volume::Leaving | Volume::Free) => {
            plan.fail(now, &failed("somebody else gave the restored volume away"));
            return;
        }
        (Target::Missing(trouble), _) => trouble.clone(),
        _ => failed("the cluster does not bind the restored volume to the PVC"),
    };
    if now.duration_since(since) >= limits.rebind {
        plan.fail(now, &waits);
        return;
    }
    plan.again(2);
    match seen.volume {
        Volume::Ours { retained: false } => plan.step(Step::RetainVolume),
        _ if !seen.mover_gone => plan.step(Step::DeleteMover),
        _ if seen.claim == Child::Leaving => {}
        _ if !matches!(seen.claim, Child::Absent | Child::Foreign) => plan.step(Step::DeleteClaim),
        // Without a target to give it to it is not offered to a name.
        _ if matches!(seen.target, Target::Missing(_)) => plan.say(&data_move::text(&waits)),
        Volume::Ours { retained: true } => plan.step(Step::OfferVolume),
        // The volume names its PVC first: so nothing else can get in between.
        Volume::Offered if matches!(seen.target, Target::Waiting { names_volume: false }) => {
            plan.step(Step::TouchTarget);
        }
        _ => {}
    }
}
