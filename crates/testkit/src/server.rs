//! A foreign server on loopback for as long as a test needs it.

use anyhow::{Context as _, Result};
use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A process that listens on a port of its own; it ends with this value, or with the test's thread.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    pub(crate) port: u16,
    /// Some write into it; it goes with the server.
    _home: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    /// Starts what `command` makes of a free port, and waits until it listens.
    pub(crate) fn start(name: &str, command: impl FnOnce(u16) -> Command) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let wanted = command(port);
        let home = tempfile::tempdir()?;
        // Killed with the test's thread even if nobody is left to drop it.
        let mut process = Command::new("setpriv");
        process.args(["--pdeathsig", "KILL", "--"]).arg(wanted.get_program()).args(wanted.get_args());
        process
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path());
        process.envs(wanted.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let process = process
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let mut server = Self { process, port, _home: home };
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = server.process.try_wait()? {
                anyhow::bail!("{name} ended at once: {status}");
            }
            anyhow::ensure!(Instant::now() < deadline, "{name} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    /// `127.0.0.1:port`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}
