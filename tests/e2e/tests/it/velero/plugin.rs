//! The road through the plugin, on which a VolumeSnapshotBackup stands where Velero's own has a DataUpload.

use anyhow::{Context, Result, ensure};
use longshore_e2e::velero::Story;
use longshore_e2e::{Cluster, Outcome, kinds, phase};

use super::road::{Restore, Way, there_and_back};

#[test]
fn vsm_30_vsm_34_velero_backs_up_restores_and_forgets_through_the_plugin() -> Outcome {
    Story::tell("velero-plugin", |story| there_and_back(story, &Way { back_up, restore }))
}

/// Backs up both claims and checks what Velero and its users see of it.
fn back_up(story: &Story, short: &str) -> Result<String> {
    let origin = &story.scenario.site.origin;
    let name = story.back_up_through_plugin(short)?;
    story.backup_ends(&name, "Completed")?;
    let runs =
        origin.list(&kinds::BACKUP, &story.scenario.namespace, &format!("velero.io/backup-name={name}"))?;
    let ends: Vec<&str> = runs.iter().map(phase).collect();
    ensure!(ends == ["Completed", "Completed"], "the runs of a complete backup ended {ends:?}");
    let uploads = origin.list(&kinds::DATA_UPLOAD, "", &format!("velero.io/backup-name={name}"))?;
    ensure!(uploads.is_empty(), "Velero moves the same volumes: {uploads:?}");
    let told = story.cli(origin, &["backup", "describe", &name, "--details"])?;
    ensure!(told.matches("longshore.dev/").count() >= 2, "velero backup describe:\n{told}");
    story.no_copies_left(origin)?;
    Ok(name)
}

fn restore(story: &Story, cluster: &'static Cluster, wanted: &Restore) -> Result<()> {
    let object = story.restore(cluster, wanted.short, wanted.backup, wanted.further)?;
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let runs = cluster.list(&kinds::RESTORE, wanted.namespace, &format!("velero.io/restore-name={name}"))?;
    let ends: Vec<&str> = runs.iter().map(phase).collect();
    ensure!(ends == ["Completed", "Completed"], "the runs of a complete restore ended {ends:?}");
    story.no_copies_left(cluster)
}
