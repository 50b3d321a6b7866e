//! The mover's entry point: a document and a Secret in, a result and an exit code out.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use longshore_job::{
    BackupSummary, BackupTask, CONTRACT_VERSION, JobDocument, JobResult, Outcome, ProgressLine, Reason,
    RestorePointReference, RestoreSummary, RestoreTask, RunIdentity, SourceVolume, Task, VolumeMode,
};

use crate::failures::walk;
use crate::roundtrip::nasty_tree;
use crate::sandbox::{PASSWORD, Sandbox, assert_same_bytes, describe, image, texts};

pub const RUN: &str = "5f0e5b52-6cd9-4a63-9a4e-0a5b1b1f3c11";

/// A sandbox with a Secret, and the mover as its pod runs it.
pub struct Pod {
    pub sandbox: Sandbox,
}

impl Pod {
    pub fn new() -> Self {
        let sandbox = Sandbox::empty();
        let secret = sandbox.path("secret");
        fs::create_dir(&secret).unwrap();
        fs::write(secret.join("RESTIC_REPOSITORY"), sandbox.path("repository").to_str().unwrap()).unwrap();
        fs::write(secret.join("RESTIC_PASSWORD"), PASSWORD).unwrap();
        Self { sandbox }
    }

    fn command(&self, volume: &Path, task: Task, run: &str, namespace: &str, nobody: bool) -> Command {
        let run = RunIdentity { uid: run.into(), namespace: namespace.into(), name: "run".into() };
        let document = JobDocument { version: CONTRACT_VERSION, run, task };
        let path = |name: &str| self.sandbox.path(name).to_str().unwrap().to_owned();
        let volume = volume.to_str().unwrap();
        let arguments = [
            "mover",
            "--credentials",
            &path("secret"),
            "--result",
            &path("result"),
            "--filesystem",
            volume,
            "--block",
            volume,
        ];
        let mut command = match nobody {
            true => self.sandbox.command_of_nobody(&arguments),
            false => self.sandbox.command(&arguments),
        };
        command.env("LONGSHORE_JOB", document.to_json().unwrap());
        command
    }

    pub fn run(&self, volume: &Path, task: Task, run: &str, namespace: &str) -> (i32, Outcome) {
        self.outcome(&mut self.command(volume, task, run, namespace, false))
    }

    fn outcome(&self, command: &mut Command) -> (i32, Outcome) {
        let output = command.output().unwrap();
        let (out, err) = texts(&output);
        assert!(!out.contains(PASSWORD) && !err.contains(PASSWORD));
        assert!(out.lines().all(|line| ProgressLine::parse(line).is_some()), "stdout is for progress: {out}");
        let message =
            fs::read_to_string(self.sandbox.path("result")).unwrap_or_else(|_| panic!("no result\n{err}"));
        fs::remove_file(self.sandbox.path("result")).unwrap();
        let result = JobResult::from_termination_message(&message).unwrap_or_else(|| panic!("{message}"));
        (output.status.code().unwrap(), result.outcome)
    }

    pub fn backup(&self, volume: &Path, mode: VolumeMode, run: &str) -> BackupSummary {
        match self.run(volume, backup(mode), run, "shop") {
            (0, Outcome::BackedUp(summary)) => summary,
            other => panic!("{other:?}"),
        }
    }

    pub fn restore(&self, volume: &Path, mode: VolumeMode, run: &str) -> RestoreSummary {
        match self.run(volume, restore(mode, run, &[]), "restore", "shop") {
            (0, Outcome::Restored(summary)) => summary,
            other => panic!("{other:?}"),
        }
    }

    pub fn fails(&self, volume: &Path, task: Task, namespace: &str) -> (i32, Reason, String) {
        match self.run(volume, task, RUN, namespace) {
            (code, Outcome::Failed { reason, message }) => {
                assert_eq!(code, i32::from(reason.exit_code()));
                (code, reason, message)
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The task of a mover that backs up `shop/data`.
pub fn backup(mode: VolumeMode) -> Task {
    let source = SourceVolume {
        cluster_uid: "c0ffee".into(),
        namespace: "shop".into(),
        pvc_name: "data".into(),
        pvc_uid: "pvc-uid".into(),
        pvc_size: "1Gi".into(),
        storage_class_name: "fast".into(),
        volume_mode: mode,
        access_modes: vec!["ReadWriteOnce".into()],
        labels: [("app".to_owned(), "shop".to_owned())].into(),
        driver: "lab.csi".into(),
        fs_type: "ext4".into(),
        volume_snapshot_class_name: "snapshots".into(),
        snapshot_handle: "handle".into(),
        snapshot_time: "2026-11-22T01:02:03Z".into(),
    };
    Task::Backup(Box::new(BackupTask { source, labels: Default::default() }))
}

fn restore(mode: VolumeMode, run: &str, allowed: &[&str]) -> Task {
    let reference = RestorePointReference {
        cluster_uid: "c0ffee".into(),
        namespace: "shop".into(),
        pvc_name: "data".into(),
        run: run.into(),
        volume_mode: mode,
    };
    let allowed = allowed.iter().map(|name| (*name).to_owned()).collect();
    Task::Restore(Box::new(RestoreTask { reference, allowed_source_namespaces: allowed }))
}

#[test]
fn vsm_27_retain_keys_and_a_schedule_forget_nothing_and_start_nothing() {
    const SECOND: &str = "5f0e5b52-6cd9-4a63-9a4e-0a5b1b1f3c12";
    let pod = Pod::new();
    let secret = pod.sandbox.path("secret");
    for (key, value) in [
        ("SnapshotScheduleCron", "* * * * *"),
        ("SnapshotRetainPolicyHourly", "1"),
        ("SnapshotRetainPolicyDaily", "0"),
        ("SnapshotRetainPolicyWithin", "1s"),
        ("restic-prune-interval", "0"),
    ] {
        fs::write(secret.join(key), value).unwrap();
    }
    let (source, target) = (pod.sandbox.path("volume"), pod.sandbox.path("target"));
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "first").unwrap();
    let mut command = pod.command(&source, backup(VolumeMode::Filesystem), RUN, "shop", false);
    let log = texts(&command.output().unwrap()).1;
    let said: Vec<&str> =
        log.lines().filter(|line| line.contains("keys of the Secret are ignored")).collect();
    assert_eq!(said.len(), 1, "said once: {log}");
    assert!(
        said[0].contains("SnapshotScheduleCron") && said[0].contains("SnapshotRetainPolicyHourly"),
        "{log}"
    );
    fs::write(source.join("file"), "second").unwrap();
    pod.backup(&source, VolumeMode::Filesystem, SECOND);
    let list = pod.sandbox.ok(&["snapshots"]);
    assert_eq!(list.matches("restore point ").count(), 2, "one point a run, and none is forgotten: {list}");
    for (run, content) in [(RUN, "first"), (SECOND, "second")] {
        fs::create_dir(&target).unwrap();
        pod.restore(&target, VolumeMode::Filesystem, run);
        assert_eq!(fs::read_to_string(target.join("file")).unwrap(), content);
        fs::remove_dir_all(&target).unwrap();
    }
}

#[test]
fn a_filesystem_goes_out_and_comes_back_and_its_record_tells_all() {
    let pod = Pod::new();
    let (source, target) = (pod.sandbox.path("volume"), pod.sandbox.path("target"));
    nasty_tree(&source);
    fs::create_dir(source.join("lost+found")).unwrap();
    fs::set_permissions(source.join("lost+found"), fs::Permissions::from_mode(0o700)).unwrap();
    let summary = pod.backup(&source, VolumeMode::Filesystem, RUN);
    assert_eq!(summary.snapshot_id, RUN);
    assert!(summary.bytes_new > 0 && summary.files > 300 && !summary.already_committed);

    let again = pod.backup(&source, VolumeMode::Filesystem, RUN);
    assert!(again.already_committed, "a rerun only reports");
    assert_eq!((again.bytes_read, again.files), (summary.bytes_read, summary.files));

    fs::create_dir_all(target.join("lost+found")).unwrap();
    let restored = pod.restore(&target, VolumeMode::Filesystem, RUN);
    assert_eq!(restored.snapshot_id, RUN);
    fs::remove_dir(target.join("lost+found")).unwrap();
    fs::remove_dir(source.join("lost+found")).unwrap();
    let without_root_time =
        |text: String| text.lines().filter(|line| !line.starts_with(".|")).collect::<Vec<_>>().join("\n");
    assert_eq!(without_root_time(describe(&target)), without_root_time(describe(&source)));

    let listed = pod.sandbox.ok(&["-o", "json", "snapshots"]);
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let view = &listed["snapshots"][0];
    assert_eq!(view["source"], "shop/data");
    assert_eq!(view["time"], "2026-11-22T01:02:03Z");
    assert_eq!(view["reference"], format!("longshore://c0ffee/shop/data/{RUN}?mode=Filesystem"));
    let volume = &view["kubernetes"];
    assert_eq!(volume["requestedBytes"], 1_u64 << 30);
    assert_eq!((&volume["storageClass"], &volume["fsType"]), (&"fast".into(), &"ext4".into()));
    assert_eq!((&volume["snapshotHandle"], &volume["pvcLabels"]["app"]), (&"handle".into(), &"shop".into()));
}

#[test]
fn a_block_volume_goes_out_and_comes_back_and_latest_is_the_newest() {
    let pod = Pod::new();
    let (source, target) = (pod.sandbox.path("volume"), pod.sandbox.path("target"));
    image(&source, 100 << 20, &[(0, 10 << 20)]);
    pod.backup(&source, VolumeMode::Block, RUN);
    image(&source, 100 << 20, &[(0, 10 << 20), (50 << 20, 1 << 20)]);
    let second = pod.backup(&source, VolumeMode::Block, "5f0e5b52-6cd9-4a63-9a4e-0a5b1b1f3c12");
    assert!((1 << 20..2 << 20).contains(&second.bytes_new), "{second:?}");
    pod.restore(&target, VolumeMode::Block, "latest");
    assert_same_bytes(&source, &target);
}

#[test]
fn every_refusal_has_its_reason() {
    let pod = Pod::new();
    let volume = pod.sandbox.path("volume");
    image(&volume, 1 << 20, &[(0, 1000)]);
    let (code, reason, _) = pod.fails(&volume, restore(VolumeMode::Block, RUN, &[]), "shop");
    assert_eq!((code, reason), (10, Reason::RepositoryNotFound));
    assert!(!pod.sandbox.path("repository").join("repo").exists(), "a restore makes no repository");
    pod.backup(&volume, VolumeMode::Block, RUN);

    let reason = |task, namespace: &str| pod.fails(&volume, task, namespace).1;
    assert_eq!(reason(restore(VolumeMode::Block, "latest", &[]), "thief"), Reason::NamespaceNotAllowed);
    assert_eq!(reason(restore(VolumeMode::Filesystem, RUN, &[]), "shop"), Reason::VolumeModeMismatch);
    let other = "5f0e5b52-6cd9-4a63-9a4e-0a5b1b1f3c99";
    assert_eq!(reason(restore(VolumeMode::Block, other, &[]), "shop"), Reason::RestorePointNotFound);

    fs::write(pod.sandbox.path("secret/RESTIC_PASSWORD"), "wrong").unwrap();
    assert_eq!(reason(restore(VolumeMode::Block, RUN, &[]), "shop"), Reason::WrongKey);
    fs::remove_file(pod.sandbox.path("secret/RESTIC_PASSWORD")).unwrap();
    let (_, missing, message) = pod.fails(&volume, restore(VolumeMode::Block, RUN, &[]), "shop");
    assert_eq!(missing, Reason::SecretKeyMissing);
    assert!(message.contains("RESTIC_PASSWORD"), "{message}");
}

/// Velero and OADP know the password's key of the Secret alone, so a mover's key file stands in its place.
#[test]
fn a_movers_key_file_takes_the_passwords_place_in_the_secret() {
    let pod = Pod::new();
    let (volume, target) = (pod.sandbox.path("volume"), pod.sandbox.path("target"));
    image(&volume, 1 << 20, &[(0, 1000)]);
    let key = pod.sandbox.path("mover.key");
    pod.sandbox.ok(&["init"]);
    pod.sandbox.ok(&["key", "add", "--new-key-file", key.to_str().unwrap()]);
    fs::copy(&key, pod.sandbox.path("secret/RESTIC_PASSWORD")).unwrap();
    pod.backup(&volume, VolumeMode::Block, RUN);
    pod.restore(&target, VolumeMode::Block, RUN);
    assert_same_bytes(&volume, &target);
    let text = fs::read_to_string(&key).unwrap();
    let typed = text.replacen("lskey1", "lskey1q", 1);
    fs::write(pod.sandbox.path("secret/RESTIC_PASSWORD"), &typed).unwrap();
    let (_, reason, message) = pod.fails(&volume, restore(VolumeMode::Block, RUN, &[]), "shop");
    assert!(reason == Reason::WrongKey && !message.contains(&text[6..20]), "{message}");
}

#[test]
fn an_allowed_namespace_may_restore_and_a_missing_document_is_said() {
    let pod = Pod::new();
    let (volume, target) = (pod.sandbox.path("volume"), pod.sandbox.path("target"));
    image(&volume, 1 << 20, &[(0, 1000)]);
    pod.backup(&volume, VolumeMode::Block, RUN);
    let (code, _) = pod.run(&target, restore(VolumeMode::Block, RUN, &["shop"]), RUN, "copy");
    assert_eq!(code, 0);
    assert_same_bytes(&volume, &target);

    let result = pod.sandbox.path("result");
    let output = pod.sandbox.run(&["mover", "--result", result.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let left = JobResult::from_termination_message(&fs::read_to_string(result).unwrap()).unwrap();
    assert!(matches!(left.outcome, Outcome::Failed { reason: Reason::InvalidJob, .. }));
}

#[test]
fn a_file_that_cannot_be_read_fails_the_backup_of_a_cluster() {
    let pod = Pod::new();
    let source = pod.sandbox.path("volume");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("good"), b"good").unwrap();
    fs::write(source.join("bad"), b"bad").unwrap();
    fs::set_permissions(source.join("bad"), fs::Permissions::from_mode(0o0)).unwrap();
    match pod.outcome(&mut pod.command(&source, backup(VolumeMode::Filesystem), RUN, "shop", true)) {
        (1, Outcome::Failed { reason: Reason::SourceUnreadable, message }) => {
            assert!(message.contains("1 file") && message.contains("volume/bad"), "{message}");
        }
        other => panic!("{other:?}"),
    }
    assert!(pod.sandbox.ok(&["snapshots"]).contains("no snapshots"));
}

#[test]
fn an_eviction_leaves_a_result_that_asks_for_another_attempt_which_completes() {
    let pod = Pod::new();
    let (source, target) = (pod.sandbox.path("volume"), pod.sandbox.path("target"));
    image(&source, 300 << 20, &[(0, 250 << 20)]);
    let mut command = pod.command(&source, backup(VolumeMode::Block), RUN, "shop", false);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let started = Instant::now();
    while walk(&pod.sandbox.path("repository/data")).is_empty() {
        assert!(started.elapsed() < Duration::from_secs(60), "the backup never began");
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(Reason::EXIT_TRANSIENT)));
    let left = JobResult::from_termination_message(&fs::read_to_string(pod.sandbox.path("result")).unwrap())
        .unwrap();
    assert!(matches!(left.outcome, Outcome::Failed { reason: Reason::Interrupted, .. }), "{left:?}");
    let summary = pod.backup(&source, VolumeMode::Block, RUN);
    assert!(!summary.already_committed && summary.bytes_new < 250 << 20, "{summary:?}");
    pod.restore(&target, VolumeMode::Block, RUN);
    assert_same_bytes(&source, &target);
}

#[test]
fn a_store_that_does_not_answer_is_told_apart_before_the_volume_is_read() {
    let pod = Pod::new();
    let secret = |name: &str, value: &str| fs::write(pod.sandbox.path("secret").join(name), value).unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    secret("RESTIC_REPOSITORY", &format!("s3:http://{closed}/bucket/prefix"));
    secret("AWS_ACCESS_KEY_ID", "key");
    let missing = pod.sandbox.path("no volume at all");
    let (_, reason, message) = pod.fails(&missing, backup(VolumeMode::Block), "shop");
    assert_eq!(reason, Reason::SecretKeyMissing);
    assert!(message.contains("AWS_SECRET_ACCESS_KEY"), "{message}");
    secret("AWS_SECRET_ACCESS_KEY", "secret");
    let (code, reason, _) = pod.fails(&missing, backup(VolumeMode::Block), "shop");
    assert_eq!((code, reason), (75, Reason::EndpointUnreachable));
    secret("RESTIC_REPOSITORY", "sftp://host/path");
    let (code, reason, _) = pod.fails(&missing, backup(VolumeMode::Block), "shop");
    assert_eq!((code, reason), (2, Reason::RepositoryAddressInvalid));
}
