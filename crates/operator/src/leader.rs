//! One operator at a time: a lease in `coordination.k8s.io/v1`.
//!
//! [`next`] is pure: what to write, if anything, seen this lease. A leader that could not renew for `GIVE_UP_AFTER` must stop, which is earlier
//! than anybody else may take the lease.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;

use longshore_job::chain;

/// Name of the lease.
pub const LEASE: &str = "longshore-operator";
const LEASE_SECONDS: i32 = 15;
const RENEW_EVERY: Duration = Duration::from_secs(3);
/// A leader stops when it has not renewed for so long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);

/// What to do about a lease.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Another holds it, and its time is not over.
    Wait,
    /// Write this; whoever's write succeeds holds the lease.
    Write(Box<LeaseSpec>),
}

/// When this process last saw the lease change. Clocks of other machines are not trusted: a lease is over when it has not changed for its
/// duration by the own clock.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// Holder and renewal as they were written.
    pub written: (Option<String>, Option<Timestamp>),
    /// Own time at which that was first seen.
    pub since: Timestamp,
}

/// Takes note of a lease.
pub fn sight(now: Timestamp, before: Option<&Sighting>, spec: &LeaseSpec) -> Sighting {
    let written = (spec.holder_identity.clone(), spec.renew_time.as_ref().map(|time| time.0));
    match before {
        Some(before) if before.written == written => before.clone(),
        _ => Sighting { written, since: now },
    }
}

/// What to do, seen this lease.
pub fn next(now: Timestamp, identity: &str, spec: Option<&LeaseSpec>, sighting: Option<&Sighting>) -> Step {
    let spec = spec.cloned().unwrap_or_default();
    let holder = spec.holder_identity.clone().filter(|holder| !holder.is_empty());
    let held_by_us = holder.as_deref() == Some(identity);
    if let (Some(_), false, Some(sighting)) = (&holder, held_by_us, sighting) {
        let duration =
            SignedDuration::from_secs(i64::from(spec.lease_duration_seconds.unwrap_or(LEASE_SECONDS)));
        if now.duration_since(sighting.since) < duration {
            return Step::Wait;
        }
    }
    let transitions = spec.lease_transitions.unwrap_or(0) + i32::from(!held_by_us);
    let acquired = if held_by_us { spec.acquire_time.clone() } else { None };
    Step::Write(Box::new(LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: Some(LEASE_SECONDS),
        acquire_time: acquired.or(Some(MicroTime(now))),
        renew_time: Some(MicroTime(now)),
        lease_transitions: Some(transitions),
        ..spec
    }))
}

/// This process's part in the election.
pub struct Election {
    api: Api<Lease>,
    identity: String,
    sighting: Option<Sighting>,
}

impl Election {
    /// Takes part in the election in `namespace`.
    pub fn new(client: Client, namespace: &str, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), identity, sighting: None }
    }

    /// Returns once this process leads; false if `shutdown` came first.
    pub async fn acquire(&mut self, shutdown: &CancellationToken) -> bool {
        loop {
            match self.try_once().await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(error = %chain(&error), "the lease could not be read or written")
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RENEW_EVERY) => {}
                () = shutdown.cancelled() => return false,
            }
        }
    }

    /// Keeps the lease until `shutdown`, then gives it back. False when the lease was lost: the process must stop at once.
    pub async fn hold(mut self, shutdown: CancellationToken) -> bool {
        let mut renewed = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(RENEW_EVERY) => {}
                () = shutdown.cancelled() => {
                    self.give_back().await;
                    return true;
                }
            }
            match tokio::time::timeout(GIVE_UP_AFTER, self.try_once()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return false,
                Ok(Err(error)) => tracing::warn!(error = %chain(&error), "the lease could not be renewed"),
                Err(_) => tracing::warn!("the lease could not be renewed in time"),
            }
            if renewed.elapsed() >= GIVE_UP_AFTER {
                return false;
            }
        }
    }

    async fn try_once(&mut self) -> Result<bool, kube::Error> {
        let lease = self.api.get_opt(LEASE).await?;
        let now = Timestamp::now();
        let spec = lease.as_ref().and_then(|lease| lease.spec.as_ref());
        if let Some(spec) = spec {
            self.sighting = Some(sight(now, self.sighting.as_ref(), spec));
        }
        let Step::Write(spec) = next(now, &self.identity, spec, self.sighting.as_ref()) else {
            return Ok(false);
        };
        let parameters = PostParams::default();
        let result = match lease {
            // The resource version makes this a comparison: of two writers one gets a conflict.
            Some(mut lease) => {
                lease.spec = Some(*spec);
                self.api.replace(LEASE, &parameters, &lease).await
            }
            None => {
                let metadata = ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() };
                self.api.create(&parameters, &Lease { metadata, spec: Some(*spec) }).await
            }
        };
        match result {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn give_back(&self) {
        let given: Result<(), kube::Error> = async {
            let Some(mut lease) = self.api.get_opt(LEASE).await? else { return Ok(()) };
            if let Some(spec) =
                lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
            {
                spec.holder_identity = Some(String::new());
                self.api.replace(LEASE, &PostParams::default(), &lease).await?;
            }
            Ok(())
        }
        .await;
        if let Err(error) = given {
            tracing::warn!(error = %chain(&error), "the lease was not given back; it ends by itself");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn written(step: Step) -> LeaseSpec {
        match step {
            Step::Write(spec) => *spec,
            Step::Wait => panic!("expected a write"),
        }
    }

    #[test]
    fn a_lease_is_taken_renewed_respected_and_taken_over() {
        let first = written(next(at(100), "a", None, None));
        assert_eq!((first.holder_identity.as_deref(), first.lease_transitions), (Some("a"), Some(1)));
        let renewed = written(next(at(103), "a", Some(&first), None));
        assert_eq!((renewed.acquire_time, renewed.lease_transitions), (first.acquire_time.clone(), Some(1)));

        let seen = sight(at(200), None, &first);
        assert_eq!(next(at(214), "b", Some(&first), Some(&seen)), Step::Wait);
        let taken = written(next(at(215), "b", Some(&first), Some(&seen)));
        assert_eq!((taken.holder_identity.as_deref(), taken.lease_transitions), (Some("b"), Some(2)));
    }

    #[test]
    fn another_clock_does_not_matter_only_whether_the_lease_changes() {
        let theirs = written(next(at(1), "a", None, None));
        let seen = sight(at(1_000_000), None, &theirs);
        assert_eq!(next(at(1_000_010), "b", Some(&theirs), Some(&seen)), Step::Wait);
        let mut renewed = theirs.clone();
        renewed.renew_time = Some(MicroTime(at(2)));
        let seen = sight(at(1_000_014), Some(&seen), &renewed);
        assert_eq!(next(at(1_000_020), "b", Some(&renewed), Some(&seen)), Step::Wait);
    }

    #[test]
    fn a_lease_that_was_given_back_is_free_at_once() {
        let given = LeaseSpec { holder_identity: Some(String::new()), ..LeaseSpec::default() };
        let seen = sight(at(5), None, &given);
        assert!(matches!(next(at(5), "b", Some(&given), Some(&seen)), Step::Write(_)));
    }
}
