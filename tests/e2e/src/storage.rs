//! What the CSI driver and the object store hold, whatever Kubernetes says.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use longshore_lab::{Client, Object};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::installation::Site;
use crate::kinds;

/// Volumes or snapshots in a driver's state, by handle.
fn records(cluster: &Cluster, driver: &str, folder: &str) -> Result<Vec<Value>> {
    let path = state_folder(cluster, driver)?.join(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(&path).with_context(|| format!("driver {driver} has no folder {folder}"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "json") {
            // A record may go between the listing and the look.
            let Ok(bytes) = fs::read(&path) else { continue };
            found.push(serde_json::from_slice(&bytes).with_context(|| format!("{}", path.display()))?);
        }
    }
    Ok(found)
}

/// The driver's own folder of records.
fn state_folder(cluster: &Cluster, driver: &str) -> Result<PathBuf> {
    let kubelet = cluster.lab.kubelet_folder();
    Ok(kubelet.parent().context("the kubelet's folder has no parent")?.join("csi").join(driver).join("state"))
}

fn handles(records: &[Value]) -> BTreeSet<String> {
    records.iter().filter_map(|record| record["id"].as_str().map(str::to_owned)).collect()
}

/// Handles of all volumes that a driver holds.
///
/// # Errors
/// When the state cannot be read.
pub fn volumes(cluster: &Cluster, driver: &str) -> Result<BTreeSet<String>> {
    Ok(handles(&records(cluster, driver, "volumes")?))
}

/// Handles of all snapshots that a driver holds.
///
/// # Errors
/// When the state cannot be read.
pub fn snapshots(cluster: &Cluster, driver: &str) -> Result<BTreeSet<String>> {
    Ok(handles(&records(cluster, driver, "snapshots")?))
}

/// Volumes without PersistentVolume and snapshots without VolumeSnapshotContent: nobody in the cluster knows them. Those on their way in or out
/// are among them for a moment.
///
/// # Errors
/// When something cannot be read.
pub fn orphans(cluster: &Cluster, driver: &str) -> Result<BTreeSet<String>> {
    let (volumes, snapshots) = (volumes(cluster, driver)?, snapshots(cluster, driver)?);
    let known: BTreeSet<String> = cluster
        .list(&kinds::PV, "", "")?
        .iter()
        .filter_map(|pv| pv["spec"]["csi"]["volumeHandle"].as_str().map(str::to_owned))
        .chain(cluster.list(&kinds::VOLUME_SNAPSHOT_CONTENT, "", "")?.iter().flat_map(handles_of_content))
        .collect();
    Ok(volumes.union(&snapshots).filter(|handle| !known.contains(*handle)).cloned().collect())
}

fn handles_of_content(content: &Value) -> Vec<String> {
    [&content["status"]["snapshotHandle"], &content["spec"]["source"]["snapshotHandle"]]
        .into_iter()
        .filter_map(|handle| handle.as_str().map(str::to_owned))
        .collect()
}

/// Calls of a method in the driver's log that mention `text` in their request or answer.
///
/// # Errors
/// When the log cannot be read.
pub fn calls(cluster: &Cluster, driver: &str, method: &str, text: &str) -> Result<Vec<Value>> {
    let calls = cluster.lab.driver(driver).calls()?;
    Ok(calls.into_iter().filter(|call| call["method"] == method && call.to_string().contains(text)).collect())
}

/// The scenario's place in the object store.
#[derive(Clone)]
pub struct Bucket {
    client: Client,
    /// Its name.
    pub name: String,
}

impl Bucket {
    /// Makes a bucket.
    ///
    /// # Errors
    /// The store's.
    pub fn create(site: &Site, name: &str) -> Result<Self> {
        site.minio.create_bucket(name)?;
        Ok(Self { client: site.minio.client()?, name: name.to_owned() })
    }

    /// All objects.
    ///
    /// # Errors
    /// The store's.
    pub fn objects(&self) -> Result<Vec<Object>> {
        self.client.list(&self.name, "")
    }

    /// Bytes in all objects together.
    ///
    /// # Errors
    /// The store's.
    pub fn bytes(&self) -> Result<u64> {
        Ok(self.objects()?.iter().map(|object| object.size).sum())
    }

    /// Bytes in packs together: without the reserve, which the first maintenance makes.
    ///
    /// # Errors
    /// The store's.
    pub fn pack_bytes(&self) -> Result<u64> {
        let objects = self.objects()?;
        Ok(objects.iter().filter(|object| object.key.starts_with("data/")).map(|object| object.size).sum())
    }

    /// An object's bytes.
    ///
    /// # Errors
    /// The store's.
    pub fn get(&self, key: &str) -> Result<Vec<u8>> {
        self.client.get(&self.name, key)
    }

    /// Puts an object.
    ///
    /// # Errors
    /// The store's.
    pub fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        self.client.put(&self.name, key, bytes)
    }

    /// Removes every object.
    ///
    /// # Errors
    /// The store's.
    pub fn empty(&self) -> Result<()> {
        self.objects()?.iter().try_for_each(|object| self.client.delete(&self.name, &object.key))
    }
}

/// The command line on a repository of a bucket, with the store's credentials.
pub struct Repository<'a> {
    site: &'a Site,
    bucket: &'a str,
    password: &'a str,
}

impl<'a> Repository<'a> {
    pub(crate) fn new(site: &'a Site, bucket: &'a str, password: &'a str) -> Self {
        Self { site, bucket, password }
    }

    fn longshore(&self, arguments: &[&str]) -> Result<String> {
        let keys = self.site.minio.credentials()?;
        let mut command = Command::new(&self.site.longshore);
        command
            .args(arguments)
            .args(["--repo", &format!("s3:{}/{}", self.site.minio.endpoint(), self.bucket)]);
        command.env("LONGSHORE_PASSWORD", self.password);
        command.env("AWS_ACCESS_KEY_ID", keys.access_key).env("AWS_SECRET_ACCESS_KEY", keys.secret_key);
        let output = command.output().context("could not start longshore")?;
        ensure!(
            output.status.success(),
            "longshore {}: {}\n{}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Reads every byte and proves it sound.
    ///
    /// # Errors
    /// When something is not.
    pub fn check(&self) -> Result<()> {
        self.longshore(&["check", "--read-data"]).map(drop)
    }

    /// The restore points.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn snapshots(&self) -> Result<Vec<Value>> {
        let listing: Value = serde_json::from_str(&self.longshore(&["snapshots", "--output", "json"])?)?;
        listing["snapshots"].as_array().cloned().with_context(|| format!("no list of snapshots in {listing}"))
    }
}
