//! Processes of pods, seen and killed from the node.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::installation::{OPERATOR_NAMESPACE, Site};
use crate::kinds;
use crate::run::Run;
use crate::wait::{SHORT, WORK, eventually};

/// Processes whose program is called `program`, each with its cgroups.
fn all(program: &str) -> Result<Vec<(Pid, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // A process may end between the listing and the look.
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
        if read("comm").trim() == program {
            found.extend(Pid::from_raw(id).map(|id| (id, read("cgroup"))));
        }
    }
    Ok(found)
}

/// Processes in the pod with this UID whose program is called `program`.
///
/// # Errors
/// When /proc cannot be read.
pub fn of_pod(pod_uid: &str, program: &str) -> Result<Vec<Pid>> {
    let inside = all(program)?.into_iter().filter(|(_, cgroups)| cgroups.contains(pod_uid));
    Ok(inside.map(|(id, _)| id).collect())
}

/// A mover at work.
#[derive(Debug)]
pub struct Mover {
    /// Name of its pod.
    pub pod: String,
    process: Pid,
}

/// Waits until a process of the run's mover is there.
///
/// # Errors
/// When the run fails or ends first, or no process comes.
pub fn mover(run: &Run, namespace: &str) -> Result<Mover> {
    eventually("a mover's process", WORK, || {
        for pod in run.cluster.list(&kinds::POD, namespace, &run.selector())? {
            let uid = pod["metadata"]["uid"].as_str().context("a pod without UID")?;
            if let Some(process) = of_pod(uid, "longshore")?.first() {
                let pod = pod["metadata"]["name"].as_str().context("a pod without name")?.to_owned();
                return Ok(Ok(Mover { pod, process: *process }));
            }
        }
        let object = run.object()?;
        ensure!(
            !matches!(crate::run::phase(&object), "Completed" | "Failed"),
            "the run ended before its mover was seen: {}",
            object["status"]
        );
        Ok(Err(object["status"].to_string()))
    })
}

/// Movers that run now, of pods with these labels.
///
/// # Errors
/// The server's.
pub fn movers(cluster: &Cluster, namespace: &str, labels: &str) -> Result<Vec<Mover>> {
    let processes = all("longshore")?;
    let mut found = Vec::new();
    for pod in cluster.list(&kinds::POD, namespace, labels)? {
        let [uid, name] = ["uid", "name"].map(|field| pod["metadata"][field].as_str().unwrap_or_default());
        let own = processes.iter().find(|(_, cgroups)| cgroups.contains(uid));
        found.extend(own.map(|(process, _)| Mover { pod: name.to_owned(), process: *process }));
    }
    Ok(found)
}

impl Mover {
    /// Stops it in its tracks.
    ///
    /// # Errors
    /// When it has ended.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it has ended.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Kills it.
    ///
    /// # Errors
    /// When it has ended by itself already.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.process, signal).context("the mover has ended already")
    }
}

/// Kills the cluster's operator with SIGKILL and returns when another one is ready. Its pod is deleted too, since a container that died often is
/// started again later and later.
///
/// # Errors
/// When there is no operator, or none comes back.
pub fn kill_operator(site: &Site, cluster: &Cluster) -> Result<()> {
    let pod = site.operator_pod(cluster)?;
    let uid = pod["metadata"]["uid"].as_str().context("a pod without UID")?;
    let name = pod["metadata"]["name"].as_str().context("a pod without name")?;
    let processes = of_pod(uid, "longshore-opera")?;
    ensure!(!processes.is_empty(), "the operator's process was not found");
    for process in processes {
        kill_process(process, Signal::KILL)?;
    }
    cluster.delete_at_once(&kinds::POD, OPERATOR_NAMESPACE, name)?;
    eventually("another operator", SHORT + Duration::from_secs(30), || {
        let pods = cluster.list(&kinds::POD, OPERATOR_NAMESPACE, "app.kubernetes.io/component=operator")?;
        let ready = pods.iter().any(|other| other["metadata"]["name"] != *name && is_ready(other));
        Ok(if ready { Ok(()) } else { Err(format!("{} pods, none ready", pods.len())) })
    })
}

fn is_ready(pod: &Value) -> bool {
    let statuses = pod["status"]["containerStatuses"].as_array();
    statuses.is_some_and(|all| !all.is_empty() && all.iter().all(|status| status["ready"] == true))
}
