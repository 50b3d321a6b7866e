//! Running other programs to their end, and waiting for conditions.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::Ended;

/// Runs `program` and returns its standard output. Fails with the program's last lines when it fails.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments);
    output_of(&mut command)
}

/// Runs a prepared command and returns its standard output. Fails with the program's last lines when it fails.
pub fn output_of(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("could not start {shown}"))?;
    check(&shown, &output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether `program` ends well; what it prints is dropped.
pub fn succeeds<S: AsRef<OsStr>>(program: &str, arguments: &[S]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Turns a failed exit into an error that carries the last lines the program wrote.
pub(crate) fn check(shown: &str, output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stderr).into_owned();
    if text.trim().is_empty() {
        text = String::from_utf8_lossy(&output.stdout).into_owned();
    }
    bail!("{shown}: {}\n{}", output.status, last_lines(&text, 20));
}

pub(crate) fn show(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|word| word.to_string_lossy().into_owned()));
    let mut text = words.join(" ");
    if text.chars().count() > 200 {
        text = text.chars().take(200).collect::<String>() + " ...";
    }
    text
}

/// The last `count` lines of `text`.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

/// Asks `condition` again and again until it holds, at most for `limit`. The last error of the condition is part of the failure.
///
/// # Errors
/// When the condition does not hold in time, or a process that it needs has ended.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + limit;
    loop {
        let answer = condition();
        if matches!(answer, Ok(true)) {
            return Ok(());
        }
        let in_vain = answer.as_ref().is_err_and(|error| error.is::<Ended>());
        if in_vain || Instant::now() >= end {
            return match answer {
                Err(error) => Err(error.context(format!("waited for {what}, at most {} s", limit.as_secs()))),
                Ok(_) => bail!("{what}: not within {} s", limit.as_secs()),
            };
        }
        thread::sleep(Duration::from_millis(50));
    }
}
