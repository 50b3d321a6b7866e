//! `longshore repair undelete`

use longshore_mover::MoverError;
use longshore_repo::undelete;
use serde::Serialize;

use crate::arguments::{GlobalArguments, UndeleteArguments};
use crate::output::bytes;
use crate::progress::{Sink, Watcher};
use crate::settings::Place;
use crate::{Failure, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    dry_run: bool,
    objects: u64,
    shown: u64,
    restored: u64,
    bytes: u64,
}

pub fn run(global: &GlobalArguments, verb: &UndeleteArguments) -> Result<u8, Failure> {
    let place = Place::from(global)?;
    let Some(bucket) = place.bucket()? else {
        return Err(Failure::usage("only buckets of S3 keep versions; this repository is elsewhere"));
    };
    let control = crate::commands::backup::watch()?;
    let found = {
        let _watcher = Watcher::start(global.progress, Sink::Stderr, control);
        undelete(place.store()?, &bucket, verb.as_of, verb.dry_run).map_err(MoverError::from)?
    };
    let report = Report {
        dry_run: verb.dry_run,
        objects: found.objects,
        shown: found.shown,
        restored: found.restored,
        bytes: found.bytes,
    };
    output::print(global.output, "Undelete", &report, |out| {
        let would = if report.dry_run { "would be" } else { "are" };
        writeln!(
            out,
            "of {} objects {} {would} shown again and {} {would} as they were, {} in all",
            report.objects,
            report.shown,
            report.restored,
            bytes(report.bytes)
        )
    })?;
    if !verb.dry_run {
        eprintln!("`longshore check` says whether all is there");
    }
    Ok(0)
}
