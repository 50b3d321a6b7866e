//! One Kubernetes cluster on this machine.

mod bring_up;
mod components;
mod configuration;
mod name;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::Signal;
use serde_json::Value;

pub use name::ClusterName;

use crate::gobuild::Programs;
use crate::network::{self, Addresses};
use crate::paths::Paths;
use crate::process::Supervisor;
use crate::shell::{output_of, run, wait_until};
use crate::{sweep, velero};

/// A handle on a cluster; the cluster itself lives on without it.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Which one.
    pub name: ClusterName,
    pub(crate) paths: Paths,
    pub(crate) folder: PathBuf,
    pub(crate) addresses: Addresses,
    pub(crate) programs: Programs,
    pub(crate) supervisor: Supervisor,
}

impl Cluster {
    pub(crate) fn new(name: ClusterName, paths: &Paths, programs: &Programs) -> Self {
        let folder = paths.state().join(name.to_string());
        Self {
            name,
            addresses: Addresses::of(name, 0),
            supervisor: Supervisor::new(&folder, paths.state()),
            programs: programs.clone(),
            paths: paths.clone(),
            folder,
        }
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.kubeconfig_of("admin")
    }

    pub(crate) fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.folder.join("pki").join(format!("{user}.kubeconfig"))
    }

    /// `https://address:port` of the API server, from the host and from the other cluster.
    pub fn api_server(&self) -> String {
        format!("https://{}:6443", self.addresses.node)
    }

    /// The API server's audit log: one JSON event per line.
    pub fn audit_log(&self) -> PathBuf {
        self.folder.join("logs/audit.log")
    }

    /// The audit log's events so far, in order.
    pub fn audit_events(&self) -> Result<Vec<Value>> {
        json_lines(&self.audit_log())
    }

    /// The only node's name. It carries the node's number.
    pub fn node_name(&self) -> String {
        format!("{}-node0", self.name)
    }

    /// The kubelet's folder, where volumes are mounted.
    pub fn kubelet_folder(&self) -> PathBuf {
        self.folder.join("kubelet")
    }

    /// What a component printed.
    pub fn log(&self, component: &str) -> PathBuf {
        self.supervisor.log(component)
    }

    /// The components, running or not.
    pub fn components(&self) -> Result<Vec<(String, Option<i32>)>> {
        let names = self.supervisor.names()?;
        names.into_iter().map(|name| Ok((name.clone(), self.supervisor.pid(&name)?))).collect()
    }

    /// Runs kubectl as administrator and returns what it printed.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        output_of(self.kubectl_command().args(arguments))
    }

    /// kubectl with the administrator's kubeconfig, for callers that want more than its output.
    pub fn kubectl_command(&self) -> Command {
        let mut command = Command::new(self.programs.kubernetes("kubectl"));
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", &self.folder);
        command
    }

    /// Applies objects in YAML or JSON, on the server's side.
    pub fn apply(&self, manifest: &str) -> Result<()> {
        use std::io::Write;
        use std::process::Stdio;
        let mut command = self.kubectl_command();
        command.args(["apply", "--server-side", "--force-conflicts", "-f", "-"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().context("could not start kubectl")?;
        let mut input = child.stdin.take().context("kubectl's input")?;
        input.write_all(manifest.as_bytes())?;
        drop(input);
        crate::shell::check("kubectl apply", &child.wait_with_output()?)
    }

    /// An object as JSON, or nothing when there is none. `arguments` go to `kubectl get`.
    pub fn get(&self, arguments: &[&str]) -> Result<Option<Value>> {
        let text = self.kubectl(&[&["get", "-o", "json", "--ignore-not-found"], arguments].concat())?;
        if text.trim().is_empty() { Ok(None) } else { Ok(Some(serde_json::from_str(&text)?)) }
    }

    /// Waits with `kubectl wait`; `arguments` name condition and objects.
    pub fn wait(&self, arguments: &[&str], limit: Duration) -> Result<()> {
        let timeout = format!("--timeout={}s", limit.as_secs());
        self.kubectl(&[&["wait", &timeout], arguments].concat()).map(drop)
    }

    /// Kills a component with SIGKILL and leaves it dead.
    pub fn kill_component(&self, name: &str) -> Result<()> {
        self.supervisor.stop(name, Signal::KILL)
    }

    /// Kills a driver or one of its sidecars with SIGKILL; it is started again by itself, as the kubelet would.
    pub fn crash_component(&self, name: &str) -> Result<()> {
        self.supervisor.crash(name)
    }

    /// Starts a component again as it was started last, whether it runs or not.
    pub fn restart_component(&self, name: &str) -> Result<()> {
        self.supervisor.restart(name)
    }

    /// Makes an image archive known to the node. Pods name it with `imagePullPolicy: IfNotPresent` or `Never`.
    pub fn load_image(&self, archive: &Path) -> Result<()> {
        let address = format!("--address={}", self.containerd_socket().display());
        let archive = archive.to_string_lossy();
        run("ctr", &[&address, "--namespace=k8s.io", "images", "import", &archive]).map(drop)
    }

    pub(crate) fn containerd_socket(&self) -> PathBuf {
        self.folder.join("containerd/containerd.sock")
    }

    /// Whether every component runs, the API server answers and the node is ready.
    pub fn is_healthy(&self) -> bool {
        let Ok(components) = self.components() else { return false };
        let needed = [
            "etcd",
            "containerd",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubelet",
            "kube-proxy",
        ];
        let runs = |name: &&str| components.iter().any(|(found, pid)| found == name && pid.is_some());
        needed.iter().all(runs)
            // Velero is a guest: a scenario that kills it may be killed itself.
            && components.iter().all(|(name, pid)| pid.is_some() || name == velero::COMPONENT)
            && self.node_is_ready().unwrap_or(false)
    }

    pub(crate) fn node_is_ready(&self) -> Result<bool> {
        let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
        let node = self.node_name();
        Ok(self.kubectl(&["get", "node", &node, "-o", path, "--request-timeout=3s"])?.trim() == "True")
    }

    /// Ends the cluster as a disaster would: every process is killed, nothing is drained; then everything of it on this machine goes,
    /// the drivers' volumes and snapshots included.
    pub(crate) fn destroy(&self) -> Result<()> {
        let state = self.paths.state();
        for name in self.supervisor.names()? {
            // The kubelet and containerd first would be kinder; a disaster is not kind.
            self.supervisor.stop(&name, Signal::KILL)?;
        }
        sweep::marked_processes(state, &self.folder)?;
        sweep::remove_control_groups(&self.control_group())?;
        sweep::release_storage(&self.folder)?;
        network::remove(&self.addresses)?;
        sweep::remove_network_records(&self.folder.join("containerd"));
        sweep::remove_dead_shim_sockets();
        wait_until("removal of the cluster's folder", Duration::from_secs(10), || {
            sweep::remove_folder(&self.folder).map(|()| true)
        })
    }

    pub(crate) fn control_group(&self) -> String {
        format!("longshore-{}", self.name)
    }

    fn network_name(&self) -> String {
        format!("longshore-{}", self.name)
    }

    pub(crate) fn exists(&self) -> bool {
        self.folder.exists()
    }
}

pub(crate) fn json_lines(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("could not read {}", path.display()))?;
    // The last line may be half written.
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}
