//! A repository on a volume instead of an object store: movers mount it, and its maintenance is alone there.

use anyhow::{Result, ensure};
use longshore_e2e::{
    Outcome, PROTECTED_NAMESPACE, Run, SETTLE, Scenario, VolumeMode, WORK, application, audit, kinds, phase,
    text, tree,
};
use serde_json::{Value, json};

#[test]
fn a_pvc_is_backed_up_to_a_volume_and_restored_from_it() -> Outcome {
    Scenario::play("on-volume", |scenario| {
        let origin = &scenario.site.origin;
        let name = &scenario.namespace;
        // A single node may mount it once for all movers, whatever its access mode.
        let claim =
            application::claim(PROTECTED_NAMESPACE, name, "lab-ext4", VolumeMode::Filesystem, "512Mi");
        origin.create(&claim)?;
        let secret = format!("{name}-password");
        scenario.make_secret(
            origin,
            PROTECTED_NAMESPACE,
            &secret,
            &json!({"RESTIC_PASSWORD": scenario.password}),
        )?;
        let spec = json!({
            "volume": {"claimName": name}, "secretRef": {"name": secret},
            "maintenance": {"schedule": "0 0 1 1 *", "checkReadDataPercent": 100},
        });
        origin.create(&own("Repository", name, &spec))?;
        let outcome = story(scenario, name, &secret);
        // All of them live in the protected namespace, which stays.
        origin.delete(&kinds::FORGET_REQUEST, PROTECTED_NAMESPACE, name)?;
        origin.delete(&kinds::REPOSITORY, PROTECTED_NAMESPACE, name)?;
        origin.delete(&kinds::SECRET, PROTECTED_NAMESPACE, &secret)?;
        origin.delete(&kinds::PVC, PROTECTED_NAMESPACE, name)?;
        origin.wait_gone(&kinds::PVC, PROTECTED_NAMESPACE, name, SETTLE)?;
        outcome
    })
}

fn story(scenario: &Scenario, repository: &str, secret: &str) -> Result<()> {
    let origin = &scenario.site.origin;
    let before = scenario.fill("data", "lab-ext4", VolumeMode::Filesystem, "32Mi", tree::NASTY)?;
    let mut points = Vec::new();
    for name in ["first", "second"] {
        let snapshot = scenario.snapshot(name, "data")?;
        let spec = json!({"volumeSnapshotContent": {"name": snapshot.content},
            "protectedNamespace": PROTECTED_NAMESPACE, "resticSecretRef": {"name": secret}});
        let backup = scenario.start(origin, &kinds::BACKUP, name, &spec)?;
        points.push(backup.completed()?);
        mounts(&backup, repository, false)?;
    }
    let mut spec = scenario.restore_spec(&points[0])?;
    spec["resticSecretRef"] = json!({"name": secret});
    spec["targetPVC"] = json!({"name": "restored"});
    let restore = scenario.start(origin, &kinds::RESTORE, "back", &spec)?;
    restore.completed()?;
    mounts(&restore, repository, true)?;
    let after = scenario.fingerprint(origin, "restored", VolumeMode::Filesystem)?;
    if let Some(difference) = tree::difference(&before, &after) {
        anyhow::bail!("the restored volume differs: {difference}");
    }
    ensure!(scenario.bucket.objects()?.is_empty(), "something went into an object store");

    let reference = text(&points[1], "/status/resticrepository")?;
    let location = json!({"repository": {"name": repository}});
    origin.create(&own(
        "ForgetRequest",
        repository,
        &json!({"reference": reference, "location": location}),
    ))?;
    let place = (&kinds::FORGET_REQUEST, PROTECTED_NAMESPACE, repository);
    origin.watch("Completed", place, WORK, |object| {
        Ok(object.filter(|object| phase(object) == "Completed").map(drop))
    })?;
    let maintained = origin.maintain(PROTECTED_NAMESPACE, repository)?;
    let status = &maintained["status"];
    ensure!(phase(&maintained) == "Ready" && status["restorePoints"] == 1, "{status}");
    ensure!(status["lastCheckTime"].is_string(), "nothing was checked: {status}");
    Ok(())
}

/// The run's Job mounted the repository, for reading only or for writing.
fn mounts(run: &Run, claim: &str, read_only: bool) -> Result<()> {
    let jobs = audit::operator_requests(run.cluster)?.into_iter().filter(|request| {
        request.created("jobs")
            && request.sent["metadata"]["labels"]["longshore.dev/run-uid"] == run.uid.as_str()
    });
    let mut count = 0;
    for job in jobs {
        let pod = &job.sent["spec"]["template"]["spec"];
        let volume = find(&pod["volumes"]);
        ensure!(volume["persistentVolumeClaim"]["claimName"] == claim, "{volume}");
        let mount = find(&pod["containers"][0]["volumeMounts"]);
        ensure!(mount["readOnly"].as_bool().unwrap_or(false) == read_only, "{mount}");
        count += 1;
    }
    ensure!(count > 0, "no Job of {} was made", run.name);
    Ok(())
}

fn find(all: &Value) -> Value {
    let found = all.as_array().into_iter().flatten().find(|one| one["name"] == "repository");
    found.cloned().unwrap_or_default()
}

fn own(kind: &str, name: &str, spec: &Value) -> Value {
    let metadata = json!({"name": name, "namespace": PROTECTED_NAMESPACE});
    json!({"apiVersion": "longshore.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec})
}
