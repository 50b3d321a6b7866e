//! Says what is being done and how long it took, one line per step.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Prints a line with elapsed time for each step of a longer command.
#[derive(Debug)]
pub struct Steps {
    started: Instant,
}

impl Steps {
    /// Starts the clock.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Runs one step between two lines; the second one holds its time.
    ///
    /// # Errors
    /// The step's, with its name.
    pub fn run<T>(&self, name: &str, step: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("[{}] {name} …", clock(self.started.elapsed()));
        let begun = Instant::now();
        let result = step().with_context(|| format!("{name} failed"))?;
        println!(
            "[{}] {name}: done in {:.1} s",
            clock(self.started.elapsed()),
            begun.elapsed().as_secs_f64()
        );
        Ok(result)
    }
}

/// A duration as minutes and seconds.
pub fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

/// Runs a command to its end with the caller's terminal.
///
/// # Errors
/// When it cannot be started or ends with another code than 0.
pub fn run(command: &mut Command) -> Result<()> {
    let text = describe(command);
    let status = command.status().with_context(|| format!("cannot start `{text}`"))?;
    if !status.success() {
        bail!("`{text}` ended with {status}");
    }
    Ok(())
}

/// Runs a command and returns what it printed on stdout.
///
/// # Errors
/// When it cannot be started, ends with another code than 0 (stderr is in the message), or prints something that is not UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let text = describe(command);
    let output = command.output().with_context(|| format!("cannot start `{text}`"))?;
    if !output.status.success() {
        bail!("`{text}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{text}` printed something that is not UTF-8"))
}

fn describe(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    words.join(" ")
}
