//! What a mover leaves behind.

use serde::{Deserialize, Serialize};

use crate::{CONTRACT_VERSION, Reason};

/// Longest termination message that a mover writes, in bytes; the kubelet cuts at 4096.
pub const RESULT_BYTES_MAX: usize = 3 * 1024;

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobResult {
    /// [`CONTRACT_VERSION`] of the writer.
    pub version: u32,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// The snapshot is committed.
    BackedUp(BackupSummary),
    /// The volume equals the restore point and is durable.
    Restored(RestoreSummary),
    /// The restore point is gone from the repository.
    Forgotten(ForgetSummary),
    /// The repository was maintained. Damage that the check found is told here: it is a finding, not a failure of the mover.
    Maintained(MaintenanceSummary),
    /// Nothing may be relied on.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// The cause, from the closed list.
        reason: Reason,
        /// What happened, why, what to do; the chain of causes included.
        message: String,
    },
}

/// Figures of a backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupSummary {
    /// Id of the repository.
    pub repository_id: String,
    /// Id of the snapshot.
    pub snapshot_id: String,
    /// Size of the volume or of all files, in bytes.
    pub bytes_total: u64,
    /// Bytes read from the source.
    pub bytes_read: u64,
    /// Bytes of the source that the repository did not hold yet.
    pub bytes_new: u64,
    /// Bytes that went to the store, metadata included.
    pub bytes_uploaded: u64,
    /// Files and other entries; 0 for a Block volume.
    pub files: u64,
    /// Time from opening the repository to the commit.
    pub duration_milliseconds: u64,
    /// True when an earlier mover of this run had committed already and this one only reports.
    #[serde(default)]
    pub already_committed: bool,
    /// True when the mover could not see attributes in the namespace `trusted.`, so that those that there may be are left out.
    #[serde(default)]
    pub trusted_xattrs_unseen: bool,
}

/// Figures of a restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreSummary {
    /// Id of the repository.
    pub repository_id: String,
    /// Id of the snapshot.
    pub snapshot_id: String,
    /// Size of the volume or of all files, in bytes.
    pub bytes_total: u64,
    /// Bytes written to the target.
    pub bytes_written: u64,
    /// Bytes fetched from the store.
    pub bytes_downloaded: u64,
    /// Files and other entries; 0 for a Block volume.
    pub files: u64,
    /// Time from opening the repository to the last sync.
    pub duration_milliseconds: u64,
}

/// What became of a restore point that was to be deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForgetSummary {
    /// Id of the repository.
    pub repository_id: String,
    /// Id of the snapshot.
    pub snapshot_id: String,
    /// True when there was no such restore point (any more).
    #[serde(default)]
    pub already_gone: bool,
    /// Time from the start of the mover to the end.
    pub duration_milliseconds: u64,
}

/// Figures of a maintenance.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaintenanceSummary {
    /// Id of the repository.
    pub repository_id: String,
    /// Bytes of all objects in the store, afterwards.
    pub repository_bytes: u64,
    /// Restore points, afterwards.
    pub restore_points: u64,
    /// Restore points that were forgotten by [`crate::Retention`].
    #[serde(default)]
    pub forgotten: u64,
    /// Bytes that prune gave back.
    #[serde(default)]
    pub bytes_freed: u64,
    /// Backups and restores that did not answer; if there are any, the deletion is left to the next prune.
    #[serde(default)]
    pub waiting_sessions: u64,
    /// What the check found, if it was asked for.
    #[serde(default)]
    pub check: Option<CheckSummary>,
    /// Restore points whose Velero Backup is not there any more, if it was known which there are.
    #[serde(default)]
    pub abandoned: Option<AbandonedSummary>,
    /// Time from the start of the mover to the end.
    pub duration_milliseconds: u64,
}

/// Restore points of this cluster whose Velero Backup is not there any more. They are told and never deleted for that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AbandonedSummary {
    /// How many.
    pub restore_points: u64,
    /// Names of some of the Backups, at most [`AbandonedSummary::BACKUPS_MAX`].
    pub backups: Vec<String>,
}

impl AbandonedSummary {
    /// So many names fit into a result beside everything else.
    pub const BACKUPS_MAX: usize = 5;
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckSummary {
    /// Things that are wrong; 0 means that every restore point can be restored, as far as was looked.
    pub problems: u64,
    /// Restore points that cannot be restored whole.
    pub damaged_restore_points: u64,
    /// The first problem, empty if there is none.
    #[serde(default)]
    pub first_problem: String,
    /// Bytes of packs that were read and proven.
    #[serde(default)]
    pub bytes_read: u64,
}

impl JobResult {
    /// A result of this version.
    pub fn new(outcome: Outcome) -> Self {
        Self { version: CONTRACT_VERSION, outcome }
    }

    /// The result as JSON of at most [`RESULT_BYTES_MAX`] bytes; a long text is cut at its end.
    pub fn to_termination_message(&self) -> String {
        let text = |result: &Self| serde_json::to_string(result).unwrap_or_default();
        let mut result = self.clone();
        let mut json = text(&result);
        while json.len() > RESULT_BYTES_MAX {
            let Some(message) = result.outcome.text_mut() else { break };
            // Escapes make the JSON longer than the message, so shorten until it fits rather than compute a length.
            let keep = message.chars().count().saturating_sub(json.len() - RESULT_BYTES_MAX + 1);
            *message = message.chars().take(keep).chain(['…']).collect();
            json = text(&result);
            if keep == 0 {
                break;
            }
        }
        json
    }

    /// Reads a termination message; `None` when it is not a mover's (an empty one, or the kubelet's fallback to the log).
    pub fn from_termination_message(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

impl Outcome {
    /// The only text without a limit of its own.
    fn text_mut(&mut self) -> Option<&mut String> {
        match self {
            Self::Failed { message, .. } => Some(message),
            Self::Maintained(MaintenanceSummary { check: Some(check), .. }) => Some(&mut check.first_problem),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_failure_of_any_length_fits_and_keeps_its_reason(message in ".{0,9000}") {
            let result = JobResult::new(Outcome::Failed { reason: Reason::WrongKey, message });
            let text = result.to_termination_message();
            prop_assert!(text.len() <= RESULT_BYTES_MAX, "{}", text.len());
            let read = JobResult::from_termination_message(&text);
            let kept = matches!(read, Some(JobResult { outcome: Outcome::Failed { reason: Reason::WrongKey, .. }, .. }));
            prop_assert!(kept);
        }

        #[test]
        fn the_findings_of_a_check_fit_and_keep_their_number(first_problem in ".{0,9000}", problems: u64) {
            let check = Some(CheckSummary { problems, first_problem, ..Default::default() });
            let result = JobResult::new(Outcome::Maintained(MaintenanceSummary { check, ..Default::default() }));
            let text = result.to_termination_message();
            prop_assert!(text.len() <= RESULT_BYTES_MAX, "{}", text.len());
            let Some(JobResult { outcome: Outcome::Maintained(read), .. }) = JobResult::from_termination_message(&text)
            else {
                return Err(TestCaseError::fail(text));
            };
            prop_assert_eq!(read.check.unwrap().problems, problems);
        }
    }

    #[test]
    fn summaries_without_a_volume_survive() {
        let forgotten = ForgetSummary { snapshot_id: "s".into(), already_gone: true, ..Default::default() };
        let maintained = MaintenanceSummary { bytes_freed: 7, restore_points: 2, ..Default::default() };
        for outcome in [Outcome::Forgotten(forgotten), Outcome::Maintained(maintained)] {
            let result = JobResult::new(outcome);
            assert_eq!(JobResult::from_termination_message(&result.to_termination_message()), Some(result));
        }
    }

    #[test]
    fn a_summary_survives() {
        let summary = BackupSummary { snapshot_id: "s".into(), bytes_total: 7, ..Default::default() };
        let result = JobResult::new(Outcome::BackedUp(summary));
        assert_eq!(JobResult::from_termination_message(&result.to_termination_message()), Some(result));
        assert_eq!(JobResult::from_termination_message("Killed"), None);
    }
}
