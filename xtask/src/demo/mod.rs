//! The whole road in front of your eyes.

mod engine;
mod kubectl;
mod manifests;
mod on_cluster;
mod on_lab;
mod progress;
mod report;
mod story;

use std::path::PathBuf;

use anyhow::Result;
pub use on_lab::play as on_lab;

/// Where the demo plays.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The engine alone, on a folder repository: no cluster, no root.
    #[arg(long, conflicts_with = "kubeconfig")]
    engine: bool,
    /// Play on your own cluster (needs --image and --credentials); the lab's two clusters otherwise.
    #[arg(long, requires_all = ["image", "credentials"])]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig.
    #[arg(long, requires = "kubeconfig")]
    context: Option<String>,
    /// Image of Longshore that the cluster can pull.
    #[arg(long, requires = "kubeconfig")]
    image: Option<String>,
    /// Image with a shell, GNU coreutils and findutils, tar and xfsprogs, for the application and the checksums.
    #[arg(long, requires = "kubeconfig", default_value = "debian:12")]
    workload_image: String,
    /// StorageClass of the demo's volumes; the cluster's default otherwise.
    #[arg(long, requires = "kubeconfig")]
    storage_class: Option<String>,
    /// VolumeSnapshotClass of the same driver; the only one of that driver otherwise.
    #[arg(long, requires = "kubeconfig")]
    volume_snapshot_class: Option<String>,
    /// File of KEY=VALUE lines that become the repository's Secret: RESTIC_REPOSITORY, RESTIC_PASSWORD, AWS_ACCESS_KEY_ID, ….
    #[arg(long, requires = "kubeconfig")]
    credentials: Option<PathBuf>,
}

/// Plays the demo.
///
/// # Errors
/// At the first step that fails, or when a restored volume differs from its origin.
pub fn run(arguments: &Arguments) -> Result<()> {
    match (&arguments.kubeconfig, &arguments.image, &arguments.credentials) {
        (Some(kubeconfig), Some(image), Some(credentials)) => {
            on_cluster::play(kubeconfig, image, credentials, arguments)
        }
        _ if arguments.engine => engine::play(),
        _ => on_lab(),
    }
}
