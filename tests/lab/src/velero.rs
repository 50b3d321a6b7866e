//! Velero beside a cluster: its server as a process in the cluster's network, its command line on the host.
//!
//! The server runs as administrator, with a folder of its own in the cluster's, which goes with the cluster.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::cluster::Cluster;
use crate::process::Spec;
use crate::shell::{output_of, wait_until};

/// The server's name among the processes of its cluster.
pub(crate) const COMPONENT: &str = "velero";
const METRICS_PORT: u16 = 8085;

/// What Velero consists of.
#[derive(Clone, Debug)]
pub struct VeleroPrograms {
    pub(crate) server: PathBuf,
    pub(crate) aws_plugin: PathBuf,
}

/// One cluster's Velero, running or not.
#[derive(Clone, Debug)]
pub struct Velero {
    cluster: Cluster,
    programs: VeleroPrograms,
    namespace: String,
}

impl Cluster {
    /// A handle on the cluster's Velero, which keeps its objects in `namespace`.
    pub fn velero(&self, programs: &VeleroPrograms, namespace: &str) -> Velero {
        Velero { cluster: self.clone(), programs: programs.clone(), namespace: namespace.to_owned() }
    }
}

impl Velero {
    fn folder(&self) -> PathBuf {
        self.cluster.folder.join(COMPONENT)
    }

    /// Makes the kinds known, and what a server wants to find: its namespace and its Deployment, which is nothing but a name here.
    ///
    /// # Errors
    /// The API server's.
    pub fn install(&self) -> Result<()> {
        fs::create_dir_all(self.folder().join("home"))?;
        let kinds =
            output_of(self.command().args(["install", "--crds-only", "--dry-run", "--output", "yaml"]))?;
        self.cluster.apply(&kinds)?;
        self.cluster.wait(&["--for=condition=Established", "crd", "--all"], Duration::from_secs(30))?;
        let labels = json!({"component": "velero", "app.kubernetes.io/name": "velero"});
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}});
        // Restores read the image of their helper from it.
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "velero", "namespace": self.namespace, "labels": labels},
            "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
                "spec": {"containers": [{"name": "velero", "image": "velero/velero:v1.18.3"}]}}}});
        let list = json!({"apiVersion": "v1", "kind": "List", "items": [namespace, deployment]});
        self.cluster.apply(&list.to_string())
    }

    /// Starts the server with its own plugin and these, and waits until it serves. One that runs is replaced.
    ///
    /// # Errors
    /// When it does not come up, with the end of its log.
    pub fn start(&self, plugins: &[&Path]) -> Result<()> {
        self.stop()?;
        let folder = self.folder();
        let plugins_folder = folder.join("plugins");
        for fresh in ["plugins", "temporary", "scratch"] {
            let fresh = folder.join(fresh);
            if fresh.exists() {
                fs::remove_dir_all(&fresh)?;
            }
            fs::create_dir_all(&fresh)?;
        }
        for plugin in [&*self.programs.aws_plugin].iter().chain(plugins) {
            let name = plugin.file_name().context("a plugin without a name")?;
            fs::copy(plugin, plugins_folder.join(name))
                .with_context(|| format!("could not copy {}", plugin.display()))?;
        }
        self.cluster.supervisor.start(&self.spec(&plugins_folder))?;
        self.wait_until_it_serves()
    }

    /// Starts the server again as it was started last, and waits until it serves.
    ///
    /// # Errors
    /// When it does not come up, with the end of its log.
    pub fn restart(&self) -> Result<()> {
        self.cluster.restart_component(COMPONENT)?;
        self.wait_until_it_serves()
    }

    /// Kills the server and its plugins with SIGKILL and leaves them dead.
    ///
    /// # Errors
    /// When they do not go.
    pub fn kill(&self) -> Result<()> {
        self.cluster.kill_component(COMPONENT)
    }

    /// Ends the server and forgets it.
    ///
    /// # Errors
    /// When it does not go.
    pub fn stop(&self) -> Result<()> {
        self.cluster.supervisor.forget(COMPONENT)
    }

    /// What the server printed.
    pub fn log(&self) -> PathBuf {
        self.cluster.log(COMPONENT)
    }

    /// The command line, for this cluster and namespace.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.programs.server);
        command.env("KUBECONFIG", self.cluster.kubeconfig()).env("HOME", self.folder().join("home"));
        command.args(["--namespace", &self.namespace]);
        command
    }

    /// Runs the command line and returns what it printed.
    ///
    /// # Errors
    /// Its own.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        output_of(self.command().args(arguments))
    }

    fn address(&self) -> String {
        format!("{}:{METRICS_PORT}", self.cluster.addresses.node)
    }

    fn spec(&self, plugins: &Path) -> Spec {
        // Plugins get the server's arguments from the second one on, so `server` must be the first.
        let arguments = vec![
            "server".to_owned(),
            format!("--kubeconfig={}", self.cluster.kubeconfig().display()),
            format!("--namespace={}", self.namespace),
            format!("--plugin-dir={}", plugins.display()),
            "--features=EnableCSI".to_owned(),
            format!("--metrics-address={}", self.address()),
            "--profiler-address=".to_owned(),
            "--item-operation-sync-frequency=2s".to_owned(),
            "--garbage-collection-frequency=10s".to_owned(),
            "--concurrent-backups=4".to_owned(),
        ];
        let folder = self.folder();
        let place = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let environment = BTreeMap::from([
            ("HOME".to_owned(), place("home")),
            // Copies of credentials and the plugins' sockets go here.
            ("TMPDIR".to_owned(), place("temporary")),
            ("VELERO_SCRATCH_DIR".to_owned(), place("scratch")),
            ("VELERO_NAMESPACE".to_owned(), self.namespace.clone()),
        ]);
        Spec { environment, ..self.cluster.process(COMPONENT, self.programs.server.clone(), arguments) }
    }

    fn wait_until_it_serves(&self) -> Result<()> {
        wait_until("Velero", Duration::from_secs(60), || {
            self.cluster.supervisor.check(COMPONENT)?;
            TcpStream::connect(self.address())?;
            Ok(true)
        })
    }
}
