//! `longshore restore`

use longshore_mover::{MoverError, RestoreOptions, TargetOptions, TreeRestoreOptions, run_restore};
use longshore_repo::{Repository, Snapshot};
use serde::Serialize;

use crate::arguments::{GlobalArguments, RestoreArguments};
use crate::output::bytes;
use crate::progress::{Sink, Watcher};
use crate::settings::Access;
use crate::{Failure, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    snapshot: String,
    target: String,
    size_bytes: u64,
    written_bytes: u64,
    fetched_bytes: u64,
    files: u64,
}

pub fn run(global: &GlobalArguments, verb: &RestoreArguments) -> Result<u8, Failure> {
    let repository = Access::from(global)?.open()?;
    let snapshot = resolve(&repository, &verb.snapshot)?;
    if snapshot.record.incomplete {
        eprintln!("longshore: this snapshot is incomplete: some files could not be read when it was made");
    }
    say_checkpoint(&repository)?;
    let options = RestoreOptions {
        tree: TreeRestoreOptions { delete_others: verb.delete },
        target: TargetOptions {
            skip_privileged_xattrs: verb.skip_privileged_xattrs,
            skip_owner: verb.skip_owner,
        },
    };
    let control = super::backup::watch()?;
    let totals = {
        let _watcher = Watcher::start(global.progress, Sink::Stderr, control.clone());
        run_restore(&repository, &snapshot, &verb.target, options, &control)?
    };
    eprintln!(
        "{} restored, {} written, {} fetched",
        bytes(totals.size_bytes),
        bytes(totals.written_bytes),
        bytes(totals.fetched_bytes)
    );
    let done = Done {
        snapshot: snapshot.record.run.to_string(),
        target: verb.target.to_string_lossy().into_owned(),
        size_bytes: totals.size_bytes,
        written_bytes: totals.written_bytes,
        fetched_bytes: totals.fetched_bytes,
        files: totals.files,
    };
    output::print(global.output, "Restore", &done, |_| Ok(()))?;
    Ok(0)
}

/// What the store cannot have hidden. Who knows a later checkpoint learns here that it has.
fn say_checkpoint(repository: &Repository) -> Result<(), Failure> {
    match repository.newest_checkpoint().map_err(MoverError::from)? {
        Some(seen) => eprintln!(
            "the newest checkpoint is {} of {}, {} snapshots",
            seen.anchor.number, seen.created_at, seen.snapshots
        ),
        None => eprintln!("there is no checkpoint yet; forget, prune and `longshore checkpoint` make one"),
    }
    Ok(())
}

/// Finds a snapshot by id, unique prefix or `latest`.
pub(super) fn resolve(repository: &Repository, name: &str) -> Result<Snapshot, Failure> {
    repository.resolve(name).map_err(|error| MoverError::from(error).into())
}
