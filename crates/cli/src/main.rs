//! `longshore`: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    longshore_cli::run(std::env::args_os())
}
