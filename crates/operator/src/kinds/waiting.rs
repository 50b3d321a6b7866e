//! Waiting for a mover, the same for both kinds of run. Pure.

use jiff::Timestamp;

use crate::children::Child;
use crate::reason::{MESSAGE_BYTES_MAX, OperatorReason, Reason, Trouble, truncate};
use crate::status::{Decision, Limits, PROGRESSING, RunStatus, progressing_reason, set_condition};

/// Stages in which a mover is expected to start within moments.
const EXPECTANT: [&str; 2] = ["Exposing", "Starting"];

/// No container runs yet: for how long, and because of what.
pub fn for_start<S: RunStatus, T>(
    decision: &mut Decision<S, T>,
    now: Timestamp,
    limits: &Limits,
    claim: &Child,
    trouble: Option<&Trouble>,
) {
    let unbound = match claim {
        Child::Pending { error: Some(error) } => {
            Some(Trouble::new(OperatorReason::PVCNotBound, error.clone()))
        }
        _ => None,
    };
    let trouble = unbound.as_ref().or(trouble);
    // Every pod is unschedulable for the moment that its volume takes; that is no news.
    let usual = trouble.is_none_or(|trouble| {
        use OperatorReason as R;
        matches!(
            trouble.reason,
            Reason::Operator(R::PVCNotBound | R::MoverPodUnschedulable | R::MoverWaitsForNode)
        )
    });
    let stage = progressing_reason(&decision.status).to_owned();
    if usual && EXPECTANT.iter().any(|expectant| stage == *expectant && decision.is_patient(now, expectant)) {
        return;
    }
    match trouble {
        Some(trouble) => decision.wait_or_fail(now, limits, trouble),
        // Another attempt after a failed one.
        None if !EXPECTANT.contains(&stage.as_str())
            && stage != OperatorReason::MoverPodNotStarted.as_str() =>
        {
            set_condition(
                decision.status.conditions_mut(),
                now,
                PROGRESSING,
                true,
                "Starting",
                "the mover starts",
            );
        }
        None => {
            // Without a word from anybody the wait is bounded as well.
            let quiet =
                Trouble::new(OperatorReason::MoverPodNotStarted, "waiting for the mover's pod to start");
            decision.wait_or_fail(now, limits, &quiet);
        }
    }
}

/// An attempt failed, and the Job makes another: the cause is shown meanwhile.
pub fn for_retry<S: RunStatus, T>(decision: &mut Decision<S, T>, now: Timestamp, trouble: &Trouble) {
    let mut text = format!("the last attempt failed, another follows: {}", trouble.text());
    truncate(&mut text, MESSAGE_BYTES_MAX);
    set_condition(decision.status.conditions_mut(), now, PROGRESSING, true, trouble.reason.as_str(), &text);
}

#[cfg(test)]
mod tests {
    use longshore_api::VolumeSnapshotBackupStatus;

    use super::*;

    type Plan = Decision<VolumeSnapshotBackupStatus, ()>;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    fn begun() -> Plan {
        let mut plan = Plan::new(&VolumeSnapshotBackupStatus::default());
        plan.progressing(at(0), "Exposing", "making things");
        plan
    }

    fn wait(plan: &mut Plan, second: i64, claim: &Child, trouble: Option<&Trouble>) -> String {
        for_start(plan, at(second), &Limits::default(), claim, trouble);
        progressing_reason(&plan.status).to_owned()
    }

    #[test]
    fn what_passes_by_itself_is_told_only_when_it_stays() {
        let unbound = Trouble::new(OperatorReason::PVCNotBound, "not yet");
        let bound = Child::Ready { bytes: None };
        let mut plan = begun();
        assert_eq!(wait(&mut plan, 1, &bound, Some(&unbound)), "Exposing");
        assert_eq!(wait(&mut plan, 5, &bound, None), "Exposing");
        assert_eq!(wait(&mut plan, 11, &bound, Some(&unbound)), "PVCNotBound");
        let missing = Trouble::new(OperatorReason::SecretNotFound, "no such Secret");
        assert_eq!(wait(&mut begun(), 1, &bound, Some(&missing)), "SecretNotFound");
    }

    #[test]
    fn a_pod_that_never_starts_and_never_says_why_fails_the_run_in_time() {
        let mut plan = begun();
        assert_eq!(wait(&mut plan, 11, &Child::Ready { bytes: None }, None), "MoverPodNotStarted");
        wait(&mut plan, 11 + 601, &Child::Ready { bytes: None }, None);
        assert_eq!(crate::status::failure(&plan.status).unwrap().0, "MoverPodNotStarted");
    }

    #[test]
    fn the_cause_of_a_retry_is_shown_until_the_next_attempt_starts() {
        let down = Trouble::new(Reason::Mover(longshore_job::Reason::EndpointUnreachable), "refused");
        let mut plan = begun();
        for_retry(&mut plan, at(20), &down);
        assert_eq!(progressing_reason(&plan.status), "EndpointUnreachable");
        assert_eq!(wait(&mut plan, 40, &Child::Ready { bytes: None }, None), "Starting");
        assert_eq!(wait(&mut plan, 45, &Child::Ready { bytes: None }, None), "Starting");
    }
}
