//! CSI driver of the lab: loop devices over reflinked files

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use longshore_lab_csi::calls::{CallLog, Calls};
use longshore_lab_csi::driver::Driver;
use longshore_lab_csi::faults::Faults;
use longshore_lab_csi::settings::{Capability, Settings};
use longshore_lab_csi::{pool, server};

/// CSI driver of the lab: volumes are loop devices over reflinked files.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve CSI until SIGTERM.
    Serve(Serve),
    /// Mount or unmount the file system that holds the volumes.
    #[command(subcommand)]
    Pool(Pool),
}

#[derive(Args)]
struct Serve {
    /// Name of the driver, as in the CSIDriver object.
    #[arg(long)]
    driver_name: String,
    /// Folder with the driver's state; its pool must be up.
    #[arg(long)]
    state_dir: PathBuf,
    /// Socket to serve at: unix:///path/csi.sock.
    #[arg(long)]
    endpoint: String,
    /// Name of this node.
    #[arg(long)]
    node_id: String,
    /// Socket in the kubelet's plugins_registry.
    #[arg(long)]
    registration_socket: Option<PathBuf>,
    /// File that gets one JSON line per call; standard error if absent.
    #[arg(long)]
    log_file: Option<PathBuf>,
    /// File with faults, read at each call; it need not exist.
    #[arg(long)]
    faults_file: Option<PathBuf>,
    /// Switch a capability off; may be repeated.
    #[arg(long, value_name = "CAPABILITY")]
    disable: Vec<Capability>,
    /// Refuse to delete a volume that has snapshots.
    #[arg(long)]
    refuse_delete_with_snapshots: bool,
    /// Most bytes that all volumes together may have.
    #[arg(long)]
    capacity_bytes: Option<u64>,
}

#[derive(Subcommand)]
enum Pool {
    /// Make the pool if there is none and mount it.
    Up {
        /// Folder with the driver's state.
        #[arg(long)]
        state_dir: PathBuf,
        /// Size of a new pool in bytes; the image is sparse.
        #[arg(long, default_value_t = pool::DEFAULT_BYTES)]
        size_bytes: u64,
    },
    /// Unmount all volumes and the pool; the data stays.
    Down {
        /// Folder with the driver's state.
        #[arg(long)]
        state_dir: PathBuf,
        /// Accepted so that both commands take the same arguments.
        #[arg(long, hide = true)]
        size_bytes: Option<u64>,
    },
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Serve(arguments) => serve(arguments),
        Command::Pool(Pool::Up { state_dir, size_bytes }) => {
            pool::up(&state_dir, size_bytes).context("cannot bring the pool up")
        }
        Command::Pool(Pool::Down { state_dir, .. }) => {
            pool::down(&state_dir).context("cannot bring the pool down")
        }
    }
}

#[tokio::main]
async fn serve(arguments: Serve) -> Result<()> {
    let endpoint = arguments.endpoint.strip_prefix("unix://").unwrap_or(&arguments.endpoint);
    let endpoint = PathBuf::from(endpoint);
    ensure!(endpoint.is_absolute(), "the endpoint must be an absolute path, not {}", endpoint.display());
    let node = &arguments.node_id;
    ensure!(
        !node.is_empty() && !node.contains('/') && !node.starts_with('.'),
        "{node} cannot be a node's id"
    );
    let settings = Settings {
        driver_name: arguments.driver_name,
        state_dir: arguments.state_dir,
        node_id: arguments.node_id,
        disabled: arguments.disable.into_iter().collect(),
        refuse_delete_with_snapshots: arguments.refuse_delete_with_snapshots,
        capacity_bytes: arguments.capacity_bytes,
    };
    let log = CallLog::open(arguments.log_file.as_deref())?;
    let driver = tokio::task::spawn_blocking(|| Driver::open(settings)).await??;
    let calls = Calls::new(driver, Faults::new(arguments.faults_file), log);
    server::serve(calls, &endpoint, arguments.registration_socket.as_deref()).await?;
    Ok(())
}
