//! A mover whose result was lost, and objects that are slow to go: the same for both kinds of run. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::reason::{MESSAGE_BYTES_MAX, OperatorReason, Trouble, truncate};
use crate::status::{Decision, PROGRESSING, RunStatus, progressing_reason, progressing_since, set_condition};

/// How often a mover is started again because its result was lost.
const RESTARTS_MAX: i32 = 2;
/// How long a run waits for its temporary objects to go before it says so.
const CLEANUP_PATIENCE: SignedDuration = SignedDuration::from_secs(120);
/// How long a run waits for its temporary objects to go before it completes without them being gone.
const CLEANUP_LIMIT: SignedDuration = SignedDuration::from_secs(600);

/// Nobody read the mover's result before its pod was gone; the caller deletes the Job. Running again is safe and cheap: a backup's mover finds
/// its run's restore point in the repository and only reports, a restore's finds its target equal.
pub fn result_lost<S: RunStatus, T>(decision: &mut Decision<S, T>, now: Timestamp) {
    if progressing_reason(&decision.status) == "Restarting" {
        // Counted already; the Job has not gone yet.
        return;
    }
    let restarts = decision.status.restarts_mut().unwrap_or(0);
    if restarts >= RESTARTS_MAX {
        let message = format!("the mover's result was lost {} times", restarts + 1);
        decision.fail(now, &Trouble::new(OperatorReason::MoverResultLost, message));
    } else {
        *decision.status.restarts_mut() = Some(restarts + 1);
        let message = "the mover's result was lost with its pod; it is started again";
        decision.progressing(now, "Restarting", message);
    }
}

/// Completes a run whose data is safe, once nothing temporary is left of it; a storage that will not let go delays that, and must not turn the
/// run into a failure. True if it is complete. The caller deletes what is left.
pub fn complete_without<S: RunStatus, T>(
    decision: &mut Decision<S, T>,
    now: Timestamp,
    leftovers: &[String],
    message: &str,
) -> bool {
    if leftovers.is_empty() {
        decision.complete(now, message);
        return true;
    }
    decision.requeue = Duration::from_secs(30);
    let waited = now.duration_since(progressing_since(&decision.status).unwrap_or(now));
    let names = leftovers.join(", ");
    if waited >= CLEANUP_LIMIT {
        let mut text = format!("{message}; still there, and being deleted: {names}");
        truncate(&mut text, MESSAGE_BYTES_MAX);
        decision.complete(now, &text);
        return true;
    }
    if waited >= CLEANUP_PATIENCE {
        // Only the message changes: the condition's time is the clock of this wait.
        let text = Trouble::new(OperatorReason::CleanupDelayed, names).text();
        set_condition(decision.status.conditions_mut(), now, PROGRESSING, true, "CleaningUp", &text);
    }
    false
}
