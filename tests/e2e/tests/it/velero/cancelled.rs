//! Movements that Velero or its user gives up.

use anyhow::{Result, ensure};
use longshore_e2e::velero::{Moved, Story};
use longshore_e2e::{Cluster, Kind, Outcome, SETTLE, VELERO_NAMESPACE, VolumeMode, kinds, phase, processes};
use serde_json::json;

#[test]
fn vsm_34_a_cancelled_movement_ends_and_leaves_nothing() -> Outcome {
    Story::tell("velero-cancel", |story| {
        let scenario = story.scenario;
        let (origin, fresh) = (&scenario.site.origin, &scenario.site.fresh);
        let mode = VolumeMode::Filesystem;
        let fill = "head -c 20000000 /dev/urandom > /data/random; sync";
        let before = scenario.fill("data", "lab-ext4", mode, "64Mi", fill)?;

        let cancelled = story.back_up("b1", &[])?;
        let upload = held(story, origin, &cancelled)?;
        cancel(origin, &kinds::DATA_UPLOAD, &upload)?;
        ends_canceled(story, origin, &kinds::DATA_UPLOAD, &upload)?;
        story.backup_ends(&cancelled, "PartiallyFailed")?;

        let late = story.back_up("b2", &["--item-operation-timeout", "15s"])?;
        let upload = held(story, origin, &late)?;
        story.backup_ends(&late, "PartiallyFailed")?;
        ends_canceled(story, origin, &kinds::DATA_UPLOAD, &upload)?;
        ensure!(
            scenario.repository().snapshots().map_or(0, |points| points.len()) == 0,
            "a restore point of a cancelled backup"
        );

        // Nothing of all that is in the way of the next one.
        let good = story.back_up("b3", &[])?;
        story.backup_ends(&good, "Completed")?;

        let restore = story.start_restore(fresh, "r1", &good, &[])?;
        let download = held(story, fresh, &restore)?;
        cancel(fresh, &kinds::DATA_DOWNLOAD, &download)?;
        ends_canceled(story, fresh, &kinds::DATA_DOWNLOAD, &download)?;
        story.ends(fresh, &kinds::VELERO_RESTORE, &restore, "PartiallyFailed")?;
        fresh.delete(&kinds::PVC, &scenario.namespace, "data")?;
        fresh.wait_gone(&kinds::PVC, &scenario.namespace, "data", SETTLE)?;

        story.restore(fresh, "r2", &good, &[])?;
        story.same("the volume", &before, &scenario.fingerprint(fresh, "data", mode)?)
    })
}

/// The only movement of a backup or restore, with its mover stopped in its tracks.
fn held(story: &Story, cluster: &'static Cluster, name: &str) -> Result<Moved> {
    let objects = story.moves(cluster, name, 1)?;
    let moved = story.run_of(cluster, objects[0].clone())?;
    processes::mover(&moved.run, VELERO_NAMESPACE)?.freeze()?;
    Ok(moved)
}

fn cancel(cluster: &Cluster, kind: &Kind, moved: &Moved) -> Result<()> {
    cluster.patch(kind, VELERO_NAMESPACE, &moved.run.name, &json!({"spec": {"cancel": true}}))
}

/// Waits for the end as it must be, and proves that nothing is left of the run.
fn ends_canceled(story: &Story, cluster: &Cluster, kind: &Kind, moved: &Moved) -> Result<()> {
    const ENDS: [&str; 3] = ["Completed", "Failed", "Canceled"];
    let object = story.watch_phase(cluster, kind, &moved.run.name, SETTLE, &ENDS)?;
    ensure!(phase(&object) == "Canceled", "a cancelled movement: {}", object["status"]);
    moved.run.left_nothing()
}
