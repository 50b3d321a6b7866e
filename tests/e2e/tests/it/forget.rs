//! Restore points go by a ForgetRequest, and their space with the repository's maintenance.

use anyhow::{Context, Result, ensure};
use longshore_e2e::{
    Cluster, Kind, Outcome, PROTECTED_NAMESPACE, SETTLE, Scenario, VolumeMode, WORK, condition, kinds, phase,
    text, velero,
};
use serde_json::{Value, json};

const BYTES: u64 = 24_000_000;

#[test]
fn a_restore_point_is_forgotten_and_its_space_comes_back_with_maintenance() -> Outcome {
    Scenario::play("forget", |scenario| {
        let origin = &scenario.site.origin;
        let script = format!("head -c {BYTES} /dev/urandom > /data/random; sync");
        let mut references = Vec::new();
        for name in ["first", "second"] {
            scenario.fill(name, "lab-ext4", VolumeMode::Filesystem, "64Mi", &script)?;
            let snapshot = scenario.snapshot(name, name)?;
            let object = scenario.back_up(name, &snapshot)?.completed()?;
            references.push(text(&object, "/status/resticrepository")?.to_owned());
        }
        let (repository, request) = (&scenario.namespace, &scenario.namespace);
        let outcome = story(scenario, &references, repository, request);
        // Both live in the protected namespace, which stays.
        origin.delete(&kinds::FORGET_REQUEST, PROTECTED_NAMESPACE, request)?;
        origin.delete(&kinds::REPOSITORY, PROTECTED_NAMESPACE, repository)?;
        outcome
    })
}

fn story(scenario: &Scenario, references: &[String], repository: &str, request: &str) -> Result<()> {
    let origin = &scenario.site.origin;
    // The request comes before what it needs, as after a restart of everything.
    let location = json!({"backupStorageLocation": repository});
    origin.create(&object(
        "ForgetRequest",
        request,
        json!({"reference": references[0], "location": location}),
    ))?;
    await_status(origin, &kinds::FORGET_REQUEST, request, "waits for the Repository", |object| {
        condition(object, "Progressing").is_some_and(|one| one["reason"] == "RepositoryNotConfigured")
    })?;
    let spec = json!({
        "backupStorageLocations": [repository],
        "secretRef": {"name": scenario.secret},
        "maintenance": {"schedule": "0 0 1 1 *", "maxUnusedPercent": 0, "checkReadDataPercent": 100},
    });
    origin.create(&object("Repository", repository, spec))?;
    await_status(origin, &kinds::FORGET_REQUEST, request, "Completed", |object| {
        phase(object) == "Completed"
    })?;
    let left = scenario.repository().snapshots()?;
    ensure!(
        left.len() == 1 && left[0]["reference"] == references[1].as_str(),
        "only the other is left: {left:?}"
    );
    no_job_of(origin, &kinds::FORGET_REQUEST, request)?;

    let full = scenario.bucket.pack_bytes()?;
    let maintained = origin.maintain(PROTECTED_NAMESPACE, repository)?;
    let status = &maintained["status"];
    ensure!(status["lastMaintenanceRequest"] == "once" && phase(&maintained) == "Ready", "{status}");
    ensure!(status["restorePoints"] == 1 && status["lastCheckTime"].is_string(), "{status}");
    let rest = scenario.bucket.pack_bytes()?;
    ensure!(rest + BYTES / 2 < full, "{full} bytes of packs before maintenance, {rest} after it");
    let told = status["sizeBytes"].as_u64().context("no sizeBytes")?;
    let size = scenario.bucket.bytes()?;
    ensure!(told.abs_diff(size) < 1 << 20, "sizeBytes {told}, but there are {size}");
    no_job_of(origin, &kinds::REPOSITORY, repository)?;
    scenario.repository().check()
}

#[test]
fn retention_keeps_what_it_must_and_points_of_vanished_backups_are_told() -> Outcome {
    Scenario::play("retention", |scenario| {
        // Only a cluster that has Velero's kinds knows which Backups there are.
        velero::installation(scenario.site)?;
        let origin = &scenario.site.origin;
        let repository = &scenario.namespace;
        let spec = json!({
            "secretRef": {"name": scenario.secret},
            "maintenance": {"schedule": "0 0 1 1 *"},
            "retention": {"keepLast": 2},
        });
        // What is older than the Repository would wait for its adoption.
        origin.create(&object("Repository", repository, spec))?;
        let outcome = kept(scenario, repository);
        origin.delete(&kinds::REPOSITORY, PROTECTED_NAMESPACE, repository)?;
        outcome
    })
}

fn kept(scenario: &Scenario, repository: &str) -> Result<()> {
    let origin = &scenario.site.origin;
    scenario.fill("data", "lab-ext4", VolumeMode::Filesystem, "16Mi", "echo some > /data/file; sync")?;
    let vanished = format!("vanished-{}", scenario.site.run);
    let mut references = Vec::new();
    for name in ["of-velero", "first", "second", "third"] {
        let snapshot = scenario.snapshot(name, "data")?;
        let labels = if name == "of-velero" { json!({"velero.io/backup-name": vanished}) } else { json!({}) };
        let run = json!({
            "metadata": {"name": name, "namespace": scenario.namespace, "labels": labels},
            "spec": {"volumeSnapshotContent": {"name": snapshot.content},
                "protectedNamespace": PROTECTED_NAMESPACE, "resticSecretRef": {"name": scenario.secret}},
        });
        let done = scenario.start_object(origin, &kinds::BACKUP, &run)?.completed()?;
        references.push(text(&done, "/status/resticrepository")?.to_owned());
    }
    let maintained = origin.maintain(PROTECTED_NAMESPACE, repository)?;
    let status = &maintained["status"];
    ensure!(status["forgotten"] == 1 && status["restorePoints"] == 3, "{status}");
    let left = scenario.repository().snapshots()?;
    let is_left = |reference: &String| left.iter().any(|point| point["reference"] == reference.as_str());
    let expected = [true, false, true, true];
    let found: Vec<bool> = references.iter().map(is_left).collect();
    ensure!(found == expected, "of a Backup, first, second, third: {found:?}");
    let told = condition(&maintained, "Abandoned").context("no condition Abandoned")?;
    let message = told["message"].as_str().unwrap_or_default();
    ensure!(told["status"] == "True" && message.contains(&vanished), "{told}");
    ensure!(phase(&maintained) == "Ready", "a point without its Backup is no damage: {status}");
    scenario.repository().check()
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    let metadata = json!({"name": name, "namespace": PROTECTED_NAMESPACE});
    json!({"apiVersion": "longshore.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}

fn await_status(
    cluster: &Cluster,
    kind: &Kind,
    name: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Result<Value> {
    cluster.watch(what, (kind, PROTECTED_NAMESPACE, name), WORK, |object| {
        let object = object.context("the object is gone")?;
        Ok(wanted(object).then(|| object.clone()))
    })
}

/// The Job goes in the pass after the one that wrote the end down.
fn no_job_of(cluster: &Cluster, kind: &Kind, name: &str) -> Result<()> {
    let owner = cluster.need(kind, PROTECTED_NAMESPACE, name)?;
    let selector = format!("longshore.dev/run-uid={}", text(&owner, "/metadata/uid")?);
    longshore_e2e::eventually("the Job to go", SETTLE, || {
        let left = cluster.list(&kinds::JOB, PROTECTED_NAMESPACE, &selector)?;
        Ok(if left.is_empty() { Ok(()) } else { Err(format!("{} Jobs", left.len())) })
    })
}
