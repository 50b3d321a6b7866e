//! Restore points go by a ForgetRequest, and their space with the repository's maintenance.

use anyhow::{Context, Result, ensure};
use longshore_e2e::{
    Cluster, Kind, Outcome, PROTECTED_NAMESPACE, SETTLE, Scenario, VolumeMode, WORK, condition, kinds, phase,
    text,
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
    let ask = json!({"metadata": {"annotations": {"longshore.dev/maintain-now": "once"}}});
    origin.patch(&kinds::REPOSITORY, PROTECTED_NAMESPACE, repository, &ask)?;
    let maintained = await_status(origin, &kinds::REPOSITORY, repository, "maintained", |object| {
        object["status"]["lastMaintenanceTime"].is_string()
    })?;
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
