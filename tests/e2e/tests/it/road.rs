//! The whole road: a snapshot leaves one cluster and comes back in another.

use anyhow::{Context, Result, ensure};
use longshore_e2e::{
    Cluster, Outcome, Run, SETTLE, Scenario, VolumeMode, condition, eventually, kinds, storage, text, tree,
};
use longshore_lab::DEFAULT_DRIVER;
use serde_json::{Value, json};

#[test]
fn vsm_1_vsm_10_vsm_13_vsm_15_vsm_20_vsm_21_an_ext4_tree_comes_back_in_a_fresh_cluster() -> Outcome {
    Scenario::play("ext4", |scenario| {
        whole_road(scenario, "lab-ext4", VolumeMode::Filesystem, "96Mi", tree::NASTY)
    })
}

#[test]
fn vsm_1_vsm_20_vsm_21_an_xfs_tree_comes_back_in_a_fresh_cluster() -> Outcome {
    Scenario::play("xfs", |scenario| {
        whole_road(scenario, "lab-xfs", VolumeMode::Filesystem, "320Mi", tree::NASTY)
    })
}

#[test]
fn vsm_1_vsm_20_vsm_21_a_device_comes_back_in_a_fresh_cluster() -> Outcome {
    Scenario::play("block", |scenario| {
        whole_road(scenario, "lab-ext4", VolumeMode::Block, "64Mi", tree::NASTY_DEVICE)
    })
}

fn whole_road(scenario: &Scenario, class: &str, mode: VolumeMode, size: &str, script: &str) -> Result<()> {
    let site = scenario.site;
    let before = scenario.fill("data", class, mode, size, script)?;
    let snapshot = scenario.snapshot("first", "data")?;
    let backup = scenario.back_up("first", &snapshot)?;
    let object = backup.completed()?;
    check_backup_status(&object, class, mode, size)?;
    backup.left_nothing()?;

    let restore = scenario.restore_to(&site.fresh, "back", &object, "data")?;
    let restored = restore.completed()?;
    let handle = text(&restored, "/status/snapshotHandle")?;
    check_target(scenario, &site.fresh, handle)?;
    let after = scenario.fingerprint(&site.fresh, "data", mode)?;
    if let Some(difference) = tree::difference(&before, &after) {
        anyhow::bail!("the restored volume differs: {difference}");
    }
    check_release(&site.fresh, &restore, handle)
}

fn check_backup_status(object: &Value, class: &str, mode: VolumeMode, size: &str) -> Result<()> {
    let status = &object["status"];
    ensure!(status["completed"] == true, "completed: {status}");
    let source = json!({"name": "data", "size": size, "storageClassName": class});
    ensure!(status["sourcePVCData"] == source, "sourcePVCData: {status}");
    ensure!(status["volumeSnapshotClassName"] == "lab-delete", "class: {status}");
    let reference = text(object, "/status/resticrepository")?;
    ensure!(reference.ends_with(&format!("?mode={}", mode.as_str())), "reference: {reference}");
    text(object, "/status/startTimestamp")?;
    text(object, "/status/completionTimestamp")?;
    text(object, "/status/snapshotID")?;
    ensure!(status["batchingStatus"] == "Completed", "batchingStatus: {status}");
    let reconciled = condition(object, "Reconciled").context("no condition Reconciled")?;
    ensure!(reconciled["status"] == "True" && reconciled["reason"] == "Complete", "{reconciled}");
    ensure!(status["progress"]["bytesDone"].as_i64().is_some_and(|bytes| bytes > 0), "progress: {status}");
    Ok(())
}

/// The application's PVC came from the snapshot that the run published, and from no other.
fn check_target(scenario: &Scenario, cluster: &Cluster, handle: &str) -> Result<()> {
    let known = storage::snapshots(cluster, DEFAULT_DRIVER)?.contains(handle);
    let asked = storage::calls(cluster, DEFAULT_DRIVER, "CreateSnapshot", handle)?;
    ensure!(known || !asked.is_empty(), "the driver does not know handle {handle}");
    ensure!(
        asked.len() == 1,
        "one snapshot of the restored volume, and no further one for the application: {asked:?}"
    );
    let claim = cluster.need(&kinds::PVC, &scenario.namespace, "data")?;
    ensure!(claim["spec"]["dataSource"]["kind"] == "VolumeSnapshot", "dataSource: {}", claim["spec"]);
    let source = text(&claim, "/spec/dataSource/name")?;
    let volume = text(&claim, "/spec/volumeName")?;
    let made = storage::calls(
        cluster,
        DEFAULT_DRIVER,
        "CreateVolume",
        &format!("pvc-{}", text(&claim, "/metadata/uid")?),
    )?;
    ensure!(
        made.iter().any(|call| call["request"].to_string().contains(handle)),
        "{volume}, made from {source}, is not from {handle}: {made:?}"
    );
    Ok(())
}

/// The storage gets its space back once the application's PVC is bound.
fn check_release(cluster: &Cluster, restore: &Run, handle: &str) -> Result<()> {
    eventually("the release of the restored snapshot", SETTLE, || {
        let there = storage::snapshots(cluster, DEFAULT_DRIVER)?.contains(handle);
        Ok(if there { Err(format!("{handle} is still in the storage")) } else { Ok(()) })
    })?;
    restore.left_nothing()
}
