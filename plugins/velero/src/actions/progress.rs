//! How Velero is told where a run stands. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use longshore_api::{Phase, RunProgress, VolumeSnapshotBackup, VolumeSnapshotRestore};

/// Where an operation stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Progress {
    /// It is over.
    pub completed: bool,
    /// Why it failed; empty if it did not.
    pub error: String,
    /// Bytes done.
    pub done: i64,
    /// Bytes in all; 0 while unknown.
    pub total: i64,
    /// For people.
    pub description: String,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

impl Progress {
    /// Of a backup's run.
    pub fn of_backup(run: Option<&VolumeSnapshotBackup>) -> Self {
        let status = run.map(|run| run.status.clone().unwrap_or_default());
        Self::of(status.map(|status| Run {
            phase: status.phase,
            conditions: status.conditions,
            progress: status.progress,
            started: status.start_timestamp,
            ended: status.completion_timestamp,
        }))
    }

    /// Of a restore's run.
    pub fn of_restore(run: Option<&VolumeSnapshotRestore>) -> Self {
        let status = run.map(|run| run.status.clone().unwrap_or_default());
        Self::of(status.map(|status| Run {
            phase: status.phase,
            conditions: status.conditions,
            progress: status.progress,
            started: status.start_timestamp,
            ended: status.completion_timestamp,
        }))
    }

    /// The API server could not be asked. Velero takes an error for the operation's end, so this is none: it asks again.
    pub fn unknown(error: &crate::cluster::ActionError) -> Self {
        Self { description: format!("unknown: {error}"), ..Self::default() }
    }

    fn of(run: Option<Run>) -> Self {
        let Some(run) = run else {
            return Self { completed: true, error: "the run was deleted".into(), ..Self::default() };
        };
        let phase = Phase::parse(run.phase.as_deref());
        let progress = run.progress.unwrap_or_default();
        let done = progress.bytes_done.unwrap_or_default();
        let word = if phase == Phase::New { "New" } else { phase.as_str() };
        let stage = progress.stage.map(|stage| format!(", {stage}")).unwrap_or_default();
        let error = match phase {
            Phase::Failed | Phase::PartiallyFailed => why(run.conditions.as_deref().unwrap_or_default()),
            _ => String::new(),
        };
        Self {
            completed: phase.is_terminal(),
            error,
            done,
            total: progress.bytes_total.unwrap_or(if phase == Phase::Completed { done } else { 0 }),
            description: format!("{word}{stage}"),
            started: run.started.map(|time| time.0),
            ended: run.ended.map(|time| time.0),
        }
    }
}

struct Run {
    phase: Option<String>,
    conditions: Option<Vec<Condition>>,
    progress: Option<RunProgress>,
    started: Option<Time>,
    ended: Option<Time>,
}

fn why(conditions: &[Condition]) -> String {
    let said = |kind: &str, status: &str| {
        let found = conditions.iter().find(|one| one.type_ == kind && one.status == status)?;
        Some(format!("{}: {}", found.reason, found.message))
    };
    said("Failed", "True").or_else(|| said("Reconciled", "False")).unwrap_or_else(|| "the run failed".into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: serde_json::Value) -> Progress {
        let run = json!({"metadata": {}, "spec": {}, "status": status});
        Progress::of_backup(Some(&serde_json::from_value(run).unwrap()))
    }

    #[test]
    fn vsm_24_progress_follows_the_run() {
        let fresh = of(json!({}));
        assert!(!fresh.completed && fresh.error.is_empty());
        let half = of(json!({"phase": "InProgress", "startTimestamp": "2026-01-01T00:00:00Z",
            "progress": {"bytesDone": 5, "bytesTotal": 10, "stage": "Transferring"}}));
        assert_eq!((half.completed, half.done, half.total), (false, 5, 10));
        assert_eq!(half.description, "InProgress, Transferring");
        assert!(half.started.is_some() && half.ended.is_none());
        for waiting in ["SnapshotBackupDone", "Cleanup"] {
            assert!(!of(json!({"phase": waiting})).completed, "{waiting}");
        }
        let whole = of(json!({"phase": "Completed", "progress": {"bytesDone": 10}}));
        assert_eq!((whole.completed, whole.total, whole.error.as_str()), (true, 10, ""));
        let failed = of(json!({"phase": "Failed", "conditions": [{"type": "Failed", "status": "True",
            "reason": "QuotaExceeded", "message": "full", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}));
        assert_eq!((failed.completed, failed.error.as_str()), (true, "QuotaExceeded: full"));
        let gone = Progress::of_restore(None);
        assert!(gone.completed && !gone.error.is_empty());
    }
}
