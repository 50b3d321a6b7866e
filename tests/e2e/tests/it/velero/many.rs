//! Many small volumes in one backup of Velero. Long, so only in `cargo xtask test --all`.

use anyhow::ensure;
use longshore_e2e::velero::Story;
use longshore_e2e::{Outcome, VolumeMode, phase};

const VOLUMES: usize = 30;

#[test]
fn vsm_34_thirty_claims_go_through_one_backup_and_come_back_in_the_fresh_cluster() -> Outcome {
    Story::tell("velero-many", |story| {
        let scenario = story.scenario;
        let (origin, fresh) = (&scenario.site.origin, &scenario.site.fresh);
        let mode = VolumeMode::Filesystem;
        let mut before = Vec::new();
        for number in 0..VOLUMES {
            let claim = format!("data-{number}");
            let script =
                format!("echo {number} > /data/number; head -c 500000 /dev/urandom > /data/random; sync");
            before.push((claim.clone(), scenario.fill(&claim, "lab-ext4", mode, "16Mi", &script)?));
        }
        let backup = story.back_up("b1", &[])?;
        story.backup_ends(&backup, "Completed")?;
        for upload in story.moves(origin, &backup, VOLUMES)? {
            ensure!(phase(&upload) == "Completed", "a DataUpload of a complete backup: {}", upload["status"]);
        }
        story.no_copies_left(origin)?;
        story.restore(fresh, "r1", &backup, &[])?;
        for (claim, before) in &before {
            story.same(claim, before, &scenario.fingerprint(fresh, claim, mode)?)?;
        }
        story.no_copies_left(fresh)
    })
}
