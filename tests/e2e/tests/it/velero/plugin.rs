//! The road through the plugin, on which a VolumeSnapshotBackup stands where Velero's own has a DataUpload.

use anyhow::{Context, Result, ensure};
use longshore_e2e::velero::Story;
use longshore_e2e::{Cluster, Outcome, VolumeMode, kinds, phase, tree};

use super::road::{Contents, compare, contents, deletion_gives_space_back, points_left, start_workload};

#[test]
fn vsm_30_vsm_34_velero_backs_up_restores_and_forgets_through_the_plugin() -> Outcome {
    Story::tell("velero-plugin", |story| {
        let scenario = story.scenario;
        let (origin, fresh) = (&scenario.site.origin, &scenario.site.fresh);
        let files = scenario.fill("files", "lab-ext4-wait", VolumeMode::Filesystem, "96Mi", tree::NASTY)?;
        let device = scenario.fill("device", "lab-ext4", VolumeMode::Block, "64Mi", tree::NASTY_DEVICE)?;
        let first = Contents { files, device };
        start_workload(scenario, origin)?;

        let b1 = back_up(story, "b1")?;
        let after_first = scenario.bucket.bytes()?;
        let change = "head -c 1000000 /dev/urandom > /data/changed; sync";
        scenario.script(origin, "change", change, "files", VolumeMode::Filesystem)?;
        let second = contents(origin, &scenario.namespace)?;
        let b2 = back_up(story, "b2")?;
        let growth = scenario.bucket.bytes()? - after_first;
        ensure!(growth < after_first / 4, "the second backup stored {growth} bytes after {after_first}");

        let copy = format!("{}-copy", scenario.namespace);
        scenario.make_namespace(origin, &copy, "privileged")?;
        let mapping = format!("{}:{copy}", scenario.namespace);
        restore(story, origin, "r1", &b1, &copy, &["--namespace-mappings", &mapping])?;
        compare(story, origin, &copy, &first).context("restored beside the original")?;

        story.delete_backup(&b1)?;
        points_left(story, 2)?;
        restore(story, fresh, "r2", &b2, &scenario.namespace, &[])?;
        compare(story, fresh, &scenario.namespace, &second).context("restored in the fresh cluster")?;

        deletion_gives_space_back(story, &[b2])
    })
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

fn restore(
    story: &Story,
    cluster: &'static Cluster,
    short: &str,
    backup: &str,
    namespace: &str,
    further: &[&str],
) -> Result<()> {
    let object = story.restore(cluster, short, backup, further)?;
    let name = object["metadata"]["name"].as_str().context("no name")?;
    let runs = cluster.list(&kinds::RESTORE, namespace, &format!("velero.io/restore-name={name}"))?;
    let ends: Vec<&str> = runs.iter().map(phase).collect();
    ensure!(ends == ["Completed", "Completed"], "the runs of a complete restore ended {ends:?}");
    story.no_copies_left(cluster)
}
