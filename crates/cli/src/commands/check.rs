//! `longshore check`

use longshore_job::{Reason, Stage};
use longshore_mover::{Control, MoverError};
use longshore_repo::{CheckOptions, CheckProgress, CheckReport};
use serde::Serialize;

use crate::arguments::{CheckArguments, GlobalArguments};
use crate::commands::protection::Protection;
use crate::output::bytes;
use crate::progress::{Sink, Watcher};
use crate::settings::Access;
use crate::{Failure, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    snapshots: u64,
    nodes: u64,
    chunks: u64,
    packs: u64,
    pack_bytes: u64,
    unindexed_packs: u64,
    read_bytes: u64,
    sound: bool,
    problems: Vec<Problem>,
    problems_more: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    protection: Option<Protection>,
}

#[derive(Serialize)]
struct Problem {
    object: String,
    reason: String,
}

pub fn run(global: &GlobalArguments, verb: &CheckArguments) -> Result<u8, Failure> {
    let access = Access::from(global)?;
    let repository = access.open()?;
    let control = super::backup::watch()?;
    let found = {
        let _watcher = Watcher::start(global.progress, Sink::Stderr, control.clone());
        let options = CheckOptions { read_data: verb.read_data };
        repository.check(&options, &mut |progress| show(&control, progress)).map_err(MoverError::from)?
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
            "{} snapshots, {} chunks, {} packs of {}, {} read: {}",
            report.snapshots,
            report.chunks,
            report.packs,
            bytes(report.pack_bytes),
            bytes(report.read_bytes),
            if sound { "no problems" } else { "DAMAGED" }
        )?;
        match &report.protection {
            Some(protection) => writeln!(out, "against deletion: {}", protection.sentence()),
            None => Ok(()),
        }
    })?;
    if sound {
        return Ok(0);
    }
    let count = report.problems.len() as u64 + report.problems_more;
    Err(Failure::of(Reason::RepositoryDamaged, format!("the repository has {count} problems")))
}

fn show(control: &Control, progress: CheckProgress) {
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
            read_bytes: found.read_bytes,
            sound: found.problems.is_empty(),
            problems: found
                .problems
                .into_iter()
                .map(|problem| Problem { object: problem.object, reason: problem.reason })
                .collect(),
            problems_more: found.problems_more,
            protection: None,
        }
    }
}
