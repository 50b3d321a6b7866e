//! The whole road on DataUploads and DataDownloads.

use anyhow::{Context, Result, ensure};
use longshore_e2e::velero::Story;
use longshore_e2e::{
    Cluster, Outcome, SETTLE, Scenario, VolumeMode, WORK, WORKLOAD_IMAGE, application, eventually, kinds,
    phase, tree,
};
use serde_json::{Value, json};

/// Contents of both claims.
struct Contents {
    files: String,
    device: String,
}

/// How Longshore is driven: on one way or the other, and with what must be seen of it.
pub(super) struct Way {
    /// Backs the namespace up under this short name, and returns the backup's name.
    pub back_up: fn(&Story, &str) -> Result<String>,
    /// Restores a backup.
    pub restore: fn(&Story, &'static Cluster, &Restore) -> Result<()>,
}

/// One restore of a backup.
pub(super) struct Restore<'a> {
    pub short: &'a str,
    pub backup: &'a str,
    /// Where the volumes come back.
    pub namespace: &'a str,
    /// Further words for the command line.
    pub further: &'a [&'a str],
}

#[test]
fn vsm_17_vsm_30_vsm_34_velero_moves_volumes_through_longshore_and_back() -> Outcome {
    Story::tell("velero-road", |story| there_and_back(story, &Way { back_up, restore }))
}

/// Two backups of two volumes in use, a restore of the first beside the original and of the second in the fresh cluster, and their deletion.
pub(super) fn there_and_back(story: &Story, way: &Way) -> Result<()> {
    let scenario = story.scenario;
    let (origin, fresh) = (&scenario.site.origin, &scenario.site.fresh);
    let files = scenario.fill("files", "lab-ext4-wait", VolumeMode::Filesystem, "96Mi", tree::NASTY)?;
    let device = scenario.fill("device", "lab-ext4", VolumeMode::Block, "64Mi", tree::NASTY_DEVICE)?;
    let first = Contents { files, device };
    start_workload(scenario, origin)?;

    let b1 = (way.back_up)(story, "b1")?;
    let after_first = scenario.bucket.bytes()?;
    let change = "head -c 1000000 /dev/urandom > /data/changed; sync";
    scenario.script(origin, "change", change, "files", VolumeMode::Filesystem)?;
    let second = contents(origin, &scenario.namespace)?;
    let b2 = (way.back_up)(story, "b2")?;
    let growth = scenario.bucket.bytes()? - after_first;
    ensure!(growth < after_first / 4, "the second backup stored {growth} bytes after {after_first}");
    story.no_copies_left(origin)?;

    let copy = format!("{}-copy", scenario.namespace);
    scenario.make_namespace(origin, &copy, "privileged")?;
    let mapping = ["--namespace-mappings", &format!("{}:{copy}", scenario.namespace)];
    let beside = Restore { short: "r1", backup: &b1, namespace: &copy, further: &mapping };
    (way.restore)(story, origin, &beside)?;
    compare(story, origin, &copy, &first).context("restored beside the original")?;

    // What the second backup shares with the first stays.
    story.delete_backup(&b1)?;
    points_left(story, 2)?;
    let far = Restore { short: "r2", backup: &b2, namespace: &scenario.namespace, further: &[] };
    (way.restore)(story, fresh, &far)?;
    compare(story, fresh, &scenario.namespace, &second).context("restored in the fresh cluster")?;
    deletion_gives_space_back(story, &b2)
}

/// Deletes the last backup of a story; what it stored goes with the next maintenance.
fn deletion_gives_space_back(story: &Story, backup: &str) -> Result<()> {
    story.delete_backup(backup)?;
    points_left(story, 0)?;
    let full = story.scenario.bucket.pack_bytes()?;
    story.maintain()?;
    let rest = story.scenario.bucket.pack_bytes()?;
    ensure!(rest < full / 10, "{full} bytes of packs before maintenance, {rest} after it");
    story.scenario.repository().check()
}

/// Requests to forget are carried out after Velero's deletion is over.
pub(super) fn points_left(story: &Story, wanted: usize) -> Result<()> {
    eventually(&format!("{wanted} restore points"), WORK, || {
        let count = story.scenario.repository().snapshots()?.len();
        Ok(if count == wanted { Ok(()) } else { Err(format!("{count} of them")) })
    })
}

/// Backs up both claims and checks what Velero and its users see of it.
fn back_up(story: &Story, short: &str) -> Result<String> {
    let origin = &story.scenario.site.origin;
    let name = story.back_up(short, &[])?;
    let backup = story.backup_ends(&name, "Completed")?;
    let ended = timestamp(&backup)?;
    for upload in story.moves(origin, &name, 2)? {
        let status = &upload["status"];
        ensure!(phase(&upload) == "Completed", "a DataUpload of a complete backup: {status}");
        let reference = status["snapshotID"].as_str().unwrap_or_default();
        ensure!(reference.starts_with("longshore://"), "the reference is {reference:?}");
        let (done, total) =
            (status["progress"]["bytesDone"].as_u64(), status["progress"]["totalBytes"].as_u64());
        ensure!(done == total && total > Some(0), "progress ended as {status}");
        ensure!(timestamp(&upload)? <= ended, "Velero completed before the movement: {status}");
    }
    let told = story.cli(origin, &["backup", "describe", &name, "--details"])?;
    ensure!(told.matches("Data Mover: longshore").count() == 2, "velero backup describe:\n{told}");
    Ok(name)
}

fn timestamp(object: &Value) -> Result<&str> {
    // All of them are in UTC and of one form, so that their order is that of their letters.
    object["status"]["completionTimestamp"].as_str().context("no completionTimestamp")
}

fn restore(story: &Story, cluster: &'static Cluster, wanted: &Restore) -> Result<()> {
    let object = story.restore(cluster, wanted.short, wanted.backup, wanted.further)?;
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let downloads = story.moves(cluster, name, 2)?;
    let ends: Vec<&str> = downloads.iter().map(phase).collect();
    ensure!(ends == ["Completed", "Completed"], "DataDownloads ended {ends:?}");
    let told = story.cli(cluster, &["restore", "describe", name, "--details"])?;
    ensure!(told.matches("Data Mover: longshore").count() == 2, "velero restore describe:\n{told}");
    story.no_copies_left(cluster)
}

fn contents(cluster: &Cluster, namespace: &str) -> Result<Contents> {
    let look = |claim: &str, mode| {
        let pod = format!("look-{claim}");
        application::run_script(cluster, namespace, &pod, tree::fingerprint(mode), Some((claim, mode)))
    };
    Ok(Contents { files: look("files", VolumeMode::Filesystem)?, device: look("device", VolumeMode::Block)? })
}

/// Compares volumes, and waits for the application that Velero restored to run on them.
fn compare(story: &Story, cluster: &Cluster, namespace: &str, before: &Contents) -> Result<()> {
    wait_for_workload(cluster, namespace)?;
    let after = contents(cluster, namespace)?;
    story.same("the file system", &before.files, &after.files)?;
    story.same("the device", &before.device, &after.device)
}

/// A pod that holds both volumes while they are backed up, and is restored with them.
fn start_workload(scenario: &Scenario, cluster: &Cluster) -> Result<()> {
    let script = "exec 3< /data/dir/file 4< /dev/disk; exec sleep infinity";
    let claim = |name: &str| json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
    cluster.create(&json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "workload", "namespace": scenario.namespace},
        "spec": {"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
            "containers": [{"name": "main", "image": WORKLOAD_IMAGE, "imagePullPolicy": "Never",
                "command": ["sh", "-ec", script],
                "volumeMounts": [{"name": "files", "mountPath": "/data"}],
                "volumeDevices": [{"name": "device", "devicePath": "/dev/disk"}]}],
            "volumes": [claim("files"), claim("device")]}}))?;
    wait_for_workload(cluster, &scenario.namespace)
}

fn wait_for_workload(cluster: &Cluster, namespace: &str) -> Result<()> {
    cluster.watch("the application", (&kinds::POD, namespace, "workload"), SETTLE, |object| {
        Ok(object.is_some_and(|object| phase(object) == "Running").then_some(()))
    })
}
