//! Proves the parts of the lab that scenarios lean on beside storage: the object stores, the audit log, faults of the driver, a second
//! driver, components that are killed and started again, Pod Security.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_lab::{
    Cluster, ClusterName, Console, DriverOptions, Fault, Lab, Minio, Reporter, run as command, wait_until,
};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(60);
const BUCKET: &str = "lab-services";
const SECOND: &str = "second.lab.longshore.dev";

/// Runs the proof on the origin, which must be up.
pub fn run() -> Result<()> {
    let console = Console::new();
    let lab = Lab::open(&console)?;
    object_store(&lab.minio())?;
    console.line("MinIO: buckets, objects, long listings, an outage that forgets nothing");
    object_store_with_tls(&lab)?;
    console.line("MinIO on TLS: trusted with its authority, refused without");
    let cluster = lab.cluster(ClusterName::Origin);
    pod_security(&cluster)?;
    console.line(
        "Pod Security refuses a privileged pod in a restricted namespace, and the audit log tells of it",
    );
    second_driver(&cluster, &console)?;
    console.line("a second driver, whose faults and missing capabilities take effect");
    components(&cluster)?;
    console.line("components come back after SIGKILL");
    Ok(())
}

fn object_store(minio: &Minio) -> Result<()> {
    minio.create_bucket(BUCKET)?;
    minio.create_bucket(BUCKET)?;
    let client = minio.client()?;
    let odd = "odd/a b+c&<d>ä";
    client.put(BUCKET, odd, b"first")?;
    for number in 0..1001 {
        client.put(BUCKET, &format!("many/{number:04}"), b"x")?;
    }
    ensure!(client.list(BUCKET, "many/")?.len() == 1001, "a listing of more than one page is wrong");
    minio.stop()?;
    ensure!(client.list(BUCKET, "").is_err() && !minio.is_running(), "a stopped MinIO answers");
    minio.start()?;
    ensure!(client.get(BUCKET, odd)? == b"first", "an object changed by an outage");
    let objects = client.list(BUCKET, "odd/")?;
    ensure!(objects.len() == 1 && objects[0].key == odd && objects[0].size == 5, "listing: {objects:?}");
    for object in client.list(BUCKET, "")? {
        client.delete(BUCKET, &object.key)?;
    }
    ensure!(client.list(BUCKET, "")?.is_empty(), "deleted objects are listed");
    Ok(())
}

fn object_store_with_tls(lab: &Lab) -> Result<()> {
    let minio = lab.start_minio_tls()?;
    minio.create_bucket(BUCKET)?;
    let address = minio.endpoint().replace("https://", "");
    let authority = minio.authority();
    let connect = |extra: &[&str]| {
        command(
            "openssl",
            &[&["s_client", "-brief", "-verify_return_error", "-connect", &address], extra].concat(),
        )
    };
    connect(&["-CAfile", &authority.to_string_lossy()])?;
    ensure!(connect(&[]).is_err(), "an unknown authority is trusted");
    minio.stop()
}

fn pod_security(cluster: &Cluster) -> Result<()> {
    let namespace = "lab-services";
    cluster.kubectl(&["delete", "namespace", namespace, "--ignore-not-found"])?;
    let label = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    cluster.apply(
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": label}})
            .to_string(),
    )?;
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "privileged", "namespace": namespace},
        "spec": {"containers": [{"name": "main", "image": "localhost/workload:dev", "securityContext": {"privileged": true}}]},
    });
    ensure!(cluster.apply(&pod.to_string()).is_err(), "a privileged pod was let into a restricted namespace");
    cluster.kubectl(&["delete", "namespace", namespace, "--wait=false"])?;
    wait_until("the audit event of the refusal", LIMIT, || {
        let refused = |event: &serde_json::Value| {
            event["objectRef"]["name"] == "privileged" && event["responseStatus"]["code"] == 403
        };
        Ok(cluster.audit_events()?.iter().any(refused))
    })
}

fn second_driver(cluster: &Cluster, console: &Console) -> Result<()> {
    let options = DriverOptions {
        name: SECOND.into(),
        prefix: "second".into(),
        disable: vec!["snapshot".into()],
        default_class: false,
        ..DriverOptions::default()
    };
    let driver = cluster.start_driver(&options, console)?;
    let fault = Fault {
        method: "CreateVolume".into(),
        action: "error".into(),
        code: Some("UNAVAILABLE".into()),
        count: Some(1),
        delay_ms: None,
    };
    cluster.kubectl(&["delete", "pvc", "second", "--ignore-not-found"])?;
    let earlier = driver.calls()?.len();
    driver.set_faults(std::slice::from_ref(&fault))?;
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "second", "namespace": "default"},
        "spec": {"storageClassName": "second-ext4", "accessModes": ["ReadWriteOnce"],
                 "resources": {"requests": {"storage": "16Mi"}}},
    });
    cluster.apply(&claim.to_string())?;
    cluster.wait(&["--for=jsonpath={.status.phase}=Bound", "pvc", "second"], LIMIT)?;
    let volume = cluster.kubectl(&["get", "pvc", "second", "-o", "jsonpath={.spec.volumeName}"])?;
    let calls = driver.calls()?.split_off(earlier);
    let outcomes: Vec<bool> = calls
        .iter()
        .filter(|call| call["method"] == "CreateVolume")
        .map(|call| call.get("response").is_some())
        .collect();
    ensure!(outcomes == [false, true], "calls of CreateVolume: {outcomes:?}");
    let crash = Fault { action: "crash".into(), code: None, ..fault };
    driver.set_faults(&[Fault { method: "DeleteVolume".into(), ..crash }])?;
    cluster.kubectl(&["delete", "pvc", "second"])?;
    wait_until("the crash of the driver", LIMIT, || {
        Ok(std::fs::read_to_string(cluster.log(&driver.process("driver")))?.contains("starting again"))
    })?;
    driver.set_faults(&[])?;
    cluster.crash_component(&driver.process("csi-provisioner"))?;
    cluster.wait(&["--for=delete", "persistentvolume", &volume], LIMIT)?;
    driver.remove("second")
}

fn components(cluster: &Cluster) -> Result<()> {
    for name in ["kubelet", "kube-controller-manager", "snapshot-controller", "etcd"] {
        let before = pid(cluster, name)?;
        cluster.kill_component(name)?;
        ensure!(pid(cluster, name)?.is_none(), "{name} survived SIGKILL");
        cluster.restart_component(name)?;
        ensure!(pid(cluster, name)? != before, "{name} was not started again");
    }
    wait_until("a healthy cluster", LIMIT, || Ok(cluster.is_healthy()))
}

fn pid(cluster: &Cluster, name: &str) -> Result<Option<i32>> {
    let components = cluster.components()?;
    let found = components.into_iter().find(|(component, _)| component == name);
    found.map(|(_, pid)| pid).with_context(|| format!("no component {name}"))
}
