//! What a restore may rely on, and what not: the backup's object, its cluster, its storage.

use anyhow::{Context, Result, ensure};
use longshore_e2e::{
    Outcome, PROTECTED_NAMESPACE, SETTLE, Scenario, VolumeMode, application, eventually, kinds, storage,
    text, tree,
};
use longshore_lab::{DriverOptions, Silent};
use serde_json::{Value, json};

#[test]
fn vsm_2_vsm_14_vsm_18_a_restore_needs_only_the_stored_backup_object_and_the_bucket() -> Outcome {
    Scenario::play("stored-object", |scenario| {
        let mode = VolumeMode::Filesystem;
        let before = scenario.fill("data", "lab-ext4", mode, "96Mi", tree::NASTY)?;
        let snapshot = scenario.snapshot("first", "data")?;
        let backup = scenario.back_up("first", &snapshot)?;
        let stored = backup.completed()?.to_string();
        // Everything of the application goes: the backup's object, snapshot, volume, namespace.
        backup.remove()?;
        scenario.site.origin.remove_namespace(&scenario.namespace, SETTLE)?;
        let bytes = scenario.bucket.bytes()?;
        ensure!(bytes > 0, "deleting a backup's object deleted remote data");

        let stored: Value = serde_json::from_str(&stored)?;
        let fresh = &scenario.site.fresh;
        let spec = scenario.restore_spec(&stored)?;
        let restore = scenario.start(fresh, &kinds::RESTORE, "back", &spec)?;
        let restored = restore.completed()?;
        restore.left_nothing_but(&["result", "keeper"])?;
        bind_as_a_plugin_does(scenario, &restored)?;
        let after = scenario.fingerprint(fresh, "data", mode)?;
        ensure!(tree::difference(&before, &after).is_none(), "{:?}", tree::difference(&before, &after));
        restore.left_nothing().context("after the application's PVC was bound")
    })
}

/// What OADP's plugin does with a restore's result: a content and a VolumeSnapshot of its own from the handle, then the mover's content is
/// deleted, then the application's PVC is made from the VolumeSnapshot.
fn bind_as_a_plugin_does(scenario: &Scenario, restored: &Value) -> Result<()> {
    let (fresh, namespace) = (&scenario.site.fresh, &scenario.namespace);
    let handle = text(restored, "/status/snapshotHandle")?;
    let published = text(restored, "/status/volumeSnapshotContentName")?;
    let content = fresh.need(&kinds::VOLUME_SNAPSHOT_CONTENT, "", published)?;
    ensure!(content["spec"]["deletionPolicy"] == "Retain", "{}", content["spec"]);
    ensure!(content["status"]["snapshotHandle"] == handle, "{}", content["status"]);
    ensure!(content["status"]["readyToUse"] == true, "{}", content["status"]);
    let name = format!("velero-{namespace}");
    fresh.create(&json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
        "metadata": {"name": name}, "spec": {"driver": content["spec"]["driver"], "deletionPolicy": "Retain",
        "source": {"snapshotHandle": handle}, "volumeSnapshotClassName": "lab-delete",
        "volumeSnapshotRef": {"name": "data", "namespace": namespace}}}))?;
    fresh.create(&json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": "data", "namespace": namespace},
        "spec": {"volumeSnapshotClassName": "lab-delete", "source": {"volumeSnapshotContentName": name}}}))?;
    fresh.delete(&kinds::VOLUME_SNAPSHOT_CONTENT, "", published)?;
    let size = text(restored, "/spec/volumeSnapshotMoverBackupRef/sourcePVCData/size")?;
    fresh.create(&application::claim_from(
        namespace,
        "data",
        "lab-ext4",
        VolumeMode::Filesystem,
        size,
        "data",
    ))?;
    fresh.watch("the application's PVC", (&kinds::PVC, namespace, "data"), SETTLE, |object| {
        Ok(object.filter(|object| object["status"]["phase"] == "Bound").map(|_| ()))
    })?;
    let driver = text(&content, "/spec/driver")?.to_owned();
    eventually("the release of the restored snapshot", SETTLE, || {
        let there = storage::snapshots(fresh, &driver)?.contains(handle);
        Ok(if there { Err(format!("{handle} is still in the storage")) } else { Ok(()) })
    })?;
    fresh.delete(&kinds::VOLUME_SNAPSHOT, namespace, "data")?;
    fresh.delete(&kinds::VOLUME_SNAPSHOT_CONTENT, "", &name)
}

#[test]
fn vsm_23_a_volume_moves_to_a_storage_of_another_name_that_keeps_volumes_with_snapshots() -> Outcome {
    Scenario::play("other-storage", |scenario| {
        let fresh = &scenario.site.fresh;
        let options = DriverOptions {
            name: "strict.lab.longshore.dev".into(),
            prefix: "strict".into(),
            refuse_delete_with_snapshots: true,
            default_class: false,
            ..DriverOptions::default()
        };
        let driver = fresh.lab.start_driver(&options, &Silent)?;
        let mode = VolumeMode::Filesystem;
        let before = scenario.fill("data", "lab-ext4", mode, "320Mi", tree::NASTY)?;
        let snapshot = scenario.snapshot("first", "data")?;
        let backup = scenario.back_up("first", &snapshot)?.completed()?;
        let mut spec = scenario.restore_spec(&backup)?;
        let reference = &mut spec["volumeSnapshotMoverBackupRef"];
        reference["sourcePVCData"]["storageClassName"] = "strict-xfs".into();
        reference["volumeSnapshotClassName"] = "strict-delete".into();
        spec["targetPVC"] = json!({"name": "data"});
        let restore = scenario.start(fresh, &kinds::RESTORE, "back", &spec)?;
        let restored = restore.completed()?;
        let handle = text(&restored, "/status/snapshotHandle")?;
        let after = scenario.fingerprint(fresh, "data", mode)?;
        ensure!(tree::difference(&before, &after).is_none(), "{:?}", tree::difference(&before, &after));
        let claim = fresh.need(&kinds::PVC, &scenario.namespace, "data")?;
        let volume = fresh.need(&kinds::PV, "", text(&claim, "/spec/volumeName")?)?;
        ensure!(volume["spec"]["csi"]["driver"] == options.name.as_str(), "{}", volume["spec"]);
        eventually("the strict storage to hold the application's volume only", SETTLE, || {
            let volumes = storage::volumes(fresh, driver.name())?;
            let snapshots = storage::snapshots(fresh, driver.name())?;
            let clean = volumes.len() == 1 && !snapshots.contains(handle) && snapshots.is_empty();
            Ok(if clean { Ok(()) } else { Err(format!("{volumes:?} {snapshots:?}")) })
        })?;
        restore.left_nothing()?;
        fresh.remove_namespace(&scenario.namespace, SETTLE)?;
        eventually("the strict storage to be empty", SETTLE, || {
            let volumes = storage::volumes(fresh, driver.name())?;
            Ok(if volumes.is_empty() { Ok(()) } else { Err(format!("{volumes:?}")) })
        })?;
        driver.remove(&options.prefix)
    })
}

#[test]
fn vsm_14_a_restore_needs_nothing_but_what_the_repository_lists() -> Outcome {
    Scenario::play("listed", |scenario| {
        let mode = VolumeMode::Block;
        let before = scenario.fill("data", "lab-ext4", mode, "48Mi", tree::NASTY_DEVICE)?;
        let snapshot = scenario.snapshot("first", "data")?;
        scenario.back_up("first", &snapshot)?.completed()?;
        let listed = scenario.repository().snapshots()?;
        let point = listed.first().context("the repository lists no restore point")?;
        let source = &point["kubernetes"];
        let size = source["requestedBytes"].as_u64().context("no size")?.to_string();
        ensure!(source["pvcLabels"]["app"] == "scenario", "the claim's labels are listed: {point}");
        let spec = json!({
            "protectedNamespace": PROTECTED_NAMESPACE, "resticSecretRef": {"name": scenario.secret},
            "targetPVC": {"name": "data"},
            "volumeSnapshotMoverBackupRef": {
                "resticrepository": point["reference"], "volumeSnapshotClassName": source["volumeSnapshotClass"],
                "sourcePVCData": {
                    "name": source["pvcName"], "size": size, "storageClassName": source["storageClass"]}},
        });
        let fresh = &scenario.site.fresh;
        scenario.start(fresh, &kinds::RESTORE, "back", &spec)?.completed()?;
        let after = scenario.fingerprint(fresh, "data", mode)?;
        ensure!(tree::difference(&before, &after).is_none(), "{:?}", tree::difference(&before, &after));
        Ok(())
    })
}
