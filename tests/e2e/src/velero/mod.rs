//! Velero in both clusters, and the scenarios that are told through its command line.
//!
//! One server per cluster and run serves all scenarios; each scenario has a BackupStorageLocation, a bucket for Velero, and a Repository of its
//! own.

mod story;

use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};
use longshore_lab::{ClusterName, Silent};
use serde_json::json;

pub use story::{Moved, Story};

use crate::cluster::Cluster;
use crate::installation::{SCENARIO_LABEL, Site, VELERO_NAMESPACE};
use crate::kinds::{self, Kind};

/// The name that selects Longshore, `--data-mover`.
pub const DATA_MOVER: &str = "longshore";

/// What Velero keeps in its namespace.
const OBJECTS: [&Kind; 9] = [
    &kinds::VELERO_SCHEDULE,
    &kinds::DATA_UPLOAD,
    &kinds::DATA_DOWNLOAD,
    &kinds::DELETE_BACKUP_REQUEST,
    &kinds::DOWNLOAD_REQUEST,
    &kinds::VELERO_RESTORE,
    &kinds::VELERO_BACKUP,
    &kinds::BACKUP_REPOSITORY,
    &kinds::VELERO_LOCATION,
];

/// Velero as installed for this run.
pub struct Installation {
    origin: longshore_lab::Velero,
    fresh: longshore_lab::Velero,
}

static INSTALLATION: OnceLock<std::result::Result<Installation, String>> = OnceLock::new();

/// Velero in both clusters; the first caller installs it.
///
/// # Errors
/// When it cannot be built or installed, or its server does not come up.
pub fn installation(site: &'static Site) -> Result<&'static Installation> {
    INSTALLATION
        .get_or_init(|| Installation::prepare(site).map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow!("the installation of Velero failed: {error}"))
}

impl Installation {
    fn prepare(site: &'static Site) -> Result<Self> {
        let programs = site.lab.velero(&Silent)?;
        let wanted = [("longshore-velero-plugin", "longshore-velero-plugin")];
        let plugin = longshore_lab::cargo::build(&wanted, &Silent)?.remove(0);
        let of = |cluster: &Cluster| cluster.lab.velero(&programs, VELERO_NAMESPACE);
        let installation = Self { origin: of(&site.origin), fresh: of(&site.fresh) };
        for cluster in [&site.origin, &site.fresh] {
            let velero = installation.of(cluster);
            velero.stop()?;
            velero.install().with_context(|| format!("Velero in {}", cluster.lab.name))?;
            remove_leftovers(cluster)?;
            // Velero takes the snapshot class that carries this label.
            let label = json!({"metadata": {"labels": {"velero.io/csi-volumesnapshot-class": "true"}}});
            cluster.patch(&kinds::VOLUME_SNAPSHOT_CLASS, "", "lab-delete", &label)?;
            velero.start(&[&plugin]).with_context(|| format!("Velero in {}", cluster.lab.name))?;
        }
        Ok(installation)
    }

    /// A cluster's server and command line.
    pub fn of(&self, cluster: &Cluster) -> &longshore_lab::Velero {
        match cluster.lab.name {
            ClusterName::Origin => &self.origin,
            ClusterName::Fresh => &self.fresh,
        }
    }
}

/// What the scenarios of a killed run left in Velero's namespace, while no server looks at it.
fn remove_leftovers(cluster: &Cluster) -> Result<()> {
    for kind in OBJECTS {
        for object in cluster.list(kind, VELERO_NAMESPACE, "")? {
            let name = object["metadata"]["name"].as_str().context("an object without name")?;
            if !object["metadata"]["finalizers"].is_null() {
                cluster.patch(kind, VELERO_NAMESPACE, name, &json!({"metadata": {"finalizers": null}}))?;
            }
            cluster.delete(kind, VELERO_NAMESPACE, name)?;
        }
    }
    for repository in cluster.list(&kinds::REPOSITORY, VELERO_NAMESPACE, SCENARIO_LABEL)? {
        let name = repository["metadata"]["name"].as_str().context("a Repository without name")?;
        cluster.delete(&kinds::REPOSITORY, VELERO_NAMESPACE, name)?;
    }
    Ok(())
}
