//! `longshore check`

use longshore_job::{Reason, Stage};
use longshore_mover::{Control, MoverError};
use longshore_repo::{CheckOptions, CheckProgress, CheckReport, KeylessReport, Sample, check_keyless};
use serde::Serialize;

use crate::arguments::{CheckArguments, GlobalArguments};
use crate::commands::protection::Protection;
use crate::output::bytes;
use crate::progress::{Sink, Watcher};
use crate::settings::{Access, Place};
use crate::{Failure, output};

use super::repair::{LossView, write_losses};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    snapshots: u64,
    nodes: u64,
    chunks: u64,
    packs: u64,
    pack_bytes: u64,
    unindexed_packs: u64,
    read_packs: u64,
    read_bytes: u64,
    quarantined_packs: u64,
    sound: bool,
    problems: Vec<Problem>,
    problems_more: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    protection: Option<Protection>,
    losses: Vec<LossView>,
}

#[derive(Serialize)]
struct Problem {
    object: String,
    reason: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Keyless {
    objects: u64,
    proven_objects: u64,
    proven_bytes: u64,
    sound: bool,
    problems: Vec<Problem>,
}

pub fn run(global: &GlobalArguments, verb: &CheckArguments) -> Result<u8, Failure> {
    if verb.keyless {
        return run_keyless(global);
    }
    let access = Access::from(global)?;
    let repository = access.open()?;
    let control = super::backup::watch()?;
    let found = {
        let _watcher = Watcher::start(global.progress, Sink::Stderr, control.clone());
        let mut show = |progress| show(&control, progress);
        match verb.read_data {
            Some(percent) if percent < 100 => {
                let number = verb.part.unwrap_or_else(today);
                repository.check_sample(Sample { percent, number }, &mut show)
            }
            percent => repository.check(&CheckOptions { read_data: percent.is_some() }, &mut show),
        }
        .map_err(MoverError::from)?
    };
    let sound = found.is_sound();
    let protection = Protection::of(&repository, access.bucket()?.as_ref())?;
    let report = Report { protection, ..Report::from(found) };
    output::print(global.output, "Check", &report, |out| {
        for problem in &report.problems {
            writeln!(out, "{}: {}", problem.object, problem.reason)?;
        }
        writeln!(
            out,
            "{} snapshots, {} chunks, {} packs of {}, {} packs of {} read: {}",
            report.snapshots,
            report.chunks,
            report.packs,
            bytes(report.pack_bytes),
            report.read_packs,
            bytes(report.read_bytes),
            if sound { "no problems" } else { "DAMAGED" }
        )?;
        if report.quarantined_packs > 0 {
            writeln!(out, "{} packs are known to be damaged", report.quarantined_packs)?;
        }
        write_losses(out, &report.losses)?;
        if let Some(protection) = &report.protection {
            writeln!(out, "against deletion: {}", protection.sentence())?;
        }
        if sound {
            return Ok(());
        }
        writeln!(
            out,
            "Keep the bucket as it is. `longshore repair packs` saves what can be saved; then back up again what still exists."
        )
    })?;
    if sound {
        return Ok(0);
    }
    let count = report.problems.len() as u64 + report.problems_more;
    Err(Failure::of(Reason::RepositoryDamaged, format!("the repository has {count} problems")))
}

/// Without a key.
fn run_keyless(global: &GlobalArguments) -> Result<u8, Failure> {
    let store = Place::from(global)?.store()?;
    let control = super::backup::watch()?;
    let found = {
        let _watcher = Watcher::start(global.progress, Sink::Stderr, control.clone());
        check_keyless(store, &mut |progress| show(&control, progress)).map_err(MoverError::from)?
    };
    let report = Keyless::from(found);
    output::print(global.output, "CheckKeyless", &report, |out| {
        for problem in &report.problems {
            writeln!(out, "{}: {}", problem.object, problem.reason)?;
        }
        writeln!(
            out,
            "{} objects, {} of them with {} proven by their names: {}",
            report.objects,
            report.proven_objects,
            bytes(report.proven_bytes),
            if report.sound { "no problems" } else { "DAMAGED" }
        )
    })?;
    if report.sound {
        return Ok(0);
    }
    let message = format!("the repository has {} problems", report.problems.len());
    Err(Failure::of(Reason::RepositoryDamaged, message))
}

/// The number of days since 1970.
fn today() -> u64 {
    (jiff::Timestamp::now().as_second() / 86_400).unsigned_abs()
}

pub(crate) fn show(control: &Control, progress: CheckProgress) {
    control.set_stage(match progress {
        CheckProgress::Snapshots { .. } => Stage::Scanning,
        CheckProgress::Data { .. } => Stage::Transferring,
    });
    if let CheckProgress::Data { done_bytes, total_bytes } = progress {
        control.set_total(total_bytes);
        control.raise_done(done_bytes);
    }
}

impl From<CheckReport> for Report {
    fn from(found: CheckReport) -> Self {
        Self {
            snapshots: found.snapshots,
            nodes: found.nodes,
            chunks: found.chunks,
            packs: found.packs,
            pack_bytes: found.pack_bytes,
            unindexed_packs: found.unindexed_packs,
            read_packs: found.read_packs,
            read_bytes: found.read_bytes,
            quarantined_packs: found.quarantined_packs,
            sound: found.problems.is_empty(),
            problems: found.problems.into_iter().map(Problem::from).collect(),
            problems_more: found.problems_more,
            protection: None,
            losses: found.losses.iter().map(LossView::from).collect(),
        }
    }
}

impl From<KeylessReport> for Keyless {
    fn from(found: KeylessReport) -> Self {
        Self {
            objects: found.objects,
            proven_objects: found.proven_objects,
            proven_bytes: found.proven_bytes,
            sound: found.problems.is_empty(),
            problems: found.problems.into_iter().map(Problem::from).collect(),
        }
    }
}

impl From<longshore_repo::Problem> for Problem {
    fn from(problem: longshore_repo::Problem) -> Self {
        Self { object: problem.object, reason: problem.reason }
    }
}
