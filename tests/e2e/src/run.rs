//! One VolumeSnapshotBackup or VolumeSnapshotRestore, seen from outside.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::kinds::Kind;
use crate::wait::WORK;

/// A run in a cluster.
#[derive(Clone)]
pub struct Run {
    /// Where.
    pub cluster: &'static Cluster,
    /// Which of the two kinds.
    pub kind: &'static Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID, the value of label `longshore.dev/run-uid` of its children.
    pub uid: String,
}

impl Run {
    /// Creates a run's object.
    pub(crate) fn create(cluster: &'static Cluster, kind: &'static Kind, object: &Value) -> Result<Self> {
        Self::of(cluster, kind, &cluster.create(object)?)
    }

    /// The run of an object that is there.
    pub(crate) fn of(cluster: &'static Cluster, kind: &'static Kind, object: &Value) -> Result<Self> {
        let part =
            |name: &str| object["metadata"][name].as_str().map(str::to_owned).context("metadata is missing");
        Ok(Self { cluster, kind, namespace: part("namespace")?, name: part("name")?, uid: part("uid")? })
    }

    /// Label selector of its children.
    pub fn selector(&self) -> String {
        format!("longshore.dev/run-uid={}", self.uid)
    }

    /// The part of its UID that names of its children hold.
    pub fn mark(&self) -> String {
        self.uid.chars().filter(|letter| *letter != '-').take(12).collect()
    }

    /// The object now.
    ///
    /// # Errors
    /// When it is gone.
    pub fn object(&self) -> Result<Value> {
        self.cluster.need(self.kind, &self.namespace, &self.name)
    }

    /// Watches the run until `look` finds what it looks for.
    ///
    /// # Errors
    /// As [`Cluster::watch`]; also when the object disappears.
    pub fn watch<T>(
        &self,
        what: &str,
        limit: Duration,
        mut look: impl FnMut(&Value) -> Result<Option<T>>,
    ) -> Result<T> {
        self.cluster.watch(what, (self.kind, &self.namespace, &self.name), limit, |object| {
            look(object.context("the run's object is gone")?)
        })
    }

    /// Waits for a terminal phase and returns every state on the way, the last one last. Checks what holds for each of them: the rules of
    /// the contract with OADP on what may be seen when.
    ///
    /// # Errors
    /// When it does not end, or breaks a rule.
    pub fn history(&self, limit: Duration) -> Result<Vec<Value>> {
        let mut states: Vec<Value> = Vec::new();
        self.watch("the run's end", limit, |object| {
            states.push(object.clone());
            check_rules(object)?;
            Ok(is_terminal(object).then_some(()))
        })?;
        Ok(states)
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(&self) -> Result<Value> {
        self.history(WORK)?.pop().context("no state was seen")
    }

    /// Waits for `Completed`.
    ///
    /// # Errors
    /// When it ends otherwise; its conditions are in the message.
    pub fn completed(&self) -> Result<Value> {
        let object = self.end()?;
        ensure!(phase(&object) == "Completed", "{} {}: {}", self.kind.name, self.name, object["status"]);
        Ok(object)
    }

    /// Waits for `Failed` with this reason.
    ///
    /// # Errors
    /// When it ends otherwise, or with another reason.
    pub fn failed(&self, reason: &str) -> Result<Value> {
        let object = self.end()?;
        ensure!(
            phase(&object) == "Failed",
            "{} should have failed with {reason}: {}",
            self.name,
            object["status"]
        );
        ensure!(
            has_reason(&object, reason),
            "{} failed, but not with {reason}: {}",
            self.name,
            object["status"]
        );
        let message = condition(&object, "Failed").and_then(|condition| condition["message"].as_str());
        ensure!(
            message.is_some_and(|text| !text.is_empty()),
            "a failure without a message: {}",
            object["status"]
        );
        Ok(object)
    }

    /// Waits until a condition names this reason, whatever the phase.
    ///
    /// # Errors
    /// When none does in time, or the run ends without.
    pub fn shows(&self, reason: &str, limit: Duration) -> Result<Value> {
        self.watch(&format!("reason {reason}"), limit, |object| {
            if has_reason(object, reason) || tells_cause(object, reason) {
                return Ok(Some(object.clone()));
            }
            if is_terminal(object) {
                bail!("the run ended without showing {reason}: {}", object["status"]);
            }
            Ok(None)
        })
    }

    /// Waits for a phase, or for one after it.
    ///
    /// # Errors
    /// When the run fails or the phase is not reached.
    pub fn reaches(&self, wanted: &str) -> Result<Value> {
        self.watch(&format!("phase {wanted}"), WORK, |object| {
            let now = phase(object);
            if now == "Failed" {
                bail!("the run failed: {}", object["status"]);
            }
            Ok((rank(now) >= rank(wanted)).then(|| object.clone()))
        })
    }

    /// Deletes the run's object; does not wait.
    ///
    /// # Errors
    /// The server's.
    pub fn delete(&self) -> Result<()> {
        self.cluster.delete(self.kind, &self.namespace, &self.name)
    }

    /// Deletes the run's object and waits until it is gone.
    ///
    /// # Errors
    /// When it does not go.
    pub fn remove(&self) -> Result<()> {
        self.delete()?;
        self.cluster.wait_gone(self.kind, &self.namespace, &self.name, crate::wait::SETTLE)
    }
}

/// `status.phase`.
pub fn phase(object: &Value) -> &str {
    object["status"]["phase"].as_str().unwrap_or_default()
}

/// A field as text.
///
/// # Errors
/// When it is missing or empty.
pub fn text<'a>(object: &'a Value, pointer: &str) -> Result<&'a str> {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .with_context(|| format!("{pointer} is missing in {object}"))
}

/// The condition of a type.
pub fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Reasons of all conditions.
pub fn reasons(object: &Value) -> Vec<&str> {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().filter_map(|condition| condition["reason"].as_str()).collect()
}

/// Whether a condition names this reason.
pub fn has_reason(object: &Value, reason: &str) -> bool {
    reasons(object).contains(&reason)
}

/// Whether a condition is about another attempt, after one that failed for this reason.
fn tells_cause(object: &Value, reason: &str) -> bool {
    let begins = |condition: &Value| {
        condition["message"].as_str().is_some_and(|text| text.starts_with(&format!("{reason}: ")))
    };
    object["status"]["conditions"].as_array().is_some_and(|conditions| conditions.iter().any(begins))
}

fn is_terminal(object: &Value) -> bool {
    matches!(phase(object), "Completed" | "Failed" | "PartiallyFailed")
}

fn rank(phase: &str) -> usize {
    const ORDER: [&[&str]; 5] = [
        &[""],
        &["InProgress"],
        &["SnapshotBackupDone", "SnapshotRestoreDone"],
        &["Cleanup"],
        &["Completed", "Failed", "PartiallyFailed"],
    ];
    ORDER.iter().position(|words| words.contains(&phase)).unwrap_or_default()
}

/// Rules 2 to 5 of the contract.
fn check_rules(object: &Value) -> Result<()> {
    let now = phase(object);
    let status = &object["status"];
    let reconciled = condition(object, "Reconciled");
    let error = reconciled.is_some_and(|reconciled| reconciled["status"] == "False");
    ensure!(now != "PartiallyFailed", "a run of ours is never PartiallyFailed: {status}");
    ensure!(error == (now == "Failed"), "Reconciled=False goes with Failed, and only with it: {status}");
    if now == "Completed" || now == "Failed" {
        ensure!(reconciled.is_some(), "an end without condition Reconciled: {status}");
        ensure!(status["batchingStatus"].is_string(), "an end without batchingStatus: {status}");
        ensure!(status["completionTimestamp"].is_string(), "an end without completionTimestamp: {status}");
    }
    let is_backup = object["kind"] == "VolumeSnapshotBackup";
    if is_backup {
        ensure!(
            (status["completed"] == true) == (now == "Completed"),
            "completed goes with Completed: {status}"
        );
    } else {
        let published =
            [&status["snapshotHandle"], &status["volumeSnapshotContentName"]].map(Value::is_string);
        ensure!(published[0] == published[1], "handle and content are published together: {status}");
    }
    Ok(())
}
