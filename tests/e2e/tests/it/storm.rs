//! The operator dies two hundred times under fifty backups and fifty restores. Very long, so only in `cargo xtask test --all`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use longshore_e2e::{
    Cluster, OPERATOR_NAMESPACE, Outcome, PROTECTED_NAMESPACE, Run, SHORT, Scenario, Snapshot, VolumeMode,
    eventually, kinds, phase, processes, tree,
};
use longshore_lab::{DEFAULT_DRIVER, Fault};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Kills of one run of this test; `LONGSHORE_STORM_KILLS` says otherwise, since they may be summed over runs.
const KILLS: usize = 200;
const VOLUMES: usize = 5;
const RUNS: usize = 50;
const ROUND: Duration = Duration::from_secs(1800);
/// Between an operator that is ready and its end: from nothing to all of a run's step.
const LIFE_MILLISECONDS_MAX: u64 = 3000;

#[test]
fn vsm_11_an_operator_killed_two_hundred_times_loses_and_leaves_nothing() -> Outcome {
    Scenario::play_alone("storm", |scenario| {
        let origin = &scenario.site.origin;
        let volumes =
            (0..VOLUMES).map(|number| Volume::make(scenario, number)).collect::<Result<Vec<_>>>()?;
        // A slow storage, so that runs are in every state when the operator dies.
        let driver = origin.lab.driver(DEFAULT_DRIVER);
        driver.set_faults(&["CreateVolume", "CreateSnapshot", "NodeUnpublishVolume"].map(slow))?;
        let outcome = weather(scenario, &volumes);
        driver.set_faults(&[])?;
        outcome
    })
}

fn slow(method: &str) -> Fault {
    Fault { method: method.into(), action: "delay".into(), code: None, count: None, delay_ms: Some(1500) }
}

/// Data that is backed up.
struct Volume {
    claim: String,
    fingerprint: String,
    snapshot: Snapshot,
}

impl Volume {
    fn make(scenario: &Scenario, number: usize) -> Result<Self> {
        let claim = format!("data-{number}");
        let script =
            format!("echo {number} > /data/number; head -c 4000000 /dev/urandom > /data/random; sync");
        let fingerprint = scenario.fill(&claim, "lab-ext4", VolumeMode::Filesystem, "16Mi", &script)?;
        let snapshot = scenario.snapshot(&claim, &claim)?;
        Ok(Self { claim, fingerprint, snapshot })
    }
}

/// Rounds of fifty backups and fifty restores, until the operator has died often enough.
fn weather(scenario: &Scenario, volumes: &[Volume]) -> Result<()> {
    let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let wanted = match std::env::var("LONGSHORE_STORM_KILLS") {
        Ok(text) => text.parse().context("LONGSHORE_STORM_KILLS is no number")?,
        Err(_) => KILLS,
    };
    println!("seed {seed}, {wanted} kills");
    let mut chance = StdRng::seed_from_u64(seed);
    let mut kills = 0;
    for round in 0.. {
        let backups = under_kills(scenario, &mut chance, &mut kills, || {
            (0..RUNS)
                .map(|number| {
                    scenario.back_up(&format!("b-{round}-{number}"), &volumes[number % VOLUMES].snapshot)
                })
                .collect()
        })?;
        let objects = backups.iter().map(Run::completed).collect::<Result<Vec<_>>>()?;
        let points = scenario.repository().snapshots()?.len();
        ensure!(points == RUNS * (round + 1), "each run made one restore point: {points}");
        let restores = under_kills(scenario, &mut chance, &mut kills, || {
            let to = |(number, object)| {
                scenario.restore_to(
                    &scenario.site.origin,
                    &format!("r-{round}-{number}"),
                    object,
                    &restored(round, number),
                )
            };
            objects.iter().enumerate().map(to).collect()
        })?;
        restores.iter().try_for_each(|run| run.completed().map(drop))?;
        check_round(scenario, volumes, round, &backups)?;
        println!("round {round}: {kills} kills so far");
        if kills >= wanted {
            return scenario.repository().check();
        }
    }
    Ok(())
}

fn restored(round: usize, number: usize) -> String {
    format!("restored-{round}-{number}")
}

/// Starts runs, and kills the operator at random moments until all are over.
fn under_kills(
    scenario: &Scenario,
    chance: &mut StdRng,
    kills: &mut usize,
    start: impl FnOnce() -> Result<Vec<Run>> + Send,
) -> Result<Vec<Run>> {
    let origin = &scenario.site.origin;
    // Set by whoever ends first, so that nobody waits for the other in vain.
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let runs = scope.spawn(|| {
            let runs = start().and_then(|runs| all_end(origin, &runs, &over).map(|()| runs));
            over.store(true, Ordering::Release);
            runs
        });
        let mut killed = Ok(());
        while killed.is_ok() && !over.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(chance.random_range(0..LIFE_MILLISECONDS_MAX)));
            killed = kill(scenario, origin).with_context(|| format!("after {kills} kills"));
            *kills += 1;
        }
        over.store(true, Ordering::Release);
        let runs = runs.join().map_err(|_| anyhow!("the starter panicked"))?;
        killed.and(runs)
    })
}

/// Kills the operator and returns when another one leads. The lease of the dead one is removed: to wait for its end would only make the storm long.
fn kill(scenario: &Scenario, cluster: &Cluster) -> Result<()> {
    processes::kill_operator(scenario.site, cluster)?;
    cluster.delete(&kinds::LEASE, OPERATOR_NAMESPACE, "longshore-operator")?;
    eventually("another leader", SHORT, || {
        let lease = cluster.get(&kinds::LEASE, OPERATOR_NAMESPACE, "longshore-operator")?.unwrap_or_default();
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned();
        let pod = scenario.site.operator_pod(cluster)?;
        let leads = !holder.is_empty() && pod["metadata"]["name"] == holder.as_str();
        Ok(if leads { Ok(()) } else { Err(format!("{holder:?} leads")) })
    })
}

fn all_end(cluster: &Cluster, runs: &[Run], given_up: &AtomicBool) -> Result<()> {
    let kind = runs.first().context("no runs")?.kind;
    let namespace = &runs.first().context("no runs")?.namespace;
    eventually("all runs to be over", ROUND, || {
        ensure!(!given_up.load(Ordering::Acquire), "no operator to end them");
        let there = cluster.list(kind, namespace, "")?;
        let failed = there.iter().find(|run| phase(run) == "Failed");
        ensure!(failed.is_none(), "{failed:?}");
        let open = there.iter().filter(|run| phase(run) != "Completed").count();
        Ok(if open == 0 { Ok(()) } else { Err(format!("{open} are open")) })
    })
}

/// Every restored volume equals its source, and nothing temporary is left; then the volumes go, to make room for the next round.
fn check_round(scenario: &Scenario, volumes: &[Volume], round: usize, backups: &[Run]) -> Result<()> {
    let origin = &scenario.site.origin;
    backups.iter().try_for_each(Run::left_nothing)?;
    let jobs = origin.list(&kinds::JOB, PROTECTED_NAMESPACE, "app.kubernetes.io/managed-by=longshore")?;
    ensure!(jobs.is_empty(), "Jobs are left: {jobs:?}");
    for number in 0..RUNS {
        let (source, claim) = (&volumes[number % VOLUMES], restored(round, number));
        let after = scenario.fingerprint(origin, &claim, VolumeMode::Filesystem)?;
        let difference = tree::difference(&source.fingerprint, &after);
        ensure!(difference.is_none(), "{claim} is not {}: {difference:?}", source.claim);
        origin.delete(&kinds::PVC, &scenario.namespace, &claim)?;
    }
    Ok(())
}
