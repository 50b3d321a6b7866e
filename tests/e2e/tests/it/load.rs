//! What a thousand waiting backups and fifty at work cost the operator. Long, so only in `cargo xtask test --all`.

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore_e2e::{
    OPERATOR_NAMESPACE, Outcome, PROTECTED_NAMESPACE, Run, Scenario, VolumeMode, audit, eventually, kinds,
    phase, processes,
};
use serde_json::{Value, json};

const AT_WORK: usize = 50;
const QUEUED: usize = 1000;
/// So many of those at work have a mover that runs.
const HELD_MIN: usize = 10;
/// The operator's memory at its highest.
const PEAK_MIB_MAX: f64 = 100.0;
const STEADY: Duration = Duration::from_secs(60);
/// Fifty copies of a volume are made on one node with two cores.
const LIMIT: Duration = Duration::from_secs(900);
/// The kernel's unit of time in /proc, the same on every amd64 and arm64.
const TICKS_PER_SECOND: f64 = 100.0;
const OURS: &str = "app.kubernetes.io/managed-by=longshore";

#[test]
fn vsm_10_a_thousand_queued_backups_cost_the_operator_little() -> Outcome {
    Scenario::play_alone("load", |scenario| {
        let origin = &scenario.site.origin;
        let roomy =
            json!({"concurrency": {"backups": AT_WORK}, "mover": {"memory": "96Mi"}, "logLevel": "info"});
        scenario.site.install(origin, &roomy)?;
        let outcome = crowd(scenario);
        scenario.site.install(origin, &json!({}))?;
        outcome
    })
}

fn crowd(scenario: &Scenario) -> Result<()> {
    let origin = &scenario.site.origin;
    let script = "head -c 32000000 /dev/urandom > /data/random; sync";
    scenario.fill("data", "lab-ext4", VolumeMode::Filesystem, "64Mi", script)?;
    let snapshot = scenario.snapshot("first", "data")?;
    let operator = Operator::of(scenario)?;
    let idle = operator.memory_mib("VmRSS")?;
    let begun = Instant::now();
    let runs: Vec<Run> = (0..AT_WORK + QUEUED)
        .map(|number| scenario.back_up(&format!("number-{number}"), &snapshot))
        .collect::<Result<_>>()?;
    let created = begun.elapsed();
    let held = hold_movers(scenario)?;
    let ramp = (begun.elapsed(), operator.cpu_seconds()?);

    let requests = audit::operator_requests(origin)?.len();
    thread::sleep(STEADY);
    let steady_cpu = (operator.cpu_seconds()? - ramp.1) / STEADY.as_secs_f64();
    let steady_requests = audit::operator_requests(origin)?.len() - requests;
    let states: Vec<Value> = runs.iter().map(Run::object).collect::<Result<_>>()?;
    let queued = states.iter().filter(|state| state["status"]["batchingStatus"] == "Queued").count();
    println!(
        "{} runs made in {:.0} s; {AT_WORK} at work after {:.0} s, for which the operator took {:.1} s of CPU",
        runs.len(),
        created.as_secs_f64(),
        ramp.0.as_secs_f64(),
        ramp.1
    );
    println!(
        "with {queued} queued and {AT_WORK} at work: {:.2} % of a core, {steady_requests} requests a minute, {:.0} MiB; {idle:.0} MiB before, \
         {:.0} MiB at most",
        steady_cpu * 100.0,
        operator.memory_mib("VmRSS")?,
        operator.memory_mib("VmHWM")?,
    );
    ensure!(queued >= QUEUED - AT_WORK, "{queued} are queued");
    let waiting = |state: &&Value| state["status"]["batchingStatus"] == "Queued";
    for state in states.iter().filter(waiting) {
        let name = state["metadata"]["name"].as_str().context("a run without name")?;
        origin.delete(&kinds::BACKUP, &scenario.namespace, name)?;
    }
    held.iter().try_for_each(processes::Mover::thaw)?;
    eventually("what was at work to be over", LIMIT, || {
        let left = origin.list(&kinds::BACKUP, &scenario.namespace, "")?;
        let failed = left.iter().find(|run| phase(run) == "Failed");
        ensure!(failed.is_none(), "{failed:?}");
        let open = left.iter().filter(|run| phase(run) != "Completed").count();
        Ok(if open == 0 { Ok(()) } else { Err(format!("{open} are open")) })
    })?;
    let peak = operator.memory_mib("VmHWM")?;
    println!("{:.1} s of CPU in all, {peak:.0} MiB at most", operator.cpu_seconds()?);
    ensure!(
        scenario.repository().snapshots()?.len() >= AT_WORK,
        "each that was at work has its restore point"
    );
    ensure!(peak <= PEAK_MIB_MAX, "{peak:.0} MiB at most");
    Ok(())
}

/// Stops each mover in its tracks as it comes, until all that may be at work are held or wait for a place on the node: a mover asks for a tenth of a
/// processor, so that a small node takes fewer than fifty.
fn hold_movers(scenario: &Scenario) -> Result<Vec<processes::Mover>> {
    let origin = &scenario.site.origin;
    let mut seen = BTreeSet::new();
    let mut held = Vec::new();
    eventually("fifty backups at work", LIMIT, || {
        for mover in processes::movers(origin, PROTECTED_NAMESPACE, OURS)? {
            // One that has ended in this moment is no longer at work, and its place goes to another.
            if !seen.contains(&mover.pod) && mover.freeze().is_ok() {
                seen.insert(mover.pod.clone());
                held.push(mover);
            }
        }
        let jobs = origin.list(&kinds::JOB, PROTECTED_NAMESPACE, OURS)?;
        ensure!(jobs.len() <= AT_WORK, "{} movers at once", jobs.len());
        let pods = origin.list(&kinds::POD, PROTECTED_NAMESPACE, OURS)?;
        let unplaced = pods.iter().filter(|pod| pod["spec"]["nodeName"].is_null()).count();
        let all = held.len() + unplaced >= AT_WORK && held.len() >= HELD_MIN;
        Ok(if all { Ok(()) } else { Err(format!("{} are held, {unplaced} have no place", held.len())) })
    })?;
    println!("{} movers are held, the others wait for a place on the node", held.len());
    Ok(held)
}

/// The operator's process, which must be the same to the end.
struct Operator {
    process: i32,
}

impl Operator {
    fn of(scenario: &Scenario) -> Result<Self> {
        let pod = scenario.site.operator_pod(&scenario.site.origin)?;
        let uid = pod["metadata"]["uid"].as_str().context("a pod without UID")?;
        let found = processes::of_pod(uid, "longshore-opera")?;
        let process = found.first().with_context(|| format!("no operator in {OPERATOR_NAMESPACE}"))?;
        Ok(Self { process: process.as_raw_nonzero().get() })
    }

    /// `VmRSS` or `VmHWM`, proc_pid_status(5).
    fn memory_mib(&self, field: &str) -> Result<f64> {
        let text =
            fs::read_to_string(format!("/proc/{}/status", self.process)).context("the operator is gone")?;
        let line = text.lines().find_map(|line| line.strip_prefix(field)).context("no such field")?;
        let kib = line.trim_matches(|letter: char| !letter.is_ascii_digit()).parse::<f64>()?;
        Ok(kib / 1024.0)
    }

    /// User and system time, fields 14 and 15 of proc_pid_stat(5).
    fn cpu_seconds(&self) -> Result<f64> {
        let text =
            fs::read_to_string(format!("/proc/{}/stat", self.process)).context("the operator is gone")?;
        let (_, fields) = text.rsplit_once(')').context("no program's name")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks =
            [11, 12].iter().map(|index| Ok(fields.get(*index).context("too short")?.parse::<u32>()?));
        Ok(f64::from(ticks.sum::<Result<u32>>()?) / TICKS_PER_SECOND)
    }
}
