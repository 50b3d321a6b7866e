//! What the control plane adds to moving the data: seconds and requests.

use std::fmt;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use jiff::Timestamp;
use longshore_e2e::{Outcome, PROTECTED_NAMESPACE, Run, Scenario, Snapshot, VolumeMode, audit, kinds};
use serde_json::Value;

/// Requests that one backup may cost, progress and log streams aside.
const REQUESTS_MAX: usize = 60;
/// From the last byte's arrival in the store to phase SnapshotBackupDone.
const DONE_SECONDS_MAX: f64 = 2.0;
/// From there to Completed, with nothing temporary left.
const COMPLETED_SECONDS_MAX: f64 = 15.0;
/// All of a backup beside moving the data.
const BESIDE_SECONDS_MAX: f64 = 10.0;
/// A machine that does something else as well only adds to the times, so the best of several backups tells what the control plane takes.
const ATTEMPTS: usize = 3;

#[test]
fn vsm_10_a_backup_costs_few_requests_and_seconds_beside_moving_the_data() -> Outcome {
    Scenario::play_alone("overhead", |scenario| {
        let script = "head -c 16000000 /dev/urandom > /data/random; sync";
        scenario.fill("data", "lab-ext4", VolumeMode::Filesystem, "32Mi", script)?;
        let snapshot = scenario.snapshot("first", "data")?;
        let mut outcome = Ok(());
        for attempt in 0..ATTEMPTS {
            outcome = one_backup(scenario, &snapshot, &format!("number-{attempt}"))?.keep_promises();
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    })
}

fn one_backup(scenario: &Scenario, snapshot: &Snapshot, name: &str) -> Result<Times> {
    let origin = &scenario.site.origin;
    let before = audit::operator_requests(origin)?.len();
    let created = Timestamp::now();
    let backup = scenario.back_up(name, snapshot)?;
    let (done, mover_started) = follow(&backup)?;
    backup.completed()?;
    let completed = Timestamp::now();
    let requests = audit::operator_requests(origin)?.split_off(before);
    let counted: Vec<String> = requests
        .iter()
        .filter(|request| {
            let looks_around = request.verb == "watch" || request.resource == "pods/log";
            let progress = request.resource.ends_with("/status") && is_progress_only(&request.sent);
            !looks_around && !progress
        })
        .map(|request| format!("{} {}", request.verb, request.resource))
        .collect();
    ensure!(counted.len() <= REQUESTS_MAX, "{} requests: {counted:?}", counted.len());
    let objects = scenario.bucket.objects()?;
    let last_byte = objects.iter().map(|object| object.modified).max().context("the bucket is empty")?;
    let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
    // The kubelet tells the start rounded down to a second, which must not be counted as moving data.
    let moving = (seconds(mover_started, last_byte) - 1.0).max(0.0);
    let times = Times {
        done: seconds(last_byte, done),
        completed: seconds(last_byte, completed),
        beside: seconds(created, completed) - moving,
    };
    println!("{times}; {} requests", counted.len());
    Ok(times)
}

/// A status write that changes nothing but the progress.
fn is_progress_only(sent: &Value) -> bool {
    sent["status"].as_object().is_some_and(|status| status.keys().all(|key| key == "progress"))
}

/// Seconds.
struct Times {
    done: f64,
    completed: f64,
    beside: f64,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SnapshotBackupDone {:.1} s after the last byte, Completed {:.1} s after it; {:.1} s of the backup were not moving data",
            self.done, self.completed, self.beside
        )
    }
}

impl Times {
    fn keep_promises(&self) -> Result<()> {
        let kept = self.done <= DONE_SECONDS_MAX
            && self.completed <= COMPLETED_SECONDS_MAX
            && self.beside <= BESIDE_SECONDS_MAX;
        ensure!(kept, "{self}");
        Ok(())
    }
}

/// When the backup said that its data is in the repository, and when its mover's container had started.
fn follow(backup: &Run) -> Result<(Timestamp, Timestamp)> {
    let mut mover_started = None;
    let said = thread::scope(|scope| {
        let done = scope.spawn(|| backup.reaches("SnapshotBackupDone").map(|_| Timestamp::now()));
        while !done.is_finished() {
            for pod in backup.cluster.list(&kinds::POD, PROTECTED_NAMESPACE, &backup.selector())? {
                let state = &pod["status"]["containerStatuses"][0]["state"];
                let started =
                    state["running"]["startedAt"].as_str().or(state["terminated"]["startedAt"].as_str());
                mover_started = started.map(str::parse).transpose()?.or(mover_started);
            }
            thread::sleep(Duration::from_millis(100));
        }
        done.join().map_err(|_| anyhow!("the watch panicked"))?
    })?;
    Ok((said, mover_started.context("the mover was not seen")?))
}
