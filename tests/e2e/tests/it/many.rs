//! Many volumes at once. Very long, so only in `cargo xtask test --all`.

use anyhow::{Result, ensure};
use longshore_e2e::{Outcome, PROTECTED_NAMESPACE, Run, Scenario, VolumeMode, eventually, kinds, phase};
use serde_json::json;
use std::time::Duration;

const VOLUMES: usize = 30;
const MOVERS: u32 = 4;

#[test]
fn vsm_10_thirty_claims_are_backed_up_with_never_more_than_four_movers() -> Outcome {
    Scenario::play_alone("many", |scenario| {
        let origin = &scenario.site.origin;
        scenario.site.install(origin, &json!({"concurrency": {"backups": MOVERS}}))?;
        let outcome = thirty(scenario);
        scenario.site.install(origin, &json!({}))?;
        outcome
    })
}

fn thirty(scenario: &Scenario) -> Result<()> {
    let mut snapshots = Vec::new();
    for number in 0..VOLUMES {
        let name = format!("data-{number}");
        let script = "head -c 40000000 /dev/urandom > /data/random; sync";
        scenario.fill(&name, "lab-ext4", VolumeMode::Filesystem, "64Mi", script)?;
        snapshots.push((name.clone(), scenario.snapshot(&name, &name)?));
    }
    let runs: Vec<Run> =
        snapshots.iter().map(|(name, snapshot)| scenario.back_up(name, snapshot)).collect::<Result<_>>()?;
    eventually("all backups to end", Duration::from_secs(1200), || {
        let jobs = scenario.site.origin.list(
            &kinds::JOB,
            PROTECTED_NAMESPACE,
            "app.kubernetes.io/managed-by=longshore",
        )?;
        ensure!(jobs.len() <= MOVERS as usize, "{} movers at once", jobs.len());
        let mut open = 0;
        for run in &runs {
            let object = run.object()?;
            ensure!(phase(&object) != "Failed", "{}: {}", run.name, object["status"]);
            open += usize::from(phase(&object) != "Completed");
        }
        Ok(if open == 0 { Ok(()) } else { Err(format!("{open} are not done")) })
    })?;
    runs.iter().try_for_each(Run::left_nothing)?;
    ensure!(scenario.repository().snapshots()?.len() == VOLUMES, "one restore point for each");
    scenario.repository().check()
}
