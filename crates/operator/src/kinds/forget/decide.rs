//! What to do next for a request to forget. Pure, total, without clock and client.
//!
//! ```text
//!             slot free, a Repository leads to a Secret, the point's run is over
//!   (new) ──► queued ────────────────────────────────► attempting ── the mover says: gone ──► Completed ── TTL ──► removed
//!     │         ▲                                        │
//!     │         └── pause: 30 s, doubled up to 1 h ◄─────┘ anything else; the Job is removed first
//!     │
//!     └── can never succeed (no reference; not in a protected namespace) ──► Failed
//!
//!   deleted in any phase: the Job goes with the request; what is forgotten stays forgotten.
//! ```
//! The status says what shall be, and is written before anything is done about it: an attempt begins with `attempting`, and its Job is made by the
//! pass after. So a killed operator neither counts an attempt twice nor makes two Jobs.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use longshore_api::{ForgetRequestStatus, Phase};
use longshore_job::{ForgetSummary, Outcome, RestorePointReference};

use crate::kinds::attempt::{self, Attempt, foreign_outcome, pause, until};
use crate::mover::MoverState;
use crate::reason::{OperatorReason, Reason, Trouble};
use crate::status::{COMPLETED, FAILED, Limits, PROGRESSING, REQUEUE_MAX, REQUEUE_OVER, set_condition};

/// Pause after the first failure.
const PAUSE_FIRST: SignedDuration = SignedDuration::from_secs(30);
/// Longest pause: what is mended is noticed within the hour.
const PAUSE_LONGEST: SignedDuration = SignedDuration::from_hours(1);

/// How long a request that cannot even begin stays out of the queue; it looks again before, when a Repository changes.
const PAUSE_BLOCKED: SignedDuration = SignedDuration::from_mins(5);

/// How often it is looked whether the point's run, or maintenance, is over. Nothing wakes the request then, and looking reads memory only.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A change to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The mover.
    CreateJob,
    /// Delete the Job and its pods.
    DeleteMover,
    /// Delete the request, whose time is over.
    Remove,
}

/// What the request asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    /// Something that can never be done.
    Never(Trouble),
    /// A point that cannot be forgotten yet: nothing leads to its repository, or something is still at work there.
    NotYet(Trouble),
    /// A point, and the Secret that opens its repository.
    Point {
        /// The point.
        reference: RestorePointReference,
        /// Name of the Secret.
        secret: String,
    },
}

/// Everything a decision may look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The request is being deleted.
    pub deleting: bool,
    /// Its status.
    pub status: ForgetRequestStatus,
    /// What it asks for.
    pub asked: Asked,
    /// It may work now.
    pub has_slot: bool,
    /// Job and pods.
    pub mover: MoverState,
    /// A Job or a pod is there.
    pub leftovers: bool,
    /// Something that keeps the operator from looking.
    pub blocked: Option<Trouble>,
}

/// What the administrator chose.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// How long a pod may be kept from starting.
    pub limits: Limits,
    /// How long a completed request stays.
    pub ttl: SignedDuration,
}

/// What a pass will do: the step first, then the status write.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// A change to the cluster.
    pub step: Option<Step>,
    /// The status as it shall be.
    pub status: ForgetRequestStatus,
    /// Latest time of the next pass.
    pub requeue: Duration,
}

/// What to do next.
pub fn decide(now: Timestamp, terms: &Terms, seen: &Seen) -> Decision {
    let mut decision = Decision { step: None, status: seen.status.clone(), requeue: REQUEUE_MAX };
    if seen.deleting || phase(&seen.status).is_terminal() {
        leave(&mut decision, now, terms, seen);
    } else if let Asked::Never(trouble) = &seen.asked {
        fail(&mut decision, now, trouble);
    } else if let Some(trouble) = &seen.blocked {
        wait(&mut decision.status, now, trouble);
    } else if seen.status.attempting == Some(true) {
        attempt(&mut decision, now, terms, seen);
    } else {
        begin(&mut decision, now, seen);
    }
    decision
}

fn phase(status: &ForgetRequestStatus) -> Phase {
    Phase::parse(status.phase.as_deref())
}

fn conditions(status: &mut ForgetRequestStatus) -> &mut Vec<Condition> {
    status.conditions.get_or_insert_default()
}

/// Withdrawn or over: the Job goes, and a completed request after its time.
fn leave(decision: &mut Decision, now: Timestamp, terms: &Terms, seen: &Seen) {
    decision.requeue = REQUEUE_OVER;
    if seen.leftovers {
        decision.step = Some(Step::DeleteMover);
        decision.requeue = Duration::from_secs(30);
        return;
    }
    let completed = phase(&seen.status) == Phase::Completed;
    let Some(end) = seen.status.completion_timestamp.as_ref().filter(|_| completed && !seen.deleting) else {
        return;
    };
    let removal = end.0.checked_add(terms.ttl).unwrap_or(Timestamp::MAX);
    if now >= removal {
        decision.step = Some(Step::Remove);
    } else {
        decision.requeue = until(now, removal, REQUEUE_OVER);
    }
}

fn fail(decision: &mut Decision, now: Timestamp, trouble: &Trouble) {
    let (reason, text) = (trouble.reason.as_str(), trouble.text());
    let status = &mut decision.status;
    status.phase = Some(Phase::Failed.as_str().to_owned());
    status.attempting = None;
    status.next_attempt_time = None;
    status.completion_timestamp.get_or_insert(Time(now));
    set_condition(conditions(status), now, PROGRESSING, false, reason, &text);
    set_condition(conditions(status), now, FAILED, true, reason, &text);
    decision.requeue = Duration::from_secs(1);
}

/// Says what keeps the request. It looks again after a pause at the latest, and holds no place in the queue until then.
fn wait(status: &mut ForgetRequestStatus, now: Timestamp, trouble: &Trouble) {
    status.phase = Some(Phase::InProgress.as_str().to_owned());
    if status.next_attempt_time.as_ref().is_none_or(|time| time.0 <= now) {
        status.next_attempt_time = now.checked_add(PAUSE_BLOCKED).ok().map(Time);
    }
    set_condition(conditions(status), now, PROGRESSING, true, trouble.reason.as_str(), &trouble.text());
}

/// No attempt is open: the next one begins when its time has come.
fn begin(decision: &mut Decision, now: Timestamp, seen: &Seen) {
    if seen.leftovers {
        decision.step = Some(Step::DeleteMover);
        decision.requeue = Duration::from_secs(30);
        return;
    }
    let status = &mut decision.status;
    if let Asked::NotYet(trouble) = &seen.asked {
        wait(status, now, trouble);
        if trouble.reason != Reason::Operator(OperatorReason::RepositoryNotConfigured) {
            decision.requeue = LOOK_AGAIN;
        }
        return;
    }
    // What was waited for has come: the pause was for it alone.
    use OperatorReason as R;
    let waits = [R::RepositoryNotConfigured, R::BackupNotOver, R::RepositoryInMaintenance];
    let is_waited_for = conditions(status).iter().any(|condition| {
        condition.type_ == PROGRESSING && waits.iter().any(|reason| condition.reason == reason.as_str())
    });
    let pause = status.next_attempt_time.as_ref().map(|time| time.0).filter(|time| *time > now);
    if let Some(end) = pause.filter(|_| !is_waited_for) {
        decision.requeue = until(now, end, REQUEUE_OVER);
        return;
    }
    status.phase = Some(Phase::InProgress.as_str().to_owned());
    status.next_attempt_time = None;
    if seen.has_slot {
        status.attempting = Some(true);
        status.attempts = Some(status.attempts.unwrap_or(0).saturating_add(1));
        set_condition(conditions(status), now, PROGRESSING, true, "Forgetting", "a mover is on its way");
    } else {
        let message = "as many requests as allowed are at work; this one waits";
        set_condition(conditions(status), now, PROGRESSING, true, "Queued", message);
    }
    decision.requeue = Duration::from_secs(1);
}

fn attempt(decision: &mut Decision, now: Timestamp, terms: &Terms, seen: &Seen) {
    let known = seen.status.conditions.as_deref().unwrap_or_default();
    match attempt::read(now, &terms.limits, known, &seen.mover) {
        Attempt::None => match &seen.asked {
            Asked::NotYet(trouble) => {
                decision.status.attempting = None;
                wait(&mut decision.status, now, trouble);
            }
            _ => {
                decision.step = Some(Step::CreateJob);
                decision.requeue = Duration::from_secs(30);
            }
        },
        Attempt::Leaving => decision.requeue = Duration::from_secs(30),
        Attempt::Working { trouble } => {
            let (reason, text) = match trouble {
                Some(trouble) => (trouble.reason.as_str(), trouble.text()),
                None => ("Forgetting", "a mover is at work".to_owned()),
            };
            set_condition(conditions(&mut decision.status), now, PROGRESSING, true, reason, &text);
            decision.requeue = Duration::from_secs(30);
        }
        Attempt::Over(Outcome::Forgotten(summary)) => complete(decision, now, summary),
        Attempt::Over(_) => decision.status = after_failure(now, &seen.status, &foreign_outcome()),
        Attempt::Failed(trouble) => decision.status = after_failure(now, &seen.status, &trouble),
    }
}

fn complete(decision: &mut Decision, now: Timestamp, summary: &ForgetSummary) {
    let message = match summary.already_gone {
        true => "there is no such restore point in the repository (any more)",
        false => "the restore point is deleted; its space comes back with the repository's next maintenance",
    };
    let status = &mut decision.status;
    status.phase = Some(Phase::Completed.as_str().to_owned());
    status.attempting = None;
    status.next_attempt_time = None;
    status.completion_timestamp.get_or_insert(Time(now));
    set_condition(conditions(status), now, PROGRESSING, false, COMPLETED, message);
    set_condition(conditions(status), now, COMPLETED, true, COMPLETED, message);
    decision.requeue = Duration::from_secs(1);
}

/// The status after an attempt that failed, or could not begin: a pause, then the next one. There is no last attempt.
pub fn after_failure(now: Timestamp, seen: &ForgetRequestStatus, trouble: &Trouble) -> ForgetRequestStatus {
    let mut status = seen.clone();
    let pause = pause(status.attempts.unwrap_or(1), PAUSE_FIRST, PAUSE_LONGEST);
    status.attempting = None;
    status.next_attempt_time = now.checked_add(pause).ok().map(Time);
    let (reason, text) = (trouble.reason.as_str(), trouble.text());
    set_condition(conditions(&mut status), now, PROGRESSING, true, reason, &text);
    status
}
