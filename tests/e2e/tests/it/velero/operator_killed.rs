//! Our operator dies by SIGKILL in every phase of a DataUpload and of a DataDownload, the exchange of volumes at its end included.

use anyhow::{Result, ensure};
use longshore_e2e::velero::Story;
use longshore_e2e::{
    Cluster, Kind, Outcome, VELERO_NAMESPACE, VolumeMode, WORK, eventually, kinds, phase, processes, text,
};
use longshore_lab::{DEFAULT_DRIVER, Fault};
use serde_json::Value;

/// Moments in the life of a movement, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Created,
    Accepted,
    Prepared,
    InProgress,
    /// The data is on the volume, which now goes to the application's PVC.
    Restored,
    Over,
}

#[test]
fn vsm_34_an_operator_killed_in_every_phase_of_a_movement_neither_loses_nor_repeats_it() -> Outcome {
    Story::tell_alone("velero-operator-killed", |story| {
        let scenario = story.scenario;
        let site = scenario.site;
        let mode = VolumeMode::Filesystem;
        let fill = "head -c 60000000 /dev/urandom > /data/random; sync";
        let before = scenario.fill("data", "lab-ext4", mode, "96Mi", fill)?;
        // A slow storage, so that each moment lasts until the operator is dead.
        let drivers = [&site.origin, &site.fresh].map(|cluster| cluster.lab.driver(DEFAULT_DRIVER));
        for driver in &drivers {
            driver.set_faults(&["CreateVolume", "NodeUnpublishVolume"].map(slow))?;
        }
        let outcome = there_and_back(story);
        for driver in &drivers {
            driver.set_faults(&[])?;
        }
        outcome?;
        story.no_copies_left(&site.origin)?;
        story.no_copies_left(&site.fresh)?;
        story.same("the volume", &before, &scenario.fingerprint(&site.fresh, "data", mode)?)
    })
}

fn slow(method: &str) -> Fault {
    Fault { method: method.into(), action: "delay".into(), code: None, count: None, delay_ms: Some(4000) }
}

fn there_and_back(story: &Story) -> Result<()> {
    let site = story.scenario.site;
    let backup = story.back_up("b1", &[])?;
    kill_at(
        story,
        &site.origin,
        &backup,
        &kinds::DATA_UPLOAD,
        &[Moment::Created, Moment::Accepted, Moment::Prepared, Moment::InProgress],
    )?;
    story.backup_ends(&backup, "Completed")?;
    ensure!(story.scenario.repository().snapshots()?.len() == 1, "one DataUpload, one restore point");
    let restore = story.start_restore(&site.fresh, "r1", &backup, &[])?;
    kill_at(
        story,
        &site.fresh,
        &restore,
        &kinds::DATA_DOWNLOAD,
        &[Moment::Created, Moment::Accepted, Moment::Prepared, Moment::InProgress, Moment::Restored],
    )?;
    story.ends(&site.fresh, &kinds::VELERO_RESTORE, &restore, "Completed").map(drop)
}

fn kill_at(
    story: &Story,
    cluster: &'static Cluster,
    owner: &str,
    kind: &Kind,
    moments: &[Moment],
) -> Result<()> {
    let object = story.moves(cluster, owner, 1)?.remove(0);
    let name = text(&object, "/metadata/name")?;
    for moment in moments {
        let seen = eventually(&format!("{moment:?} of {name}"), WORK, || {
            let object = cluster.need(kind, VELERO_NAMESPACE, name)?;
            let seen = moment_of(&object);
            Ok(if seen >= *moment { Ok(seen) } else { Err(format!("{seen:?}: {}", object["status"])) })
        })?;
        println!("{} {name}: killing the operator at {moment:?}, seen {seen:?}", kind.name);
        processes::kill_operator(story.scenario.site, cluster)?;
    }
    Ok(())
}

fn moment_of(object: &Value) -> Moment {
    match phase(object) {
        "" | "New" => Moment::Created,
        "Accepted" => Moment::Accepted,
        "Prepared" => Moment::Prepared,
        "InProgress" if object["metadata"]["annotations"]["longshore.dev/restored-at"].is_string() => {
            Moment::Restored
        }
        "InProgress" => Moment::InProgress,
        _ => Moment::Over,
    }
}
