//! Laws of [`decide`]: any combination of what may be seen, and small stories.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use longshore_api::{ForgetRequestStatus, Phase, VolumeSnapshotBackup};
use longshore_job::{ForgetSummary, Outcome, Reason as MoverReason, RestorePointReference};
use proptest::prelude::*;

use super::observe::{reference, still_at_work};
use super::*;
use crate::mover::MoverState;
use crate::reason::{OperatorReason, Reason, Trouble};
use crate::status::{Limits, PROGRESSING};

const RUN: &str = "5f0e5b52-6cd9-4a63-9a4e-0a5b1b1f3c11";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn terms() -> Terms {
    Terms { limits: Limits::default(), ttl: SignedDuration::from_hours(168) }
}

fn trouble(reason: impl Into<Reason>) -> Trouble {
    Trouble::new(reason, "as it happened")
}

fn point() -> Asked {
    let reference = format!("longshore://c/shop/data/{RUN}?mode=Block").parse().unwrap();
    Asked::Point { reference, secret: "maintenance".into() }
}

fn unconfigured() -> Asked {
    Asked::NotYet(trouble(OperatorReason::RepositoryNotConfigured))
}

fn blank() -> Seen {
    Seen {
        deleting: false,
        status: ForgetRequestStatus::default(),
        asked: point(),
        has_slot: true,
        mover: MoverState::Absent,
        leftovers: false,
        blocked: None,
    }
}

fn forgotten() -> MoverState {
    MoverState::Succeeded(Outcome::Forgotten(ForgetSummary::default()))
}

fn failed(reason: MoverReason) -> MoverState {
    MoverState::Failed { trouble: trouble(Reason::Mover(reason)), silent_pod: None }
}

fn movers() -> Vec<MoverState> {
    vec![
        MoverState::Absent,
        MoverState::Leaving,
        MoverState::Starting { trouble: None },
        MoverState::Starting { trouble: Some(trouble(OperatorReason::SecretNotFound)) },
        MoverState::Running { pod: "p".into() },
        MoverState::Retrying { trouble: trouble(OperatorReason::MoverFailed) },
        forgotten(),
        MoverState::Succeeded(Outcome::BackedUp(Default::default())),
        MoverState::ResultLost,
        failed(MoverReason::NoAuthority),
    ]
}

fn any_seen() -> impl Strategy<Value = Seen> {
    let never = Asked::Never(trouble(OperatorReason::RepositoryReferenceInvalid));
    let phases: Vec<&str> = Phase::ALL.iter().map(|phase| phase.as_str()).chain(["Nonsense"]).collect();
    let times = prop::option::of(-90_000_i64..90_000);
    (
        (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        prop::sample::select(vec![never, unconfigured(), point()]),
        prop::sample::select(movers()),
        prop::sample::select(phases),
        (prop::option::of(any::<bool>()), prop::option::of(any::<i32>()), times.clone(), times),
    )
        .prop_map(|(bits, asked, mover, phase, (attempting, attempts, next, end))| {
            let status = ForgetRequestStatus {
                phase: Some(phase.to_owned()),
                attempting,
                attempts,
                next_attempt_time: next.map(|second| Time(at(second))),
                completion_timestamp: end.map(|second| Time(at(second))),
                ..Default::default()
            };
            let blocked = bits.3.then(|| trouble(OperatorReason::MissingPermission));
            Seen { deleting: bits.0, status, asked, has_slot: bits.1, mover, leftovers: bits.2, blocked }
        })
}

fn status_phase(status: &ForgetRequestStatus) -> Phase {
    Phase::parse(status.phase.as_deref())
}

proptest! {
    #[test]
    fn anything_that_may_be_seen_has_an_answer_that_keeps_the_laws(seen in any_seen(), second in -100_i64..1_000_000) {
        let now = at(second);
        let decision = decide(now, &terms(), &seen);
        let (old, new) = (status_phase(&seen.status), status_phase(&decision.status));
        prop_assert!(decision.requeue.as_secs() >= 1 && decision.requeue.as_secs() <= 3_600);
        if seen.deleting || old.is_terminal() {
            prop_assert_eq!(&decision.status, &seen.status, "what is over stays as it is");
            prop_assert_ne!(decision.step, Some(Step::CreateJob));
        }
        if new == Phase::Completed && old != Phase::Completed {
            prop_assert_eq!(&seen.mover, &forgotten(), "only the mover's word completes a request");
            prop_assert_eq!(seen.status.attempting, Some(true));
        }
        if new == Phase::Failed && old != Phase::Failed {
            let is_hopeless = matches!(seen.asked, Asked::Never(_));
            prop_assert!(is_hopeless, "nothing else is final");
        }
        if decision.step == Some(Step::CreateJob) {
            let is_point = matches!(seen.asked, Asked::Point { .. });
            prop_assert!(is_point);
            prop_assert!(seen.mover == MoverState::Absent && seen.status.attempting == Some(true));
        }
        if decision.step == Some(Step::Remove) {
            let age = now.duration_since(seen.status.completion_timestamp.as_ref().unwrap().0);
            prop_assert!(old == Phase::Completed && !seen.leftovers && age >= terms().ttl);
        }
        if decision.status.attempting == Some(true) && seen.status.attempting != Some(true) {
            prop_assert!(seen.has_slot && !seen.leftovers, "no attempt beside the last one's Job");
        }
    }
}

/// A cluster in which every step works at once.
struct World {
    seen: Seen,
    now: i64,
    jobs: u32,
    /// How the movers of the coming attempts end.
    script: Vec<MoverState>,
    removed: bool,
}

impl World {
    fn new(script: Vec<MoverState>) -> Self {
        Self { seen: blank(), now: 0, jobs: 0, script, removed: false }
    }

    /// One pass, in which the operator is killed between the step and the status write if not `written`.
    fn pass(&mut self, written: bool) {
        let decision = decide(at(self.now), &terms(), &self.seen);
        match decision.step {
            Some(Step::CreateJob) => {
                assert!(!self.seen.leftovers, "two Jobs at once");
                self.jobs += 1;
                self.seen.leftovers = true;
                self.seen.mover = if self.script.is_empty() { forgotten() } else { self.script.remove(0) };
            }
            Some(Step::DeleteMover) => {
                self.seen.leftovers = false;
                self.seen.mover = MoverState::Absent;
            }
            Some(Step::Remove) => self.removed = true,
            None => {}
        }
        if written {
            self.seen.status = decision.status;
        }
        self.now += 1;
    }

    fn pass_for(&mut self, seconds: i64) {
        let end = self.now + seconds;
        while self.now < end && !self.removed {
            self.pass(true);
        }
    }

    fn phase(&self) -> Phase {
        status_phase(&self.seen.status)
    }

    fn progressing(&self) -> &str {
        let conditions = self.seen.status.conditions.as_deref().unwrap_or_default();
        &conditions.iter().find(|condition| condition.type_ == PROGRESSING).unwrap().reason
    }
}

#[test]
fn a_point_is_forgotten_and_the_request_goes_after_its_time() {
    let mut world = World::new(Vec::new());
    world.pass_for(10);
    assert_eq!((world.phase(), world.jobs, world.seen.leftovers), (Phase::Completed, 1, false));
    assert_eq!(world.seen.status.attempts, Some(1));
    world.now += 167 * 3_600;
    world.pass_for(2);
    assert!(!world.removed);
    world.now += 3_600;
    world.pass_for(2);
    assert!(world.removed);
}

#[test]
fn it_is_tried_until_it_succeeds_with_growing_pauses_and_the_movers_reason() {
    let reasons = [MoverReason::WrongKey, MoverReason::NoAuthority, MoverReason::EndpointUnreachable];
    let mut world = World::new((0..12).map(|number| failed(reasons[number % 3])).collect());
    world.pass_for(10);
    assert_eq!((world.phase(), world.progressing(), world.jobs), (Phase::InProgress, "WrongKey", 1));
    assert!(!world.seen.leftovers, "nothing is left in the pause");
    world.pass_for(40);
    assert_eq!((world.progressing(), world.jobs), ("NoAuthority", 2));
    world.pass_for(24 * 3_600);
    assert_eq!((world.phase(), world.jobs), (Phase::Completed, 13));
    assert_eq!(world.seen.status.attempts, Some(13));
    let ended = world.seen.status.completion_timestamp.clone().unwrap().0.duration_since(at(0));
    assert!(ended > SignedDuration::from_hours(5), "the pauses grew: {ended}");
}

#[test]
fn the_operator_may_be_killed_at_any_moment() {
    for killed in 0..40 {
        let mut world = World::new(vec![MoverState::ResultLost]);
        for pass in 0..200 {
            world.pass(pass != killed);
        }
        assert_eq!((world.phase(), world.jobs), (Phase::Completed, 2), "killed in pass {killed}");
        assert_eq!(world.seen.status.attempts, Some(2), "killed in pass {killed}");
        assert!(!world.seen.leftovers);
    }
}

#[test]
fn a_repository_may_come_later() {
    let mut world = World::new(Vec::new());
    world.seen.asked = unconfigured();
    world.pass_for(3 * 24 * 3_600);
    assert_eq!((world.phase(), world.progressing()), (Phase::InProgress, "RepositoryNotConfigured"));
    assert_eq!(world.jobs, 0);
    world.seen.asked = point();
    world.pass_for(10);
    assert_eq!((world.phase(), world.jobs), (Phase::Completed, 1));
}

#[test]
fn a_run_that_is_at_work_is_waited_for_and_its_point_forgotten_then() {
    let mut world = World::new(Vec::new());
    world.seen.asked = Asked::NotYet(trouble(OperatorReason::BackupNotOver));
    world.pass_for(3_600);
    assert_eq!((world.phase(), world.progressing()), (Phase::InProgress, "BackupNotOver"));
    assert_eq!((world.jobs, world.seen.status.attempts), (0, None));
    assert!(decide(at(world.now), &terms(), &world.seen).requeue.as_secs() <= 10);
    world.seen.asked = point();
    world.pass_for(10);
    assert_eq!((world.phase(), world.jobs), (Phase::Completed, 1), "no pause after it");
}

#[test]
fn only_the_run_that_the_reference_names_is_waited_for_and_only_until_its_end() {
    let backup = |uid: &str, phase: Option<&str>| {
        let mut backup = VolumeSnapshotBackup::default();
        backup.metadata.uid = Some(uid.to_owned());
        backup.status.get_or_insert_default().phase = phase.map(str::to_owned);
        Arc::new(backup)
    };
    let point: RestorePointReference = format!("longshore://c/shop/data/{RUN}?mode=Block").parse().unwrap();
    let waits = |backups: &[Arc<VolumeSnapshotBackup>]| still_at_work(backups, &point).is_some();
    assert!(!waits(&[]), "a run that is not in this cluster");
    assert!(!waits(&[backup("another", None)]));
    for phase in [None, Some("InProgress"), Some("SnapshotBackupDone"), Some("Cleanup")] {
        assert!(waits(&[backup("another", None), backup(RUN, phase)]), "{phase:?}");
    }
    for phase in ["Completed", "Failed", "PartiallyFailed"] {
        assert!(!waits(&[backup(RUN, Some(phase))]), "{phase}");
    }
}

#[test]
fn a_withdrawn_request_stops_its_mover() {
    let mut world = World::new(vec![MoverState::Running { pod: "p".into() }]);
    world.pass_for(10);
    assert!(world.seen.leftovers);
    world.seen.deleting = true;
    world.pass_for(10);
    assert!(!world.seen.leftovers && world.jobs == 1);
    assert_ne!(world.phase(), Phase::Completed);
}

#[test]
fn a_pod_that_never_starts_is_made_anew_from_what_is_known_by_then() {
    let stuck = MoverState::Starting { trouble: Some(trouble(OperatorReason::SecretNotFound)) };
    let mut world = World::new(vec![stuck]);
    world.pass_for(200);
    assert_eq!((world.progressing(), world.jobs), ("SecretNotFound", 1));
    world.pass_for(300);
    assert_eq!((world.phase(), world.jobs), (Phase::Completed, 2));
}

#[test]
fn only_what_names_one_run_is_a_reference() {
    let reason = |text: &str| reference(text).unwrap_err().reason.as_str();
    assert_eq!(reason(""), "RepositoryReferenceMissing");
    assert_eq!(reason("nonsense"), "RepositoryReferenceInvalid");
    assert_eq!(reason("longshore://c/shop/data/latest?mode=Block"), "RepositoryReferenceInvalid");
    assert_eq!(reason("s3:s3.amazonaws.com/bucket/path"), "OldResticRepository");
    assert!(reference(&format!("longshore://c/shop/data/{RUN}?mode=Filesystem")).is_ok());
}
