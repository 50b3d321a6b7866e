//! The Velero Backup or Restore that asked for a run: once it has ended badly, the run's data is of no use, and a mover that runs on costs time and
//! money.
//!
//! Velero may be absent, and so may the right to read its objects: then nothing is known, and nothing follows from that. An object that is not
//! there means something only for a run that has seen it before, which its condition [`REQUESTED`] remembers: a run made by hand may carry the
//! label of a Backup that this cluster never had.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::{DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use longshore_api::{Phase, VeleroBackup, velero_label_value};
use longshore_job::{KnownBackups, VELERO_BACKUP_LABEL};

use crate::names::{DATA_UPLOAD_UID, RunKind};
use crate::reason::{OperatorReason, Trouble};
use crate::slots::Queued;
use crate::status::{Decision, RunStatus, set_condition};
use longshore_job::chain;

/// Condition: the Velero object that asked for the run was seen at work.
pub const REQUESTED: &str = "Requested";
/// How long an answer is good for: many runs belong to one Velero object.
const MEMORY: Duration = Duration::from_secs(10);
/// Answers that are remembered at most; more are forgotten all at once.
const ANSWERS_MAX: usize = 1_000;
/// How often a run at work looks.
pub const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What is known of the Velero object that asked for a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Requester {
    /// Nothing: the run has no label, or Velero cannot be asked.
    #[default]
    Unknown,
    /// There is none of the name.
    Absent(String),
    /// It is there and has not ended badly.
    Fine(String),
    /// It has ended badly, or is being deleted.
    Over(String),
}

/// Remembers answers.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, (Instant, Requester)>>);

impl Memory {
    fn get(&self, key: &str) -> Option<Requester> {
        let answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(key).filter(|(when, _)| when.elapsed() < MEMORY).map(|(_, answer)| answer.clone())
    }

    fn put(&self, key: String, answer: &Requester) {
        let mut answers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        answers.insert(key, (Instant::now(), answer.clone()));
    }
}

/// Kind, plural and label of the Velero object that asks for runs of a kind, if any does.
fn kind(run: RunKind) -> Option<(&'static str, &'static str, &'static str)> {
    match run {
        RunKind::Backup => Some(("Backup", "backups", VELERO_BACKUP_LABEL)),
        RunKind::Restore => Some(("Restore", "restores", "velero.io/restore-name")),
        RunKind::DataDownload | RunKind::Forget | RunKind::Maintenance => None,
    }
}

/// Reads a phase of Velero's. `WaitingForPluginOperationsPartiallyFailed` and the like are still at work.
fn read(name: &str, phase: &str, deleting: bool) -> Requester {
    match phase {
        "Failed" | "PartiallyFailed" | "FailedValidation" | "Deleting" => {
            Requester::Over(format!("{name} is {phase}"))
        }
        _ if deleting => Requester::Over(format!("{name} is being deleted")),
        _ => Requester::Fine(name.to_owned()),
    }
}

/// Asks for the Velero object that asked for `run`, if its label names one, and it is not too late for the answer to matter.
pub async fn requester<K: Queued>(
    client: &Client,
    memory: &Memory,
    run: &K,
    protected_namespace: &str,
    unfinished: bool,
) -> Requester {
    // A DataUpload looks after its owner itself, and tells its run.
    let of_upload = run.labels().contains_key(DATA_UPLOAD_UID);
    if of_upload || !unfinished || !matches!(run.place().0, Phase::New | Phase::InProgress) {
        return Requester::Unknown;
    }
    let Some((kind, plural, label)) = kind(K::KIND) else { return Requester::Unknown };
    let Some(name) = run.labels().get(label).filter(|name| !name.is_empty()) else {
        return Requester::Unknown;
    };
    let shown = format!("Velero {kind} {protected_namespace}/{name}");
    if let Some(known) = memory.get(&shown) {
        return known;
    }
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("velero.io", "v1", kind), plural);
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), protected_namespace, &resource);
    let answer = match api.get_opt(name).await {
        Ok(Some(object)) => {
            let phase = object.data["status"]["phase"].as_str().unwrap_or_default();
            read(&shown, phase, object.metadata.deletion_timestamp.is_some())
        }
        Ok(None) => Requester::Absent(shown.clone()),
        Err(error) => {
            tracing::debug!(requester = shown, error = %chain(&error), "Velero's object cannot be read");
            Requester::Unknown
        }
    };
    memory.put(shown, &answer);
    answer
}

/// Remembers that the requester was seen, and says why the run must stop, if it must.
pub fn follow<S: RunStatus, T>(
    decision: &mut Decision<S, T>,
    now: Timestamp,
    requester: &Requester,
) -> Option<Trouble> {
    let seen = decision.status.conditions().iter().any(|condition| condition.type_ == REQUESTED);
    match requester {
        Requester::Unknown => None,
        Requester::Absent(_) if !seen => None,
        Requester::Absent(name) => {
            Some(Trouble::new(OperatorReason::VeleroGaveUp, format!("{name} is not there any more")))
        }
        Requester::Over(message) => Some(Trouble::new(OperatorReason::VeleroGaveUp, message.clone())),
        Requester::Fine(name) => {
            if !seen && decision.status.phase() == Phase::InProgress {
                set_condition(decision.status.conditions_mut(), now, REQUESTED, true, "Seen", name);
            }
            decision.requeue = decision.requeue.min(LOOK_EVERY);
            None
        }
    }
}

/// Names beyond this many bytes do not fit into a job's document; then nothing is said of points whose Backup vanished.
const NAMES_BYTES_MAX: usize = 64 << 10;

/// The Backups that Velero has anywhere in the cluster. `None` when Velero is absent or may not be asked: then nobody may conclude anything.
pub async fn known_backups(client: &Client, cluster_uid: &str, now: Timestamp) -> Option<KnownBackups> {
    let found = Api::<VeleroBackup>::all(client.clone()).list_metadata(&ListParams::default()).await;
    match found {
        Ok(found) => {
            let names = found.items.iter().map(|backup| velero_label_value(&backup.name_any())).collect();
            known(cluster_uid, now, names)
        }
        Err(error) => {
            tracing::debug!(error = %chain(&error), "Velero's backups cannot be listed");
            None
        }
    }
}

fn known(cluster_uid: &str, now: Timestamp, names: BTreeSet<String>) -> Option<KnownBackups> {
    let bytes: usize = names.iter().map(|name| name.len() + ",\"\"".len()).sum();
    if bytes > NAMES_BYTES_MAX {
        tracing::warn!(count = names.len(), "too many Velero Backups to look for points that lost theirs");
        return None;
    }
    Some(KnownBackups { cluster_uid: cluster_uid.to_owned(), at: now.to_string(), names })
}

#[cfg(test)]
mod tests {
    use longshore_api::VolumeSnapshotBackupStatus;

    use super::*;

    #[test]
    fn only_bad_ends_are_ends() {
        for phase in [
            "",
            "New",
            "InProgress",
            "WaitingForPluginOperations",
            "WaitingForPluginOperationsPartiallyFailed",
            "Finalizing",
            "FinalizingPartiallyFailed",
            "Completed",
        ] {
            assert_eq!(read("b", phase, false), Requester::Fine("b".into()), "{phase}");
        }
        for phase in ["Failed", "PartiallyFailed", "FailedValidation", "Deleting"] {
            assert!(matches!(read("b", phase, false), Requester::Over(_)), "{phase}");
        }
        assert!(matches!(read("b", "InProgress", true), Requester::Over(_)));
    }

    fn reason(
        status: &VolumeSnapshotBackupStatus,
        requester: &Requester,
    ) -> (bool, VolumeSnapshotBackupStatus) {
        let mut decision = Decision::<_, ()>::new(status);
        let stop = follow(&mut decision, Timestamp::UNIX_EPOCH, requester);
        assert!(stop.as_ref().is_none_or(|trouble| trouble.reason.as_str() == "VeleroGaveUp"));
        (stop.is_some(), decision.status)
    }

    #[test]
    fn backups_that_do_not_fit_a_document_are_unknown_and_not_absent() {
        let names = |count: usize| (0..count).map(|number| format!("daily-{number:057}")).collect();
        let few = known("c", Timestamp::UNIX_EPOCH, names(900)).unwrap();
        assert_eq!((few.names.len(), few.at.as_str()), (900, "1970-01-01T00:00:00Z"));
        assert_eq!(known("c", Timestamp::UNIX_EPOCH, names(1_000)), None);
    }

    #[test]
    fn absence_means_something_only_after_presence() {
        let (absent, fine) = (Requester::Absent("b".into()), Requester::Fine("b".into()));
        let mut status = VolumeSnapshotBackupStatus::default();
        assert!(!reason(&status, &absent).0, "a run made by hand with an old label");
        assert!(!reason(&status, &Requester::Unknown).0);
        *status.phase_mut() = Some("InProgress".into());
        let (stop, seen) = reason(&status, &fine);
        assert!(!stop && seen.conditions().iter().any(|one| one.type_ == REQUESTED && one.status == "True"));
        assert_eq!(reason(&seen, &fine).1, seen, "said once");
        assert!(reason(&seen, &absent).0, "deleted while the run was at work");
        assert!(!reason(&seen, &Requester::Unknown).0, "Velero cannot be asked for a moment");
        assert!(reason(&status, &Requester::Over("b is Failed".into())).0, "seen or not");
    }
}
