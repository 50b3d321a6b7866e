//! One attempt at a job that is made again until it succeeds, as decisions see it: the same for requests to forget and for maintenance. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use longshore_job::Outcome;

use crate::mover::MoverState;
use crate::reason::{OperatorReason, Trouble};
use crate::status::{Limits, PROGRESSING};

/// Where an attempt stands.
#[derive(Debug, Clone, PartialEq)]
pub enum Attempt<'a> {
    /// There is no Job.
    None,
    /// Its Job is going away.
    Leaving,
    /// Its pod is on its way, or at work.
    Working {
        /// What keeps it, if something does.
        trouble: Option<&'a Trouble>,
    },
    /// It ended well.
    Over(&'a Outcome),
    /// It ended otherwise, or does not begin.
    Failed(Trouble),
}

/// Reads where an attempt stands. A pod that has been kept from starting for longer than `limits` allow counts as failed, since what it was made
/// from (the Secret's name, the image) may have been mended meanwhile; `conditions` tell since when.
pub fn read<'a>(
    now: Timestamp,
    limits: &Limits,
    conditions: &[Condition],
    mover: &'a MoverState,
) -> Attempt<'a> {
    match mover {
        MoverState::Absent => Attempt::None,
        MoverState::Leaving => Attempt::Leaving,
        MoverState::Starting { trouble: Some(trouble) } => {
            let reason = trouble.reason.as_str();
            let since = conditions
                .iter()
                .find(|condition| condition.type_ == PROGRESSING && condition.reason == reason)
                .map_or(now, |condition| condition.last_transition_time.0);
            if now.duration_since(since) >= limits.of(trouble.reason).max(SignedDuration::from_secs(60)) {
                Attempt::Failed(trouble.clone())
            } else {
                Attempt::Working { trouble: Some(trouble) }
            }
        }
        MoverState::Starting { trouble: None } | MoverState::Running { .. } => {
            Attempt::Working { trouble: None }
        }
        MoverState::Retrying { trouble } => Attempt::Working { trouble: Some(trouble) },
        MoverState::Succeeded(outcome) => Attempt::Over(outcome),
        MoverState::ResultLost => Attempt::Failed(Trouble::new(
            OperatorReason::MoverResultLost,
            "the mover's pod was gone before its result was read",
        )),
        MoverState::Failed { trouble, .. } => Attempt::Failed(trouble.clone()),
    }
}

/// An outcome of another kind of job than the one that was asked for.
pub fn foreign_outcome() -> Trouble {
    Trouble::new(OperatorReason::MoverResultLost, "the mover reported another kind of work")
}

/// The pause after so many failures in a row: `first`, doubled with each further one, at most `longest`.
pub fn pause(failures: i32, first: SignedDuration, longest: SignedDuration) -> SignedDuration {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(0).min(20);
    first.checked_mul(1 << doublings).unwrap_or(longest).min(longest)
}

/// Time until `then`, for the next pass: at least a second, at most `longest`.
pub fn until(now: Timestamp, then: Timestamp, longest: Duration) -> Duration {
    let left = Duration::try_from(then.duration_since(now)).unwrap_or_default();
    (left + Duration::from_millis(500)).clamp(Duration::from_secs(1), longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let (first, longest) = (SignedDuration::from_secs(30), SignedDuration::from_hours(1));
        let seconds: Vec<i64> =
            [0, 1, 2, 3, 7, 8, 1_000_000].map(|failures| pause(failures, first, longest).as_secs()).into();
        assert_eq!(seconds, [30, 30, 60, 120, 1920, 3600, 3600]);
    }
}
