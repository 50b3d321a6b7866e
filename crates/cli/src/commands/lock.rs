//! `longshore lock`

use jiff::SignedDuration;
use longshore_mover::MoverError;
use longshore_repo::LockOptions;
use longshore_repo::store::LockMode;
use serde::Serialize;

use crate::arguments::{GlobalArguments, LockArguments, LockModeArgument};
use crate::progress::{Sink, Watcher};
use crate::settings::Access;
use crate::{Failure, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    objects: u64,
    extended: u64,
    until: jiff::Timestamp,
}

pub fn run(global: &GlobalArguments, verb: &LockArguments) -> Result<u8, Failure> {
    let access = Access::from(global)?;
    let Some(bucket) = access.bucket()? else {
        return Err(Failure::usage("only buckets of S3 lock objects; this repository is elsewhere"));
    };
    let repository = access.open()?;
    let control = super::backup::watch()?;
    let _watcher = Watcher::start(global.progress, Sink::Stderr, control);
    let period = SignedDuration::try_from(verb.period).unwrap_or(SignedDuration::MAX);
    let Ok(until) = jiff::Timestamp::now().checked_add(period) else {
        return Err(Failure::usage("the period is too long"));
    };
    let mode = match verb.mode {
        LockModeArgument::Governance => LockMode::Governance,
        LockModeArgument::Compliance => LockMode::Compliance,
    };
    let report = repository.lock(&bucket, LockOptions { mode, period }).map_err(MoverError::from)?;
    let report = Report { objects: report.objects, extended: report.extended, until };
    output::print(global.output, "Lock", &report, |out| {
        writeln!(
            out,
            "{} of {} objects that snapshots need are newly locked until {}",
            report.extended, report.objects, report.until
        )
    })?;
    Ok(0)
}
