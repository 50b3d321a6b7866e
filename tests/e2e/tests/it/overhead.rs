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
/// From the moment the clone of the volume is bound to the mover at work.
const STARTED_SECONDS_MAX: f64 = 5.0;
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
    let seen = follow(&backup)?;
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
    let moving = (seconds(seen.mover_started, last_byte) - 1.0).max(0.0);
    let times = Times {
        first: seconds(created, seen.mover),
        started: seconds(seen.bound, seen.mover),
        done: seconds(last_byte, seen.done),
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
    first: f64,
    started: f64,
    done: f64,
    completed: f64,
    beside: f64,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the mover at work {:.1} s after the creation, {:.1} s after the clone was bound; SnapshotBackupDone {:.1} s after the last byte, \
             Completed {:.1} s after it; {:.1} s of the backup were not moving data",
            self.first, self.started, self.done, self.completed, self.beside
        )
    }
}

impl Times {
    fn keep_promises(&self) -> Result<()> {
        let kept = self.started <= STARTED_SECONDS_MAX
            && self.done <= DONE_SECONDS_MAX
            && self.completed <= COMPLETED_SECONDS_MAX
            && self.beside <= BESIDE_SECONDS_MAX;
        ensure!(kept, "{self}");
        Ok(())
    }
}

/// Moments of a backup.
struct Moments {
    /// The clone of the volume was seen bound.
    bound: Timestamp,
    /// The mover's container was seen.
    mover: Timestamp,
    /// When that container had started, as the kubelet says.
    mover_started: Timestamp,
    /// The backup said that its data is in the repository.
    done: Timestamp,
}

fn follow(backup: &Run) -> Result<Moments> {
    let (mut bound, mut mover, mut mover_started) = (None, None, None);
    let done = thread::scope(|scope| {
        let done = scope.spawn(|| backup.reaches("SnapshotBackupDone").map(|_| Timestamp::now()));
        while !done.is_finished() {
            let claims = backup.cluster.list(&kinds::PVC, PROTECTED_NAMESPACE, &backup.selector())?;
            if claims.iter().any(|claim| claim["status"]["phase"] == "Bound") {
                bound.get_or_insert_with(Timestamp::now);
            }
            for pod in backup.cluster.list(&kinds::POD, PROTECTED_NAMESPACE, &backup.selector())? {
                let state = &pod["status"]["containerStatuses"][0]["state"];
                let started =
                    state["running"]["startedAt"].as_str().or(state["terminated"]["startedAt"].as_str());
                if let Some(started) = started {
                    mover.get_or_insert_with(Timestamp::now);
                    mover_started = Some(started.parse()?);
                }
            }
            thread::sleep(Duration::from_millis(100));
        }
        done.join().map_err(|_| anyhow!("the watch panicked"))?
    })?;
    Ok(Moments {
        bound: bound.context("the clone was not seen")?,
        mover: mover.context("the mover was not seen")?,
        mover_started: mover_started.context("the mover was not seen")?,
        done,
    })
}
