//! What to do next for a Repository. Pure, total, without clock and client.
//!
//! ```text
//!                 due by schedule, asked for by annotation,
//!                 or the pause after a failure is over
//!   Ready ────────────────────────────────────────────────► Maintaining ── the mover reports ──► Ready
//!   Degraded ─────────────────────────────────────────────►     │                                  or Degraded: damage was found
//!     ▲                                                         │
//!     └── failed: a pause of 5 min, doubled up to 6 h ◄─────────┤
//!     └── suspended, or not configured any more ◄───────────────┘
//!
//!   On a volume maintenance is alone: in Maintaining it waits for the movers at work, and no others begin (`repository_volume.rs`).
//!   The Job exists in Maintaining only; in every other phase, and when the Repository is deleted, it is removed. Data stays.
//! ```
//! The status says what shall be, and is written before anything is done about it: `Maintaining` first, the Job by the pass after. So a killed
//! operator does not run one maintenance twice.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use longshore_api::RepositoryStatus;
use longshore_job::{
    AbandonedSummary, CheckSummary, MaintenanceSummary, Outcome, Reason as MoverReason, VELERO_BACKUP_LABEL,
};

use super::{ABANDONED, CHECKED, MAINTAINED, READY, is_degraded};
use crate::kinds::attempt::{self, Attempt, foreign_outcome, pause, until};
use crate::mover::MoverState;
use crate::reason::{Reason, Trouble};
use crate::status::{Limits, PROGRESSING, REQUEUE_OVER, set_condition};

const MAINTAINING: &str = RepositoryStatus::MAINTAINING;
const PAUSE_FIRST: SignedDuration = SignedDuration::from_mins(5);
/// Shorter than a day, so that a daily maintenance is tried several times before the next.
const PAUSE_LONGEST: SignedDuration = SignedDuration::from_hours(6);

/// A change to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The mover.
    CreateJob,
    /// Delete the Job and its pods.
    DeleteMover,
}

/// Everything a decision may look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// The Repository is being deleted.
    pub deleting: bool,
    /// Generation of its specification.
    pub generation: Option<i64>,
    /// Its status.
    pub status: RepositoryStatus,
    /// Maintenance is not wanted.
    pub suspended: bool,
    /// When maintenance is due by the schedule; or what is wrong with the specification.
    pub due: Result<Option<Timestamp>, Trouble>,
    /// Value of the annotation that asks for a maintenance.
    pub request: Option<String>,
    /// Job and pods.
    pub mover: MoverState,
    /// A Job or a pod is there.
    pub leftovers: bool,
    /// Something that keeps the operator from looking.
    pub blocked: Option<Trouble>,
    /// Movers of this repository that must end first, which is so on a volume only.
    pub others_at_work: usize,
}

/// What a pass will do: the step first, then the status write.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// A change to the cluster.
    pub step: Option<Step>,
    /// The status as it shall be.
    pub status: RepositoryStatus,
    /// Latest time of the next pass.
    pub requeue: Duration,
}

/// What to do next.
pub fn decide(now: Timestamp, limits: &Limits, seen: &Seen) -> Decision {
    let mut decision = Decision { step: None, status: seen.status.clone(), requeue: REQUEUE_OVER };
    if seen.deleting {
        remove_mover(&mut decision, seen);
        return decision;
    }
    if seen.status.observed_generation != seen.generation {
        decision.status.observed_generation = seen.generation;
        // What failed may be mended.
        decision.status.retry_time = None;
    }
    let may_run = set_ready(&mut decision.status, now, seen);
    let maintaining = seen.status.is_maintaining();
    match (maintaining, may_run) {
        (true, Some(_)) => attempt(&mut decision, now, limits, seen),
        (true, None) => {
            // The Job goes with the next pass, which sees another phase.
            idle(&mut decision.status, now, "Stopped", "maintenance was stopped");
            decision.requeue = Duration::from_secs(1);
        }
        (false, _) if seen.leftovers => remove_mover(&mut decision, seen),
        (false, Some(due)) => begin(&mut decision, now, due, seen),
        (false, None) => decision.status.next_maintenance_time = None,
    }
    if !decision.status.is_maintaining() {
        settle(&mut decision.status);
    }
    decision
}

fn conditions(status: &mut RepositoryStatus) -> &mut Vec<Condition> {
    status.conditions.get_or_insert_default()
}

fn remove_mover(decision: &mut Decision, seen: &Seen) {
    if seen.leftovers {
        decision.step = Some(Step::DeleteMover);
        decision.requeue = Duration::from_secs(30);
    }
}

/// Leaves `Maintaining`.
fn idle(status: &mut RepositoryStatus, now: Timestamp, reason: &str, message: &str) {
    status.phase = None;
    set_condition(conditions(status), now, PROGRESSING, false, reason, message);
}

/// The phase at rest follows from the conditions.
fn settle(status: &mut RepositoryStatus) {
    let phase = if is_degraded(status) { "Degraded" } else { "Ready" };
    status.phase = Some(phase.to_owned());
}

/// Writes the condition `Ready`. If maintenance may run, returns when it is due by the schedule.
fn set_ready(status: &mut RepositoryStatus, now: Timestamp, seen: &Seen) -> Option<Option<Timestamp>> {
    let conditions = conditions(status);
    let due = match (&seen.blocked, &seen.due) {
        (Some(trouble), _) | (None, Err(trouble)) => {
            set_condition(conditions, now, READY, false, trouble.reason.as_str(), &trouble.text());
            return None;
        }
        (None, Ok(due)) => *due,
    };
    if seen.suspended {
        let message = "maintenance is suspended; backups and restores go on";
        set_condition(conditions, now, READY, true, "Suspended", message);
        return None;
    }
    set_condition(conditions, now, READY, true, "Configured", "the repository can be used and maintained");
    Some(due)
}

/// No maintenance is at work: the next one begins when its time has come.
fn begin(decision: &mut Decision, now: Timestamp, due: Option<Timestamp>, seen: &Seen) {
    let status = &mut decision.status;
    let is_asked = seen.request.is_some() && seen.request != status.last_maintenance_request;
    let next = status.retry_time.as_ref().map(|time| time.0).or(due);
    if !is_asked && next.is_none_or(|next| next > now) {
        status.next_maintenance_time = next.map(Time);
        if let Some(next) = next {
            decision.requeue = until(now, next, REQUEUE_OVER);
        }
        return;
    }
    if is_asked {
        status.last_maintenance_request = seen.request.clone();
    }
    status.phase = Some(MAINTAINING.to_owned());
    status.retry_time = None;
    status.next_maintenance_time = None;
    set_condition(conditions(status), now, PROGRESSING, true, MAINTAINING, "a mover is on its way");
    decision.requeue = Duration::from_secs(1);
}

fn attempt(decision: &mut Decision, now: Timestamp, limits: &Limits, seen: &Seen) {
    let known = seen.status.conditions.as_deref().unwrap_or_default();
    decision.requeue = Duration::from_secs(30);
    match attempt::read(now, limits, known, &seen.mover) {
        Attempt::None if seen.others_at_work > 0 => {
            let message = format!("waits for the end of {} movers; no others begin", seen.others_at_work);
            set_condition(
                conditions(&mut decision.status),
                now,
                PROGRESSING,
                true,
                "WaitsForMovers",
                &message,
            );
            decision.requeue = Duration::from_secs(10);
        }
        Attempt::None => decision.step = Some(Step::CreateJob),
        Attempt::Leaving => {}
        Attempt::Working { trouble } => {
            let (reason, text) = match trouble {
                Some(trouble) => (trouble.reason.as_str(), trouble.text()),
                None => (MAINTAINING, "a mover is at work".to_owned()),
            };
            set_condition(conditions(&mut decision.status), now, PROGRESSING, true, reason, &text);
        }
        Attempt::Over(Outcome::Maintained(summary)) => {
            done(&mut decision.status, now, summary);
            decision.requeue = Duration::from_secs(1);
        }
        Attempt::Over(_) => fail(decision, now, &foreign_outcome()),
        Attempt::Failed(trouble) => fail(decision, now, &trouble),
    }
}

fn fail(decision: &mut Decision, now: Timestamp, trouble: &Trouble) {
    decision.status = after_failure(now, &decision.status, trouble);
    decision.requeue = Duration::from_secs(1);
}

/// The status after a maintenance that failed, or could not begin: a pause, then the next try.
pub fn after_failure(now: Timestamp, seen: &RepositoryStatus, trouble: &Trouble) -> RepositoryStatus {
    let mut status = seen.clone();
    let failures = status.maintenance_failures.unwrap_or(0).max(0).saturating_add(1);
    status.maintenance_failures = Some(failures);
    status.retry_time = now.checked_add(pause(failures, PAUSE_FIRST, PAUSE_LONGEST)).ok().map(Time);
    let (reason, text) = (trouble.reason.as_str(), trouble.text());
    idle(&mut status, now, reason, &text);
    set_condition(conditions(&mut status), now, MAINTAINED, false, reason, &text);
    settle(&mut status);
    status
}

fn done(status: &mut RepositoryStatus, now: Timestamp, summary: &MaintenanceSummary) {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    status.last_maintenance_time = Some(Time(now));
    status.maintenance_failures = None;
    status.size_bytes = Some(number(summary.repository_bytes));
    status.restore_points = Some(number(summary.restore_points));
    status.forgotten = Some(number(summary.forgotten));
    idle(status, now, "Idle", "no maintenance is at work");
    let freed = match summary.forgotten {
        0 => format!("{} bytes were given back", summary.bytes_freed),
        points => {
            format!("{points} restore points were forgotten, {} bytes were given back", summary.bytes_freed)
        }
    };
    let (reason, message) = match summary.waiting_sessions {
        0 => (MAINTAINED, freed),
        waiting => {
            ("SessionsWaiting", format!("{freed}; the rest waits for {waiting} backups or restores at work"))
        }
    };
    set_condition(conditions(status), now, MAINTAINED, true, reason, &message);
    set_abandoned(status, now, summary.abandoned.as_ref());
    if let Some(check) = &summary.check {
        status.checks = Some(status.checks.unwrap_or(0).saturating_add(1));
        set_checked(status, now, check);
    }
}

/// Points whose Velero Backup vanished go by name only: whoever reads this decides.
fn set_abandoned(status: &mut RepositoryStatus, now: Timestamp, found: Option<&AbandonedSummary>) {
    let Some(found) = found else {
        conditions(status).retain(|condition| condition.type_ != ABANDONED);
        return;
    };
    if found.restore_points == 0 {
        let message = "every restore point that was made for a Velero Backup has its Backup";
        set_condition(conditions(status), now, ABANDONED, false, "None", message);
        return;
    }
    let message = format!(
        "{} restore points were made for Velero Backups that are not in this cluster any more: {}. `longshore snapshots --label \
         {VELERO_BACKUP_LABEL}=NAME` lists those of one; a ForgetRequest deletes a point by its reference",
        found.restore_points,
        found.backups.join(", "),
    );
    set_condition(conditions(status), now, ABANDONED, true, "BackupsVanished", &message);
}

fn set_checked(status: &mut RepositoryStatus, now: Timestamp, check: &CheckSummary) {
    if check.problems == 0 {
        status.last_check_time = Some(Time(now));
        let message = format!("no problems; {} bytes of data were read", check.bytes_read);
        set_condition(conditions(status), now, CHECKED, true, "Sound", &message);
        return;
    }
    let reason = Reason::Mover(MoverReason::RepositoryDamaged);
    let message = format!(
        "{} problems, {} restore points cannot be restored whole; first: {}",
        check.problems, check.damaged_restore_points, check.first_problem
    );
    let text = Trouble { reason, message }.text();
    set_condition(conditions(status), now, CHECKED, false, reason.as_str(), &text);
}
