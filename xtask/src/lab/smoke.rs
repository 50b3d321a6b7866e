//! Proves that the lab stores: for each kind of volume a pod writes, a snapshot is taken while it runs, a volume is made from the snapshot,
//! and a second pod reads the same bytes.

use std::time::Duration;

use anyhow::{Result, ensure};
use longshore_lab::{Cluster, ClusterName, Console, Lab, Reporter};
use serde_json::{Value, json};

const NAMESPACE: &str = "lab-smoke";
const LIMIT: Duration = Duration::from_secs(90);

struct Kind {
    name: &'static str,
    class: &'static str,
    block: bool,
}

const KINDS: &[Kind] = &[
    Kind { name: "ext4", class: "lab-ext4", block: false },
    Kind { name: "xfs", class: "lab-xfs-wait", block: false },
    Kind { name: "block", class: "lab-ext4", block: true },
];

/// Runs the proof on one cluster that is up.
pub fn run(name: ClusterName) -> Result<()> {
    let console = Console::new();
    let cluster = Lab::open(&console)?.cluster(name);
    cluster.kubectl(&["delete", "namespace", NAMESPACE, "--ignore-not-found"])?;
    cluster.kubectl(&["create", "namespace", NAMESPACE])?;
    for kind in KINDS {
        round_trip(&cluster, kind, &console)?;
    }
    let path = "jsonpath={.items[*].spec.volumeName}";
    let volumes = cluster.kubectl(&["get", "pvc", "--namespace", NAMESPACE, "-o", path])?;
    cluster.kubectl(&["delete", "namespace", NAMESPACE])?;
    for volume in volumes.split_whitespace() {
        cluster.wait(&["--for=delete", "persistentvolume", volume], LIMIT)?;
    }
    let devices = std::fs::read_dir(cluster.kubelet_folder().join("pods"))?.count();
    console.line(&format!("namespace and volumes are gone; folders of pods left on the node: {devices}"));
    Ok(())
}

fn round_trip(cluster: &Cluster, kind: &Kind, console: &Console) -> Result<()> {
    let write = if kind.block {
        "dd if=/dev/urandom of=/dev/volume bs=1M count=64 conv=fsync && dd if=/dev/volume bs=1M count=64 | sha256sum"
    } else {
        "dd if=/dev/urandom of=/volume/file bs=1M count=64 conv=fsync && sha256sum < /volume/file"
    };
    let read =
        if kind.block { "dd if=/dev/volume bs=1M count=64 | sha256sum" } else { "sha256sum < /volume/file" };
    let (source, target) = (kind.name, format!("{}-restored", kind.name));
    cluster.apply(&claim(kind, source, None).to_string())?;
    cluster.apply(&pod(kind, source, &format!("{write} && sleep 100000")).to_string())?;
    let written = first_word(cluster, source)?;
    let snapshot = json!({
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
        "metadata": {"name": source, "namespace": NAMESPACE},
        "spec": {"volumeSnapshotClassName": "lab-delete", "source": {"persistentVolumeClaimName": source}},
    });
    cluster.apply(&snapshot.to_string())?;
    let ready =
        ["--for=jsonpath={.status.readyToUse}=true", "volumesnapshot", source, "--namespace", NAMESPACE];
    cluster.wait(&ready, LIMIT)?;
    cluster.apply(&claim(kind, &target, Some(source)).to_string())?;
    cluster.apply(&pod(kind, &target, &format!("{read} && sleep 100000")).to_string())?;
    let found = first_word(cluster, &target)?;
    ensure!(written == found, "{}: wrote {written}, read {found}", kind.name);
    console.line(&format!("{}: written, taken, restored, read: {found}", kind.name));
    Ok(())
}

/// The hash that the pod prints first.
fn first_word(cluster: &Cluster, pod: &str) -> Result<String> {
    let mut text = String::new();
    longshore_lab::wait_until(&format!("output of pod {pod}"), LIMIT, || {
        text = cluster.kubectl(&["logs", pod, "--namespace", NAMESPACE])?;
        Ok(text.lines().any(|line| line.ends_with("  -")))
    })?;
    let line = text.lines().find(|line| line.ends_with("  -")).unwrap_or_default();
    Ok(line.trim_end_matches("  -").to_owned())
}

fn claim(kind: &Kind, name: &str, snapshot: Option<&str>) -> Value {
    let mut claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"storageClassName": kind.class, "accessModes": ["ReadWriteOnce"],
                 "volumeMode": if kind.block { "Block" } else { "Filesystem" },
                 "resources": {"requests": {"storage": "512Mi"}}},
    });
    if let Some(snapshot) = snapshot {
        claim["spec"]["dataSource"] =
            json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot});
    }
    claim
}

fn pod(kind: &Kind, claim: &str, script: &str) -> Value {
    let mut container = json!({
        "name": "main", "image": "localhost/workload:dev", "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
    });
    if kind.block {
        container["volumeDevices"] = json!([{"name": "data", "devicePath": "/dev/volume"}]);
    } else {
        container["volumeMounts"] = json!([{"name": "data", "mountPath": "/volume"}]);
    }
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": claim, "namespace": NAMESPACE},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container],
                 "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]},
    })
}
