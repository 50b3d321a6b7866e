//! Laws of [`decide`]: an exhaustive table, and a small world in which decisions are carried out.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use longshore_api::{BatchingStatus, Phase, VolumeSnapshotRestoreStatus};
use longshore_job::{Outcome, RestoreSummary};
use proptest::prelude::*;

use super::*;
use crate::children::Child;
use crate::mover::MoverState;
use crate::reason::{OperatorReason, Trouble};
use crate::status::{Limits, RECONCILED, RunStatus, failure};
use crate::velero::Requester;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn trouble(reason: OperatorReason) -> Trouble {
    Trouble::new(reason, "as it happened")
}

fn good() -> MoverState {
    MoverState::Succeeded(Outcome::Restored(RestoreSummary { snapshot_id: "s".into(), ..Default::default() }))
}

fn blank() -> Seen {
    Seen {
        deleting: false,
        finalizer: true,
        status: VolumeSnapshotRestoreStatus::default(),
        request: Request::Accepted,
        requester: Requester::Unknown,
        has_slot: true,
        claim: Child::Absent,
        request_bytes: Some(1 << 30),
        mover: MoverState::Absent,
        mover_gone: true,
        snapshot: Child::Absent,
        result: None,
        keeper: Child::Absent,
        target: Target::Unwanted,
        leftovers: Vec::new(),
        target_leftovers: Vec::new(),
        blocked: None,
    }
}

fn result(adopted: bool, ready: bool) -> ResultContent {
    ResultContent {
        name: "snapcontent-1".into(),
        ready_handle: ready.then(|| "handle".to_owned()),
        bytes: Some(1 << 30),
        adopted,
    }
}

fn children() -> Vec<Child> {
    vec![
        Child::Absent,
        Child::Foreign,
        Child::Leaving,
        Child::Pending { error: None },
        Child::Pending { error: Some("no".into()) },
        Child::Ready { bytes: Some(1 << 30) },
    ]
}

fn movers() -> Vec<MoverState> {
    let failed = trouble(OperatorReason::MoverFailed);
    vec![
        MoverState::Absent,
        MoverState::Leaving,
        MoverState::Starting { trouble: None },
        MoverState::Starting { trouble: Some(trouble(OperatorReason::SecretNotFound)) },
        MoverState::Running { pod: "p".into() },
        MoverState::Retrying { trouble: failed.clone() },
        good(),
        MoverState::ResultLost,
        MoverState::Failed { trouble: failed, silent_pod: None },
    ]
}

/// What a decision may look at, in every combination that the stages tell apart.
fn table(mut check: impl FnMut(&Seen)) {
    let results = [None, Some(result(false, true)), Some(result(true, false)), Some(result(true, true))];
    for phase in Phase::ALL {
        for mover in movers() {
            for child in children() {
                for other in children() {
                    for found in &results {
                        for bits in 0..64_u8 {
                            let mut seen = blank();
                            seen.status.phase = Some(phase.as_str().to_owned());
                            let batching = if bits & 1 == 0 {
                                BatchingStatus::Processing
                            } else {
                                BatchingStatus::Queued
                            };
                            seen.status.batching_status = Some(batching.as_str().to_owned());
                            seen.status.snapshot_id = (bits & 2 != 0).then(|| "s".to_owned());
                            seen.mover_gone = mover == MoverState::Absent;
                            seen.mover = mover.clone();
                            seen.claim = child.clone();
                            seen.snapshot = other.clone();
                            seen.keeper = child.clone();
                            seen.result = found.clone();
                            seen.deleting = bits & 4 != 0;
                            seen.finalizer = bits & 8 != 0;
                            seen.has_slot = bits & 16 != 0;
                            if bits & 32 != 0 {
                                seen.leftovers = vec!["Job j".into()];
                                seen.target = Target::Wanted {
                                    content: child.clone(),
                                    snapshot: other.clone(),
                                    claim: other.clone(),
                                    waits_for_consumer: bits & 16 != 0,
                                };
                            }
                            check(&seen);
                        }
                    }
                }
            }
        }
    }
}

fn reconciled(status: &VolumeSnapshotRestoreStatus) -> Option<&str> {
    status.conditions().iter().find(|one| one.type_ == RECONCILED).map(|one| one.status.as_str())
}

#[test]
fn terminal_is_absorbing_and_deletion_changes_no_status() {
    table(|seen| {
        if seen.deleting || seen.status.phase().is_terminal() {
            let decision = decide(at(0), &Limits::default(), seen);
            assert_eq!(decision.status, seen.status);
            let removes = |step: &Step| matches!(step, Step::Dismantle | Step::DismantleTarget);
            assert!(decision.steps.iter().all(removes), "{seen:?}");
        }
    });
}

#[test]
fn every_state_has_a_step_a_deadline_or_a_watch() {
    table(|seen| {
        if seen.deleting || seen.status.phase().is_terminal() {
            return;
        }
        let decision = decide(at(0), &Limits::default(), seen);
        let children = [&seen.claim, &seen.snapshot, &seen.keeper];
        let watched = !seen.has_slot
            || children.contains(&&Child::Leaving)
            || matches!(
                seen.mover,
                MoverState::Running { .. } | MoverState::Leaving | MoverState::Retrying { .. }
            );
        let moves = !decision.steps.is_empty() || decision.status != seen.status;
        assert!(moves || watched || decision.requeue <= Duration::from_secs(60), "{seen:?}");
    });
}

#[test]
fn the_contract_holds_in_every_write() {
    table(|seen| {
        let status = decide(at(0), &Limits::default(), seen).status;
        if status == seen.status {
            return;
        }
        let failed = status.phase() == Phase::Failed;
        assert_eq!(reconciled(&status) == Some("False"), failed, "{seen:?}");
        assert!(!failed || status.batching().is_some());
        // Handle and content's name come together, for a snapshot that is ready, kept, and owed.
        assert_eq!(status.snapshot_handle.is_some(), status.volume_snapshot_content_name.is_some());
        if status.snapshot_handle.is_some() {
            assert_eq!(seen.result, Some(result(true, true)));
            assert!(seen.mover_gone && !matches!(seen.keeper, Child::Absent | Child::Foreign), "{seen:?}");
        }
    });
}

#[test]
fn nothing_is_made_in_the_place_of_what_is_not_ours() {
    table(|seen| {
        let steps = decide(at(0), &Limits::default(), seen).steps;
        let makes = |step: fn(&Step) -> bool| steps.iter().any(step);
        if seen.claim == Child::Foreign {
            assert!(!makes(|step| matches!(step, Step::CreateClaim | Step::CreateJob)));
        }
        if let Target::Wanted { claim: Child::Foreign, .. } = &seen.target {
            assert!(!makes(|step| matches!(step, Step::CreateTargetClaim { .. })));
        }
        assert!(!makes(|step| *step == Step::CreateSnapshot) || seen.mover_gone, "{seen:?}");
    });
}

/// A cluster in which every step works at once.
struct World {
    seen: Seen,
    now: i64,
    order: Vec<Step>,
    script: Vec<MoverState>,
    wanted: bool,
    target_claim: bool,
}

impl World {
    fn new(wanted: bool, script: Vec<MoverState>) -> Self {
        let mut seen = blank();
        seen.finalizer = false;
        let mut world = Self { seen, now: 0, order: Vec::new(), script, wanted, target_claim: false };
        world.look();
        world
    }

    /// What `observe` derives from the rest.
    fn look(&mut self) {
        let has = |list: &[String], name: &str| {
            if list.iter().any(|one| one == name) {
                Child::Ready { bytes: Some(1 << 30) }
            } else {
                Child::Absent
            }
        };
        let seen = &mut self.seen;
        seen.mover_gone = seen.mover == MoverState::Absent;
        if self.wanted {
            let claim = if self.target_claim { Child::Ready { bytes: None } } else { Child::Absent };
            seen.target = Target::Wanted {
                content: has(&seen.target_leftovers, "content"),
                snapshot: has(&seen.target_leftovers, "snapshot"),
                claim,
                waits_for_consumer: false,
            };
        }
    }

    fn pass(&mut self) -> bool {
        self.pass_until(true)
    }

    /// One pass, in which the operator is killed between the steps and the status write if not `written`.
    fn pass_until(&mut self, written: bool) -> bool {
        self.now += 1;
        self.look();
        let mut seen = self.seen.clone();
        let leaving = seen.deleting || seen.status.phase().is_terminal();
        if !leaving || seen.status.snapshot_handle.is_some() {
            seen.leftovers.retain(|name| name != "result" && name != "keeper");
        }
        let decision = decide(at(self.now), &Limits::default(), &seen);
        let settled = decision.steps.is_empty() && decision.status == self.seen.status && !decision.release;
        for step in &decision.steps {
            self.carry_out(*step);
        }
        if written && !decision.steps.contains(&Step::AddFinalizer) {
            if decision.release && decision.status.phase() == self.seen.status.phase() {
                self.seen.finalizer = false;
            }
            self.seen.status = decision.status;
        }
        if self.seen.mover != MoverState::Absent && !self.script.is_empty() {
            self.seen.mover = self.script.remove(0);
        }
        settled
    }

    fn carry_out(&mut self, step: Step) {
        let seen = &mut self.seen;
        match step {
            Step::AddFinalizer => seen.finalizer = true,
            Step::CreateClaim => {
                seen.leftovers.push("claim".into());
                seen.claim = Child::Ready { bytes: Some(1 << 30) };
            }
            Step::CreateJob => {
                seen.leftovers.push("job".into());
                seen.mover = MoverState::Starting { trouble: None };
            }
            Step::FollowProgress => {}
            Step::DeleteMover => {
                seen.mover = MoverState::Absent;
                seen.leftovers.retain(|name| name != "job");
            }
            Step::CreateSnapshot => {
                seen.leftovers.extend(["snapshot".into(), "result".into()]);
                seen.snapshot = Child::Ready { bytes: Some(1 << 30) };
                seen.result = Some(result(false, true));
            }
            Step::AdoptResult => seen.result = Some(result(true, true)),
            Step::CreateKeeper => {
                seen.leftovers.push("keeper".into());
                seen.keeper = Child::Pending { error: None };
            }
            Step::CreateTargetContent => seen.target_leftovers.push("content".into()),
            Step::CreateTargetSnapshot => seen.target_leftovers.push("snapshot".into()),
            Step::CreateTargetClaim { bytes } => {
                assert_eq!(bytes, Some(1 << 30));
                self.target_claim = true;
            }
            Step::DismantleTarget => seen.target_leftovers.clear(),
            Step::Dismantle => {
                let published = seen.status.snapshot_handle.is_some();
                seen.leftovers.retain(|name| published && (name == "result" || name == "keeper"));
                seen.mover = MoverState::Absent;
                seen.claim = Child::Absent;
                seen.snapshot = Child::Absent;
                if !published {
                    seen.result = None;
                    seen.keeper = Child::Absent;
                }
            }
        }
        self.order.push(step);
    }

    fn settle(&mut self) {
        for _ in 0..200 {
            if self.pass() {
                return;
            }
        }
        panic!("does not settle: {:?}", self.seen);
    }
}

fn running() -> MoverState {
    MoverState::Running { pod: "p".into() }
}

#[test]
fn a_restore_ends_with_a_handle_that_is_kept_and_owed() {
    let mut world = World::new(false, vec![running(), good()]);
    world.settle();
    let status = &world.seen.status;
    assert_eq!(status.phase(), Phase::Completed);
    assert_eq!(status.snapshot_handle.as_deref(), Some("handle"));
    assert_eq!(world.seen.leftovers, ["result", "keeper"], "only what is published stays");
    assert!(!world.seen.finalizer);
    let position = |step| world.order.iter().position(|one| *one == step).unwrap();
    assert!(position(Step::DeleteMover) < position(Step::CreateSnapshot), "the volume is detached first");
    assert!(position(Step::AdoptResult) < position(Step::CreateKeeper));
}

#[test]
fn a_target_is_made_from_the_snapshot_and_its_helpers_go() {
    let mut world = World::new(true, vec![running(), good()]);
    world.settle();
    assert_eq!(world.seen.status.phase(), Phase::Completed);
    assert!(world.target_claim && world.seen.target_leftovers.is_empty());
    let bound = world.seen.status.conditions().iter().find(|one| one.type_ == "TargetBound").unwrap();
    assert_eq!(bound.status, "True");
}

#[test]
fn a_target_that_waits_for_a_pod_does_not_hold_the_restore_up() {
    let mut seen = blank();
    seen.status.phase = Some("SnapshotRestoreDone".into());
    seen.target_leftovers = vec!["content".into(), "snapshot".into()];
    seen.target = Target::Wanted {
        content: Child::Ready { bytes: None },
        snapshot: Child::Ready { bytes: None },
        claim: Child::Pending { error: None },
        waits_for_consumer: true,
    };
    let decision = decide(at(0), &Limits::default(), &seen);
    assert_eq!(decision.status.phase(), Phase::Cleanup);
    assert!(!decision.steps.contains(&Step::DismantleTarget), "the PVC still needs them");
}

#[test]
fn a_foreign_pvc_of_the_targets_name_fails_the_restore() {
    let mut seen = blank();
    seen.status.phase = Some("SnapshotRestoreDone".into());
    seen.target = Target::Wanted {
        content: Child::Absent,
        snapshot: Child::Absent,
        claim: Child::Foreign,
        waits_for_consumer: false,
    };
    let status = decide(at(0), &Limits::default(), &seen).status;
    assert_eq!(failure(&status).unwrap().0, "TargetPVCExists");
}

#[test]
fn a_snapshot_that_needs_more_than_the_source_had_is_not_published() {
    let mut seen = blank();
    seen.status.phase = Some("InProgress".into());
    seen.status.batching_status = Some("Processing".into());
    seen.status.snapshot_id = Some("s".into());
    seen.claim = Child::Ready { bytes: Some(1 << 30) };
    seen.snapshot = Child::Ready { bytes: None };
    seen.result = Some(ResultContent { bytes: Some((1 << 30) + 1), ..result(true, true) });
    let status = decide(at(0), &Limits::default(), &seen).status;
    assert_eq!(failure(&status).unwrap().0, "RestoreSizeMismatch");
    // A driver that rounds up gives a larger volume, and so a larger snapshot.
    seen.claim = Child::Ready { bytes: Some(2 << 30) };
    assert_eq!(decide(at(0), &Limits::default(), &seen).steps, [Step::CreateKeeper]);
}

#[test]
fn waiting_for_the_snapshot_ends_in_failure_with_the_storages_words() {
    let mut seen = blank();
    seen.status.phase = Some("InProgress".into());
    seen.status.batching_status = Some("Processing".into());
    seen.status.snapshot_id = Some("s".into());
    seen.snapshot = Child::Pending { error: Some("out of snapshots".into()) };
    let limits = Limits::default();
    let first = decide(at(0), &limits, &seen);
    assert_eq!(first.status.phase(), Phase::InProgress);
    seen.status = first.status;
    let late = decide(at(0) + limits.prepare + SignedDuration::from_secs(1), &limits, &seen).status;
    let (reason, message) = failure(&late).unwrap();
    assert_eq!(reason, "SnapshotNotReady");
    assert!(message.contains("out of snapshots"));
}

proptest! {
    #[test]
    fn killed_between_steps_and_status_it_repeats_nothing(written in proptest::collection::vec(any::<bool>(), 0..40)) {
        let mut world = World::new(true, vec![running(), good()]);
        for written in written {
            world.pass_until(written);
        }
        world.settle();
        prop_assert_eq!(world.seen.status.phase(), Phase::Completed);
        let mut made: Vec<Step> = world
            .order
            .iter()
            .copied()
            .filter(|step| {
                matches!(
                    step,
                    Step::CreateClaim
                    | Step::CreateJob
                    | Step::CreateSnapshot
                    | Step::CreateKeeper
                    | Step::CreateTargetContent
                    | Step::CreateTargetSnapshot
                    | Step::CreateTargetClaim { .. }
                )
            })
            .collect();
        let all = made.len();
        made.sort();
        made.dedup();
        prop_assert_eq!(made.len(), all, "{:?}", world.order);
    }

    #[test]
    fn cancelled_or_failed_at_any_pass_only_what_was_published_stays(passes in 0_usize..20, cancel: bool, wanted: bool) {
        let mut world = World::new(wanted, vec![running(), running(), good()]);
        for _ in 0..passes {
            world.pass();
        }
        let published = world.seen.status.snapshot_handle.is_some();
        if cancel {
            world.seen.deleting = true;
        } else if world.seen.mover != MoverState::Absent {
            world.script.clear();
            world.seen.mover = MoverState::Failed { trouble: trouble(OperatorReason::MoverFailed), silent_pod: None };
        }
        world.settle();
        prop_assert!(!world.seen.finalizer);
        let completed = world.seen.status.phase() == Phase::Completed;
        if published || completed {
            prop_assert_eq!(&world.seen.leftovers, &["result", "keeper"]);
        } else {
            prop_assert!(world.seen.leftovers.is_empty(), "{:?}", world.seen.leftovers);
        }
        prop_assert!(world.seen.target_leftovers.is_empty() || world.target_claim);
    }
}

#[test]
fn when_velero_gives_up_the_mover_is_stopped_before_the_run_fails() {
    let mut seen = blank();
    seen.status.phase = Some("InProgress".into());
    seen.status.batching_status = Some("Processing".into());
    seen.mover = MoverState::Running { pod: "p".into() };
    seen.mover_gone = false;
    seen.requester = Requester::Over("Velero Restore vault/r is Failed".into());
    let first = decide(at(0), &Limits::default(), &seen);
    assert_eq!(
        (first.steps.as_slice(), first.status.phase()),
        ([Step::DeleteMover].as_slice(), Phase::InProgress)
    );
    (seen.mover, seen.mover_gone, seen.status) = (MoverState::Absent, true, first.status);
    let second = decide(at(1), &Limits::default(), &seen);
    assert_eq!(failure(&second.status).unwrap().0, "VeleroGaveUp");
    seen.status.phase = Some("SnapshotRestoreDone".into());
    assert_ne!(
        decide(at(2), &Limits::default(), &seen).status.phase(),
        Phase::Failed,
        "published is published"
    );
}
