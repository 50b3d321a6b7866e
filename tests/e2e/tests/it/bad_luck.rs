//! Movers, operators, stores and drivers that fail in the middle: the work goes on, and nothing is left or made twice.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_e2e::processes::{self, Mover};
use longshore_e2e::{
    Outcome, PROTECTED_NAMESPACE, QUOTA_NAMESPACE, Run, SETTLE, SHORT, Scenario, Snapshot, VolumeMode, WORK,
    eventually, kinds, phase, tree,
};
use longshore_lab::{DEFAULT_DRIVER, Fault};
use serde_json::json;

/// Enough that a mover can be caught in the middle.
const LARGE: &str = "head -c 160000000 /dev/urandom > /data/random; seq 1 100000 > /data/numbers; sync";
const LARGE_SIZE: &str = "224Mi";

fn large(scenario: &Scenario) -> Result<(String, Snapshot)> {
    let before = scenario.fill("data", "lab-ext4", VolumeMode::Filesystem, LARGE_SIZE, LARGE)?;
    Ok((before, scenario.snapshot("first", "data")?))
}

/// Catches the backup's mover after its first data has reached the bucket and before its end.
fn catch(scenario: &Scenario, backup: &Run) -> Result<Mover> {
    let mover = processes::mover(backup, PROTECTED_NAMESPACE)?;
    eventually("the first data in the bucket", WORK, || {
        let stored = scenario.bucket.bytes()?;
        Ok(if stored > 8_000_000 { Ok(()) } else { Err(format!("{stored} bytes")) })
    })?;
    mover.freeze().context("the mover was too quick to be caught")?;
    ensure!(phase(&backup.object()?) == "InProgress", "the backup is at work");
    Ok(mover)
}

/// The restore point is whole, and there is one.
fn check_restores(scenario: &Scenario, backup: &Run, before: &str) -> Result<()> {
    let object = backup.completed()?;
    backup.left_nothing()?;
    ensure!(scenario.repository().snapshots()?.len() == 1, "one run, one restore point");
    scenario.repository().check()?;
    scenario.restore_to(&scenario.site.fresh, "back", &object, "data")?.completed()?;
    let after = scenario.fingerprint(&scenario.site.fresh, "data", VolumeMode::Filesystem)?;
    match tree::difference(before, &after) {
        None => Ok(()),
        Some(difference) => anyhow::bail!("the restored volume differs: {difference}"),
    }
}

#[test]
fn vsm_11_a_mover_killed_in_the_middle_of_a_backup_starts_again_and_completes() -> Outcome {
    Scenario::play("mover-killed", |scenario| {
        let (before, snapshot) = large(scenario)?;
        let backup = scenario.back_up("first", &snapshot)?;
        catch(scenario, &backup)?.kill()?;
        check_restores(scenario, &backup, &before)
    })
}

#[test]
fn vsm_11_a_mover_killed_in_the_middle_of_a_restore_starts_again_and_completes() -> Outcome {
    Scenario::play("restorer-killed", |scenario| {
        let (before, snapshot) = large(scenario)?;
        let backup = scenario.back_up("first", &snapshot)?.completed()?;
        let fresh = &scenario.site.fresh;
        let restore = scenario.restore_to(fresh, "back", &backup, "data")?;
        processes::mover(&restore, PROTECTED_NAMESPACE)?.kill()?;
        restore.completed()?;
        let after = scenario.fingerprint(fresh, "data", VolumeMode::Filesystem)?;
        ensure!(tree::difference(&before, &after).is_none(), "{:?}", tree::difference(&before, &after));
        Ok(())
    })
}

#[test]
fn vsm_11_an_evicted_mover_starts_again_and_completes() -> Outcome {
    Scenario::play("evicted", |scenario| {
        let (before, snapshot) = large(scenario)?;
        let backup = scenario.back_up("first", &snapshot)?;
        let mover = catch(scenario, &backup)?;
        scenario.site.origin.evict(PROTECTED_NAMESPACE, &mover.pod)?;
        mover.thaw()?;
        check_restores(scenario, &backup, &before)
    })
}

#[test]
fn vsm_11_a_quota_that_forbids_the_mover_is_named_and_waited_for() -> Outcome {
    Scenario::play("quota", |scenario| {
        let origin = &scenario.site.origin;
        scenario.fill(
            "data",
            "lab-ext4",
            VolumeMode::Filesystem,
            "16Mi",
            "seq 1 1000 > /data/numbers; sync",
        )?;
        let snapshot = scenario.snapshot("first", "data")?;
        scenario.make_secret(origin, QUOTA_NAMESPACE, &scenario.secret, &scenario.credentials()?)?;
        origin.delete(&kinds::QUOTA, QUOTA_NAMESPACE, "nothing")?;
        origin.create(&json!({"apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "nothing", "namespace": QUOTA_NAMESPACE}, "spec": {"hard": {"pods": "0"}}}))?;
        let spec = json!({"volumeSnapshotContent": {"name": snapshot.content},
            "protectedNamespace": QUOTA_NAMESPACE, "resticSecretRef": {"name": scenario.secret}});
        let backup = scenario.start(origin, &kinds::BACKUP, "first", &spec)?;
        let shown = backup.shows("QuotaExceeded", SETTLE);
        origin.delete(&kinds::QUOTA, QUOTA_NAMESPACE, "nothing")?;
        shown?;
        backup.completed()?;
        backup.left_nothing()?;
        origin.delete(&kinds::SECRET, QUOTA_NAMESPACE, &scenario.secret)
    })
}

#[test]
fn vsm_28_a_backup_deleted_while_its_volume_is_made_is_gone_soon() -> Outcome {
    Scenario::play_alone("volume-in-the-making", |scenario| {
        let origin = &scenario.site.origin;
        let mode = VolumeMode::Filesystem;
        scenario.fill("data", "lab-ext4", mode, "16Mi", "echo some > /data/file; sync")?;
        let snapshot = scenario.snapshot("first", "data")?;
        let driver = origin.lab.driver(DEFAULT_DRIVER);
        driver.set_faults(&[Fault {
            method: "CreateVolume".into(),
            action: "delay".into(),
            code: None,
            count: None,
            delay_ms: Some(5000),
        }])?;
        let outcome = delete_in_the_making(scenario, &snapshot);
        driver.set_faults(&[])?;
        outcome
    })
}

/// csi-provisioner forgets its mark on the copy of the snapshot when the PVC goes while its volume is made.
fn delete_in_the_making(scenario: &Scenario, snapshot: &Snapshot) -> Result<()> {
    let origin = &scenario.site.origin;
    let backup = scenario.back_up("first", snapshot)?;
    eventually("the provisioner's mark", WORK, || {
        let copies = origin.list(&kinds::VOLUME_SNAPSHOT, PROTECTED_NAMESPACE, &backup.selector())?;
        let marks: Vec<_> = copies.iter().map(|copy| copy["metadata"]["finalizers"].to_string()).collect();
        let marked = marks.iter().any(|marks| marks.contains("provisioner.storage.kubernetes.io"));
        Ok(if marked { Ok(()) } else { Err(format!("{marks:?}")) })
    })?;
    backup.delete()?;
    origin.wait_gone(backup.kind, &backup.namespace, &backup.name, SHORT)?;
    backup.left_nothing()
}

#[test]
fn vsm_11_backups_deleted_at_work_leave_nothing_and_the_repository_sound() -> Outcome {
    Scenario::play("backup-deleted", |scenario| {
        let (_, snapshot) = large(scenario)?;
        scenario.back_up("whole", &snapshot)?.completed()?;
        let stored = scenario.bucket.bytes()?;
        let second = scenario.back_up("at-work", &snapshot)?;
        processes::mover(&second, PROTECTED_NAMESPACE)?.freeze()?;
        // A mover that does not answer is gone after its grace.
        second.remove()?;
        second.left_nothing()?;
        for (name, point) in [("at-once", ""), ("accepted", "InProgress"), ("done", "SnapshotBackupDone")] {
            let run = scenario.back_up(name, &snapshot)?;
            if !point.is_empty() {
                run.reaches(point)?;
            }
            run.remove()?;
            run.left_nothing()?;
        }
        ensure!(scenario.bucket.bytes()? >= stored, "remote data was touched");
        scenario.repository().check()
    })
}

#[test]
fn vsm_11_restores_deleted_at_work_leave_nothing() -> Outcome {
    Scenario::play("restore-deleted", |scenario| {
        let (_, snapshot) = large(scenario)?;
        let backup = scenario.back_up("first", &snapshot)?.completed()?;
        let stored = scenario.bucket.bytes()?;
        let fresh = &scenario.site.fresh;
        for (name, point) in [("at-once", ""), ("accepted", "InProgress")] {
            let run = scenario.restore_to(fresh, name, &backup, name)?;
            if !point.is_empty() {
                run.reaches(point)?;
            }
            run.remove()?;
            run.left_nothing()?;
        }
        let run = scenario.restore_to(fresh, "at-work", &backup, "at-work")?;
        let _ = processes::mover(&run, PROTECTED_NAMESPACE)?;
        run.remove()?;
        run.left_nothing()?;
        ensure!(scenario.bucket.bytes()? >= stored, "remote data was touched");
        scenario.repository().check()
    })
}

#[test]
fn vsm_11_an_applications_namespace_goes_while_its_backup_is_at_work() -> Outcome {
    Scenario::play("namespace-deleted", |scenario| {
        let (_, snapshot) = large(scenario)?;
        let backup = scenario.back_up("first", &snapshot)?;
        let _ = catch(scenario, &backup)?.thaw();
        scenario.site.origin.remove_namespace(&scenario.namespace, SETTLE)?;
        backup.left_nothing()
    })
}

#[test]
fn a_store_that_stops_in_the_middle_and_comes_back_is_waited_for() -> Outcome {
    Scenario::play_alone("store-stops", |scenario| {
        let (before, snapshot) = large(scenario)?;
        let backup = scenario.back_up("first", &snapshot)?;
        let mover = catch(scenario, &backup)?;
        scenario.site.minio.stop()?;
        mover.thaw()?;
        // Long enough that requests fail, short enough that nobody gives up.
        let stays = backup.watch("an end without a store", Duration::from_secs(8), |object| {
            Ok(matches!(phase(object), "Completed" | "Failed").then(|| object["status"].to_string()))
        });
        scenario.site.minio.start()?;
        ensure!(stays.is_err(), "the run ended without a store: {stays:?}");
        check_restores(scenario, &backup, &before)
    })
}

#[test]
fn a_storage_that_fails_and_dawdles_is_tried_again() -> Outcome {
    Scenario::play_alone("driver-faults", |scenario| {
        let before = scenario.fill(
            "data",
            "lab-ext4",
            VolumeMode::Filesystem,
            "16Mi",
            "seq 1 1000 > /data/numbers; sync",
        )?;
        let snapshot = scenario.snapshot("first", "data")?;
        let fault = |method: &str, action: &str| Fault {
            method: method.into(),
            action: action.into(),
            code: (action == "error").then(|| "UNAVAILABLE".into()),
            count: Some(if action == "error" { 3 } else { 1 }),
            delay_ms: (action == "delay").then_some(3000),
        };
        let faults = [
            fault("CreateVolume", "error"),
            fault("CreateSnapshot", "error"),
            fault("NodeStageVolume", "error"),
            fault("NodePublishVolume", "delay"),
            fault("DeleteVolume", "error"),
        ];
        let drivers =
            [&scenario.site.origin, &scenario.site.fresh].map(|cluster| cluster.lab.driver(DEFAULT_DRIVER));
        for driver in &drivers {
            driver.set_faults(&faults)?;
        }
        let outcome = scenario
            .back_up("first", &snapshot)
            .and_then(|backup| check_restores(scenario, &backup, &before));
        for driver in &drivers {
            driver.set_faults(&[])?;
        }
        outcome
    })
}

#[test]
fn a_mover_whose_pod_is_deleted_after_its_commit_only_reports_it_again() -> Outcome {
    Scenario::play("result-lost", |scenario| {
        let (before, snapshot) = large(scenario)?;
        let backup = scenario.back_up("first", &snapshot)?;
        let mover = catch(scenario, &backup)?;
        scenario.site.origin.delete_at_once(&kinds::POD, PROTECTED_NAMESPACE, &mover.pod)?;
        scenario.site.origin.wait_gone(&kinds::POD, PROTECTED_NAMESPACE, &mover.pod, SHORT)?;
        check_restores(scenario, &backup, &before)
    })
}
