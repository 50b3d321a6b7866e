//! `longshore repair index`

use longshore_job::Reason;
use longshore_mover::MoverError;
use serde::Serialize;

use crate::arguments::GlobalArguments;
use crate::progress::{Sink, Watcher};
use crate::settings::Access;
use crate::{Failure, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    listed_packs: u64,
    added_packs: u64,
    segments: u64,
    unreadable: Vec<Unreadable>,
}

#[derive(Serialize)]
struct Unreadable {
    object: String,
    reason: String,
}

pub fn run(global: &GlobalArguments) -> Result<u8, Failure> {
    let repository = Access::from(global)?.open()?;
    let control = super::super::backup::watch()?;
    let report = {
        let _watcher = Watcher::start(global.progress, Sink::Stderr, control);
        repository.rebuild_index().map_err(MoverError::from)?
    };
    let report = Report {
        listed_packs: report.listed_packs,
        added_packs: report.added_packs,
        segments: report.segments,
        unreadable: report
            .unreadable
            .into_iter()
            .map(|(object, reason)| Unreadable { object, reason })
            .collect(),
    };
    output::print(global.output, "RepairIndex", &report, |out| {
        for damaged in &report.unreadable {
            writeln!(out, "{}: {}", damaged.object, damaged.reason)?;
        }
        writeln!(
            out,
            "{} packs were listed, {} were added in {} segments",
            report.listed_packs, report.added_packs, report.segments
        )
    })?;
    match report.unreadable.len() {
        0 => Ok(0),
        count => Err(Failure::of(
            Reason::RepositoryDamaged,
            format!("{count} packs or segments could not be read"),
        )),
    }
}
