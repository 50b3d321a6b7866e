//! What the control plane adds to moving the data: seconds and requests.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use longshore_e2e::{Outcome, Run, Scenario, VolumeMode, audit, kinds, phase};
use serde_json::Value;

/// Requests that one backup may cost, progress and log streams aside.
const REQUESTS_MAX: usize = 60;

#[test]
fn vsm_10_a_backup_costs_few_requests_and_seconds_beside_moving_the_data() -> Outcome {
    Scenario::play_alone("overhead", |scenario| {
        let origin = &scenario.site.origin;
        let script = "head -c 16000000 /dev/urandom > /data/random; sync";
        scenario.fill("data", "lab-ext4", VolumeMode::Filesystem, "32Mi", script)?;
        let snapshot = scenario.snapshot("first", "data")?;
        let before = audit::operator_requests(origin)?.len();
        let begun = Instant::now();
        let backup = scenario.back_up("first", &snapshot)?;
        let times = follow(&backup)?;
        let total = begun.elapsed().as_secs_f64();
        let requests = audit::operator_requests(origin)?.split_off(before);
        let counted: Vec<_> = requests
            .iter()
            .filter(|request| {
                let looks_around = request.verb == "watch" || request.resource == "pods/log";
                let progress = request.resource.ends_with("/status") && is_progress_only(&request.sent);
                !looks_around && !progress
            })
            .collect();
        let beside = total - times.mover_seconds;
        println!(
            "a backup of 16 MB took {total:.1} s, its mover {:.1} s, so {beside:.1} s beside it; done was said {:.1} s after the mover's end; {} requests",
            times.mover_seconds,
            times.said_after,
            counted.len()
        );
        ensure!(
            counted.len() <= REQUESTS_MAX,
            "{} requests: {:?}",
            counted.len(),
            counted
                .iter()
                .map(|request| format!("{} {}", request.verb, request.resource))
                .collect::<Vec<_>>()
        );
        // The promises are 2 s and 10 s on an idle machine; the test's limits leave room for a busy one.
        ensure!(
            times.said_after <= 6.0,
            "SnapshotBackupDone came {:.1} s after the mover's end",
            times.said_after
        );
        ensure!(beside <= 25.0, "{beside:.1} s beside moving the data");
        Ok(())
    })
}

/// A status write that changes nothing but the progress.
fn is_progress_only(sent: &Value) -> bool {
    sent["status"].as_object().is_some_and(|status| status.keys().all(|key| key == "progress"))
}

struct Times {
    /// How long the mover's container ran.
    mover_seconds: f64,
    /// From the container's end to the phase that says so.
    said_after: f64,
}

fn follow(backup: &Run) -> Result<Times> {
    let mut ended: Option<(Timestamp, Timestamp)> = None;
    let mut said = None;
    let begun = Instant::now();
    while said.is_none() {
        ensure!(begun.elapsed() < longshore_e2e::WORK, "the backup does not end");
        for pod in backup.cluster.list(&kinds::POD, "", &backup.selector())? {
            let state = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
            if let (Some(start), Some(end)) = (state["startedAt"].as_str(), state["finishedAt"].as_str()) {
                ended = Some((start.parse()?, end.parse()?));
            }
        }
        let object = backup.object()?;
        ensure!(phase(&object) != "Failed", "{}", object["status"]);
        if matches!(phase(&object), "SnapshotBackupDone" | "Cleanup" | "Completed") {
            said = Some(Timestamp::now());
        }
    }
    backup.completed()?;
    let (start, end) = ended.context("the mover's end was not seen")?;
    let said = said.context("the phase was not seen")?;
    Ok(Times {
        mover_seconds: end.duration_since(start).as_secs_f64(),
        said_after: said.duration_since(end).as_secs_f64(),
    })
}
