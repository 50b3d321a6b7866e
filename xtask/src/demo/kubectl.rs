//! kubectl against one cluster, with waits that say what they wait for.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::step;

/// How often an object is looked at while a person waits for it. The product itself watches; this only draws a bar.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// One cluster, as kubectl reaches it.
#[derive(Debug, Clone)]
pub struct Kubectl {
    /// The program.
    pub program: PathBuf,
    /// Kubeconfig file.
    pub kubeconfig: PathBuf,
    /// Context in that file; its current one if absent.
    pub context: Option<String>,
}

impl Kubectl {
    /// A kubectl command for this cluster.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        if let Some(context) = &self.context {
            command.args(["--context", context]);
        }
        command
    }

    /// Creates or updates objects; `kubectl apply` understands JSON.
    ///
    /// # Errors
    /// kubectl's.
    pub fn apply(&self, objects: &[Value]) -> Result<()> {
        let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
        let mut child = self
            .command()
            .args(["apply", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("kubectl has no stdin")?.write_all(list.to_string().as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("kubectl apply: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    /// Runs kubectl and returns its stdout.
    ///
    /// # Errors
    /// kubectl's.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        step::output(self.command().args(arguments))
    }

    /// One object, or `None` while it does not exist.
    ///
    /// # Errors
    /// kubectl's, other than "not found".
    pub fn get(&self, namespace: &str, kind: &str, name: &str) -> Result<Option<Value>> {
        let text = self.run(&[
            "--namespace",
            namespace,
            "get",
            kind,
            name,
            "--ignore-not-found",
            "--output",
            "json",
        ])?;
        if text.trim().is_empty() { Ok(None) } else { Ok(Some(serde_json::from_str(&text)?)) }
    }

    /// Waits until `ready` says so of an object. `ready` returns an error to give up, `Ok(None)` to go on.
    ///
    /// # Errors
    /// `ready`'s, or that `deadline` passed; the object's last status is in the message.
    pub fn wait<T>(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
        deadline: Duration,
        mut ready: impl FnMut(&Value) -> Result<Option<T>>,
    ) -> Result<T> {
        let begun = Instant::now();
        loop {
            let object = self.get(namespace, kind, name)?;
            if let Some(object) = &object
                && let Some(value) = ready(object)?
            {
                return Ok(value);
            }
            if begun.elapsed() > deadline {
                let status = object
                    .map_or_else(|| "it does not exist".to_owned(), |object| object["status"].to_string());
                bail!("{kind} {namespace}/{name} was not ready after {} s: {status}", deadline.as_secs());
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Waits until a pod has ended well and returns its log.
    ///
    /// # Errors
    /// That the pod failed (its log is in the message) or `deadline` passed.
    pub fn pod_output(&self, namespace: &str, name: &str, deadline: Duration) -> Result<String> {
        self.wait(namespace, "pod", name, deadline, |pod| match pod["status"]["phase"].as_str() {
            Some("Succeeded") => Ok(Some(())),
            Some("Failed") => {
                bail!("pod {name} failed: {}", self.run(&["--namespace", namespace, "logs", name])?)
            }
            _ => Ok(None),
        })?;
        self.run(&["--namespace", namespace, "logs", name])
    }
}
