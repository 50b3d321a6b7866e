//! The objects of the demo's story.

use serde_json::{Value, json};

/// Prints one line per entry (type, mode, owner, size, time to the nanosecond, link target), then one line per file's content and xattrs.
const LIST_TREE: &str = r#"cd /data
find . -mindepth 1 -not -path './lost+found*' -printf '%y %m %U %G %T@ %l %P\0' | LC_ALL=C sort -z | tr '\0' '\n'
find . -type f -not -path './lost+found*' -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum"#;

/// A namespace whose pods may be privileged (the demo's workload mounts a file system on its block device).
pub fn namespace(name: &str, pod_security: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {
        "pod-security.kubernetes.io/enforce": pod_security}}})
}

/// What a claim is made from.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// Name of the PVC.
    pub name: &'a str,
    /// `Filesystem` or `Block`.
    pub volume_mode: &'a str,
    /// Storage request.
    pub size: &'a str,
    /// StorageClass.
    pub storage_class: &'a str,
    /// VolumeSnapshot to start from.
    pub snapshot: Option<&'a str>,
}

/// A PVC.
pub fn claim(namespace: &str, claim: Claim<'_>) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": claim.name, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "volumeMode": claim.volume_mode, "storageClassName": claim.storage_class,
            "resources": {"requests": {"storage": claim.size}}}});
    if let Some(snapshot) = claim.snapshot {
        object["spec"]["dataSource"] =
            json!({"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": snapshot});
    }
    object
}

fn pod(namespace: &str, name: &str, image: &str, script: &str, privileged: bool) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [{
            "name": "main", "image": image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-ec", script],
            "securityContext": {"privileged": privileged}}]}})
}

fn with_volume(mut pod: Value, claim: &str, volume_mode: &str, path: &str) -> Value {
    let spec = &mut pod["spec"];
    let entry = json!({"name": claim, "persistentVolumeClaim": {"claimName": claim}});
    match spec["volumes"].as_array_mut() {
        Some(volumes) => volumes.push(entry),
        None => spec["volumes"] = json!([entry]),
    }
    let (list, place) = if volume_mode == "Block" {
        ("volumeDevices", json!({"name": claim, "devicePath": path}))
    } else {
        ("volumeMounts", json!({"name": claim, "mountPath": path}))
    };
    let container = &mut spec["containers"][0];
    match container[list].as_array_mut() {
        Some(places) => places.push(place),
        None => container[list] = json!([place]),
    }
    pod
}

/// The application: a live XFS on the Block volume, a file tree on the other, and a process that never stops writing to both.
pub fn workload(namespace: &str, image: &str, files: &str, disk: &str) -> Value {
    let script = "if ! blkid /dev/disk >/dev/null 2>&1; then mkfs.xfs -q /dev/disk; fi
mkdir -p /mnt/xfs; mount -t xfs /dev/disk /mnt/xfs
echo serving > /tmp/ready
while true; do date +%N >> /data/journal; date +%N >> /mnt/xfs/journal; sleep 0.1; done";
    let pod = pod(namespace, "shop", image, script, true);
    with_volume(with_volume(pod, files, "Filesystem", "/data"), disk, "Block", "/dev/disk")
}

/// A pod that prints what a volume holds: a listing with every file's hash, or the device's hash.
pub fn checksum(namespace: &str, name: &str, image: &str, claim: &str, volume_mode: &str) -> Value {
    let (script, path) = if volume_mode == "Block" {
        ("sha256sum < /dev/disk".to_owned(), "/dev/disk")
    } else {
        (LIST_TREE.to_owned(), "/data")
    };
    with_volume(pod(namespace, name, image, &script, false), claim, volume_mode, path)
}

/// A VolumeSnapshot of a PVC.
pub fn volume_snapshot(namespace: &str, name: &str, class: &str, claim: &str) -> Value {
    json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": {"name": name, "namespace": namespace},
        "spec": {"volumeSnapshotClassName": class, "source": {"persistentVolumeClaimName": claim}}})
}

/// A VolumeSnapshotBackup.
pub fn backup(namespace: &str, name: &str, content: &str, protected_namespace: &str, secret: &str) -> Value {
    json!({"apiVersion": "datamover.oadp.openshift.io/v1alpha1", "kind": "VolumeSnapshotBackup", "metadata": {"name": name, "namespace": namespace},
        "spec": {"volumeSnapshotContent": {"name": content}, "protectedNamespace": protected_namespace, "resticSecretRef": {"name": secret}}})
}

/// A VolumeSnapshotRestore that goes on to the application's PVC; everything in it comes from `longshore snapshots`.
pub fn restore(
    namespace: &str,
    name: &str,
    protected_namespace: &str,
    secret: &str,
    point: &RestorePoint,
) -> Value {
    json!({"apiVersion": "datamover.oadp.openshift.io/v1alpha1", "kind": "VolumeSnapshotRestore", "metadata": {"name": name, "namespace": namespace},
        "spec": {"protectedNamespace": protected_namespace, "resticSecretRef": {"name": secret},
            "volumeSnapshotMoverBackupRef": {"resticrepository": point.reference, "volumeSnapshotClassName": point.snapshot_class,
                "sourcePVCData": {"name": point.pvc, "size": point.size, "storageClassName": point.storage_class}},
            "targetPVC": {"name": point.pvc}}})
}

/// What the repository says of a restore point.
#[derive(Debug, Clone)]
pub struct RestorePoint {
    /// The opaque name of the point.
    pub reference: String,
    /// Source PVC.
    pub pvc: String,
    /// Its storage request.
    pub size: String,
    /// Its StorageClass.
    pub storage_class: String,
    /// VolumeSnapshotClass of the snapshot.
    pub snapshot_class: String,
}

/// The Secret of a storage location, in the form that OADP's operator writes.
pub fn secret(namespace: &str, name: &str, data: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<String, Value> =
        data.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace,
        "labels": {"openshift.io/oadp-bsl-provider": "aws"}}, "stringData": data})
}
