//! Our operator and Velero's server die while a backup is made.

use anyhow::{Result, anyhow, ensure};
use longshore_e2e::velero::Story;
use longshore_e2e::{Outcome, SHORT, VELERO_NAMESPACE, VolumeMode, eventually, kinds, processes};
use longshore_lab::{DEFAULT_DRIVER, Fault};

#[test]
fn vsm_34_a_backup_survives_the_death_of_operator_and_velero() -> Outcome {
    Story::tell_alone("velero-killed", |story| {
        let scenario = story.scenario;
        let site = scenario.site;
        let (origin, fresh) = (&site.origin, &site.fresh);
        let mode = VolumeMode::Filesystem;
        let fill = "head -c 20000000 /dev/urandom > /data/random; sync";
        let before = scenario.fill("data", "lab-ext4", mode, "64Mi", fill)?;

        let name = story.back_up("b1", &[])?;
        let upload = story.moves(origin, &name, 1)?.remove(0);
        // At its beginning …
        processes::kill_operator(site, origin)?;
        let moved = story.run_of(origin, upload)?;
        let mover = processes::mover(&moved.run, VELERO_NAMESPACE)?;
        mover.freeze()?;
        // … and with a mover at work, while Velero waits for it.
        processes::kill_operator(site, origin)?;
        story.watch_phase(origin, &kinds::VELERO_BACKUP, &name, SHORT, &["WaitingForPluginOperations"])?;
        story.server(origin).kill()?;
        story.server(origin).restart()?;
        mover.thaw()?;
        story.backup_ends(&name, "Completed")?;
        story.no_copies_left(origin)?;
        ensure!(scenario.repository().snapshots()?.len() == 1, "one DataUpload, one restore point");

        velero_dies_before_the_snapshot(story)?;

        story.restore(fresh, "r1", &name, &[])?;
        story.same("the volume", &before, &scenario.fingerprint(fresh, "data", mode)?)
    })
}

/// Velero gives up a backup that was in progress when it died; nothing of ours must go on for it.
fn velero_dies_before_the_snapshot(story: &Story) -> Result<()> {
    let origin = &story.scenario.site.origin;
    let driver = origin.lab.driver(DEFAULT_DRIVER);
    let slow = Fault {
        method: "CreateSnapshot".into(),
        action: "delay".into(),
        code: None,
        count: None,
        delay_ms: Some(8000),
    };
    driver.set_faults(&[slow])?;
    let outcome = story.back_up("b2", &[]).and_then(|name| {
        eventually("Velero's snapshot", SHORT, || {
            let found = origin.list(&kinds::VOLUME_SNAPSHOT, &story.scenario.namespace, "")?;
            Ok(found.first().map(drop).ok_or_else(|| "none".to_owned()))
        })?;
        story.server(origin).kill()?;
        Ok(name)
    });
    driver.set_faults(&[])?;
    let name = outcome?;
    story.server(origin).restart()?;
    story.backup_ends(&name, "Failed")?;
    let point_count = story.scenario.repository().snapshots()?.len();
    ensure!(point_count == 1, "a restore point of a backup that failed: {point_count}");
    // What Velero itself made and forgot is the user's to remove. Until the driver has answered, the snapshot controller does not let it go.
    let namespace = &story.scenario.namespace;
    for snapshot in origin.list(&kinds::VOLUME_SNAPSHOT, namespace, "")? {
        let name = snapshot["metadata"]["name"].as_str().ok_or_else(|| anyhow!("no name"))?;
        origin.watch("the snapshot", (&kinds::VOLUME_SNAPSHOT, namespace, name), SHORT, |object| {
            Ok(object.is_some_and(|object| object["status"]["readyToUse"] == true).then_some(()))
        })?;
        origin.delete(&kinds::VOLUME_SNAPSHOT, namespace, name)?;
        origin.wait_gone(&kinds::VOLUME_SNAPSHOT, namespace, name, SHORT)?;
    }
    Ok(())
}
