//! `kubectl longshore`: backups and restores from the side of those who use a cluster.
//!
//! Owns what users of kubectl see: arguments, tables, documents, exit codes. It makes and reads custom resources and leaves the work to the
//! operator; `doctor` looks at everything that both need. Read [`arguments`] first, then [`commands`].
//!
//! # Does not know
//! The engine, repositories and their keys. The value of a Secret is never asked for: where Secrets are looked at, the API server is asked for
//! their metadata alone.

pub mod arguments;
mod cluster;
pub mod commands;
mod doctor;
mod entry;
mod explain;
mod failure;
mod found;
mod kind;
mod output;
mod place;
mod run;
mod source;
#[cfg(test)]
mod testing;
mod wait;

pub use arguments::Arguments;
pub use failure::{Class, Failure};

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

/// Name of the program under which kubectl finds the plugin.
pub const PROGRAM: &str = "kubectl-longshore";

/// Whether the program was started as kubectl's plugin, told by its first argument.
pub fn is_named(program: &OsString) -> bool {
    Path::new(program).file_stem().is_some_and(|stem| stem == PROGRAM)
}

/// The plugin's command line as clap knows it, for references and completions.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs one command line and returns its exit code: 0 done, 1 failed, 2 wrong usage.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = match Arguments::try_parse_from(arguments) {
        Ok(parsed) => parsed,
        Err(error) => {
            let _terminal_gone = error.print();
            return ExitCode::from(if error.use_stderr() { failure::EXIT_USAGE } else { 0 });
        }
    };
    let as_json = parsed.command.wants_json();
    match execute(parsed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print(as_json);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn execute(arguments: Arguments) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Terminal { action: "start", source })?;
    runtime.block_on(commands::dispatch(arguments))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides() {
        for name in ["kubectl-longshore", "/usr/local/bin/kubectl-longshore", "./kubectl-longshore.exe"] {
            assert!(is_named(&name.into()), "{name}");
        }
        for name in ["longshore", "/opt/kubectl-longshore/longshore", "kubectl", "kubectl-longshore-x", ""] {
            assert!(!is_named(&name.into()), "{name}");
        }
    }

    #[test]
    fn help_is_no_failure_and_a_wrong_flag_is_wrong_usage() {
        let code = |arguments: &[&str]| {
            let all = std::iter::once(PROGRAM).chain(arguments.iter().copied());
            format!("{:?}", run(all.map(OsString::from)))
        };
        assert_eq!(code(&["--help"]), format!("{:?}", ExitCode::SUCCESS));
        assert_eq!(code(&["status", "--no-such-flag"]), format!("{:?}", ExitCode::from(2)));
        assert_eq!(code(&["backup"]), format!("{:?}", ExitCode::from(2)));
    }
}
