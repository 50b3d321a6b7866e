//! Laws of [`decide`]: any combination of what may be seen, and small stories.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use longshore_api::{MaintenancePolicy, Repository, RepositoryStatus};
use longshore_job::{AbandonedSummary, CheckSummary, MaintenanceSummary, Outcome, Reason as MoverReason};
use proptest::prelude::*;

use super::observe::due;
use super::*;
use crate::mover::MoverState;
use crate::reason::{OperatorReason, Reason, Trouble};
use crate::status::{Limits, PROGRESSING};

const DAY: i64 = 86_400;
const MAINTAINING: &str = RepositoryStatus::MAINTAINING;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn trouble(reason: impl Into<Reason>) -> Trouble {
    Trouble::new(reason, "as it happened")
}

fn blank() -> Seen {
    Seen {
        deleting: false,
        generation: Some(1),
        status: RepositoryStatus::default(),
        suspended: false,
        due: Ok(Some(at(DAY))),
        request: None,
        mover: MoverState::Absent,
        leftovers: false,
        blocked: None,
        others_at_work: 0,
    }
}

fn maintained(problems: u64) -> MoverState {
    let check = CheckSummary { problems, first_problem: "data/x: rotten".into(), ..Default::default() };
    MoverState::Succeeded(Outcome::Maintained(MaintenanceSummary {
        repository_bytes: 700,
        restore_points: 3,
        bytes_freed: 40,
        forgotten: 2,
        check: Some(check),
        ..Default::default()
    }))
}

fn abandoned(restore_points: u64) -> MoverState {
    let abandoned = Some(AbandonedSummary { restore_points, backups: vec!["daily".into(), "weekly".into()] });
    MoverState::Succeeded(Outcome::Maintained(MaintenanceSummary { abandoned, ..Default::default() }))
}

fn failed(reason: MoverReason) -> MoverState {
    MoverState::Failed { trouble: trouble(Reason::Mover(reason)), silent_pod: None }
}

fn any_seen() -> impl Strategy<Value = Seen> {
    let movers = vec![
        MoverState::Absent,
        MoverState::Leaving,
        MoverState::Starting { trouble: None },
        MoverState::Starting { trouble: Some(trouble(OperatorReason::SecretNotFound)) },
        MoverState::Running { pod: "p".into() },
        MoverState::Retrying { trouble: trouble(OperatorReason::MoverFailed) },
        maintained(0),
        maintained(2),
        abandoned(3),
        MoverState::Succeeded(Outcome::BackedUp(Default::default())),
        MoverState::ResultLost,
        failed(MoverReason::NoAuthority),
    ];
    let phases = vec![None, Some("Ready"), Some("Degraded"), Some(MAINTAINING), Some("Nonsense")];
    let dues = vec![
        Ok(None),
        Ok(Some(at(-DAY))),
        Ok(Some(at(DAY))),
        Err(trouble(OperatorReason::RepositoryNotConfigured)),
    ];
    let requests = vec![None, Some("a".to_owned()), Some("b".to_owned())];
    (
        (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()),
        prop::sample::select(movers),
        prop::sample::select(phases),
        prop::sample::select(dues),
        (prop::sample::select(requests.clone()), prop::sample::select(requests)),
        (prop::option::of(-DAY..DAY), prop::option::of(any::<i32>()), prop::option::of(0..3_i64)),
    )
        .prop_map(|(bits, mover, phase, due, (request, last), (retry, failures, generation))| {
            let status = RepositoryStatus {
                phase: phase.map(str::to_owned),
                last_maintenance_request: last,
                retry_time: retry.map(|second| Time(at(second))),
                maintenance_failures: failures,
                observed_generation: generation,
                ..Default::default()
            };
            let blocked = bits.3.then(|| trouble(OperatorReason::MissingPermission));
            let (deleting, suspended, leftovers) = (bits.0, bits.1, bits.2);
            let generation = Some(1);
            let others_at_work = failures.unwrap_or(0).unsigned_abs() as usize % 2;
            Seen {
                deleting,
                generation,
                status,
                suspended,
                due,
                request,
                mover,
                leftovers,
                blocked,
                others_at_work,
            }
        })
}

fn is_maintaining(status: &RepositoryStatus) -> bool {
    status.phase.as_deref() == Some(MAINTAINING)
}

proptest! {
    #[test]
    fn anything_that_may_be_seen_has_an_answer_that_keeps_the_laws(seen in any_seen(), second in -100_i64..1_000_000) {
        let decision = decide(at(second), &Limits::default(), &seen);
        let status = &decision.status;
        prop_assert!(decision.requeue.as_secs() >= 1 && decision.requeue.as_secs() <= 3_600);
        let forbidden = seen.deleting || seen.suspended || seen.blocked.is_some() || seen.due.is_err();
        if forbidden {
            prop_assert_ne!(decision.step, Some(Step::CreateJob));
            prop_assert!(seen.deleting || !is_maintaining(status), "what is forbidden stops");
        }
        if decision.step == Some(Step::CreateJob) {
            prop_assert!(is_maintaining(&seen.status) && seen.mover == MoverState::Absent);
            prop_assert_eq!(seen.others_at_work, 0, "alone on a volume");
        }
        if is_maintaining(status) && !is_maintaining(&seen.status) {
            prop_assert!(!seen.leftovers, "one maintenance at a time");
        }
        if decision.step == Some(Step::DeleteMover) {
            prop_assert!(seen.leftovers && (seen.deleting || !is_maintaining(&seen.status)));
        }
        if status.last_maintenance_time.is_some() {
            prop_assert!(is_maintaining(&seen.status), "only a mover's word counts");
            prop_assert!(matches!(seen.mover, MoverState::Succeeded(Outcome::Maintained(_))));
        }
        if !seen.deleting && !is_maintaining(status) {
            prop_assert_eq!(status.phase.as_deref() == Some("Degraded"), is_degraded(status));
        }
    }
}

/// A cluster in which every step works at once.
struct World {
    seen: Seen,
    now: i64,
    jobs: u32,
    script: Vec<MoverState>,
}

impl World {
    fn new(script: Vec<MoverState>) -> Self {
        Self { seen: blank(), now: 0, jobs: 0, script }
    }

    /// One pass, in which the operator is killed between the step and the status write if not `written`.
    fn pass(&mut self, written: bool) {
        // Daily at the same second, as a schedule would say.
        if self.seen.due.is_ok() {
            let last = self.seen.status.last_maintenance_time.as_ref();
            let since = last.map_or(at(0), |time| time.0).duration_since(at(0)).as_secs();
            self.seen.due = Ok(Some(at((since / DAY + 1) * DAY)));
        }
        let decision = decide(at(self.now), &Limits::default(), &self.seen);
        match decision.step {
            Some(Step::CreateJob) => {
                assert!(!self.seen.leftovers, "two Jobs at once");
                self.jobs += 1;
                self.seen.leftovers = true;
                self.seen.mover = if self.script.is_empty() { maintained(0) } else { self.script.remove(0) };
            }
            Some(Step::DeleteMover) => {
                self.seen.leftovers = false;
                self.seen.mover = MoverState::Absent;
            }
            None => {}
        }
        if written {
            self.seen.status = decision.status;
        }
        self.now += 1;
    }

    fn pass_until(&mut self, second: i64) {
        while self.now < second {
            self.pass(true);
        }
    }

    fn phase(&self) -> &str {
        self.seen.status.phase.as_deref().unwrap()
    }

    fn reason(&self, type_: &str) -> &str {
        let conditions = self.seen.status.conditions.as_deref().unwrap_or_default();
        conditions.iter().find(|one| one.type_ == type_).map(|one| one.reason.as_str()).unwrap_or_default()
    }
}

#[test]
fn maintenance_runs_when_it_is_due_and_its_figures_stand_in_the_status() {
    let mut world = World::new(Vec::new());
    world.pass_until(DAY);
    assert_eq!((world.phase(), world.jobs, world.reason(READY)), ("Ready", 0, "Configured"));
    assert_eq!(world.seen.status.next_maintenance_time, Some(Time(at(DAY))));
    world.pass_until(DAY + 60);
    assert_eq!((world.phase(), world.jobs), ("Ready", 1));
    let status = &world.seen.status;
    assert_eq!((status.size_bytes, status.restore_points, status.checks), (Some(700), Some(3), Some(1)));
    assert_eq!(status.forgotten, Some(2));
    assert!(status.last_maintenance_time.is_some() && status.last_check_time.is_some());
    assert_eq!((world.reason(MAINTAINED), world.reason(CHECKED)), ("Maintained", "Sound"));
    assert!(!world.seen.leftovers);
    world.pass_until(3 * DAY + 60);
    assert_eq!(world.jobs, 3);
    assert_eq!(world.seen.status.checks, Some(3), "each check reads another part");
}

#[test]
fn an_annotation_asks_for_one_maintenance_however_often_it_is_applied() {
    let mut world = World::new(Vec::new());
    world.pass_until(10);
    world.seen.request = Some("2026-11-26".into());
    world.pass_until(1_000);
    assert_eq!(world.jobs, 1);
    assert_eq!(world.seen.status.last_maintenance_request.as_deref(), Some("2026-11-26"));
    world.seen.request = None;
    world.pass_until(1_100);
    world.seen.request = Some("2026-11-26".into());
    world.pass_until(1_200);
    assert_eq!(world.jobs, 1, "applied again by a tool that had lost it");
    world.seen.request = Some("2026-11-27".into());
    world.pass_until(1_300);
    assert_eq!(world.jobs, 2);
}

#[test]
fn a_request_during_maintenance_is_not_lost() {
    let mut world = World::new(vec![MoverState::Running { pod: "p".into() }]);
    world.seen.request = Some("a".into());
    world.pass_until(10);
    world.seen.request = Some("b".into());
    world.pass_until(20);
    assert_eq!((world.phase(), world.jobs), (MAINTAINING, 1));
    world.seen.mover = maintained(0);
    world.pass_until(40);
    assert_eq!((world.phase(), world.jobs), ("Ready", 2));
}

#[test]
fn failures_show_and_are_tried_again_with_growing_pauses() {
    let mut world = World::new(vec![failed(MoverReason::NoAuthority); 4]);
    world.pass_until(DAY + 60);
    assert_eq!((world.phase(), world.jobs, world.reason(MAINTAINED)), ("Degraded", 1, "NoAuthority"));
    assert!(!world.seen.leftovers);
    world.pass_until(DAY + 5 * 60 - 10);
    assert_eq!(world.jobs, 1);
    world.pass_until(DAY + 2 * 3_600);
    assert_eq!((world.phase(), world.jobs), ("Ready", 5), "5, 10, 20, 40 minutes");
    assert_eq!(world.seen.status.maintenance_failures, None);
}

#[test]
fn a_mended_specification_is_tried_at_once() {
    let mut world = World::new(vec![failed(MoverReason::WrongKey)]);
    world.pass_until(DAY + 60);
    assert_eq!((world.phase(), world.jobs), ("Degraded", 1));
    world.seen.generation = Some(2);
    world.pass_until(DAY + 90);
    assert_eq!((world.phase(), world.jobs), ("Ready", 2));
    assert_eq!(world.seen.status.observed_generation, Some(2));
}

#[test]
fn damage_degrades_until_a_check_is_sound_again() {
    let mut world = World::new(vec![maintained(2)]);
    world.pass_until(DAY + 60);
    assert_eq!((world.phase(), world.reason(CHECKED)), ("Degraded", "RepositoryDamaged"));
    assert_eq!(world.reason(MAINTAINED), "Maintained");
    assert_eq!((world.jobs, world.seen.status.last_check_time.clone()), (1, None), "no use in trying again");
    world.pass_until(2 * DAY + 60);
    assert_eq!((world.phase(), world.jobs), ("Ready", 2));
}

#[test]
fn vanished_backups_are_told_for_as_long_as_it_is_known_and_degrade_nothing() {
    let mut world = World::new(vec![abandoned(3), abandoned(0), maintained(0)]);
    let condition = |world: &World| {
        let conditions = world.seen.status.conditions.clone().unwrap_or_default();
        conditions.into_iter().find(|one| one.type_ == ABANDONED)
    };
    world.pass_until(DAY + 60);
    let told = condition(&world).unwrap();
    assert_eq!((told.status.as_str(), world.phase()), ("True", "Ready"));
    for part in ["3 restore points", "daily, weekly", "velero.io/backup-name=NAME", "ForgetRequest"] {
        assert!(told.message.contains(part), "{}", told.message);
    }
    world.pass_until(2 * DAY + 60);
    assert_eq!(condition(&world).unwrap().status, "False");
    world.pass_until(3 * DAY + 60);
    assert_eq!(condition(&world), None, "Velero could not be asked");
}

#[test]
fn on_a_volume_maintenance_waits_for_the_movers_at_work() {
    let mut world = World::new(Vec::new());
    world.seen.others_at_work = 2;
    world.pass_until(DAY + 3_600);
    assert_eq!((world.phase(), world.jobs, world.reason(PROGRESSING)), (MAINTAINING, 0, "WaitsForMovers"));
    world.seen.others_at_work = 0;
    world.pass_until(DAY + 3_660);
    assert_eq!((world.phase(), world.jobs), ("Ready", 1));
}

#[test]
fn suspension_and_a_lost_secret_stop_the_mover() {
    for stop in [
        |seen: &mut Seen| seen.suspended = true,
        |seen: &mut Seen| seen.due = Err(trouble(OperatorReason::RepositoryNotConfigured)),
        |seen: &mut Seen| seen.deleting = true,
    ] {
        let mut world = World::new(vec![MoverState::Running { pod: "p".into() }]);
        world.pass_until(DAY + 10);
        assert!(world.seen.leftovers && world.phase() == MAINTAINING);
        stop(&mut world.seen);
        world.pass_until(3 * DAY);
        assert!(!world.seen.leftovers && world.jobs == 1);
    }
}

#[test]
fn the_operator_may_be_killed_at_any_moment() {
    for killed in 0..30 {
        let mut world = World::new(Vec::new());
        world.seen.request = Some("now".into());
        for pass in 0..100 {
            world.pass(pass != killed);
        }
        assert_eq!((world.phase(), world.jobs), ("Ready", 1), "killed in pass {killed}");
        assert!(!world.seen.leftovers);
    }
}

#[test]
fn due_follows_the_schedule_from_the_last_maintenance_or_the_beginning() {
    let time = |text: &str| Some(Time(text.parse().unwrap()));
    let mut repository = Repository::default();
    repository.metadata.creation_timestamp = time("2026-11-26T10:00:00Z");
    let next = |repository: &Repository| due(repository).map(|due| due.unwrap().to_string());
    assert_eq!(next(&repository).unwrap(), "2026-11-27T03:17:00Z");
    let policy = |schedule: &str| {
        Some(MaintenancePolicy { schedule: Some(schedule.to_owned()), ..Default::default() })
    };
    repository.spec.maintenance = policy("0 */6 * * *");
    assert_eq!(next(&repository).unwrap(), "2026-11-26T12:00:00Z");
    repository.status =
        Some(RepositoryStatus { last_maintenance_time: time("2026-12-01T12:00:10Z"), ..Default::default() });
    assert_eq!(next(&repository).unwrap(), "2026-12-01T18:00:00Z");
    repository.spec.maintenance = policy("whenever");
    assert_eq!(next(&repository).unwrap_err().reason.as_str(), "ScheduleInvalid");
    let pause = crate::kinds::attempt::pause(1, SignedDuration::from_mins(5), SignedDuration::from_hours(6));
    assert_eq!(pause, SignedDuration::from_mins(5));
}
