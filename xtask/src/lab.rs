//! `cargo xtask lab`: the real clusters on this machine.

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
    /// Print the path of a cluster's kubeconfig.
    Kubeconfig {
        /// Whose.
        #[arg(long, default_value = "origin")]
        cluster: Which,
    },
}

/// How the lab is brought up.
#[derive(Debug, Args)]
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

/// Runs one command.
pub fn run(command: &Command) -> Result<()> {
    let console = Console::new();
    match command {
        Command::Up(up) => {
            let mut options = Options { longshore_image: !up.without_longshore, recreate: up.recreate, ..Options::default() };
            if up.without_driver {
                options.drivers.clear();
            }
            Lab::open(&console)?.up(up.cluster.names(), &options, &console)
        }
        Command::Down { cluster: None | Some(Which::Both) } => remove_lab(&console),
        Command::Down { cluster: Some(which) } => {
            let lab = Lab::open(&console)?;
            which.names().iter().try_for_each(|name| lab.destroy_cluster_and_driver_state(*name))
        }
        Command::Status => status(&Lab::open(&console)?),
        Command::Kubeconfig { cluster } => {
            let lab = Lab::open(&console)?;
            for name in cluster.names() {
                println!("{}", lab.cluster(*name).kubeconfig().display());
            }
            Ok(())
        }
    }
}

fn status(lab: &Lab) -> Result<()> {
    let minio = lab.minio();
    println!("minio    {} {}", if minio.is_running() { "runs " } else { "down " }, minio.endpoint());
    for name in ClusterName::ALL {
        let cluster = lab.cluster(name);
        let state = if cluster.is_healthy() { "ready" } else { "down " };
        println!("{name:<8} {state} {} {}", cluster.api_server(), cluster.kubeconfig().display());
        for (component, pid) in cluster.components()? {
            println!("         {component:<40} {}", pid.map_or_else(|| "down".to_owned(), |pid| pid.to_string()));
        }
    }
    Ok(())
}
