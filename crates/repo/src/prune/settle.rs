//! Waiting until nobody uses what a plan condemns (P4).

use super::{
    look::Look,
    sessions::{self, Step},
};
use crate::{RepoError, Repository, record};
use jiff::Timestamp;
use longshore_crypto::random_bytes;
use longshore_format::{
    names::{self, SessionObject, SnapshotKey},
    prune::Fence,
    sealed::RecordKind,
    session::SessionKind,
};
use longshore_store::Class as StoreClass;
use std::time::{Duration, Instant};

/// Between two looks at the sessions, at most; less if the silence limit is short.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(10);

/// What came of waiting.
pub(super) enum Settled {
    /// The look in which every session had settled, and how many were given up on the way.
    All(Look, usize),
    /// So many sessions have still not answered after the time that the caller gave.
    Waiting(usize),
}

/// Waits until every session that was opened before the plan has acknowledged it, is over, or was silent for too long.
pub(super) fn settle(repository: &Repository, plan: u64, patience: Duration) -> Result<Settled, RepoError> {
    let begun = Instant::now();
    let mut given_up = 0;
    loop {
        let look = Look::take(repository)?;
        let now = store_clock(repository, plan)?;
        let steps = sessions::decide(&look.sessions, plan, now, silence_limit(repository));
        given_up += give_up(repository, plan, &look, &steps)?;
        let open = steps.iter().filter(|step| **step != Step::Settled).count();
        if open == 0 {
            return Ok(Settled::All(look, given_up));
        }
        // Who was fenced or let go is over in the next look, without waiting.
        if steps.contains(&Step::Wait) {
            if begun.elapsed() >= patience {
                return Ok(Settled::Waiting(open));
            }
            std::thread::sleep(look_every(repository));
        }
    }
}

/// Gives up every silent session, also those that have acknowledged the plan; returns how many that were.
pub(super) fn end_silent(repository: &Repository, plan: u64, look: &Look) -> Result<usize, RepoError> {
    give_up(repository, plan, look, &steps_against_silent(repository, look, plan)?)
}

/// What would be done for the sake of a plan that nobody has acknowledged.
fn steps_against_silent(repository: &Repository, look: &Look, plan: u64) -> Result<Vec<Step>, RepoError> {
    if look.sessions.is_empty() {
        return Ok(Vec::new());
    }
    let now = store_clock(repository, plan)?;
    Ok(sessions::decide(&look.sessions, u64::MAX, now, silence_limit(repository)))
}

fn give_up(repository: &Repository, plan: u64, look: &Look, steps: &[Step]) -> Result<usize, RepoError> {
    let mut given_up = 0;
    for (session, step) in look.sessions.iter().zip(steps) {
        match step {
            Step::Fence(key) => fence(repository, *key, plan)?,
            Step::LetGo => {
                repository.io.delete(&names::session(session.run, session.id, SessionObject::Open))?;
            }
            Step::Settled | Step::Wait => continue,
        }
        given_up += 1;
    }
    Ok(given_up)
}

/// Waits until no check is going on; returns how many still are when patience ends.
pub(super) fn wait_for_checks(
    repository: &Repository,
    plan: u64,
    patience: Duration,
) -> Result<usize, RepoError> {
    let begun = Instant::now();
    loop {
        let sessions = Look::take(repository)?.sessions;
        let now = store_clock(repository, plan)?;
        let limit = silence_limit(repository);
        let is_check = |session: &&sessions::SessionState| {
            session.kind() == Some(SessionKind::Check) && !session.is_silent(now, limit)
        };
        let checks = sessions.iter().filter(is_check).count();
        if checks == 0 || begun.elapsed() >= patience {
            return Ok(checks);
        }
        std::thread::sleep(look_every(repository));
    }
}

fn silence_limit(repository: &Repository) -> Duration {
    Duration::from_secs(repository.config.silence_limit_seconds.into())
}

fn look_every(repository: &Repository) -> Duration {
    LOOK_EVERY_MAX.min(silence_limit(repository) / 20)
}

/// Whether a session would be given up for the sake of a plan.
pub(super) fn has_silent(repository: &Repository, look: &Look, plan: u64) -> Result<bool, RepoError> {
    let steps = steps_against_silent(repository, look, plan)?;
    Ok(steps.iter().any(|step| matches!(step, Step::Fence(_) | Step::LetGo)))
}

/// The time of the store's clock: that of an object made just now.
pub(super) fn store_clock(repository: &Repository, plan: u64) -> Result<Timestamp, RepoError> {
    let name = names::clock(plan, &random_bytes()?);
    repository.io.create(&name, Vec::new())?;
    let made = repository.io.info(&name)?.modified_at;
    repository.io.delete(&name)?;
    Ok(made)
}

/// Ends an attempt, unless its record came first.
fn fence(repository: &Repository, key: SnapshotKey, plan: u64) -> Result<(), RepoError> {
    let name = names::snapshot(&key);
    let fence = Fence { key: key.into(), plan, fenced_at: Timestamp::now() };
    let plain = fence.encode().map_err(RepoError::format(&name))?;
    let sealed = record::seal(&repository.keys, RecordKind::Fence, &name, &plain)?;
    match repository.io.create(&name, sealed) {
        Ok(()) => {
            tracing::info!(key = %name, plan, "a silent session was given up");
            Ok(())
        }
        Err(RepoError::Store { source }) if source.class() == StoreClass::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
