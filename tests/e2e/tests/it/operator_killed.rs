//! The operator dies by SIGKILL at every step of a run; what is left to do is done, once.

use std::collections::BTreeMap;
use std::thread;

use anyhow::{Result, anyhow, ensure};
use longshore_e2e::{
    Cluster, Outcome, PROTECTED_NAMESPACE, Run, Scenario, Snapshot, VolumeMode, WORK, audit, eventually,
    kinds, phase, processes, tree,
};
use longshore_lab::{DEFAULT_DRIVER, Fault};
use serde_json::Value;

/// Moments in the life of a run, in their order; those where most is in flight are marked.
const BACKUP_MOMENTS: &[(&str, bool)] = &[
    ("created", false),
    ("VolumeSnapshotContent", false),
    ("VolumeSnapshot", false),
    ("PersistentVolumeClaim", true),
    ("Job", false),
    ("mover", true),
    ("SnapshotBackupDone", false),
    ("Cleanup", true),
];
const RESTORE_MOMENTS: &[(&str, bool)] = &[
    ("created", false),
    ("PersistentVolumeClaim", true),
    ("Job", false),
    ("mover", true),
    ("VolumeSnapshot", true),
    ("SnapshotRestoreDone", false),
    ("Cleanup", true),
];

#[test]
fn vsm_11_an_operator_killed_in_every_phase_leaks_nothing_and_repeats_nothing() -> Outcome {
    Scenario::play_alone("operator-killed", |scenario| {
        let site = scenario.site;
        let mode = VolumeMode::Filesystem;
        let before = scenario.fill(
            "data",
            "lab-ext4",
            mode,
            "96Mi",
            "head -c 60000000 /dev/urandom > /data/random; sync",
        )?;
        let snapshot = scenario.snapshot("first", "data")?;
        // A slow storage, so that each moment lasts until the operator is dead.
        let drivers = [&site.origin, &site.fresh].map(|cluster| cluster.lab.driver(DEFAULT_DRIVER));
        for driver in &drivers {
            driver.set_faults(&["CreateVolume", "CreateSnapshot", "NodeUnpublishVolume"].map(slow))?;
        }
        let outcome = there_and_back(scenario, &snapshot);
        for driver in &drivers {
            driver.set_faults(&[])?;
        }
        outcome?;
        let after = scenario.fingerprint(&site.fresh, "data", mode)?;
        ensure!(tree::difference(&before, &after).is_none(), "{:?}", tree::difference(&before, &after));
        Ok(())
    })
}

fn slow(method: &str) -> Fault {
    Fault { method: method.into(), action: "delay".into(), code: None, count: None, delay_ms: Some(4000) }
}

fn there_and_back(scenario: &Scenario, snapshot: &Snapshot) -> Result<()> {
    let site = scenario.site;
    let backup = scenario.back_up("first", snapshot)?;
    kill_at(scenario, &backup, chosen(BACKUP_MOMENTS))?;
    let object = backup.completed()?;
    backup.left_nothing()?;
    made_once(&site.origin, &backup)?;
    ensure!(scenario.repository().snapshots()?.len() == 1, "one run, one restore point");
    let restore = scenario.restore_to(&site.fresh, "back", &object, "data")?;
    kill_at(scenario, &restore, chosen(RESTORE_MOMENTS))?;
    restore.completed()?;
    made_once(&site.fresh, &restore)
}

/// All of them in the long variant; otherwise those where most is in flight.
fn chosen(moments: &'static [(&'static str, bool)]) -> Vec<&'static str> {
    let all = cfg!(feature = "long");
    moments.iter().filter(|(_, always)| all || *always).map(|(moment, _)| *moment).collect()
}

fn kill_at(scenario: &Scenario, run: &Run, moments: Vec<&str>) -> Result<()> {
    thread::scope(|scope| {
        // The mover is held from its first moment, so that it does not end while an operator is replaced.
        let mut catcher = Some(scope.spawn(|| {
            let mover = processes::mover(run, PROTECTED_NAMESPACE)?;
            mover.freeze().map(|()| mover)
        }));
        for moment in moments {
            eventually(&format!("moment {moment}"), WORK, || {
                let object = run.object()?;
                Ok(if is_past(run, &object, moment)? { Ok(()) } else { Err(object["status"].to_string()) })
            })?;
            let caught = catcher.take_if(|_| moment == "mover").map(thread::ScopedJoinHandle::join);
            let held = caught.transpose().map_err(|_| anyhow!("the catcher panicked"))?.transpose()?;
            println!("{}: killing the operator at {moment}, phase {}", run.kind.name, phase(&run.object()?));
            processes::kill_operator(scenario.site, run.cluster)?;
            held.iter().try_for_each(processes::Mover::thaw)?;
        }
        Ok(())
    })
}

/// Whether the moment is here, or over.
fn is_past(run: &Run, object: &Value, moment: &str) -> Result<bool> {
    match phase(object) {
        "Cleanup" | "Completed" => return Ok(true),
        "SnapshotBackupDone" | "SnapshotRestoreDone" => return Ok(moment != "Cleanup"),
        _ => {}
    }
    let there = |kind| -> Result<bool> { Ok(!run.cluster.list(kind, "", &run.selector())?.is_empty()) };
    match moment {
        "created" => Ok(true),
        "VolumeSnapshotContent" => there(&kinds::VOLUME_SNAPSHOT_CONTENT),
        "VolumeSnapshot" => there(&kinds::VOLUME_SNAPSHOT),
        "PersistentVolumeClaim" => there(&kinds::PVC),
        "Job" => there(&kinds::JOB),
        "mover" => {
            let pods = run.cluster.list(&kinds::POD, PROTECTED_NAMESPACE, &run.selector())?;
            Ok(pods.iter().any(|pod| pod["status"]["phase"] == "Running"))
        }
        _ => Ok(false),
    }
}

/// No child was made twice, whoever of the operators made it.
fn made_once(cluster: &Cluster, run: &Run) -> Result<()> {
    let mut made: BTreeMap<String, u32> = BTreeMap::new();
    for request in audit::operator_requests(cluster)? {
        let ours = request.answer["metadata"]["labels"]["longshore.dev/run-uid"] == run.uid.as_str();
        if ours && request.verb == "create" && request.code < 300 {
            *made.entry(format!("{} {}", request.resource, request.name)).or_default() += 1;
        }
    }
    ensure!(!made.is_empty() && made.values().all(|count| *count == 1), "made more than once: {made:?}");
    Ok(())
}
