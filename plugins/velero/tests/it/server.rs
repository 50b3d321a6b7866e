//! Velero's side: starts the program, reads its handshake, opens a channel.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tonic::transport::{Channel, Endpoint};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_longshore-velero-plugin");

/// A plugin process.
pub struct Started {
    pub child: Child,
    pub channel: Channel,
    pub socket: PathBuf,
}

/// Starts the program as Velero does; `arguments` are those of the server.
pub async fn start(folder: &Path, arguments: &[&str]) -> Started {
    let mut child = Command::new(PROGRAM)
        .args(arguments)
        .env("VELERO_PLUGIN", "hello")
        .env("PLUGIN_PROTOCOL_VERSIONS", "2")
        .env("PLUGIN_MIN_PORT", "10000")
        .env("PLUGIN_MAX_PORT", "25000")
        .env("TMPDIR", folder)
        .env_remove("KUBECONFIG")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line =
        tokio::time::timeout(Duration::from_secs(60), lines.next_line()).await.unwrap().unwrap().unwrap();
    let parts: Vec<&str> = line.split('|').collect();
    let ["1", "2", "unix", socket, "grpc", ""] = parts[..] else { panic!("{line}") };
    let channel = Endpoint::try_from(format!("unix://{socket}")).unwrap().connect().await.unwrap();
    Started { child, channel, socket: socket.into() }
}
