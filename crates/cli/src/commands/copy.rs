//! `longshore copy`

use longshore_mover::{CopyOutcome, run_copy};
use longshore_repo::Snapshot;
use serde::Serialize;

use super::SnapshotView;
use crate::arguments::{CopyArguments, GlobalArguments};
use crate::output::bytes;
use crate::progress::{Sink, Watcher};
use crate::settings::Access;
use crate::{Failure, output};

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    /// Snapshots as the other repository holds them now.
    copied: Vec<SnapshotView>,
    /// Ids of those that it held before.
    already_there: Vec<String>,
    /// Ids of those that it held and forgot; they are not copied again.
    forgotten: Vec<String>,
    stored_bytes: u64,
}

pub fn run(global: &GlobalArguments, verb: &CopyArguments) -> Result<u8, Failure> {
    let (from, to) = (Access::from(global)?, Access::to(verb)?);
    let source = from.open()?;
    let target = if verb.init { to.open_or_init()? } else { to.open()? };
    if source.id() == target.id() {
        return Err(Failure::usage("both are one repository: it would be copied into itself"));
    }
    let snapshots = super::named_or_all(&source, &verb.snapshots)?;
    let control = super::backup::watch()?;
    let mut done = Done::default();
    {
        let _watcher = Watcher::start(global.progress, Sink::Stderr, control.clone());
        run_copy(&source, &snapshots, &target, &control, &mut |outcome| match outcome {
            CopyOutcome::Copied(snapshot) => {
                done.stored_bytes += snapshot.record.stats.stored_bytes;
                done.copied.push(SnapshotView::from(snapshot));
            }
            CopyOutcome::AlreadyThere(snapshot) => {
                done.already_there.push(snapshot.record.run.to_string());
            }
            CopyOutcome::Forgotten(run) => done.forgotten.push(run.to_string()),
        })?;
    }
    say(&done, &snapshots);
    output::print(global.output, "Copy", &done, |out| {
        done.copied.iter().try_for_each(|view| writeln!(out, "{}", view.id()))
    })?;
    Ok(0)
}

fn say(done: &Done, snapshots: &[Snapshot]) {
    let size_bytes = snapshots.iter().map(|snapshot| snapshot.record.content.size_bytes()).sum();
    eprintln!(
        "{} of {} snapshots copied, {} there already, {} forgotten there; {} in all, {} stored",
        done.copied.len(),
        snapshots.len(),
        done.already_there.len(),
        done.forgotten.len(),
        bytes(size_bytes),
        bytes(done.stored_bytes),
    );
}
