//! Backups that ask for what cannot be had.

use anyhow::{Result, ensure};
use longshore_e2e::{
    OPERATOR_NAMESPACE, Outcome, PROTECTED_NAMESPACE, Run, SETTLE, SHORT, Scenario, VolumeMode, condition,
    eventually, kinds,
};
use longshore_lab::DEFAULT_DRIVER;
use serde_json::{Value, json};

#[test]
fn vsm_7_each_missing_or_wrong_field_of_a_backup_has_its_own_reason() -> Outcome {
    Scenario::play("backup-fields", |scenario| {
        scenario.fill("data", "lab-ext4", VolumeMode::Filesystem, "16Mi", "echo some > /data/file")?;
        let snapshot = scenario.snapshot("first", "data")?;
        let good = json!({"volumeSnapshotContent": {"name": snapshot.content},
            "protectedNamespace": PROTECTED_NAMESPACE, "resticSecretRef": {"name": scenario.secret}});
        let without = |field: &str| {
            let mut spec = good.clone();
            spec[field] = Value::Null;
            spec
        };
        let with = |field: &str, value: Value| {
            let mut spec = good.clone();
            spec[field] = value;
            spec
        };
        let cases = [
            ("no-content", "VolumeSnapshotContentNotNamed", without("volumeSnapshotContent")),
            ("no-namespace", "ProtectedNamespaceNotNamed", without("protectedNamespace")),
            ("unprotected", "NamespaceNotProtected", with("protectedNamespace", OPERATOR_NAMESPACE.into())),
            ("own", "NamespaceNotProtected", with("protectedNamespace", scenario.namespace.clone().into())),
            (
                "unknown",
                "VolumeSnapshotContentNotFound",
                with("volumeSnapshotContent", json!({"name": "nobody-knows"})),
            ),
        ];
        let mut runs = Vec::new();
        for (name, _, spec) in &cases {
            runs.push(scenario.start(&scenario.site.origin, &kinds::BACKUP, name, spec)?);
        }
        for (run, (_, reason, _)) in runs.iter().zip(&cases) {
            run.failed(reason)?;
            run.left_nothing()?;
        }
        // The contract requires no field, not even the spec.
        let metadata = json!({"name": "no-spec", "namespace": scenario.namespace});
        let bare = json!({ "metadata": metadata });
        let bare = scenario.start_object(&scenario.site.origin, &kinds::BACKUP, &bare)?;
        bare.failed("VolumeSnapshotContentNotNamed")?;
        // Without a name of a Secret the one that the oldest tools write is meant.
        let run = scenario.start(
            &scenario.site.origin,
            &kinds::BACKUP,
            "no-secret",
            &without("resticSecretRef"),
        )?;
        let object = run.shows("SecretNotFound", SHORT)?;
        ensure!(object["status"].to_string().contains("restic-secret"), "{}", object["status"]);
        run.remove()?;
        run.left_nothing()?;
        ensure!(scenario.bucket.objects()?.is_empty(), "nothing was written");
        stays_as_it_is(runs.first().ok_or_else(|| anyhow::anyhow!("no run"))?)
    })
}

/// A terminal run is left alone: not even its version changes.
fn stays_as_it_is(run: &Run) -> Result<()> {
    let before = run.object()?;
    let mark = json!({"metadata": {"annotations": {"touched": "yes"}}});
    run.cluster.patch(run.kind, &run.namespace, &run.name, &mark)?;
    let touched = run.object()?;
    let moved = run.watch("a further change", std::time::Duration::from_secs(3), |object| {
        Ok((object["metadata"]["resourceVersion"] != touched["metadata"]["resourceVersion"]).then_some(()))
    });
    ensure!(moved.is_err(), "a terminal run was changed");
    ensure!(before["status"] == run.object()?["status"], "a terminal status was changed");
    Ok(())
}

#[test]
fn vsm_7_a_namespace_cannot_back_up_the_snapshot_of_another() -> Outcome {
    Scenario::play("deputy", |scenario| {
        let origin = &scenario.site.origin;
        scenario.fill("data", "lab-ext4", VolumeMode::Filesystem, "16Mi", "echo mine > /data/file")?;
        let snapshot = scenario.snapshot("first", "data")?;
        let thief = format!("{}-thief", scenario.namespace);
        scenario.make_namespace(origin, &thief, "restricted")?;
        let spec = json!({"volumeSnapshotContent": {"name": snapshot.content},
            "protectedNamespace": PROTECTED_NAMESPACE, "resticSecretRef": {"name": scenario.secret}});
        let run = scenario.start_in(origin, &kinds::BACKUP, (&thief, "theft"), &spec)?;
        run.failed("SnapshotOfOtherNamespace")?;
        run.left_nothing()
    })
}

#[test]
fn vsm_7_a_snapshot_that_is_not_ready_is_waited_for_and_the_run_can_be_deleted() -> Outcome {
    Scenario::play("unready", |scenario| {
        let origin = &scenario.site.origin;
        let namespace = &scenario.namespace;
        let name = format!("{namespace}-unready");
        scenario.fill("data", "lab-ext4", VolumeMode::Filesystem, "16Mi", "echo some > /data/file")?;
        origin.create(
            &json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
            "metadata": {"name": name}, "spec": {"driver": DEFAULT_DRIVER, "deletionPolicy": "Retain",
            "source": {"snapshotHandle": "snap-00000000-0000-7000-8000-000000000000"},
            "volumeSnapshotClassName": "lab-retain",
            "volumeSnapshotRef": {"name": "unready", "namespace": namespace}}}),
        )?;
        origin.create(&json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"name": "unready", "namespace": namespace},
            "spec": {"volumeSnapshotClassName": "lab-retain", "source": {"volumeSnapshotContentName": name}}}))?;
        let spec = json!({"volumeSnapshotContent": {"name": name},
            "protectedNamespace": PROTECTED_NAMESPACE, "resticSecretRef": {"name": scenario.secret}});
        let run = scenario.start(origin, &kinds::BACKUP, "early", &spec)?;
        let object = run.shows("VolumeSnapshotContentNotReady", SHORT)?;
        ensure!(condition(&object, "Reconciled").is_none(), "a wait is no error: {}", object["status"]);
        run.remove()?;
        run.left_nothing()?;
        origin.delete(&kinds::VOLUME_SNAPSHOT, namespace, "unready")?;
        origin.delete(&kinds::VOLUME_SNAPSHOT_CONTENT, "", &name)?;
        // The sidecar looks at a content that fails ever more rarely, so it would let this one go only minutes later; and what it had
        // begun before the deletion may put its finalizer back, so this is done until the content is gone.
        eventually("the end of the content", SETTLE, || {
            let Some(content) = origin.get(&kinds::VOLUME_SNAPSHOT_CONTENT, "", &name)? else {
                return Ok(Ok(()));
            };
            let freed = json!({"metadata": {"finalizers": null}});
            let _gone_meanwhile = origin.patch(&kinds::VOLUME_SNAPSHOT_CONTENT, "", &name, &freed);
            Ok(Err(content["metadata"].to_string()))
        })
    })
}
