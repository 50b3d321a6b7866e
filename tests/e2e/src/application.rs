//! What an application does in a scenario: claims, pods, VolumeSnapshots.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::installation::WORKLOAD_IMAGE;
use crate::kinds;
use crate::wait::{SETTLE, SHORT};

/// How a volume is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeMode {
    /// Mounted at `/data`.
    Filesystem,
    /// A device, `/dev/disk`.
    Block,
}

impl VolumeMode {
    /// The Kubernetes word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filesystem => "Filesystem",
            Self::Block => "Block",
        }
    }
}

/// A VolumeSnapshot that is ready.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// Its VolumeSnapshotContent.
    pub content: String,
    /// The storage's name of it.
    pub handle: String,
}

/// A PVC.
pub fn claim(namespace: &str, name: &str, class: &str, mode: VolumeMode, size: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "scenario"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": mode.as_str(), "storageClassName": class,
                 "resources": {"requests": {"storage": size}}}})
}

/// A PVC from a VolumeSnapshot.
pub fn claim_from(
    namespace: &str,
    name: &str,
    class: &str,
    mode: VolumeMode,
    size: &str,
    snapshot: &str,
) -> Value {
    let mut object = claim(namespace, name, class, mode, size);
    object["spec"]["dataSource"] =
        json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot});
    object
}

/// A pod that runs a script on one claim, as a privileged root.
pub fn pod(namespace: &str, name: &str, script: &str, volume: Option<(&str, VolumeMode)>) -> Value {
    let mut container = json!({"name": "main", "image": WORKLOAD_IMAGE, "imagePullPolicy": "Never",
        "command": ["sh", "-ec", script], "securityContext": {"privileged": true}});
    match volume {
        Some((_, VolumeMode::Filesystem)) => {
            container["volumeMounts"] = json!([{"name": "volume", "mountPath": "/data"}]);
        }
        Some((_, VolumeMode::Block)) => {
            container["volumeDevices"] = json!([{"name": "volume", "devicePath": "/dev/disk"}]);
        }
        None => {}
    }
    let volumes: Vec<Value> = volume
        .iter()
        .map(|(claim, _)| json!({"name": "volume", "persistentVolumeClaim": {"claimName": claim}}))
        .collect();
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false,
                 "containers": [container], "volumes": volumes}})
}

/// Runs a script on a claim to its end, removes the pod and returns what it printed.
///
/// # Errors
/// When the script fails.
pub fn run_script(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    script: &str,
    volume: Option<(&str, VolumeMode)>,
) -> Result<String> {
    cluster.create(&pod(namespace, name, script, volume))?;
    let output = cluster.pod_output(namespace, name)?;
    cluster.delete_at_once(&kinds::POD, namespace, name)?;
    cluster.wait_gone(&kinds::POD, namespace, name, SHORT)?;
    Ok(output)
}

/// Takes a VolumeSnapshot and waits until it is ready.
///
/// # Errors
/// When it does not become ready.
pub fn snapshot(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    class: &str,
    claim: &str,
) -> Result<Snapshot> {
    cluster.create(&json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"volumeSnapshotClassName": class, "source": {"persistentVolumeClaimName": claim}}}))?;
    let content = cluster.watch(
        "a usable VolumeSnapshot",
        (&kinds::VOLUME_SNAPSHOT, namespace, name),
        SETTLE,
        |object| {
            let status = object.map_or(&Value::Null, |object| &object["status"]);
            let content = status["boundVolumeSnapshotContentName"].as_str().map(str::to_owned);
            Ok(content.filter(|_| status["readyToUse"] == true))
        },
    )?;
    let object = cluster.need(&kinds::VOLUME_SNAPSHOT_CONTENT, "", &content)?;
    let handle =
        object["status"]["snapshotHandle"].as_str().context("a ready content without handle")?.to_owned();
    Ok(Snapshot { name: name.to_owned(), content, handle })
}
