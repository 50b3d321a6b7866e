//! One module a verb.

mod backup;
mod check;
mod checkpoint;
mod copy;
mod diff;
mod forget;
mod init;
mod key;
mod lock;
mod losses;
mod ls;
mod protection;
mod prune;
mod repair;
mod restore;
mod snapshots;
mod stats;
mod version;

pub use snapshots::SnapshotView;

use clap::CommandFactory;

use longshore_mover::MoverError;
use longshore_repo::{Repository, Snapshot};

use crate::arguments::{Arguments, Command};
use crate::{Failure, mover};

/// Runs the verb that was asked for and returns the exit code of a command that did its work.
pub fn dispatch(arguments: Arguments) -> Result<u8, Failure> {
    let Arguments { global, command } = arguments;
    match command {
        Command::Init(verb) => init::run(&global, &verb),
        Command::Backup(verb) => backup::run(&global, &verb),
        Command::Restore(verb) => restore::run(&global, &verb),
        Command::Snapshots(verb) => snapshots::run(&global, &verb),
        Command::Ls(verb) => ls::run(&global, &verb),
        Command::Check(verb) => check::run(&global, &verb),
        Command::Forget(verb) => forget::run(&global, &verb),
        Command::Prune(verb) => prune::run(&global, &verb),
        Command::Checkpoint => checkpoint::run(&global),
        Command::Lock(verb) => lock::run(&global, &verb),
        Command::Repair(verb) => repair::run(&global, &verb),
        Command::Key(verb) => key::run(&global, &verb),
        Command::Diff(verb) => diff::run(&global, &verb),
        Command::Stats(verb) => stats::run(&global, &verb),
        Command::Copy(verb) => copy::run(&global, &verb),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "longshore", &mut std::io::stdout());
            Ok(0)
        }
        Command::Version => version::run(&global),
        Command::Mover(verb) => Ok(mover::run(&global, &verb)),
        Command::Reference => {
            print!("{}", crate::reference::markdown());
            Ok(0)
        }
    }
}

/// The snapshots that are named, each once, or all of the repository.
fn named_or_all(repository: &Repository, names: &[String]) -> Result<Vec<Snapshot>, Failure> {
    if names.is_empty() {
        return repository.snapshots().map_err(|error| MoverError::from(error).into());
    }
    let mut found: Vec<Snapshot> = Vec::new();
    for name in names {
        let snapshot = restore::resolve(repository, name)?;
        if found.iter().all(|other| other.key != snapshot.key) {
            found.push(snapshot);
        }
    }
    Ok(found)
}
