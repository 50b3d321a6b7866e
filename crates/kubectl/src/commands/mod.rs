//! One module a verb.

mod backup;
mod cancel;
mod doctor;
mod logs;
mod restore;
mod status;

use crate::arguments::{Arguments, Command};
use crate::cluster::Session;
use crate::failure::Failure;

/// Runs the verb that was asked for.
pub async fn dispatch(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { global, command } = arguments;
    match command {
        Command::Backup(verb) => backup::run(&global, &verb).await,
        Command::Restore(verb) => restore::run(&global, &verb).await,
        Command::Status(verb) => status::run(&Session::connect(&global).await?, &verb).await,
        Command::Doctor(verb) => doctor::run(&Session::connect(&global).await?, &verb).await,
        Command::Logs(verb) => logs::run(&Session::connect(&global).await?, &verb).await,
        Command::Cancel(verb) => cancel::run(&Session::connect(&global).await?, &verb).await,
    }
}
