//! The proof that a run left nothing behind.

use std::time::Duration;

use anyhow::Result;
use longshore_lab::DEFAULT_DRIVER;

use crate::cluster::Cluster;
use crate::kinds::{self, Kind};
use crate::run::Run;
use crate::storage;
use crate::wait::eventually;

/// After a run has said that it is over, its children may still be on their way out for a moment, never longer.
const AFTERGLOW: Duration = Duration::from_secs(30);

const CHILDREN: [&Kind; 5] =
    [&kinds::JOB, &kinds::POD, &kinds::PVC, &kinds::VOLUME_SNAPSHOT, &kinds::VOLUME_SNAPSHOT_CONTENT];

/// Children of a run that are there now, as `kind name (role)`; those that are kept on purpose are not counted.
pub(crate) fn children(run: &Run, kept_roles: &[&str]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for kind in CHILDREN {
        for object in run.cluster.list(kind, "", &run.selector())? {
            let role = object["metadata"]["labels"]["longshore.dev/role"].as_str().unwrap_or_default();
            // The application's claim is what a restore is for, once it holds the data.
            let result = kind.name == "PersistentVolumeClaim"
                && role == "target"
                && object["status"]["phase"] == "Bound";
            if !kept_roles.contains(&role) && !result {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                found.push(format!("{} {name} ({role})", kind.name));
            }
        }
    }
    let mark = run.mark();
    for volume in run.cluster.list(&kinds::PV, "", "")? {
        let claim = volume["spec"]["claimRef"]["name"].as_str().unwrap_or_default();
        if claim.contains(&mark) {
            found.push(format!("PersistentVolume of {claim}"));
        }
    }
    Ok(found)
}

impl Run {
    /// Proves that nothing of the run is left in the cluster but what has one of these roles.
    ///
    /// # Errors
    /// What is left.
    pub fn left_nothing_but(&self, kept_roles: &[&str]) -> Result<()> {
        eventually(&format!("{} {} to leave nothing behind", self.kind.name, self.name), AFTERGLOW, || {
            let found = children(self, kept_roles)?;
            Ok(if found.is_empty() { Ok(()) } else { Err(found.join(", ")) })
        })
    }

    /// Proves that nothing of the run is left in the cluster.
    ///
    /// # Errors
    /// What is left.
    pub fn left_nothing(&self) -> Result<()> {
        self.left_nothing_but(&[])
    }
}

/// Proves that the driver holds nothing that nobody in the cluster knows. What other scenarios make meanwhile is known within moments, so
/// only what stays unknown counts.
pub(crate) fn no_orphans(cluster: &Cluster) -> Result<()> {
    let mut suspects = storage::orphans(cluster, DEFAULT_DRIVER)?;
    eventually("the driver's state to hold nothing unknown", AFTERGLOW, || {
        if !suspects.is_empty() {
            let now = storage::orphans(cluster, DEFAULT_DRIVER)?;
            suspects.retain(|handle| now.contains(handle));
        }
        Ok(if suspects.is_empty() { Ok(()) } else { Err(format!("{suspects:?}")) })
    })
}
