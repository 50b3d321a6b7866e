//! Starting helper programs (`mkfs`, `losetup`, …).

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::error::DriverError;

/// How much of a failed program's output is kept, in bytes.
const KEPT_OUTPUT: usize = 2000;

/// Runs a program to its end. It dies with the driver: a `mkfs` that outlived a killed driver would write into a file that
/// the driver's successor already uses.
pub fn output<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Result<Output, DriverError> {
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", program])
        .args(arguments)
        .stdin(Stdio::null())
        .env("LC_ALL", "C")
        .output()
        .map_err(DriverError::io("start", PathBuf::from(program)))
}

/// Runs a program and returns its standard output. Any exit code beyond `worst` (0 for most programs) is a failure.
pub fn run_tolerating<S: AsRef<OsStr>>(
    program: &str,
    arguments: &[S],
    worst: i32,
) -> Result<String, DriverError> {
    let output = output(program, arguments)?;
    if output.status.code().is_some_and(|code| code <= worst) {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(failure(program, arguments, &output))
}

/// Runs a program that must succeed and returns its standard output, trimmed.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Result<String, DriverError> {
    run_tolerating(program, arguments, 0)
}

/// The error that tells which program failed and what it last said.
pub fn failure<S: AsRef<OsStr>>(program: &str, arguments: &[S], output: &Output) -> DriverError {
    let mut words = vec![program.to_owned()];
    words.extend(arguments.iter().map(|word| word.as_ref().to_string_lossy().into_owned()));
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let tail = said.len().saturating_sub(KEPT_OUTPUT);
    DriverError::Command {
        program: words.join(" "),
        status: output.status,
        output: String::from_utf8_lossy(&said[tail..]).trim().to_owned(),
    }
}
