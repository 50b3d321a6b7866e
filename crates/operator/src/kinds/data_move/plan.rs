//! What a pass over a DataUpload or DataDownload will do. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use longshore_api::{DataDownloadStatus, DataMovePhase, DataUploadStatus};
use serde::Serialize;

use super::notes::{ACCEPTED, Notes};
use crate::reason::{MESSAGE_BYTES_MAX, Trouble, truncate};
use crate::status::{REQUEUE_MAX, REQUEUE_OVER};

/// How long the objects of a canceled run may take to go before it is called canceled without that.
pub const CANCEL_LIMIT: SignedDuration = SignedDuration::from_secs(600);

/// Status fields that both kinds have.
pub trait DataMoveStatus: Clone + Default + PartialEq + Serialize {
    /// `status.phase`.
    fn phase(&self) -> DataMovePhase;
    /// `status.phase`.
    fn phase_mut(&mut self) -> &mut Option<String>;
    /// `status.message`.
    fn message(&self) -> Option<&str>;
    /// `status.message`.
    fn message_mut(&mut self) -> &mut Option<String>;
    /// `status.acceptedTimestamp`.
    fn accepted_mut(&mut self) -> &mut Option<Time>;
    /// `status.startTimestamp`.
    fn start_mut(&mut self) -> &mut Option<Time>;
    /// `status.completionTimestamp`.
    fn completion_mut(&mut self) -> &mut Option<Time>;
}

macro_rules! data_move_status {
    ($($kind:ty),*) => {$(
        impl DataMoveStatus for $kind {
            fn phase(&self) -> DataMovePhase { DataMovePhase::parse(self.phase.as_deref()) }
            fn phase_mut(&mut self) -> &mut Option<String> { &mut self.phase }
            fn message(&self) -> Option<&str> { self.message.as_deref() }
            fn message_mut(&mut self) -> &mut Option<String> { &mut self.message }
            fn accepted_mut(&mut self) -> &mut Option<Time> { &mut self.accepted_timestamp }
            fn start_mut(&mut self) -> &mut Option<Time> { &mut self.start_timestamp }
            fn completion_mut(&mut self) -> &mut Option<Time> { &mut self.completion_timestamp }
        }
    )*};
}
data_move_status!(DataUploadStatus, DataDownloadStatus);

/// What is written of a DataUpload or DataDownload, all of it in one write.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record<S> {
    /// Its status.
    pub status: S,
    /// Our notes.
    pub notes: Notes,
    /// Our finalizer is on it.
    pub finalizer: bool,
}

/// What a pass will do: steps first, then one write.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<S, T> {
    /// Changes to the cluster, in this order.
    pub steps: Vec<T>,
    /// The object as it shall be.
    pub record: Record<S>,
    /// Latest time of the next pass.
    pub requeue: Duration,
}

impl<S: DataMoveStatus, T> Plan<S, T> {
    /// Nothing to do yet.
    pub fn new(seen: &Record<S>) -> Self {
        Self { steps: Vec::new(), record: seen.clone(), requeue: REQUEUE_MAX }
    }

    /// Adds a step.
    pub fn step(&mut self, step: T) {
        self.steps.push(step);
    }

    /// Looks again after this time at the latest.
    pub fn again(&mut self, seconds: u64) {
        self.requeue = self.requeue.min(Duration::from_secs(seconds));
    }

    /// Moves to a phase.
    pub fn enter(&mut self, phase: DataMovePhase) {
        *self.record.status.phase_mut() = Some(phase.as_str().to_owned());
    }

    /// Says what it waits for, or nothing.
    pub fn say(&mut self, message: &str) {
        let mut text = message.to_owned();
        truncate(&mut text, MESSAGE_BYTES_MAX);
        let message = self.record.status.message_mut();
        // A field that was never there is not written as an empty one.
        if message.as_deref().unwrap_or_default() != text {
            *message = Some(text);
        }
    }

    /// Takes it: finalizer, phase and times in one write.
    pub fn accept(&mut self, now: Timestamp) {
        self.record.finalizer = true;
        self.record.notes.set_time(ACCEPTED, now);
        self.record.status.accepted_mut().get_or_insert(Time(now));
        if self.record.status.phase() == DataMovePhase::New {
            self.enter(DataMovePhase::Accepted);
        }
        self.again(1);
    }

    /// Begins the copy.
    pub fn start(&mut self, now: Timestamp) {
        self.enter(DataMovePhase::InProgress);
        self.record.status.start_mut().get_or_insert(Time(now));
    }

    fn end(&mut self, now: Timestamp, phase: DataMovePhase, message: &str) {
        self.enter(phase);
        self.record.status.start_mut().get_or_insert(Time(now));
        self.record.status.completion_mut().get_or_insert(Time(now));
        self.say(message);
        self.again(1);
    }

    /// Ends with the result; the caller has put everything else that is final into the status.
    pub fn complete(&mut self, now: Timestamp) {
        self.end(now, DataMovePhase::Completed, "");
    }

    /// Ends without a result.
    pub fn fail(&mut self, now: Timestamp, trouble: &Trouble) {
        self.end(now, DataMovePhase::Failed, &text(trouble));
    }

    /// Ends because it was told to.
    pub fn canceled(&mut self, now: Timestamp, why: &str) {
        self.end(now, DataMovePhase::Canceled, why);
    }

    /// Waits for a trouble to go away, until `limit` after `since`, and fails then.
    pub fn wait_or_fail(
        &mut self,
        now: Timestamp,
        since: Option<Timestamp>,
        limit: SignedDuration,
        trouble: &Trouble,
    ) {
        let left = limit - now.duration_since(since.unwrap_or(now));
        if left <= SignedDuration::ZERO {
            self.fail(now, trouble);
            return;
        }
        self.say(&text(trouble));
        let left = Duration::try_from(left).unwrap_or_default() + Duration::from_millis(500);
        self.requeue = self.requeue.min(left);
    }

    /// What is written when a step was refused: the phases stand still, but for a cancel, whose clock must run.
    pub fn refused(&self, old: &Record<S>, trouble: &Trouble) -> Record<S> {
        if old.status.phase().is_terminal() {
            return old.clone();
        }
        let mut told = Self::new(if self.record.status.phase() == DataMovePhase::Canceling {
            &self.record
        } else {
            old
        });
        told.say(&text(trouble));
        told.record
    }

    /// Nothing of it is in the cluster any more.
    pub fn release(&mut self) {
        self.record.finalizer = false;
        self.requeue = REQUEUE_OVER;
    }
}

/// Reason, message and advice in one text.
pub fn text(trouble: &Trouble) -> String {
    let mut text = format!("{}: {}", trouble.reason, trouble.text());
    truncate(&mut text, MESSAGE_BYTES_MAX);
    text
}
