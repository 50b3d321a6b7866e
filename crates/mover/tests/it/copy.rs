//! Copies into a repository with other keys: they restore equal, and what is there already is neither read nor stored.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use longshore_mover::{
    BackupRequest, Control, CopyOutcome, RestoreOptions, run_backup, run_copy, run_restore,
};
use longshore_repo::store::{MetricsStore, StoreCounters, memory};
use longshore_repo::{
    CheckOptions, KdfCost, KubernetesVolume, Repository, RepositorySettings, RunId, Secret, Snapshot,
    SourceIdentity,
};

const COST: KdfCost = KdfCost { memory_kib: 8, passes: 1, lanes: 1 };

/// A repository whose requests are counted.
fn counted(password: &str) -> (Arc<StoreCounters>, Repository) {
    let counters = Arc::new(StoreCounters::default());
    let store = Arc::new(MetricsStore::new(memory(), counters.clone()));
    (counters, Repository::init(store, &Secret::from(password), COST).unwrap())
}

fn back_up(repository: &Repository, path: &Path) -> Snapshot {
    let request = BackupRequest {
        path,
        run: RunId(uuid::Uuid::now_v7()),
        source: SourceIdentity::Pvc {
            cluster_uid: "c".into(),
            namespace: "shop".into(),
            pvc: path.file_name().unwrap().to_string_lossy().into_owned(),
        },
        kubernetes: Some(KubernetesVolume { namespace: "shop".into(), ..KubernetesVolume::default() }),
        data_at: Some("2026-11-22T00:00:00Z".parse().unwrap()),
        labels: BTreeMap::from([("tier".to_owned(), "gold".to_owned())]),
        allow_incomplete: false,
        force: false,
        one_file_system: false,
        is_immutable: false,
    };
    run_backup(repository, &request, &jiff::Timestamp::now, &Control::default()).unwrap().snapshot
}

fn copy(from: &Repository, snapshots: &[Snapshot], to: &Repository) -> Vec<CopyOutcome> {
    let mut outcomes = Vec::new();
    let control = Control::default();
    run_copy(from, snapshots, to, &control, &mut |outcome| outcomes.push(outcome.clone())).unwrap();
    let (progress, sizes) = (control.progress(), snapshots.iter().map(|s| s.record.content.size_bytes()));
    assert_eq!(progress.bytes_total, sizes.sum::<u64>());
    assert_eq!(progress.bytes_done, progress.bytes_total);
    outcomes
}

fn copied(outcome: &CopyOutcome) -> &Snapshot {
    match outcome {
        CopyOutcome::Copied(snapshot) => snapshot,
        other => panic!("{other:?}"),
    }
}

/// What a copy keeps of a record.
fn kept(snapshot: &Snapshot) -> impl PartialEq + std::fmt::Debug + use<> {
    let record = snapshot.record.clone();
    let times = (record.started_at, record.finished_at, record.data_at);
    let stats = (record.stats.read_bytes, record.stats.files, record.stats.hole_bytes);
    let size_bytes = record.content.size_bytes();
    (record.run, record.source, times, record.labels, record.kubernetes, stats, size_bytes, record.incomplete)
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(step).collect()
}

fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("many/deep")).unwrap();
    for number in 0..200 {
        let length = number as usize * 50;
        fs::write(root.join(format!("many/{number}")), noise(number + 1, length)).unwrap();
    }
    fs::write(root.join("many/deep/same"), noise(150, 150 * 50)).unwrap();
    // More than 64 runs: a node of its own.
    fs::write(root.join("large"), noise(77, 12 << 20)).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(80 << 20).unwrap();
    sparse.write_all_at(&noise(5, 300_000), (64 << 20) - 100_000).unwrap();
    fs::write(root.join("inline"), b"few bytes").unwrap();
    std::os::unix::fs::symlink("large", root.join("link")).unwrap();
    fs::hard_link(root.join("inline"), root.join("many/other-name")).unwrap();
}

/// Restores both and compares everything that a file system tells.
fn assert_equal_restores(one: (&Repository, &Snapshot), other: (&Repository, &Snapshot)) {
    let folder = tempfile::tempdir().unwrap();
    let describe = |(repository, snapshot): (&Repository, &Snapshot), name: &str| {
        let target = folder.path().join(name);
        run_restore(repository, snapshot, &target, RestoreOptions::default(), &Control::default()).unwrap();
        if target.is_file() {
            return (String::new(), fs::read(target).unwrap());
        }
        let script = r"export LC_ALL=C; cd $0; find . -printf '%p|%y|%m|%U:%G|%T@|%l|%n|%s\n' | sort;
            find . -type f -print0 | sort -z | xargs -0 -r sha256sum";
        let output = std::process::Command::new("bash").args(["-ec", script]).arg(&target).output().unwrap();
        assert!(output.status.success());
        (String::from_utf8_lossy(&output.stdout).into_owned(), Vec::new())
    };
    let (one, other) = (describe(one, "one"), describe(other, "other"));
    assert_eq!(one.0, other.0);
    assert!(one.1 == other.1, "the volumes differ");
}

fn assert_sound(repository: &Repository) {
    let report = repository.check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap();
    assert_eq!(report.problems, []);
}

#[test]
fn a_copied_tree_restores_equal_and_a_second_copy_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("files");
    make_tree(&root);
    let (_, from) = counted("one");
    let (counters, to) = counted("two");
    let first = back_up(&from, &root);
    let outcomes = copy(&from, std::slice::from_ref(&first), &to);
    let first_copy = copied(&outcomes[0]);
    assert_eq!(kept(first_copy), kept(&first));
    assert_equal_restores((&from, &first), (&to, first_copy));
    assert_sound(&to);

    let before = counters.now();
    let again = copy(&from, std::slice::from_ref(&first), &to);
    let after = counters.now();
    assert_eq!(again, [CopyOutcome::AlreadyThere(first_copy.clone())]);
    assert_eq!((after.creates, after.written_bytes), (before.creates, before.written_bytes));
}

#[test]
fn a_changed_tree_costs_what_changed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("files");
    make_tree(&root);
    let (reads, from) = counted("one");
    let (_, to) = counted("two");
    let first = back_up(&from, &root);
    copy(&from, &[first], &to);
    fs::write(root.join("many/7"), noise(9999, 100_000)).unwrap();
    fs::remove_file(root.join("many/8")).unwrap();
    fs::write(root.join("many/a new one"), b"new").unwrap();
    let large = fs::File::options().write(true).open(root.join("large")).unwrap();
    large.write_all_at(b"changed", 5 << 20).unwrap();
    let second = back_up(&from, &root);
    let before = reads.now().read_bytes;
    let outcomes = copy(&from, std::slice::from_ref(&second), &to);
    let read_bytes = reads.now().read_bytes - before;
    assert!(read_bytes < 1500 << 10, "{read_bytes} bytes read for a few changed files");
    let second_copy = copied(&outcomes[0]);
    let stats = second_copy.record.stats;
    assert!(stats.new_bytes < 700 << 10, "{stats:?}");
    assert_eq!(second_copy.record.parent, second.record.parent);
    assert_equal_restores((&from, &second), (&to, second_copy));
    assert_sound(&to);
}

#[test]
fn copied_volumes_restore_equal_and_cost_what_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    let image = fs::File::create(&path).unwrap();
    image.set_len((300 << 20) + 777).unwrap();
    image.write_all_at(&noise(1, 9 << 20), 60 << 20).unwrap();
    image.write_all_at(&noise(2, 3 << 20), 200 << 20).unwrap();
    image.write_all_at(b"the end", (300 << 20) + 700).unwrap();
    let (reads, from) = counted("one");
    let (counters, to) = counted("two");
    let first = back_up(&from, &path);
    image.write_all_at(&noise(3, 10_000), 62 << 20).unwrap();
    let second = back_up(&from, &path);
    let outcomes = copy(&from, std::slice::from_ref(&first), &to);
    let first_copy = copied(&outcomes[0]);
    assert_equal_restores((&from, &first), (&to, first_copy));
    assert_eq!(first_copy.record.parent, None);

    let before = reads.now().read_bytes;
    // All at once, in any order, and one of them twice: the base comes first.
    let both = copy(&from, &[second.clone(), first.clone(), second.clone()], &to);
    let read_bytes = reads.now().read_bytes - before;
    let second_copy = copied(&both[1]);
    let there = |snapshot: &Snapshot| CopyOutcome::AlreadyThere(snapshot.clone());
    assert_eq!((&both[0], &both[2]), (&there(first_copy), &there(second_copy)));
    let stats = second_copy.record.stats;
    assert!(stats.new_bytes < 1 << 20 && read_bytes < 2 << 20, "{read_bytes} read, {stats:?}");
    assert_eq!(second_copy.record.parent, Some(first.record.run));
    assert_equal_restores((&from, &second), (&to, second_copy));
    assert_sound(&to);

    let before = counters.now().creates;
    copy(&from, &[first, second], &to);
    assert_eq!(counters.now().creates, before);
}

/// A target that cuts by other sizes: the same bytes in other chunks, as its own backups would cut them.
#[test]
fn a_target_that_cuts_otherwise_gets_its_own_cuts() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("files");
    make_tree(&root);
    let image = folder.path().join("image");
    let mut content = noise(4, 5 << 20);
    content.extend(vec![0; 3 << 20]);
    content.extend(noise(5, 100_001));
    fs::write(&image, &content).unwrap();
    let (_, from) = counted("one");
    let settings =
        RepositorySettings { chunk_bytes: [8 << 10, 32 << 10, 128 << 10], ..RepositorySettings::default() };
    let to = Repository::init_with(memory(), &Secret::from("two"), COST, settings).unwrap();
    let snapshots = [back_up(&from, &root), back_up(&from, &image)];
    let outcomes = copy(&from, &snapshots, &to);
    for (snapshot, outcome) in snapshots.iter().zip(&outcomes) {
        assert_equal_restores((&from, snapshot), (&to, copied(outcome)));
    }
    assert_sound(&to);
    for path in [&root, &image] {
        let native = back_up(&to, path);
        assert_eq!(
            native.record.stats.new_bytes, 0,
            "what a backup of the same would store is there: {path:?}"
        );
    }
}

#[test]
fn a_stopped_copy_stops_and_a_repeated_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("files");
    make_tree(&root);
    let (_, from) = counted("one");
    let (_, to) = counted("two");
    let snapshot = back_up(&from, &root);
    let control = Control::default();
    control.cancel();
    let result = run_copy(&from, std::slice::from_ref(&snapshot), &to, &control, &mut |_| {});
    assert!(matches!(result, Err(longshore_mover::MoverError::Cancelled)), "{result:?}");
    assert!(to.snapshots().unwrap().is_empty());
    copied(&copy(&from, &[snapshot], &to)[0]);
}

/// A copy is repeated every night, and the target forgets by rules of its own.
#[test]
fn what_the_target_forgot_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("image");
    fs::write(&path, noise(1, 100_000)).unwrap();
    let (_, from) = counted("one");
    let (_, to) = counted("two");
    let snapshot = back_up(&from, &path);
    let copy_of = copy(&from, std::slice::from_ref(&snapshot), &to);
    to.forget(copied(&copy_of[0]), "test", jiff::Timestamp::now()).unwrap();
    let again = copy(&from, std::slice::from_ref(&snapshot), &to);
    assert_eq!(again, [CopyOutcome::Forgotten(snapshot.record.run)]);
}
