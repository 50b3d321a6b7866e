//! What a process cost, as GNU time tells.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The cost of one process, its children included.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// User and system time in seconds.
    pub cpu_seconds: f64,
    /// Elapsed time in seconds.
    pub wall_seconds: f64,
    /// Largest resident set in bytes.
    pub resident_bytes_max: u64,
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |sum, cost| Self {
            cpu_seconds: sum.cpu_seconds + cost.cpu_seconds,
            wall_seconds: sum.wall_seconds + cost.wall_seconds,
            resident_bytes_max: sum.resident_bytes_max.max(cost.resident_bytes_max),
        })
    }
}

/// Runs `command` under GNU time.
///
/// # Errors
/// When it fails; its last words are in the message.
pub fn timed(command: Command) -> Result<Cost> {
    let report = tempfile::NamedTempFile::new()?;
    let mut time = Command::new("/usr/bin/time");
    time.args(["-f", "%e %U %S %M", "-o"])
        .arg(report.path())
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => time.env(key, value),
            None => time.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        time.current_dir(folder);
    }
    let output = time
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .context("cannot start GNU time")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = std::fs::read_to_string(report.path())?;
    let figures: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    let [wall_seconds, user, system, kibibytes] = figures[..] else { bail!("GNU time printed {text:?}") };
    // GNU time prints whole kibibytes, far below what a float holds exactly.
    Ok(Cost { cpu_seconds: user + system, wall_seconds, resident_bytes_max: kibibytes as u64 * 1024 })
}
