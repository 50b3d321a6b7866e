//! Processes that are killed at their moment.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take that is not killed.
const PATIENCE: Duration = Duration::from_secs(120);

/// A process and the moment of its death.
pub struct Process {
    child: Child,
    started: Instant,
    dies_after: Option<Duration>,
    ended: Option<Ended>,
}

/// How a process ended.
pub struct Ended {
    pub status: ExitStatus,
    pub took: Duration,
}

impl Ended {
    /// Died by the signal: it was running when that came.
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }
}

impl Process {
    /// Starts it with nothing to read, and stderr in a file.
    pub fn start(mut command: Command, stderr: std::fs::File, dies_after: Option<Duration>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let started = Instant::now();
        Self { child: command.spawn().unwrap(), started, dies_after, ended: None }
    }

    /// Kills it if its moment has come; true once it has ended.
    fn poll(&mut self) -> bool {
        if self.ended.is_some() {
            return true;
        }
        let took = self.started.elapsed();
        if let Some(status) = self.child.try_wait().unwrap() {
            self.ended = Some(Ended { status, took });
            return true;
        }
        if self.dies_after.is_some_and(|moment| took >= moment) {
            self.child.kill().unwrap();
            // The signal may come too late: then the status says so.
            let status = self.child.wait().unwrap();
            self.ended = Some(Ended { status, took });
            return true;
        }
        assert!(took < PATIENCE, "process {} does not end", self.child.id());
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            // Already gone is as good.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Drives all of them to their ends.
pub fn drive(mut processes: Vec<Process>) -> Vec<Ended> {
    while processes.iter_mut().map(Process::poll).filter(|ended| !ended).count() > 0 {
        std::thread::sleep(Duration::from_micros(500));
    }
    processes.iter_mut().map(|process| process.ended.take().unwrap()).collect()
}
