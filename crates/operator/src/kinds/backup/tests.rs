//! Laws of [`decide`]: an exhaustive table, and a small world in which decisions are carried out.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use longshore_api::{BatchingStatus, Phase, VolumeSnapshotBackupStatus};
use longshore_job::{BackupSummary, Outcome};
use proptest::prelude::*;

use super::*;
use crate::children::Child;
use crate::mover::MoverState;
use crate::reason::{OperatorReason, Trouble};
use crate::status::{Limits, RECONCILED, RunStatus};
use crate::velero::Requester;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn trouble(reason: OperatorReason) -> Trouble {
    Trouble::new(reason, "as it happened")
}

fn found() -> Source {
    let mut found = Found { reference: "longshore://c/n/p/r?mode=Block".into(), ..Found::default() };
    found.pvc.name = Some("data".into());
    found.pvc.size = Some("1Gi".into());
    found.pvc.storage_class_name = Some("fast".into());
    found.snapshot_class = "snap".into();
    Source::Found(Box::new(found))
}

fn blank() -> Seen {
    Seen {
        deleting: false,
        finalizer: true,
        status: VolumeSnapshotBackupStatus::default(),
        source: Source::Unknown,
        requester: Requester::Unknown,
        has_slot: true,
        content: Child::Absent,
        snapshot: Child::Absent,
        claim: Child::Absent,
        mover: MoverState::Absent,
        mover_gone: true,
        leftovers: Vec::new(),
        blocked: None,
    }
}

fn children() -> Vec<Child> {
    vec![
        Child::Absent,
        Child::Foreign,
        Child::Leaving,
        Child::Pending { error: None },
        Child::Pending { error: Some("no".into()) },
        Child::Ready { bytes: Some(5) },
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
        MoverState::Succeeded(Outcome::BackedUp(BackupSummary {
            snapshot_id: "s".into(),
            ..Default::default()
        })),
        MoverState::ResultLost,
        MoverState::Failed { trouble: failed, silent_pod: None },
    ]
}

/// Every combination of what a decision may look at.
fn table(mut check: impl FnMut(&Seen)) {
    let batchings = [
        None,
        Some(BatchingStatus::Queued),
        Some(BatchingStatus::Processing),
        Some(BatchingStatus::Completed),
    ];
    let sources = [
        Source::Unknown,
        Source::Refused(trouble(OperatorReason::ProtectedNamespaceNotNamed)),
        Source::Missing(trouble(OperatorReason::VolumeSnapshotContentNotFound)),
        found(),
    ];
    for phase in Phase::ALL {
        for batching in batchings {
            for mover in movers() {
                for content in children() {
                    for claim in children() {
                        for bits in 0..32_u8 {
                            let mut seen = blank();
                            seen.status.phase = Some(phase.as_str().to_owned());
                            seen.status.batching_status = batching.map(|status| status.as_str().to_owned());
                            seen.mover = mover.clone();
                            seen.content = content.clone();
                            // The VolumeSnapshot takes the other extreme, so that both orders occur.
                            seen.snapshot =
                                if bits & 1 == 0 { claim.clone() } else { Child::Ready { bytes: None } };
                            seen.claim = claim.clone();
                            seen.source = sources[usize::from(bits >> 3)].clone();
                            seen.deleting = bits & 2 != 0;
                            seen.finalizer = bits & 4 != 0;
                            seen.has_slot = bits & 1 != 0;
                            if bits & 4 != 0 {
                                seen.leftovers = vec!["Job j".into()];
                            }
                            check(&seen);
                        }
                    }
                }
            }
        }
    }
}

fn reconciled(status: &VolumeSnapshotBackupStatus) -> Option<&str> {
    status.conditions().iter().find(|one| one.type_ == RECONCILED).map(|one| one.status.as_str())
}

#[test]
fn terminal_is_absorbing_and_deletion_changes_no_status() {
    table(|seen| {
        if seen.deleting || seen.status.phase().is_terminal() {
            let decision = decide(at(0), &Limits::default(), seen);
            assert_eq!(decision.status, seen.status);
            assert!(decision.steps.iter().all(|step| *step == Step::Dismantle), "{seen:?}");
            assert_eq!(decision.release, seen.finalizer && seen.leftovers.is_empty(), "{seen:?}");
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
        let watched = !seen.has_slot
            || seen.content == Child::Leaving
            || seen.snapshot == Child::Leaving
            || seen.claim == Child::Leaving
            || matches!(
                seen.mover,
                MoverState::Running { .. } | MoverState::Leaving | MoverState::Retrying { .. }
            );
        let moves = !decision.steps.is_empty() || decision.status != seen.status;
        assert!(moves || watched || decision.requeue <= Duration::from_secs(60), "{seen:?}");
        assert!(decision.requeue <= Duration::from_secs(300));
    });
}

#[test]
fn the_contracts_condition_is_false_exactly_with_failed() {
    table(|seen| {
        let decision = decide(at(0), &Limits::default(), seen);
        if decision.status != seen.status {
            let failed = decision.status.phase() == Phase::Failed;
            assert_eq!(reconciled(&decision.status) == Some("False"), failed, "{seen:?}");
            if failed {
                assert!(decision.status.batching().is_some());
                assert!(decision.status.completion_timestamp.is_some());
            }
        }
    });
}

#[test]
fn nothing_is_made_in_the_place_of_what_is_not_ours() {
    table(|seen| {
        let steps = decide(at(0), &Limits::default(), seen).steps;
        let foreign =
            |child: &Child, step: fn(&Step) -> bool| *child == Child::Foreign && steps.iter().any(step);
        assert!(!foreign(&seen.content, |step| *step == Step::CreateContent));
        assert!(!foreign(&seen.snapshot, |step| *step == Step::CreateSnapshot));
        assert!(!foreign(&seen.claim, |step| matches!(step, Step::CreateClaim { .. } | Step::CreateJob)));
    });
}

/// A cluster in which every step works at once.
struct World {
    seen: Seen,
    now: i64,
    order: Vec<Step>,
    /// What the mover does, one entry a pass once it was made.
    script: Vec<MoverState>,
}

impl World {
    fn new(script: Vec<MoverState>) -> Self {
        let mut seen = blank();
        seen.finalizer = false;
        seen.source = found();
        Self { seen, now: 0, order: Vec::new(), script }
    }

    /// One pass; true when nothing is left to do.
    fn pass(&mut self) -> bool {
        self.pass_until(true)
    }

    /// One pass, in which the operator is killed between the steps and the status write if not `written`.
    fn pass_until(&mut self, written: bool) -> bool {
        self.now += 1;
        let decision = decide(at(self.now), &Limits::default(), &self.seen);
        let settled = decision.steps.is_empty() && decision.status == self.seen.status && !decision.release;
        for step in &decision.steps {
            self.carry_out(*step);
        }
        // As `act` does: adding the finalizer ends the pass.
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
        let mut made = |name: &str| self.seen.leftovers.push(name.to_owned());
        match step {
            Step::AddFinalizer => self.seen.finalizer = true,
            Step::CreateContent => {
                made("content");
                self.seen.content = Child::Ready { bytes: None };
            }
            Step::CreateSnapshot => {
                made("snapshot");
                self.seen.snapshot = Child::Ready { bytes: Some(1 << 30) };
            }
            Step::CreateClaim { bytes } => {
                assert_eq!(bytes, Some(1 << 30), "the claim is as large as the snapshot needs");
                made("claim");
                self.seen.claim = Child::Pending { error: None };
            }
            Step::CreateJob => {
                made("job");
                self.seen.mover = MoverState::Starting { trouble: None };
            }
            Step::FollowProgress => {}
            Step::DeleteMover => {
                self.seen.mover = MoverState::Absent;
                self.seen.leftovers.retain(|name| name != "job");
            }
            Step::Dismantle => {
                self.seen.leftovers.clear();
                self.seen.mover = MoverState::Absent;
                self.seen.content = Child::Absent;
                self.seen.snapshot = Child::Absent;
                self.seen.claim = Child::Absent;
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

fn good() -> MoverState {
    MoverState::Succeeded(Outcome::BackedUp(BackupSummary { snapshot_id: "s".into(), ..Default::default() }))
}

fn running() -> MoverState {
    MoverState::Running { pod: "p".into() }
}

#[test]
fn a_backup_goes_its_way_in_order_and_leaves_only_its_result() {
    let mut world = World::new(vec![running(), good()]);
    world.settle();
    let status = &world.seen.status;
    assert_eq!(status.phase(), Phase::Completed);
    assert_eq!(reconciled(status), Some("True"));
    assert_eq!(status.snapshot_id.as_deref(), Some("s"));
    assert_eq!(status.batching(), Some(BatchingStatus::Completed));
    let pvc = status.source_pvc_data.clone().unwrap();
    assert!(pvc.name.is_some() && pvc.size.is_some() && pvc.storage_class_name.is_some());
    assert!(status.restic_repository.is_some() && status.volume_snapshot_class_name.is_some());
    assert!(status.start_timestamp.is_some() && status.completion_timestamp.is_some());
    assert!(world.seen.leftovers.is_empty() && !world.seen.finalizer);
    let creations: Vec<Step> = world
        .order
        .iter()
        .copied()
        .filter(|step| !matches!(step, Step::AddFinalizer | Step::FollowProgress | Step::Dismantle))
        .collect();
    let bytes = Some(1 << 30);
    assert_eq!(
        creations,
        [Step::CreateContent, Step::CreateSnapshot, Step::CreateClaim { bytes }, Step::CreateJob]
    );
}

#[test]
fn what_the_mover_could_not_see_stands_in_a_condition_to_the_end() {
    let limited = |status: &VolumeSnapshotBackupStatus| {
        status.conditions().iter().find(|condition| condition.type_ == "Limited").cloned()
    };
    let mut world = World::new(vec![running(), good()]);
    world.settle();
    assert_eq!(limited(&world.seen.status), None);
    let summary = BackupSummary { trusted_xattrs_unseen: true, ..Default::default() };
    let blind = MoverState::Succeeded(Outcome::BackedUp(summary));
    let mut world = World::new(vec![running(), blind]);
    world.settle();
    assert_eq!(world.seen.status.phase(), Phase::Completed);
    assert_eq!(limited(&world.seen.status).unwrap().reason, "TrustedAttributesUnseen");
}

#[test]
fn all_metadata_is_there_while_the_run_still_queues() {
    let mut world = World::new(Vec::new());
    world.seen.has_slot = false;
    world.settle();
    let status = &world.seen.status;
    assert_eq!(status.batching(), Some(BatchingStatus::Queued));
    assert!(status.restic_repository.is_some() && status.source_pvc_data.is_some());
    assert!(!status.conditions().is_empty() && reconciled(status).is_none());
    assert!(world.seen.leftovers.is_empty(), "a queued run has nothing in the cluster");
}

#[test]
fn a_lost_result_is_asked_for_again_but_not_for_ever() {
    let mut world = World::new(vec![MoverState::ResultLost, running(), good()]);
    world.settle();
    assert_eq!(world.seen.status.phase(), Phase::Completed);
    assert_eq!(world.seen.status.mover_restarts, Some(1));

    let mut world = World::new(vec![MoverState::ResultLost; 50]);
    world.settle();
    assert_eq!(world.seen.status.phase(), Phase::Failed);
    assert_eq!(crate::status::failure(&world.seen.status).unwrap().0, "MoverResultLost");
}

#[test]
fn a_foreign_result_is_never_taken_for_success() {
    let foreign = MoverState::Succeeded(Outcome::Restored(Default::default()));
    let mut world = World::new(vec![foreign; 50]);
    world.settle();
    assert_eq!(world.seen.status.phase(), Phase::Failed);
}

#[test]
fn waiting_ends_in_failure_with_the_cause() {
    let limits = Limits::default();
    for (source, reason, limit) in [
        (OperatorReason::VolumeSnapshotContentNotFound, "VolumeSnapshotContentNotFound", limits.source),
        (OperatorReason::VolumeSnapshotContentNotReady, "VolumeSnapshotContentNotReady", limits.prepare),
    ] {
        let mut seen = blank();
        seen.source = Source::Missing(trouble(source));
        let start = at(0);
        let first = decide(start, &limits, &seen);
        assert_eq!((first.status.phase(), first.status.batching()), (Phase::InProgress, None));
        seen.status = first.status;
        let early = start + (limit - SignedDuration::from_secs(1));
        assert_eq!(decide(early, &limits, &seen).status.phase(), Phase::InProgress, "{reason}");
        let late = decide(start + limit, &limits, &seen).status;
        assert_eq!((late.phase(), crate::status::failure(&late).unwrap().0), (Phase::Failed, reason));
    }
}

#[test]
fn when_velero_gives_up_the_mover_is_stopped_before_the_run_fails() {
    let mut world = World::new(vec![running(); 50]);
    while !matches!(world.seen.mover, MoverState::Running { .. }) {
        world.pass();
    }
    world.seen.requester = Requester::Over("Velero Backup vault/b is PartiallyFailed".into());
    world.seen.mover_gone = false;
    world.pass();
    assert_eq!(world.order.last(), Some(&Step::DeleteMover));
    assert_eq!(world.seen.status.phase(), Phase::InProgress, "the slot is kept until the mover is gone");
    world.seen.mover_gone = true;
    world.settle();
    assert_eq!(crate::status::failure(&world.seen.status).unwrap().0, "VeleroGaveUp");
    assert_eq!(reconciled(&world.seen.status), Some("False"));
    assert!(world.seen.leftovers.is_empty() && !world.seen.finalizer);
}

#[test]
fn a_queued_run_that_velero_gave_up_never_starts_and_a_finished_mover_is_recorded() {
    let over = Requester::Over("Velero Backup vault/b is Failed".into());
    let mut world = World::new(Vec::new());
    world.seen.has_slot = false;
    world.settle();
    world.seen.requester = over.clone();
    world.seen.has_slot = true;
    world.settle();
    assert_eq!(world.seen.status.phase(), Phase::Failed);
    assert!(world.order.iter().all(|step| matches!(step, Step::AddFinalizer | Step::Dismantle)));

    let mut world = World::new(vec![running(), good()]);
    while !matches!(world.seen.mover, MoverState::Succeeded(_)) {
        world.pass();
    }
    world.seen.requester = over;
    world.settle();
    assert_eq!(world.seen.status.phase(), Phase::Completed, "the restore point is there");
}

#[test]
fn storage_that_does_not_let_go_delays_but_does_not_fail_a_backup() {
    let mut seen = blank();
    seen.status.phase = Some("SnapshotBackupDone".into());
    let first = decide(at(0), &Limits::default(), &seen);
    seen.status = first.status;
    seen.leftovers = vec!["PersistentVolumeClaim x".into()];
    let later = decide(at(130), &Limits::default(), &seen);
    assert_eq!(later.status.phase(), Phase::Cleanup);
    assert!(format!("{:?}", later.status.conditions()).contains("PersistentVolumeClaim x"));
    seen.status = later.status;
    assert_eq!(decide(at(700), &Limits::default(), &seen).status.phase(), Phase::Completed);
}

proptest! {
    #[test]
    fn killed_between_steps_and_status_it_repeats_nothing(written in proptest::collection::vec(any::<bool>(), 0..40)) {
        let mut world = World::new(vec![running(), good()]);
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
                    Step::CreateContent | Step::CreateSnapshot | Step::CreateClaim { .. } | Step::CreateJob
                )
            })
            .collect();
        let all = made.len();
        made.sort();
        made.dedup();
        prop_assert_eq!(made.len(), all, "{:?}", world.order);
    }

    #[test]
    fn cancelled_or_failed_at_any_pass_nothing_stays(passes in 0_usize..14, cancel: bool) {
        let mut world = World::new(vec![running(), running(), good()]);
        for _ in 0..passes {
            world.pass();
        }
        if cancel {
            world.seen.deleting = true;
        } else if world.seen.mover != MoverState::Absent {
            world.script.clear();
            world.seen.mover = MoverState::Failed { trouble: trouble(OperatorReason::MoverFailed), silent_pod: None };
        }
        world.settle();
        prop_assert!(world.seen.leftovers.is_empty() && !world.seen.finalizer);
        if !cancel {
            prop_assert!(world.seen.status.phase().is_terminal());
        }
    }
}

#[test]
fn vsm_34_only_runs_of_the_protected_namespace_read_another_namespaces_snapshot() {
    use super::observe::may_read;
    assert!(may_read("shop", "vault", "shop"));
    assert!(may_read("vault", "vault", "shop"));
    assert!(!may_read("thief", "vault", "shop"));
    assert!(!may_read("vault", "other", "shop"), "protected for others is not enough");
    assert!(!may_read("vault", "vault", ""));
}
