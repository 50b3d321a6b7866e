//! Instances of the lab's CSI driver on a cluster, each with sidecars and classes of its own.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cargo;
use crate::cluster::{Cluster, json_lines};
use crate::report::Reporter;
use crate::shell::{last_lines, run, wait_until};

/// How a driver instance differs from the usual one.
#[derive(Clone, Debug)]
pub struct DriverOptions {
    /// The CSI driver's name.
    pub name: String,
    /// Classes are called `PREFIX-xfs`, `PREFIX-ext4` (both Immediate), `PREFIX-xfs-wait`, `PREFIX-ext4-wait`
    /// (WaitForFirstConsumer), and, unless snapshots are switched off, `PREFIX-delete`, `PREFIX-retain` (VolumeSnapshotClasses).
    pub prefix: String,
    /// Capabilities to switch off: snapshot, clone, expand, list-snapshots, list-volumes, get-capacity, stage, block.
    pub disable: Vec<String>,
    /// Refuse to delete a volume that has snapshots.
    pub refuse_delete_with_snapshots: bool,
    /// How much the driver says it holds; no limit when absent.
    pub capacity_bytes: Option<u64>,
    /// Where volumes live. One of its own by default; give both clusters the same to share handles between them.
    pub state_dir: Option<PathBuf>,
    /// Size of the sparse pool.
    pub pool_bytes: u64,
    /// Whether its classes are the defaults of the cluster.
    pub default_class: bool,
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self {
            name: DEFAULT_DRIVER.to_owned(),
            prefix: "lab".to_owned(),
            disable: Vec::new(),
            refuse_delete_with_snapshots: false,
            capacity_bytes: None,
            state_dir: None,
            pool_bytes: 64 << 30,
            default_class: true,
        }
    }
}

impl DriverOptions {
    fn takes_snapshots(&self) -> bool {
        !self.disable.iter().any(|capability| capability == "snapshot")
    }

    /// Its sidecars. csi-snapshotter ends at once beside a driver that takes no snapshots.
    fn sidecars(&self) -> impl Iterator<Item = &'static str> {
        let snapshotter = self.takes_snapshots().then_some("csi-snapshotter");
        ["csi-provisioner"].into_iter().chain(snapshotter)
    }
}

/// The name of the driver that every cluster has.
pub const DEFAULT_DRIVER: &str = "csi.lab.longshore.dev";

/// Something the driver does wrong on request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fault {
    /// CSI method, `CreateSnapshot`.
    pub method: String,
    /// `error`, `delay` or `crash`.
    pub action: String,
    /// gRPC status for `error`: `UNAVAILABLE`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How many calls it hits; all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// For `delay`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
}

/// A driver instance on a cluster.
#[derive(Clone, Debug)]
pub struct Driver {
    cluster: Cluster,
    name: String,
}

impl Cluster {
    /// A handle on a driver instance, running or not.
    pub fn driver(&self, name: &str) -> Driver {
        Driver { cluster: self.clone(), name: name.to_owned() }
    }

    /// Starts a driver instance with its sidecars, CSIDriver object and classes, and waits until the kubelet knows it. One of that
    /// name is replaced; its volumes stay.
    pub fn start_driver(&self, options: &DriverOptions, reporter: &dyn Reporter) -> Result<Driver> {
        self.start_driver_from(build_driver(reporter)?, options, reporter)
    }

    pub(crate) fn start_driver_from(
        &self,
        program: PathBuf,
        options: &DriverOptions,
        reporter: &dyn Reporter,
    ) -> Result<Driver> {
        let driver = self.driver(&options.name);
        let state = options.state_dir.clone().unwrap_or_else(|| driver.folder().join("state"));
        fs::create_dir_all(&state)?;
        fs::create_dir_all(driver.socket_folder())?;
        fs::create_dir_all(self.kubelet_folder().join("plugins_registry"))?;
        let state_text = state.to_string_lossy().into_owned();
        let program_text = program.to_string_lossy().into_owned();
        let size = options.pool_bytes.to_string();
        run(&program_text, &["pool", "up", "--state-dir", &state_text, "--size-bytes", &size])?;
        if !driver.faults_file().exists() {
            driver.set_faults(&[])?;
        }
        let built = fs::metadata(&program)?.modified()?;
        let mut spec = self.process(&driver.process("driver"), program, driver.arguments(options, &state));
        // Another build at the same path is another program.
        spec.environment.insert("LONGSHORE_LAB_BUILT".into(), format!("{built:?}"));
        spec.respawn = true;
        self.supervisor.ensure(&spec)?;
        self.apply(&serde_json::to_string(&objects(options))?)?;
        let socket = driver.socket_folder().join("csi.sock");
        wait_until("the driver's socket", Duration::from_secs(20), || {
            self.supervisor.check(&driver.process("driver"))?;
            Ok(socket.exists())
        })?;
        for sidecar in options.sidecars() {
            let spec = self.driver_sidecar(&self.programs, sidecar, &options.name, &driver.process(sidecar));
            self.supervisor.ensure(&spec)?;
        }
        driver.wait_until_registered(options)?;
        reporter.line(&format!("{}: CSI driver {} is registered", self.name, options.name));
        Ok(driver)
    }
}

impl Driver {
    /// The CSI driver's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names of the instance's processes, for `Cluster::kill_component`: `part` is `driver`, `csi-provisioner` or `csi-snapshotter`.
    pub fn process(&self, part: &str) -> String {
        format!("{part}@{}", self.name)
    }

    fn folder(&self) -> PathBuf {
        self.cluster.folder.join("csi").join(&self.name)
    }

    fn socket_folder(&self) -> PathBuf {
        self.cluster.kubelet_folder().join("plugins").join(&self.name)
    }

    /// One JSON line per call.
    pub fn call_log(&self) -> PathBuf {
        self.cluster.folder.join("logs").join(format!("calls@{}.jsonl", self.name))
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Result<Vec<Value>> {
        json_lines(&self.call_log())
    }

    /// Read anew by the driver at each call.
    pub fn faults_file(&self) -> PathBuf {
        self.folder().join("faults.json")
    }

    /// Replaces the faults; none to heal the driver.
    pub fn set_faults(&self, faults: &[Fault]) -> Result<()> {
        let file = self.faults_file();
        let half = file.with_extension("half");
        fs::write(&half, serde_json::to_vec_pretty(faults)?)?;
        fs::rename(&half, &file).context("could not replace the driver's faults")
    }

    /// Stops the instance with its sidecars; objects and volumes stay.
    pub fn stop(&self) -> Result<()> {
        for part in ["csi-provisioner", "csi-snapshotter", "driver"] {
            self.cluster.supervisor.stop(&self.process(part), Signal::TERM)?;
        }
        Ok(())
    }

    /// Stops the instance and forgets it; its objects go, its volumes stay until the cluster goes.
    pub fn remove(&self, prefix: &str) -> Result<()> {
        for part in ["csi-provisioner", "csi-snapshotter", "driver"] {
            self.cluster.supervisor.forget(&self.process(part))?;
        }
        let storage: Vec<String> = ["xfs", "ext4", "xfs-wait", "ext4-wait"]
            .iter()
            .map(|end| format!("storageclass/{prefix}-{end}"))
            .collect();
        let mut names: Vec<&str> = storage.iter().map(String::as_str).collect();
        let driver = format!("csidriver/{}", self.name);
        let [delete, retain] = ["delete", "retain"].map(|end| format!("volumesnapshotclass/{prefix}-{end}"));
        names.extend([driver.as_str(), &delete, &retain]);
        self.cluster.kubectl(&[&["delete", "--ignore-not-found"], names.as_slice()].concat()).map(drop)
    }

    fn arguments(&self, options: &DriverOptions, state: &std::path::Path) -> Vec<String> {
        let registry =
            self.cluster.kubelet_folder().join("plugins_registry").join(format!("{}-reg.sock", self.name));
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        let mut arguments: Vec<String> = [
            "serve",
            "--driver-name",
            &self.name,
            "--state-dir",
            &state.to_string_lossy(),
            "--endpoint",
            &format!("unix://{}", self.socket_folder().join("csi.sock").display()),
            "--node-id",
            &self.cluster.node_name(),
            "--registration-socket",
            &text(registry),
            "--log-file",
            &text(self.call_log()),
            "--faults-file",
            &text(self.faults_file()),
        ]
        .map(str::to_owned)
        .to_vec();
        for capability in &options.disable {
            arguments.extend(["--disable".to_owned(), capability.clone()]);
        }
        if options.refuse_delete_with_snapshots {
            arguments.push("--refuse-delete-with-snapshots".to_owned());
        }
        if let Some(bytes) = options.capacity_bytes {
            arguments.extend(["--capacity-bytes".to_owned(), bytes.to_string()]);
        }
        arguments
    }

    fn wait_until_registered(&self, options: &DriverOptions) -> Result<()> {
        let node = self.cluster.node_name();
        let registered =
            wait_until(&format!("registration of {}", self.name), Duration::from_secs(60), || {
                for part in options.sidecars().chain(["driver"]) {
                    self.cluster.supervisor.check(&self.process(part))?;
                }
                let names = self.cluster.kubectl(&[
                    "get",
                    "csinode",
                    &node,
                    "-o",
                    "jsonpath={.spec.drivers[*].name}",
                ])?;
                Ok(names.split_whitespace().any(|name| name == self.name))
            });
        registered.with_context(|| {
            let log = fs::read_to_string(self.cluster.log(&self.process("driver"))).unwrap_or_default();
            format!("the driver's log ends with\n{}", last_lines(&log, 10))
        })
    }
}

/// The driver's program, built from the checkout.
pub(crate) fn build_driver(reporter: &dyn Reporter) -> Result<PathBuf> {
    Ok(cargo::build(&[("longshore-lab-csi", "longshore-lab-csi")], reporter)?.remove(0))
}

/// CSIDriver and classes.
fn objects(options: &DriverOptions) -> Value {
    let DriverOptions { name, prefix, default_class, .. } = options;
    let mut items = vec![json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "CSIDriver", "metadata": {"name": name},
        "spec": {"attachRequired": false, "podInfoOnMount": false, "fsGroupPolicy": "File", "volumeLifecycleModes": ["Persistent"]},
    })];
    for (file_system, suffix, binding) in [
        ("ext4", "", "Immediate"),
        ("xfs", "", "Immediate"),
        ("ext4", "-wait", "WaitForFirstConsumer"),
        ("xfs", "-wait", "WaitForFirstConsumer"),
    ] {
        let default = *default_class && file_system == "ext4" && suffix.is_empty();
        items.push(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": format!("{prefix}-{file_system}{suffix}"), "annotations":
                {"storageclass.kubernetes.io/is-default-class": default.to_string()}},
            "provisioner": name, "parameters": {"csi.storage.k8s.io/fstype": file_system},
            "reclaimPolicy": "Delete", "volumeBindingMode": binding, "allowVolumeExpansion": true,
        }));
    }
    let policies = [("delete", "Delete"), ("retain", "Retain")];
    for (suffix, policy) in policies.into_iter().filter(|_| options.takes_snapshots()) {
        let default = policy == "Delete";
        items.push(json!({
            "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotClass",
            "metadata": {"name": format!("{prefix}-{suffix}"), "annotations":
                {"snapshot.storage.kubernetes.io/is-default-class": default.to_string()}},
            "driver": name, "deletionPolicy": policy,
        }));
    }
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}
