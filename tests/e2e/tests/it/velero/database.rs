//! The database of VSM-22, backed up and restored by Velero, pod and all.

use anyhow::ensure;
use longshore_e2e::velero::Story;
use longshore_e2e::{Outcome, VolumeMode, application};

use crate::database;

#[test]
fn vsm_34_rows_of_a_postgresql_are_there_after_a_restore_by_velero() -> Outcome {
    Story::tell("velero-database", |story| {
        let scenario = story.scenario;
        let (origin, fresh) = (&scenario.site.origin, &scenario.site.fresh);
        let archive = database::image(scenario)?;
        for cluster in [origin, fresh] {
            cluster.lab.load_image(&archive)?;
        }
        let mode = VolumeMode::Filesystem;
        origin.create(&application::claim(&scenario.namespace, "data", "lab-ext4", mode, "160Mi"))?;
        database::start(scenario, origin)?;
        database::fill(scenario, origin)?;
        let before = database::state(scenario, origin)?;
        let backup = story.back_up("b1", &[])?;
        story.backup_ends(&backup, "Completed")?;
        story.restore(fresh, "r1", &backup, &[])?;
        database::answers(scenario, fresh)?;
        let after = database::state(scenario, fresh)?;
        ensure!(before == after, "rows before: {before}; after: {after}");
        Ok(())
    })
}
