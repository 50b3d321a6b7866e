//! From nothing to a cluster whose node is ready.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Cluster, configuration};
use crate::network;
use crate::pki::ClusterCertificates;
use crate::report::Reporter;
use crate::shell::{run, wait_until};
use crate::sweep;

const BOOT: Duration = Duration::from_secs(90);

impl Cluster {
    /// Starts the cluster; nothing of an earlier one may be left. `archives` are the images its node shall know.
    pub(crate) fn create(&self, archives: &[PathBuf], reporter: &dyn Reporter) -> Result<()> {
        let say = |text: &str| reporter.line(&format!("{}: {text}", self.name));
        fs::create_dir_all(self.folder.join("logs"))?;
        network::create(&self.addresses)?;
        self.write_files()?;
        self.prepare_control_groups()?;
        self.supervisor.start(&self.etcd())?;
        self.supervisor.start(&self.containerd())?;
        self.supervisor.start(&self.apiserver(&self.programs))?;
        say("etcd, containerd and kube-apiserver started");
        thread::scope(|scope| {
            let images = scope.spawn(|| self.load_images(archives));
            self.wait_for_api()?;
            say("kube-apiserver is ready");
            self.apply_snapshot_crds()?;
            for spec in [
                self.controller_manager(&self.programs),
                self.scheduler(&self.programs),
                self.proxy(&self.programs),
                self.snapshot_controller(&self.programs),
            ] {
                self.supervisor.start(&spec)?;
            }
            images.join().map_err(|_| anyhow::anyhow!("the import of images panicked"))??;
            say("images are on the node");
            self.supervisor.start(&self.kubelet(&self.programs))
        })?;
        self.wait_for_node()?;
        say("node is ready");
        Ok(())
    }

    fn write_files(&self) -> Result<()> {
        let pki = self.folder.join("pki");
        let server = self.api_server();
        let certificates = ClusterCertificates { folder: &pki, server: &server };
        let (node, addresses) = (self.node_name(), &self.addresses);
        certificates.create(&self.name.to_string(), &node, &addresses.node, &addresses.api_service)?;
        let write = |name: &str, value: &Value| write_json(&self.folder.join(name), value);
        write("audit-policy.json", &configuration::audit_policy())?;
        let containerd = self.folder.join("containerd");
        fs::create_dir_all(containerd.join("cni"))?;
        fs::write(containerd.join("config.toml"), configuration::containerd(&containerd))?;
        let network =
            configuration::pod_network(&self.network_name(), addresses, &containerd.join("addresses"));
        write("containerd/cni/10-lab.conflist", &network)?;
        let group = self.control_group();
        let kubelet = configuration::KubeletSettings {
            folder: &self.kubelet_folder(),
            certificates: &pki,
            containerd_socket: &self.containerd_socket(),
            control_group: &group,
            address: &addresses.node,
        };
        write("kubelet.json", &configuration::kubelet(&kubelet))?;
        let proxy = configuration::kube_proxy(&certificates.kubeconfig_of("kube-proxy"), addresses, &node);
        write("kube-proxy.json", &proxy)
    }

    /// The kubelet's root group must exist, in each hierarchy, with the processors it may use.
    fn prepare_control_groups(&self) -> Result<()> {
        for group in sweep::control_groups(&self.control_group()) {
            let parent = group.parent().context("a control group has a parent")?;
            if parent.join("cgroup.controllers").exists() {
                // Version 2: what the root does not hand down cannot be limited below. A controller that is missing stays missing.
                for controller in ["cpuset", "cpu", "io", "memory", "pids", "hugetlb"] {
                    let _ = fs::write(parent.join("cgroup.subtree_control"), format!("+{controller}"));
                }
            }
            fs::create_dir_all(&group).with_context(|| format!("could not make {}", group.display()))?;
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(value) = fs::read_to_string(parent.join(file)) {
                    let _ = fs::write(group.join(file), value.trim());
                }
            }
        }
        Ok(())
    }

    fn load_images(&self, archives: &[PathBuf]) -> Result<()> {
        let address = format!("--address={}", self.containerd_socket().display());
        wait_until("containerd", BOOT, || {
            self.supervisor.check("containerd")?;
            run("ctr", &[&address, "version"]).map(|_| true)
        })?;
        archives.iter().try_for_each(|archive| self.load_image(archive))
    }

    fn wait_for_api(&self) -> Result<()> {
        wait_until("kube-apiserver", BOOT, || {
            self.supervisor.check("etcd")?;
            self.supervisor.check("kube-apiserver")?;
            Ok(self.kubectl(&["get", "--raw=/readyz", "--request-timeout=2s"])?.trim() == "ok")
        })
    }

    fn apply_snapshot_crds(&self) -> Result<()> {
        let folder = self.programs.snapshot_crds();
        let mut names: Vec<PathBuf> = fs::read_dir(&folder)?.flatten().map(|entry| entry.path()).collect();
        names.sort();
        let texts: Vec<String> = names.iter().map(fs::read_to_string).collect::<Result<_, _>>()?;
        self.apply(&texts.join("\n---\n"))?;
        self.wait(&["--for=condition=Established", "crd", "--all"], Duration::from_secs(30))
    }

    fn wait_for_node(&self) -> Result<()> {
        wait_until("node", BOOT, || {
            for component in
                ["kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler", "snapshot-controller"]
            {
                self.supervisor.check(component)?;
            }
            self.node_is_ready()
        })?;
        // Pods need it, and it comes a little later than the namespace.
        wait_until("service account", BOOT, || {
            Ok(self.get(&["serviceaccount", "default", "--namespace=default"])?.is_some())
        })
    }
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    fs::write(path, serde_json::to_vec_pretty(value)?)
        .with_context(|| format!("could not write {}", path.display()))
}
