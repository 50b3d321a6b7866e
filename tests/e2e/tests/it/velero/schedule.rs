//! Backups that Velero makes by itself and lets expire.

use anyhow::{Context, Result};
use longshore_e2e::velero::Story;
use longshore_e2e::{Outcome, VELERO_NAMESPACE, VolumeMode, WORK, eventually, kinds, text};

use super::road::points_left;

#[test]
fn vsm_30_vsm_34_what_a_schedule_made_is_forgotten_when_it_expires() -> Outcome {
    Story::tell("velero-schedule", |story| {
        let scenario = story.scenario;
        let origin = &scenario.site.origin;
        let mode = VolumeMode::Filesystem;
        scenario.fill("data", "lab-ext4", mode, "32Mi", "echo something > /data/file; sync")?;
        let name = story.name("every");
        let words = ["schedule", "create", &name, "--schedule", "* * * * *", "--ttl", "20s"];
        story.cli(origin, &[&words[..], &story.how()].concat())?;
        let backup = first_backup(story, &name)?;
        story.cli(origin, &["schedule", "pause", &name])?;
        story.backup_ends(&backup, "Completed")?;
        points_left(story, 1)?;
        origin.wait_gone(&kinds::VELERO_BACKUP, VELERO_NAMESPACE, &backup, WORK)?;
        points_left(story, 0)?;
        story.cli(origin, &["schedule", "delete", &name, "--confirm"]).map(drop)
    })
}

fn first_backup(story: &Story, schedule: &str) -> Result<String> {
    let selector = format!("velero.io/schedule-name={schedule}");
    eventually("the schedule's backup", WORK, || {
        let found = story.scenario.site.origin.list(&kinds::VELERO_BACKUP, VELERO_NAMESPACE, &selector)?;
        let name =
            found.first().map(|backup| text(backup, "/metadata/name").map(str::to_owned)).transpose()?;
        Ok(name.context("none yet").map_err(|error| error.to_string()))
    })
}
