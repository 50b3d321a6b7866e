//! The queue's laws: single cases, and random arrivals, ends, deletions and restarts.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use longshore_api::{ResolvedSource, TargetVolumeSpec, VolumeSnapshotBackupStatus};
use proptest::prelude::*;

use super::*;

const LIMITS: SlotLimits = SlotLimits { backups: 2, restores: 2, forgets: 1, per_repository: None };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn run(uid: &str, second: i64, phase: &str, batching: &str) -> Arc<VolumeSnapshotBackup> {
    let mut run = VolumeSnapshotBackup::default();
    run.metadata.uid = Some(uid.to_owned());
    run.metadata.creation_timestamp = Some(Time(at(second)));
    run.status = Some(VolumeSnapshotBackupStatus {
        phase: Some(phase.to_owned()),
        batching_status: Some(batching.to_owned()),
        ..Default::default()
    });
    Arc::new(run)
}

fn waiting(uid: &str, kind: RunKind, namespace: &str, repository: &str, second: i64) -> Entry {
    Entry {
        uid: uid.to_owned(),
        kind,
        namespace: namespace.to_owned(),
        repository: ("vault".to_owned(), repository.to_owned()),
        created: at(second),
        working: false,
    }
}

fn order<'a>(queue: &'a [Entry], limits: &SlotLimits) -> Vec<&'a str> {
    plan(queue, limits).iter().map(|entry| entry.uid.as_str()).collect()
}

#[test]
fn only_status_decides_who_works_and_who_waits() {
    let mut gone = run("gone", 1, "InProgress", "Queued").as_ref().clone();
    gone.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let mut ending = run("ending", 1, "InProgress", "Processing").as_ref().clone();
    ending.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
    let all = [
        run("over", 1, "Completed", "Completed"),
        run("fresh", 1, "", ""),
        run("b", 2, "InProgress", "Queued"),
        Arc::new(gone),
        Arc::new(ending),
    ];
    let queue = entries(&all);
    let seen: Vec<_> = queue.iter().map(|entry| (entry.uid.as_str(), entry.working)).collect();
    assert_eq!(seen, [("b", false), ("ending", true)], "a run that is being deleted works until it is gone");
    assert_eq!(queue[0].repository.1, "restic-secret", "the Secret that naming none means");
    assert_eq!(order(&queue, &LIMITS), ["b"]);
    assert!(!Admissions::default().admit("fresh", queue, &LIMITS));
}

#[test]
fn namespaces_take_turns_and_age_decides_among_equals() {
    use RunKind::Backup;
    let mut queue = vec![
        waiting("a1", Backup, "a", "r", 1),
        waiting("a2", Backup, "a", "r", 2),
        waiting("a3", Backup, "a", "r", 3),
        waiting("b1", Backup, "b", "r", 8),
        waiting("c1", Backup, "c", "r", 9),
    ];
    let limits = SlotLimits { backups: 4, ..LIMITS };
    assert_eq!(order(&queue, &limits), ["a1", "b1", "c1", "a2"]);
    queue[0].working = true;
    assert_eq!(order(&queue, &limits), ["b1", "c1", "a2"]);
}

#[test]
fn restores_go_first_where_both_want_the_same_repository() {
    let limits = SlotLimits { per_repository: Some(1), ..LIMITS };
    let queue = [
        waiting("backup", RunKind::Backup, "a", "r", 1),
        waiting("restore", RunKind::Restore, "b", "r", 9),
        waiting("elsewhere", RunKind::Backup, "a", "other", 5),
    ];
    assert_eq!(order(&queue, &limits), ["restore", "elsewhere"], "a full repository blocks no other");
}

#[test]
fn passes_that_look_at_one_moment_do_not_oversell() {
    let mut queue: Vec<Entry> =
        (0..30).map(|number| waiting(&format!("{number:02}"), RunKind::Backup, "a", "r", 1)).collect();
    let limits = SlotLimits { backups: 4, ..LIMITS };
    let admissions = Admissions::default();
    let admit = |queue: &[Entry]| -> Vec<String> {
        let all = queue.iter().rev().map(|entry| entry.uid.clone());
        all.filter(|uid| admissions.admit(uid, queue.to_vec(), &limits)).collect()
    };
    assert_eq!(admit(&queue), ["03", "02", "01", "00"]);
    // An older one comes late, while the status of those that were let in is still on its way.
    queue.insert(0, waiting("zz", RunKind::Backup, "a", "r", 0));
    assert_eq!(admit(&queue), ["03", "02", "01", "00"]);
    queue.retain(|entry| entry.uid != "00");
    assert!(admit(&queue).contains(&"zz".to_owned()), "the oldest gets what is given back");
}

#[test]
fn vsm_34_backups_of_data_uploads_take_the_turns_of_their_sources_namespaces() {
    let of = |uid: &str, second: i64, source: &str| {
        let mut run = run(uid, second, "InProgress", "Queued").as_ref().clone();
        run.metadata.namespace = Some("velero".to_owned());
        let source = ResolvedSource { namespace: source.to_owned(), ..Default::default() };
        run.status.as_mut().unwrap().resolved_source = Some(source);
        Arc::new(run)
    };
    let queue = entries(&[of("a1", 1, "a"), of("a2", 2, "a"), of("b1", 3, "b"), of("old", 4, "")]);
    let turns: Vec<_> = queue.iter().map(|entry| entry.namespace.as_str()).collect();
    assert_eq!(turns, ["a", "a", "b", "velero"], "an older operator's run is its own namespace's");
    assert_eq!(order(&queue, &SlotLimits { backups: 3, ..LIMITS }), ["a1", "b1", "old"]);
}

#[test]
fn vsm_34_downloads_share_the_slots_the_turns_and_the_repository_of_restores() {
    let download = |uid: &str, second: i64, phase: DataMovePhase, target: &str| {
        let mut download = DataDownload::default();
        download.metadata.uid = Some(uid.to_owned());
        download.metadata.namespace = Some("vault".to_owned());
        download.metadata.creation_timestamp = Some(Time(at(second)));
        download.metadata.annotations = Some([(REPOSITORY_SECRET.to_owned(), "r".to_owned())].into());
        let target = TargetVolumeSpec { namespace: Some(target.to_owned()), ..Default::default() };
        download.spec.target_volume = Some(target);
        download.status.get_or_insert_default().phase = Some(phase.as_str().to_owned());
        Arc::new(download)
    };
    let downloads = entries(&[
        download("pvc-awaited", 0, DataMovePhase::Accepted, "a"),
        download("works", 1, DataMovePhase::InProgress, "a"),
        download("a", 2, DataMovePhase::Prepared, "a"),
        download("b", 3, DataMovePhase::Prepared, "b"),
        download("over", 0, DataMovePhase::Canceled, "c"),
    ]);
    assert_eq!(downloads.len(), 3, "one that waits for its PVC wants no slot");
    let queue = [downloads, vec![waiting("restore", RunKind::Restore, "c", "r", 4)]].concat();
    assert_eq!(order(&queue, &SlotLimits { restores: 3, ..LIMITS }), ["b", "restore"]);
    let full = SlotLimits { restores: 9, per_repository: Some(2), ..LIMITS };
    assert_eq!(order(&queue, &full), ["b"], "the repository is full");
}

/// What happens to the queue.
#[derive(Debug, Clone)]
enum Event {
    /// A run comes.
    Arrive { restore: bool, namespace: u8, repository: u8 },
    /// The one of those at work that is at this place ends.
    End(usize),
    /// The one of those waiting that is at this place is deleted.
    Withdraw(usize),
    /// The operator starts again: memory is gone, status stays.
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (any::<bool>(), 0..4_u8, 0..3_u8)
            .prop_map(|(restore, namespace, repository)| Event::Arrive { restore, namespace, repository }),
        4 => any::<usize>().prop_map(Event::End),
        1 => any::<usize>().prop_map(Event::Withdraw),
        1 => Just(Event::Restart),
    ];
    proptest::collection::vec(event, 1..120)
}

/// The queue with an operator that asks for everybody after each event, sees its own writes late, and may be killed in between.
struct World {
    queue: Vec<Entry>,
    admissions: Admissions,
    limits: SlotLimits,
    clock: i64,
}

impl World {
    fn new(limits: SlotLimits) -> Self {
        Self { queue: Vec::new(), admissions: Admissions::default(), limits, clock: 0 }
    }

    fn apply(&mut self, event: &Event) {
        self.clock += 1;
        match event {
            Event::Arrive { restore, namespace, repository } => {
                let kind = if *restore { RunKind::Restore } else { RunKind::Backup };
                let (uid, namespace) = (format!("{:05}", self.clock), format!("n{namespace}"));
                self.queue.push(waiting(&uid, kind, &namespace, &format!("r{repository}"), self.clock));
            }
            Event::End(place) => self.remove(*place, true),
            Event::Withdraw(place) => self.remove(*place, false),
            Event::Restart => self.admissions = Admissions::default(),
        }
        self.settle();
        self.check();
    }

    fn remove(&mut self, place: usize, working: bool) {
        let uids: Vec<String> =
            self.queue.iter().filter(|one| one.working == working).map(|one| one.uid.clone()).collect();
        if !uids.is_empty() {
            let gone = &uids[place % uids.len()];
            self.queue.retain(|one| one.uid != *gone);
        }
    }

    /// All passes look at one moment; their writes come after the last of them.
    fn settle(&mut self) {
        let seen = self.queue.clone();
        let begin: Vec<String> = seen
            .iter()
            .rev()
            .filter(|one| self.admissions.admit(&one.uid, seen.clone(), &self.limits))
            .map(|one| one.uid.clone())
            .collect();
        for one in &mut self.queue {
            one.working |= begin.contains(&one.uid);
        }
    }

    fn check(&self) {
        let count = |wanted: &dyn Fn(&Entry) -> bool| {
            u32::try_from(self.queue.iter().filter(|one| one.working && wanted(one)).count()).unwrap()
        };
        assert!(count(&|one| one.kind == RunKind::Backup) <= self.limits.backups);
        assert!(count(&|one| one.kind == RunKind::Restore) <= self.limits.restores);
        for one in &self.queue {
            let of_repository = count(&|other| other.repository == one.repository);
            assert!(self.limits.per_repository.is_none_or(|limit| of_repository <= limit));
        }
        assert!(plan(&self.queue, &self.limits).is_empty(), "a slot is free and somebody could use it");
    }
}

fn limits() -> impl Strategy<Value = SlotLimits> {
    (1..5_u32, 1..5_u32, proptest::option::of(1..4_u32)).prop_map(|(backups, restores, per_repository)| {
        SlotLimits { backups, restores, forgets: 1, per_repository }
    })
}

#[test]
fn vsm_25_a_hundred_backups_run_twelve_at_a_time_through_restarts() {
    let mut world = World::new(SlotLimits { backups: 12, restores: 1, forgets: 1, per_repository: None });
    for number in 0..100 {
        world.apply(&Event::Arrive { restore: false, namespace: number % 4, repository: number % 3 });
    }
    for left in (0..100_usize).rev() {
        assert_eq!(world.queue.iter().filter(|one| one.working).count(), 12.min(left + 1));
        world.apply(&Event::Restart);
        world.apply(&Event::End(left));
    }
    assert!(world.queue.is_empty());
}

proptest! {
    #[test]
    fn vsm_25_no_limit_is_ever_exceeded_and_no_slot_stays_empty(limits in limits(), events in events()) {
        let mut world = World::new(limits);
        events.iter().for_each(|event| world.apply(event));
    }

    /// However many come behind it, a run that waits begins at the latest when as many runs have ended as were there when it came.
    #[test]
    fn vsm_25_nobody_starves_behind_a_namespace_that_floods(
        limits in limits(), before in events(), crowd in 1..4_u8, ends in proptest::collection::vec(any::<usize>(), 400),
    ) {
        let mut world = World::new(limits);
        before.iter().for_each(|event| world.apply(event));
        // Restores go first on purpose, so the wait is measured without them.
        world.queue.retain(|one| one.kind == RunKind::Backup);
        world.settle();
        let ahead = world.queue.len();
        world.apply(&Event::Arrive { restore: false, namespace: 9, repository: 0 });
        let own = format!("{:05}", world.clock);
        let mut waited = 0;
        while world.queue.iter().any(|one| one.uid == own && !one.working) {
            for _ in 0..crowd {
                world.apply(&Event::Arrive { restore: false, namespace: 0, repository: 0 });
            }
            prop_assert!(waited <= ahead, "waited for {waited} ends with {ahead} ahead");
            world.apply(&Event::End(ends[waited]));
            waited += 1;
        }
    }
}
