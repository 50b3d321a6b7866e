//! `cargo xtask lab`: the real clusters on this machine.

use std::path::PathBuf;

mod recovery;
mod services;
mod smoke;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use longshore_lab::{ClusterName, Console, Lab, Options, remove_lab};

/// Which clusters a command is for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Which {
    /// The first one.
    Origin,
    /// The second one.
    Fresh,
    /// All of them.
    Both,
}

impl Which {
    fn names(self) -> &'static [ClusterName] {
        match self {
            Self::Origin => &[ClusterName::Origin],
            Self::Fresh => &[ClusterName::Fresh],
            Self::Both => &ClusterName::ALL,
        }
    }
}

/// What to do with the lab.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring up MinIO and clusters, from whatever an earlier run left.
    Up(Up),
    /// End the lab and leave nothing but the caches.
    Down {
        /// Only this cluster, with its driver's volumes; MinIO stays.
        #[arg(long)]
        cluster: Option<Which>,
    },
    /// Say what runs.
    Status,
    /// Prove on a cluster that is up that volumes, snapshots and restores from snapshots work.
    Smoke {
        /// Where.
        #[arg(long, default_value = "origin")]
        cluster: Which,
    },
    /// Prove on the origin that object stores, audit log, driver faults and restarts of components work.
    Services,
    /// Kill the lab at its worst moments, and prove that it comes up each time and goes without a trace.
    Recovery(Up),
    /// Print the path of a cluster's kubeconfig.
    Kubeconfig {
        /// Whose.
        #[arg(long, default_value = "origin")]
        cluster: Which,
    },
}

/// How the lab is brought up.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// Which clusters.
    #[arg(long, default_value = "both")]
    cluster: Which,
    /// Begin anew even with a cluster that is healthy.
    #[arg(long)]
    recreate: bool,
    /// Do not build Longshore's own image.
    #[arg(long)]
    without_longshore: bool,
    /// Do not start the CSI driver.
    #[arg(long)]
    without_driver: bool,
}

impl Up {
    fn options(&self) -> Options {
        let mut options = Options {
            longshore_image: !self.without_longshore,
            recreate: self.recreate,
            ..Options::default()
        };
        if self.without_driver {
            options.drivers.clear();
        }
        options
    }
}

/// Runs one command.
pub fn run(command: &Command) -> Result<()> {
    let console = Console::new();
    match command {
        Command::Up(up) => Lab::open(&console)?.up(up.cluster.names(), &up.options(), &console),
        Command::Down { cluster: None | Some(Which::Both) } => remove_lab(&console),
        Command::Down { cluster: Some(which) } => {
            let lab = Lab::inspect()?;
            which.names().iter().try_for_each(|name| lab.destroy_cluster_and_driver_state(*name))
        }
        Command::Recovery(up) => recovery::run(&Options { recreate: false, ..up.options() }),
        Command::Smoke { cluster } => cluster.names().iter().try_for_each(|name| smoke::run(*name)),
        Command::Services => services::run(),
        Command::Status => status(&Lab::inspect()?),
        Command::Kubeconfig { cluster } => {
            let lab = Lab::inspect()?;
            for name in cluster.names() {
                println!("{}", lab.cluster(*name).kubeconfig().display());
            }
            Ok(())
        }
    }
}

/// The lab with its packages and programs installed; nothing is started.
///
/// # Errors
/// When something cannot be installed or built.
pub fn open() -> Result<Lab> {
    Lab::open(&Console::new())
}

/// The helm that the lab builds.
///
/// # Errors
/// When it cannot be built.
pub fn helm() -> Result<PathBuf> {
    open()?.helm(&Console::new())
}

/// Installs and builds what the scenarios need beside the lab itself, so that none of them spends its time on it.
///
/// # Errors
/// When something cannot be installed or built.
pub fn prepare_for_tests() -> Result<()> {
    let console = Console::new();
    let lab = Lab::open(&console)?;
    lab.helm(&console)?;
    lab.velero(&console).map(drop)
}

/// Both clusters, as the scenarios want them.
///
/// # Errors
/// When they do not come up.
pub fn up_for_tests() -> Result<()> {
    open()?.up(&ClusterName::ALL, &Options::default(), &Console::new())
}

/// The end of what [`up_for_tests`] began.
///
/// # Errors
/// When something of the lab cannot be removed.
pub fn down_after_tests() -> Result<()> {
    remove_lab(&Console::new())
}

/// Every proof of the lab itself; the lab is down afterwards.
///
/// # Errors
/// At the first one that fails.
pub fn prove() -> Result<()> {
    let options = Options { longshore_image: false, ..Options::default() };
    open()?.up(&ClusterName::ALL, &options, &Console::new())?;
    ClusterName::ALL.into_iter().try_for_each(smoke::run)?;
    services::run()?;
    recovery::run(&options)
}

fn status(lab: &Lab) -> Result<()> {
    let minio = lab.minio();
    println!("minio    {} {}", if minio.is_running() { "runs " } else { "down " }, minio.endpoint());
    for name in ClusterName::ALL {
        let cluster = lab.cluster(name);
        let state = if cluster.is_healthy() { "ready" } else { "down " };
        println!("{name:<8} {state} {} {}", cluster.api_server(), cluster.kubeconfig().display());
        for (component, pid) in cluster.components()? {
            println!(
                "         {component:<40} {}",
                pid.map_or_else(|| "down".to_owned(), |pid| pid.to_string())
            );
        }
    }
    Ok(())
}
