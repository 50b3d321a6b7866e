//! The mover's jobs without a volume: forgetting one restore point, and maintenance.

use std::fs;
use std::path::Path;

use longshore_job::{
    CheckSummary, ForgetSummary, ForgetTask, KnownBackups, MaintainTask, MaintenanceSummary, Outcome, Reason,
    Retention, Task, VolumeMode,
};

use crate::failures::walk;
use crate::mover::{Pod, RUN, backup};
use crate::sandbox::{image, noise};

const OTHER_RUN: &str = "5f0e5b52-6cd9-4a63-9a4e-0a5b1b1f3c12";
const THIRD_RUN: &str = "5f0e5b52-6cd9-4a63-9a4e-0a5b1b1f3c13";
const FOURTH_RUN: &str = "5f0e5b52-6cd9-4a63-9a4e-0a5b1b1f3c14";

fn forget_of(cluster: &str, run: &str) -> Task {
    let reference = format!("longshore://{cluster}/shop/data/{run}?mode=Block").parse().unwrap();
    Task::Forget(Box::new(ForgetTask { reference }))
}

fn forget(run: &str) -> Task {
    forget_of("c0ffee", run)
}

fn maintenance(read_percent: u32) -> MaintainTask {
    MaintainTask {
        prune: true,
        max_unused_percent: Some(0),
        check: true,
        check_read_data_percent: read_percent,
        check_sample: 0,
        retention: None,
        velero_backups: None,
    }
}

fn maintain(read_percent: u32) -> Task {
    Task::Maintain(Box::new(maintenance(read_percent)))
}

/// A pod of the maintenance's kind: without a volume.
struct Maintainer {
    pod: Pod,
}

impl Maintainer {
    /// With two restore points of `shop/data` that share nothing.
    fn with_two_points() -> Self {
        let pod = Pod::new();
        pod.sandbox.ok(&["init", "--reserve-size", "0"]);
        let volume = pod.sandbox.path("volume");
        for (run, seed) in [(RUN, 1), (OTHER_RUN, 2)] {
            fs::write(&volume, noise(seed, 6 << 20)).unwrap();
            pod.backup(&volume, VolumeMode::Block, run);
        }
        Self { pod }
    }

    fn nowhere(&self) -> std::path::PathBuf {
        self.pod.sandbox.path("there is no volume")
    }

    fn forgets(&self, task: Task) -> ForgetSummary {
        match self.pod.run(&self.nowhere(), task, "request", "velero") {
            (0, Outcome::Forgotten(summary)) => summary,
            other => panic!("{other:?}"),
        }
    }

    fn maintains(&self, read_percent: u32) -> MaintenanceSummary {
        self.maintains_by(maintenance(read_percent))
    }

    fn maintains_by(&self, task: MaintainTask) -> MaintenanceSummary {
        match self.pod.run(&self.nowhere(), Task::Maintain(Box::new(task)), "repository", "velero") {
            (0, Outcome::Maintained(summary)) => summary,
            other => panic!("{other:?}"),
        }
    }

    /// A point of `shop/data` that says of itself what the labels say.
    fn add_point(&self, run: &str, labels: &[(&str, &str)]) {
        let Task::Backup(mut task) = backup(VolumeMode::Block) else { panic!("no backup") };
        task.labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let outcome = self.pod.run(&self.pod.sandbox.path("volume"), Task::Backup(task), run, "shop");
        assert!(matches!(outcome, (0, Outcome::BackedUp(_))), "{outcome:?}");
    }

    fn fails(&self, task: Task) -> Reason {
        self.pod.fails(&self.nowhere(), task, "velero").1
    }

    fn runs(&self) -> Vec<String> {
        let listed = self.pod.sandbox.ok(&["-o", "json", "snapshots"]);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        let snapshots = listed["snapshots"].as_array().unwrap();
        snapshots.iter().map(|view| view["id"].as_str().unwrap().to_owned()).collect()
    }

    fn write_secret(&self, key: &str, value: impl AsRef<[u8]>) {
        fs::write(self.pod.sandbox.path("secret").join(key), value).unwrap();
    }
}

fn bytes(folder: &Path) -> u64 {
    walk(folder).iter().map(|file| fs::metadata(file).unwrap().len()).sum()
}

#[test]
fn a_point_goes_by_its_reference_and_only_that_one_and_twice_is_no_error() {
    let maintainer = Maintainer::with_two_points();
    let first = maintainer.forgets(forget(RUN));
    assert_eq!((first.snapshot_id.as_str(), first.already_gone), (RUN, false));
    assert_eq!(maintainer.runs(), [OTHER_RUN]);
    assert!(maintainer.forgets(forget(RUN)).already_gone, "forgotten before");
    let never = "5f0e5b52-6cd9-4a63-9a4e-0a5b1b1f3c99";
    assert!(maintainer.forgets(forget(never)).already_gone, "never there");
    assert!(maintainer.forgets(forget_of("another-cluster", OTHER_RUN)).already_gone, "another source");
    assert_eq!(maintainer.runs(), [OTHER_RUN]);
    let volume = maintainer.pod.sandbox.path("volume");
    fs::write(&volume, noise(1, 6 << 20)).unwrap();
    match maintainer.pod.run(&volume, backup(VolumeMode::Block), RUN, "shop") {
        (_, Outcome::Failed { .. }) => {}
        other => panic!("a forgotten run came back: {other:?}"),
    }
}

#[test]
fn a_reference_that_names_no_single_run_deletes_nothing() {
    let maintainer = Maintainer::with_two_points();
    for run in ["latest", "5f0e5b52", "5f0e5b526cd94a639a4e0a5b1b1f3c11"] {
        assert_eq!(maintainer.fails(forget(run)), Reason::InvalidJob, "{run}");
    }
    assert_eq!(maintainer.runs().len(), 2);
}

#[test]
fn what_keeps_from_looking_is_never_taken_for_gone() {
    let maintainer = Maintainer::with_two_points();
    let location = maintainer.pod.sandbox.path("repository");
    maintainer.write_secret("RESTIC_REPOSITORY", maintainer.pod.sandbox.path("empty").to_str().unwrap());
    assert_eq!(maintainer.fails(forget(RUN)), Reason::RepositoryNotFound);
    assert_eq!(maintainer.fails(maintain(0)), Reason::RepositoryNotFound);
    maintainer.write_secret("RESTIC_REPOSITORY", location.to_str().unwrap());
    maintainer.write_secret("RESTIC_PASSWORD", "wrong");
    assert_eq!(maintainer.fails(forget(RUN)), Reason::WrongKey);
    assert_eq!(maintainer.fails(maintain(0)), Reason::WrongKey);
    assert_eq!(maintainer.runs().len(), 2);
}

#[test]
fn a_movers_key_has_no_authority_to_forget_or_prune() {
    let maintainer = Maintainer::with_two_points();
    let key = maintainer.pod.sandbox.path("mover.key");
    maintainer.pod.sandbox.ok(&["key", "add", "--new-key-file", key.to_str().unwrap()]);
    maintainer.write_secret("RESTIC_PASSWORD", fs::read(&key).unwrap());
    assert_eq!(maintainer.fails(forget(RUN)), Reason::NoAuthority);
    assert_eq!(maintainer.fails(maintain(0)), Reason::NoAuthority);
    assert_eq!(maintainer.runs().len(), 2);
}

#[test]
fn a_point_whose_record_is_damaged_can_be_forgotten() {
    let maintainer = Maintainer::with_two_points();
    let records = walk(&maintainer.pod.sandbox.path("repository/snap"));
    let record = records.iter().find(|file| file.to_string_lossy().contains(RUN)).unwrap();
    let mut content = fs::read(record).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    fs::write(record, content).unwrap();
    assert!(!maintainer.forgets(forget(RUN)).already_gone);
    assert!(maintainer.forgets(forget(RUN)).already_gone);
    assert_eq!(maintainer.runs(), [OTHER_RUN]);
    assert!(maintainer.maintains(0).bytes_freed > 5 << 20);
}

#[test]
fn maintenance_gives_the_space_of_forgotten_points_back_and_tells_what_is_left() {
    let maintainer = Maintainer::with_two_points();
    let folder = maintainer.pod.sandbox.path("repository");
    let before = maintainer.maintains(100);
    assert_eq!((before.restore_points, before.bytes_freed), (2, 0));
    assert_eq!(before.check.as_ref().map(|check| check.problems), Some(0));
    assert!(before.check.unwrap().bytes_read > 11 << 20, "everything was read");
    maintainer.forgets(forget(RUN));
    let full = bytes(&folder);
    let after = maintainer.maintains(0);
    assert_eq!(after.restore_points, 1);
    assert!(after.bytes_freed > 5 << 20, "{after:?}");
    assert!(bytes(&folder) + (5 << 20) < full, "{} of {full} bytes are left", bytes(&folder));
    let differs = after.repository_bytes.abs_diff(bytes(&folder));
    assert!(differs < 64 << 10, "{} told, {} there", after.repository_bytes, bytes(&folder));
    let target = maintainer.pod.sandbox.path("target");
    image(&target, 6 << 20, &[]);
    maintainer.pod.restore(&target, VolumeMode::Block, OTHER_RUN);
    assert_eq!(fs::read(&target).unwrap(), noise(2, 6 << 20));
}

#[test]
fn points_whose_velero_backup_vanished_are_told_and_stay() {
    let maintainer = Maintainer::with_two_points();
    let label = longshore_job::VELERO_BACKUP_LABEL;
    maintainer.add_point(THIRD_RUN, &[(label, "monday")]);
    maintainer.add_point(FOURTH_RUN, &[(label, "tuesday")]);
    let listed =
        maintainer.pod.sandbox.ok(&["-o", "json", "snapshots", "--label", &format!("{label}=monday")]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(
        (listed["snapshots"].as_array().unwrap().len(), &listed["snapshots"][0]["id"]),
        (1, &THIRD_RUN.into())
    );
    let known = |cluster: &str, at: &str, names: &[&str]| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let known = KnownBackups { cluster_uid: cluster.into(), at: at.into(), names };
        let task = MaintainTask { velero_backups: Some(known), ..maintenance(0) };
        let found = maintainer.maintains_by(task).abandoned.unwrap();
        (found.restore_points, found.backups.join(","))
    };
    let later = "2100-01-01T00:00:00Z";
    assert_eq!(known("c0ffee", later, &["tuesday", "friday"]), (1, "monday".to_owned()));
    assert_eq!(known("c0ffee", later, &[]), (2, "monday,tuesday".to_owned()));
    assert_eq!(known("c0ffee", later, &["monday", "tuesday"]).0, 0);
    assert_eq!(known("another-cluster", later, &[]).0, 0, "its backups are not known here");
    assert_eq!(known("c0ffee", "2020-01-01T00:00:00Z", &[]).0, 0, "the list is older than the points");
    assert_eq!(maintainer.maintains(0).abandoned, None);
    assert_eq!(maintainer.runs().len(), 4, "nothing is deleted for that");
}

#[test]
fn retention_forgets_only_what_it_may() {
    let maintainer = Maintainer::with_two_points();
    maintainer.add_point(THIRD_RUN, &[(longshore_job::VELERO_BACKUP_LABEL, "monday")]);
    maintainer.add_point(FOURTH_RUN, &[]);
    let forgets = |retention: Retention| {
        let task = MaintainTask { retention: Some(retention), ..maintenance(0) };
        let summary = maintainer.maintains_by(task);
        assert_eq!(summary.restore_points as usize, maintainer.runs().len());
        summary.forgotten
    };
    let keep = |last: u32| Retention { cluster_uid: "c0ffee".into(), keep_last: last, ..Default::default() };
    assert_eq!(forgets(Retention { cluster_uid: "another-cluster".into(), ..keep(1) }), 0);
    assert_eq!(forgets(Retention { not_before: "2100-01-01T00:00:00Z".into(), ..keep(1) }), 0, "not adopted");
    assert_eq!(forgets(Retention { keep_within_seconds: 3_600, ..keep(0) }), 0);
    assert_eq!(forgets(keep(2)), 1, "the point of a Velero Backup takes no place");
    assert_eq!(maintainer.runs(), [OTHER_RUN, THIRD_RUN, FOURTH_RUN]);
    assert_eq!(forgets(keep(1)), 1);
    assert_eq!(maintainer.runs(), [THIRD_RUN, FOURTH_RUN]);
    assert_eq!(forgets(keep(1)), 0);
    let nothing = MaintainTask { retention: Some(keep(0)), ..maintenance(0) };
    assert_eq!(maintainer.fails(Task::Maintain(Box::new(nothing))), Reason::InvalidJob);
    assert_eq!(maintainer.runs().len(), 2);
}

#[test]
fn damage_is_a_finding_that_the_result_tells() {
    let maintainer = Maintainer::with_two_points();
    let packs = walk(&maintainer.pod.sandbox.path("repository/data"));
    let pack = packs.iter().max_by_key(|file| fs::metadata(file).unwrap().len()).unwrap();
    let mut content = fs::read(pack).unwrap();
    content[1000] ^= 1;
    fs::write(pack, content).unwrap();
    assert_eq!(maintainer.maintains(0).check.unwrap().problems, 0, "the structure alone does not show it");
    let CheckSummary { problems, damaged_restore_points, first_problem, .. } =
        maintainer.maintains(100).check.unwrap();
    assert!(problems > 0 && damaged_restore_points > 0, "{problems} {damaged_restore_points}");
    assert!(first_problem.contains("data/"), "{first_problem}");
}
