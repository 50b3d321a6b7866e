//! `longshore`: the engine on the command line, and the mover's entry point.
//!
//! Owns what users of a terminal see: arguments, exit codes, output forms, progress, and how settings are found. The entry point
//! of the mover's pod ([`mover`]) turns a job document and a mounted Secret into the same calls. Must not know: how anything is
//! stored or read; that is `longshore-mover` and `longshore-repo`.
//!
//! With the feature `kubectl`, on by default, the same program started as `kubectl-longshore` is kubectl's plugin, `longshore-kubectl`.
//!
//! Read [`arguments`] first, then [`commands`].

pub mod arguments;
pub mod commands;
mod failure;
mod hidden;
pub mod mover;
pub mod output;
mod progress;
mod rate;
pub mod reference;
mod settings;
mod signal;

pub use arguments::{Arguments, OutputForm, ProgressForm};
pub use failure::Failure;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use longshore_telemetry::{LogFormat, LogLevel, LogOptions, init_logs};

use crate::arguments::{Command, GlobalArguments, Level};

/// The command line as clap knows it, for references and completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs one command line and returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    #[cfg(feature = "kubectl")]
    if arguments.first().is_some_and(longshore_kubectl::is_named) {
        return longshore_kubectl::run(arguments);
    }
    let parsed = match Arguments::try_parse_from(&arguments) {
        Ok(parsed) => parsed,
        Err(error) => return refuse(&arguments, &error),
    };
    init_logs(log_options(&parsed.global, matches!(parsed.command, Command::Mover(_))));
    raise_open_files();
    let form = parsed.global.output;
    match commands::dispatch(parsed) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            failure.print(form);
            ExitCode::from(failure.exit_code)
        }
    }
}

/// Help and version are no errors; everything else is one, in the form that was asked for as far as that can be told.
fn refuse(arguments: &[OsString], error: &clap::Error) -> ExitCode {
    let texts: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    let wants_json = texts.iter().any(|text| matches!(*text, "--output=json" | "-ojson" | "-o=json"))
        || texts.windows(2).any(|pair| matches!(pair, ["-o" | "--output", "json"]));
    if error.use_stderr() && wants_json {
        let failure = Failure::usage(error.to_string().trim_end());
        failure.print(OutputForm::Json);
        return ExitCode::from(failure.exit_code);
    }
    let _terminal_gone = error.print();
    ExitCode::from(if error.use_stderr() { failure::EXIT_USAGE } else { 0 })
}

fn log_options(global: &GlobalArguments, is_mover: bool) -> LogOptions {
    let level = match global.log_level {
        None if is_mover => LogLevel::Info,
        None => LogLevel::Warn,
        Some(Level::Error) => LogLevel::Error,
        Some(Level::Warn) => LogLevel::Warn,
        Some(Level::Info) => LogLevel::Info,
        Some(Level::Debug) => LogLevel::Debug,
        Some(Level::Trace) => LogLevel::Trace,
    };
    let format = match global.log_format {
        None if is_mover => LogFormat::Json,
        None | Some(OutputForm::Text) => LogFormat::Text,
        Some(OutputForm::Json) => LogFormat::Json,
    };
    LogOptions { format, level }
}

/// A deep tree or a batch of files needs more descriptors than the usual 1024; the hard limit is there to be used.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
