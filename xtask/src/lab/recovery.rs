//! Proves that the lab comes up from what a killed run left: `lab up` is killed at its worst moments, and so are the processes of a
//! running cluster; each time `up` must succeed within its minute, and `down` must leave nothing.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore_lab::{ClusterName, Console, DEFAULT_DRIVER, Lab, Options, Reporter};

/// What the killed run had just said.
const MOMENTS: &[&str] = &[
    "origin: etcd, containerd and kube-apiserver started",
    "origin: kube-apiserver is ready",
    "origin: images are on the node",
    "origin: node is ready",
    "origin: ready",
];
const LIMIT: Duration = Duration::from_secs(60);

const POD: &str = r#"{"apiVersion": "v1", "kind": "List", "items": [
  {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "recovery", "namespace": "default"},
   "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "400Mi"}}}},
  {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "recovery", "namespace": "default"},
   "spec": {"containers": [{"name": "main", "image": "localhost/workload:dev", "command": ["sleep", "100000"],
     "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
     "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "recovery"}}]}}]}"#;

/// Runs the proof. The lab is down afterwards.
pub fn run(options: &Options) -> Result<()> {
    let console = Console::new();
    let lab = Lab::open(&console)?;
    lab.up(&ClusterName::ALL, options, &console).context("bring-up for warm caches")?;
    for moment in MOMENTS {
        kill_at(moment, options)?;
        console.line(&format!("killed `lab up` after \"{moment}\""));
        timed(&lab, options, &console, &format!("after a kill at \"{moment}\""))?;
    }
    let origin = lab.cluster(ClusterName::Origin);
    if !options.drivers.is_empty() {
        origin.apply(POD)?;
        origin.wait(&["--for=condition=Ready", "pod/recovery"], Duration::from_secs(60))?;
    }
    for victims in [&["containerd", "kubelet"][..], &["etcd", "kube-apiserver", "kube-scheduler"]] {
        victims.iter().try_for_each(|victim| origin.kill_component(victim))?;
        if !options.drivers.is_empty() {
            origin.kill_component(&origin.driver(DEFAULT_DRIVER).process("driver"))?;
        }
        console.line(&format!("killed {} of origin", victims.join(", ")));
        timed(&lab, options, &console, &format!("after the death of {}", victims.join(", ")))?;
    }
    lab.down(&console)?;
    let left = lab.leftovers()?;
    ensure!(left.is_empty(), "down left behind: {}", left.join(", "));
    console.line("the lab came up every time, and nothing is left of it");
    Ok(())
}

fn timed(lab: &Lab, options: &Options, console: &Console, what: &str) -> Result<()> {
    let start = Instant::now();
    lab.up(&ClusterName::ALL, options, console).with_context(|| format!("up {what}"))?;
    ensure!(start.elapsed() < LIMIT, "up {what} took {:?}", start.elapsed());
    for name in ClusterName::ALL {
        ensure!(lab.cluster(name).is_healthy(), "{name} is not healthy {what}");
    }
    console.line(&format!("up {what}: {:.1} s", start.elapsed().as_secs_f64()));
    Ok(())
}

/// Starts `lab up` as another process and kills it as soon as it has said `moment`.
fn kill_at(moment: &str, options: &Options) -> Result<()> {
    // Not `current_exe`: cargo may have put another file in this program's place since it was started.
    let mut command = Command::new("/proc/self/exe");
    command.args(["lab", "up", "--recreate"]);
    if !options.longshore_image {
        command.arg("--without-longshore");
    }
    if options.drivers.is_empty() {
        command.arg("--without-driver");
    }
    let mut child = command.stderr(Stdio::piped()).spawn().context("could not start `lab up`")?;
    let lines = BufReader::new(child.stderr.take().context("no standard error")?).lines();
    let mut said = Vec::new();
    for line in lines {
        said.push(line?);
        if said.last().is_some_and(|line| line.contains(moment)) {
            child.kill()?;
            child.wait()?;
            return Ok(());
        }
    }
    child.wait()?;
    anyhow::bail!("`lab up` never said \"{moment}\":\n{}", said.join("\n"))
}
