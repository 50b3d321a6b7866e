//! The status that both kinds of run share, and how decisions change it. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use longshore_api::{
    BatchingStatus, Phase, RunProgress, VolumeSnapshotBackupStatus, VolumeSnapshotRestoreStatus,
};

use crate::reason::{OperatorReason, Reason, Trouble};

/// Condition: the run is at work, or waits; its reason says for what.
pub const PROGRESSING: &str = "Progressing";
/// Condition: the run is over, with its result.
pub const COMPLETED: &str = "Completed";
/// Condition: the run is over, without one.
pub const FAILED: &str = "Failed";
/// Condition of the contract: True/Complete or False/Error, written together with the terminal phase only, because tools take any other
/// False for the end.
pub const RECONCILED: &str = "Reconciled";
/// Condition of a backup: the restore point lacks what its mover could not see.
pub const LIMITED: &str = "Limited";
/// Condition of a restore: the application's PVC is bound.
pub const TARGET_BOUND: &str = "TargetBound";

/// A pass without news comes after this time at the latest, since a watch may miss something. It reads memory only.
pub const REQUEUE_MAX: Duration = Duration::from_secs(60);
/// The same for a run that is over and has nothing left to remove.
pub const REQUEUE_OVER: Duration = Duration::from_secs(3_600);

/// Status fields that both kinds have.
pub trait RunStatus: Clone + Default + PartialEq + serde::Serialize {
    /// `status.phase`.
    fn phase_mut(&mut self) -> &mut Option<String>;
    /// `status.phase`.
    fn phase(&self) -> Phase;
    /// `status.batchingStatus`.
    fn batching_mut(&mut self) -> &mut Option<String>;
    /// `status.batchingStatus`.
    fn batching(&self) -> Option<BatchingStatus>;
    /// `status.conditions`.
    fn conditions(&self) -> &[Condition];
    /// `status.conditions`.
    fn conditions_mut(&mut self) -> &mut Vec<Condition>;
    /// `status.startTimestamp`.
    fn start(&self) -> Option<Timestamp>;
    /// `status.startTimestamp`.
    fn start_mut(&mut self) -> &mut Option<Time>;
    /// `status.completionTimestamp`.
    fn completion_mut(&mut self) -> &mut Option<Time>;
    /// `status.progress`.
    fn progress_mut(&mut self) -> &mut Option<RunProgress>;
    /// `status.moverRestarts`.
    fn restarts_mut(&mut self) -> &mut Option<i32>;
}

macro_rules! run_status {
    ($($kind:ty),*) => {$(
        impl RunStatus for $kind {
            fn phase_mut(&mut self) -> &mut Option<String> { &mut self.phase }
            fn phase(&self) -> Phase { Phase::parse(self.phase.as_deref()) }
            fn batching_mut(&mut self) -> &mut Option<String> { &mut self.batching_status }
            fn batching(&self) -> Option<BatchingStatus> { BatchingStatus::parse(self.batching_status.as_deref()) }
            fn conditions(&self) -> &[Condition] { self.conditions.as_deref().unwrap_or_default() }
            fn conditions_mut(&mut self) -> &mut Vec<Condition> { self.conditions.get_or_insert_default() }
            fn start(&self) -> Option<Timestamp> { self.start_timestamp.as_ref().map(|time| time.0) }
            fn start_mut(&mut self) -> &mut Option<Time> { &mut self.start_timestamp }
            fn completion_mut(&mut self) -> &mut Option<Time> { &mut self.completion_timestamp }
            fn progress_mut(&mut self) -> &mut Option<RunProgress> { &mut self.progress }
            fn restarts_mut(&mut self) -> &mut Option<i32> { &mut self.mover_restarts }
        }
    )*};
}
run_status!(VolumeSnapshotBackupStatus, VolumeSnapshotRestoreStatus);

/// How long a run waits for what others must do, before it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For objects of the source that are not there.
    pub source: SignedDuration,
    /// For snapshots, volumes, quota, permissions and a place for the pod.
    pub prepare: SignedDuration,
    /// For a Secret.
    pub secret: SignedDuration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source: SignedDuration::from_secs(60),
            prepare: SignedDuration::from_secs(600),
            secret: SignedDuration::from_secs(300),
        }
    }
}

impl Limits {
    /// How long a run waits for this cause to go away.
    pub fn of(&self, reason: Reason) -> SignedDuration {
        use OperatorReason as R;
        match reason {
            Reason::Operator(
                R::VolumeSnapshotContentNotFound
                | R::SourcePVCNotFound
                | R::StorageClassNotFound
                | R::VolumeSnapshotClassNotFound,
            ) => self.source,
            Reason::Operator(R::SecretNotFound) | Reason::Mover(_) => self.secret,
            Reason::Operator(R::NameTaken | R::ObjectRefused | R::StorageClassOptionsInvalid) => {
                SignedDuration::ZERO
            }
            // Other movers, and maintenance, end sooner or later.
            Reason::Operator(R::MoverWaitsForNode | R::RepositoryInMaintenance) => SignedDuration::MAX,
            Reason::Operator(_) => self.prepare,
        }
    }
}

/// What a pass will do: steps first, then one status write, then the steps that must come last.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision<S, T> {
    /// Changes to the cluster, in this order.
    pub steps: Vec<T>,
    /// The status as it shall be.
    pub status: S,
    /// The finalizer is to be removed, after the status write.
    pub release: bool,
    /// Latest time of the next pass.
    pub requeue: Duration,
}

impl<S: RunStatus, T> Decision<S, T> {
    /// Nothing to do yet.
    pub fn new(status: &S) -> Self {
        Self { steps: Vec::new(), status: status.clone(), release: false, requeue: REQUEUE_MAX }
    }

    /// Adds a step.
    pub fn step(&mut self, step: T) {
        self.steps.push(step);
    }

    /// Moves to a phase.
    pub fn enter(&mut self, phase: Phase) {
        *self.status.phase_mut() = Some(phase.as_str().to_owned());
    }

    /// Changes the place in the queue.
    pub fn queue(&mut self, status: BatchingStatus) {
        *self.status.batching_mut() = Some(status.as_str().to_owned());
    }

    /// Says what the run does or waits for, when that is no trouble.
    pub fn progressing(&mut self, now: Timestamp, reason: &str, message: &str) {
        // A step that failed last time is tried again without its condition, and so its clock, being reset.
        let is_trouble =
            OperatorReason::ALL.iter().any(|known| known.as_str() == progressing_reason(&self.status));
        if is_trouble && !self.steps.is_empty() {
            self.requeue = self.requeue.min(Duration::from_secs(30));
            return;
        }
        set_condition(self.status.conditions_mut(), now, PROGRESSING, true, reason, message);
    }

    /// Waits for a trouble to go away, for as long as `limits` allow, and fails then.
    pub fn wait_or_fail(&mut self, now: Timestamp, limits: &Limits, trouble: &Trouble) {
        let limit = limits.of(trouble.reason);
        let since = waiting_since(&self.status, trouble.reason).unwrap_or(now);
        let left = limit - now.duration_since(since);
        if left <= SignedDuration::ZERO {
            self.fail(now, trouble);
            return;
        }
        set_condition(
            self.status.conditions_mut(),
            now,
            PROGRESSING,
            true,
            trouble.reason.as_str(),
            &trouble.text(),
        );
        let left = Duration::try_from(left).unwrap_or_default() + Duration::from_millis(500);
        self.requeue = self.requeue.min(left).min(Duration::from_secs(60));
    }

    /// Whether the run has been in this stage for so short a time that it is too early to speak of waiting.
    pub fn is_patient(&mut self, now: Timestamp, stage: &str) -> bool {
        const PATIENCE: SignedDuration = SignedDuration::from_secs(10);
        let since = find(self.status.conditions(), PROGRESSING)
            .filter(|condition| condition.reason == stage)
            .map(|condition| condition.last_transition_time.0);
        let patient = since.is_some_and(|since| now.duration_since(since) < PATIENCE);
        if patient {
            self.requeue = self.requeue.min(Duration::from_secs(10));
        }
        patient
    }

    /// Ends without a result: phase, place in the queue and conditions in one write, as the contract demands.
    pub fn fail(&mut self, now: Timestamp, trouble: &Trouble) {
        let text = trouble.text();
        let reason = trouble.reason.as_str();
        let mut error = format!("{reason}: {text}");
        crate::reason::truncate(&mut error, crate::reason::MESSAGE_BYTES_MAX);
        self.enter(Phase::Failed);
        self.queue(BatchingStatus::Completed);
        self.status.completion_mut().get_or_insert(Time(now));
        let conditions = self.status.conditions_mut();
        set_condition(conditions, now, PROGRESSING, false, reason, &text);
        set_condition(conditions, now, FAILED, true, reason, &text);
        set_condition(conditions, now, RECONCILED, false, "Error", &error);
        self.requeue = Duration::from_secs(1);
    }

    /// Says which generation of the run the conditions speak of.
    pub fn observe(&mut self, generation: Option<i64>) {
        set_generation(&mut self.status, generation);
    }

    /// Accepts the run, always by way of the queue: a slot is given only to those whom everybody sees waiting.
    pub fn accept(&mut self, now: Timestamp) {
        self.status.start_mut().get_or_insert(Time(now));
        self.enter(Phase::InProgress);
        self.queue(BatchingStatus::Queued);
        self.progressing(now, "Queued", "accepted; waiting for a slot");
        self.requeue = Duration::from_secs(1);
    }

    /// Accepts the run later, if what is missing comes in time. Until then it has no place in the queue, but it has a phase: tools take a
    /// run without one for forgotten.
    pub fn accept_later(&mut self, now: Timestamp, limits: &Limits, missing: &Trouble) {
        self.enter(Phase::InProgress);
        self.wait_or_fail(now, limits, missing);
    }

    /// Gives an accepted run its place: it works, with `first` as its first stage's message, if it has a slot; it waits if not.
    pub fn take_place(&mut self, now: Timestamp, has_slot: bool, first: &str) {
        if has_slot {
            self.queue(BatchingStatus::Processing);
            self.progressing(now, "Exposing", first);
            self.requeue = Duration::from_secs(1);
        } else {
            self.queue(BatchingStatus::Queued);
            self.progressing(
                now,
                "Queued",
                "as many runs of the kind as allowed are at work; this one waits",
            );
        }
    }

    /// Ends with the result.
    pub fn complete(&mut self, now: Timestamp, message: &str) {
        self.enter(Phase::Completed);
        self.queue(BatchingStatus::Completed);
        self.status.completion_mut().get_or_insert(Time(now));
        let conditions = self.status.conditions_mut();
        set_condition(conditions, now, PROGRESSING, false, COMPLETED, message);
        set_condition(conditions, now, COMPLETED, true, COMPLETED, message);
        set_condition(conditions, now, RECONCILED, true, "Complete", "Reconcile complete");
    }
}

/// Says which generation of the run the conditions of a status speak of.
pub fn set_generation<S: RunStatus>(status: &mut S, generation: Option<i64>) {
    if status.conditions().is_empty() {
        return;
    }
    for condition in status.conditions_mut() {
        condition.observed_generation = generation;
    }
}

fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// Reason of the condition `Progressing`, empty if there is none.
pub fn progressing_reason<S: RunStatus>(status: &S) -> &str {
    find(status.conditions(), PROGRESSING).map(|condition| condition.reason.as_str()).unwrap_or_default()
}

/// What a run is doing: its phase and, at work, the reason of `Progressing`.
pub fn stage<S: RunStatus>(status: &S) -> &str {
    match status.phase() {
        Phase::New => "New",
        Phase::InProgress => progressing_reason(status),
        phase => phase.as_str(),
    }
}

/// Reason and message of the condition `Progressing`, if the run waits for a trouble to go away.
pub fn trouble<S: RunStatus>(status: &S) -> Option<(&str, &str)> {
    let condition = find(status.conditions(), PROGRESSING)?;
    let is_trouble = OperatorReason::ALL.iter().any(|known| known.as_str() == condition.reason)
        || longshore_job::Reason::ALL.iter().any(|known| known.as_str() == condition.reason);
    (is_trouble && condition.status == "True")
        .then_some((condition.reason.as_str(), condition.message.as_str()))
}

/// Reason and message of the condition `Failed`.
pub fn failure<S: RunStatus>(status: &S) -> Option<(&str, &str)> {
    find(status.conditions(), FAILED).map(|condition| (condition.reason.as_str(), condition.message.as_str()))
}

/// Since when the run does what the condition `Progressing` says.
pub fn progressing_since<S: RunStatus>(status: &S) -> Option<Timestamp> {
    find(status.conditions(), PROGRESSING).map(|condition| condition.last_transition_time.0)
}

/// Since when the run waits because of `reason`.
pub fn waiting_since<S: RunStatus>(status: &S, reason: Reason) -> Option<Timestamp> {
    find(status.conditions(), PROGRESSING)
        .filter(|condition| condition.reason == reason.as_str())
        .map(|condition| condition.last_transition_time.0)
}

/// The trouble that the last pass met while acting, if its time is over.
pub fn overdue<S: RunStatus>(now: Timestamp, limits: &Limits, status: &S) -> Option<Trouble> {
    use OperatorReason as R;
    const MET_WHILE_ACTING: &[R] = &[
        R::QuotaExceeded,
        R::MissingPermission,
        R::ProtectedNamespaceUnavailable,
        R::NameTaken,
        R::ObjectRefused,
        R::StorageClassOptionsInvalid,
    ];
    let condition = find(status.conditions(), PROGRESSING)?;
    let reason = MET_WHILE_ACTING.iter().find(|reason| reason.as_str() == condition.reason)?;
    let trouble = Trouble::new(*reason, condition.message.clone());
    let waited = now.duration_since(condition.last_transition_time.0);
    (waited >= limits.of(trouble.reason)).then_some(trouble)
}

/// Sets one condition. Its time changes only when status or reason do: it tells since when something is so.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    now: Timestamp,
    type_: &str,
    status: bool,
    reason: &str,
    message: &str,
) {
    let status = if status { "True" } else { "False" };
    if let Some(condition) = conditions.iter_mut().find(|condition| condition.type_ == type_) {
        if condition.status != status || condition.reason != reason {
            condition.last_transition_time = Time(now);
        }
        condition.status = status.to_owned();
        condition.reason = reason.to_owned();
        condition.message = message.to_owned();
    } else {
        conditions.push(Condition {
            last_transition_time: Time(now),
            message: message.to_owned(),
            observed_generation: None,
            reason: reason.to_owned(),
            status: status.to_owned(),
            type_: type_.to_owned(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_say_which_generation_they_speak_of() {
        let mut decision = Decision::<_, ()>::new(&VolumeSnapshotBackupStatus::default());
        decision.complete(Timestamp::UNIX_EPOCH, "done");
        decision.observe(Some(3));
        assert!(decision.status.conditions().len() > 1);
        assert!(decision.status.conditions().iter().all(|one| one.observed_generation == Some(3)));
    }

    #[test]
    fn a_status_without_conditions_stays_without() {
        let mut decision = Decision::<_, ()>::new(&VolumeSnapshotBackupStatus::default());
        decision.observe(Some(1));
        assert_eq!(decision.status.conditions, None);
    }
}
