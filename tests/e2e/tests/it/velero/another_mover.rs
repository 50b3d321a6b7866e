//! Data movements that are not ours.

use anyhow::{Result, ensure};
use longshore_e2e::velero::Story;
use longshore_e2e::{Outcome, SHORT, VELERO_NAMESPACE, VolumeMode, eventually, kinds};
use serde_json::Value;

#[test]
fn vsm_34_data_uploads_of_another_mover_are_left_alone() -> Outcome {
    Story::tell("velero-other", |story| {
        let scenario = story.scenario;
        let origin = &scenario.site.origin;
        let mode = VolumeMode::Filesystem;
        scenario.fill("data", "lab-ext4", mode, "32Mi", "echo something > /data/file; sync")?;
        let backup = story.back_up_by("somebody-else", "b1", &["--item-operation-timeout", "10s"])?;
        let uploads = story.moves(origin, &backup, 1)?;
        let name = uploads[0]["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        story.backup_ends(&backup, "PartiallyFailed")?;
        // Velero has given up and asked for a cancellation, which is not ours to obey either.
        let upload = eventually("Velero's wish to cancel", SHORT, || {
            let upload = origin.need(&kinds::DATA_UPLOAD, VELERO_NAMESPACE, &name)?;
            Ok(if upload["spec"]["cancel"] == true { Ok(upload) } else { Err(upload["spec"].to_string()) })
        })?;
        untouched(&upload)?;
        ensure!(origin.get(&kinds::BACKUP, VELERO_NAMESPACE, &name)?.is_none(), "Longshore runs for another");
        story.delete_backup(&backup)
    })
}

fn untouched(upload: &Value) -> Result<()> {
    ensure!(upload["status"]["phase"].is_null(), "a status: {}", upload["status"]);
    ensure!(upload["metadata"]["finalizers"].is_null(), "finalizers: {}", upload["metadata"]);
    let managers = upload["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let strange = managers
        .iter()
        .find(|entry| !entry["manager"].as_str().is_some_and(|manager| manager.starts_with("velero")));
    ensure!(strange.is_none(), "somebody else wrote: {strange:?}");
    Ok(())
}
