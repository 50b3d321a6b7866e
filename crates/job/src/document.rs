//! What the operator asks of a mover.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::RestorePointReference;

/// Version of the contract that this crate speaks. Raised when a mover of the version before could misread a document.
pub const CONTRACT_VERSION: u32 = 1;

/// Everything a mover needs to know beside the Secret and the volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobDocument {
    /// [`CONTRACT_VERSION`] of the writer.
    pub version: u32,
    /// The custom resource that this job serves.
    pub run: RunIdentity,
    /// What to do.
    pub task: Task,
}

/// Names the custom resource behind a job; its UID is the run's identity in the repository, so that a second mover of the same run finds
/// what the first one committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunIdentity {
    /// UID of the custom resource.
    pub uid: String,
    /// Namespace that asked: a restore point of another namespace is refused unless the task allows it.
    pub namespace: String,
    /// Name of the custom resource, for logs.
    pub name: String,
}

/// One piece of work. A mover that is older than a task does not know its name, so that the whole document is [`DocumentError::Malformed`] to
/// it and nothing is done: tasks can be added without another version of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Task {
    /// Volume to repository.
    Backup(Box<BackupTask>),
    /// Repository to volume.
    Restore(Box<RestoreTask>),
    /// Deletes one restore point; no volume.
    Forget(Box<ForgetTask>),
    /// Gives space back and checks; no volume.
    Maintain(Box<MaintainTask>),
}

/// A backup: the volume is mounted read-only at [`crate::FILESYSTEM_PATH`] or [`crate::BLOCK_PATH`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupTask {
    /// What the snapshot record will say of the volume.
    pub source: SourceVolume,
    /// Labels of the snapshot record, such as [`crate::VELERO_BACKUP_LABEL`]. The volume's own are in `source`.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// All that a restore into another cluster needs to know of a volume. Goes into the snapshot record word for word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceVolume {
    /// UID of the cluster's `kube-system` namespace.
    pub cluster_uid: String,
    /// Namespace of the application's PVC.
    pub namespace: String,
    /// Name of the application's PVC.
    pub pvc_name: String,
    /// UID of the application's PVC.
    pub pvc_uid: String,
    /// The PVC's storage request as its owner wrote it, for example `10Gi`.
    pub pvc_size: String,
    /// StorageClass of the PVC, empty if it had none.
    pub storage_class_name: String,
    /// How the volume was attached.
    pub volume_mode: VolumeMode,
    /// Access modes of the PVC.
    pub access_modes: Vec<String>,
    /// Labels of the PVC.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// CSI driver of the snapshot.
    pub driver: String,
    /// File system type as the StorageClass or the PersistentVolume names it, empty if unknown.
    #[serde(default)]
    pub fs_type: String,
    /// VolumeSnapshotClass of the snapshot, empty if it had none.
    pub volume_snapshot_class_name: String,
    /// The CSI snapshot's handle.
    pub snapshot_handle: String,
    /// When the CSI snapshot was taken, RFC 3339, empty if the driver did not say.
    #[serde(default)]
    pub snapshot_time: String,
}

/// A PVC's volume mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum VolumeMode {
    /// Mounted: read and restored as a file tree.
    Filesystem,
    /// A raw device: read and restored as blocks.
    Block,
}

impl VolumeMode {
    /// The Kubernetes word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filesystem => "Filesystem",
            Self::Block => "Block",
        }
    }
}

/// A restore: the empty target is mounted at [`crate::FILESYSTEM_PATH`] or [`crate::BLOCK_PATH`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreTask {
    /// The restore point.
    pub reference: RestorePointReference,
    /// Namespaces, beside the requesting one, whose restore points an administrator allowed here.
    #[serde(default)]
    pub allowed_source_namespaces: Vec<String>,
}

/// The deletion of one restore point. Whoever names it exactly may delete it, whichever cluster made it: a backup that was restored into a
/// new cluster is deleted there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForgetTask {
    /// The restore point; one that names no single run is refused.
    pub reference: RestorePointReference,
}

/// Maintenance of a repository: what is forgotten goes, then what is left is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaintainTask {
    /// Give the space of forgotten restore points back.
    pub prune: bool,
    /// How much of the live bytes may be waste before packs are copied together, in percent; the engine's default if absent.
    #[serde(default)]
    pub max_unused_percent: Option<u32>,
    /// Check that every restore point can be restored.
    pub check: bool,
    /// How much of the packs the check reads and proves, in percent; with 0 it looks at the structure only.
    #[serde(default)]
    pub check_read_data_percent: u32,
    /// Which part: samples with numbers one after the other read everything in the end.
    #[serde(default)]
    pub check_sample: u64,
    /// What is forgotten first; without it nothing.
    #[serde(default)]
    pub retention: Option<Retention>,
    /// The Velero Backups that there are; without it nobody knows, and nothing is said of points whose Backup vanished.
    #[serde(default)]
    pub velero_backups: Option<KnownBackups>,
}

/// Which points maintenance forgets: of each PVC of one cluster those that no rule keeps. The last complete point of a PVC stays, and so does every
/// point that was made for a Velero Backup.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retention {
    /// UID of the cluster's `kube-system` namespace: points of others are not touched.
    pub cluster_uid: String,
    /// Points that were begun before stay, RFC 3339; empty for no such moment.
    pub not_before: String,
    /// So many of the newest.
    pub keep_last: u32,
    /// The newest of so many hours.
    pub keep_hourly: u32,
    /// Of so many days.
    pub keep_daily: u32,
    /// Of so many weeks.
    pub keep_weekly: u32,
    /// Of so many months.
    pub keep_monthly: u32,
    /// Of so many years.
    pub keep_yearly: u32,
    /// Everything not older than this before the newest; 0 for none.
    pub keep_within_seconds: u64,
}

/// The Velero Backups of a cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KnownBackups {
    /// UID of the cluster's `kube-system` namespace: only its own points are looked at.
    pub cluster_uid: String,
    /// The moment, RFC 3339. A point that was begun later may be of a Backup that came later.
    pub at: String,
    /// Their names, as [`crate::VELERO_BACKUP_LABEL`] holds them.
    pub names: BTreeSet<String>,
}

impl RestoreTask {
    /// Whether `requesting_namespace` may restore this point (no confused deputy: a namespace gets its own data, or what an administrator allowed).
    pub fn is_allowed_for(&self, requesting_namespace: &str) -> bool {
        self.reference.namespace == requesting_namespace
            || self.allowed_source_namespaces.contains(&self.reference.namespace)
    }
}

/// Why a document was not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DocumentError {
    /// Not JSON, or not a job document.
    #[error("the job document cannot be read")]
    Malformed(#[source] serde_json::Error),
    /// Written by an operator of a contract that this mover does not speak.
    #[error("the job document has version {found}, this mover speaks version {CONTRACT_VERSION}")]
    Version {
        /// The document's version.
        found: u32,
    },
}

impl JobDocument {
    /// Reads a document.
    ///
    /// # Errors
    /// [`DocumentError`] when it is no job document or of another version.
    pub fn from_json(text: &str) -> Result<Self, DocumentError> {
        // The version is read alone first, because a newer document may not parse as ours.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_str(text).map_err(DocumentError::Malformed)?;
        if version != CONTRACT_VERSION {
            return Err(DocumentError::Version { found: version });
        }
        serde_json::from_str(text).map_err(DocumentError::Malformed)
    }

    /// The document as one line of JSON.
    ///
    /// # Errors
    /// Never in practice: all keys are strings.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restore(source: &str, allowed: &[&str]) -> RestoreTask {
        RestoreTask {
            reference: format!("longshore://c/{source}/data/run?mode=Block").parse().unwrap(),
            allowed_source_namespaces: allowed.iter().map(|namespace| (*namespace).to_owned()).collect(),
        }
    }

    #[test]
    fn a_namespace_restores_its_own_points_and_what_an_administrator_allowed() {
        assert!(restore("shop", &[]).is_allowed_for("shop"));
        assert!(!restore("shop", &[]).is_allowed_for("thief"));
        assert!(restore("shop", &["shop"]).is_allowed_for("shop-copy"));
        assert!(!restore("shop", &["other"]).is_allowed_for("shop-copy"));
    }

    fn document(task: Task) -> JobDocument {
        let run = RunIdentity { uid: "u".into(), namespace: "velero".into(), name: "r".into() };
        JobDocument { version: CONTRACT_VERSION, run, task }
    }

    #[test]
    fn tasks_without_a_volume_survive_json_and_fields_may_be_absent() {
        let reference = "longshore://c/shop/data/run?mode=Block".parse().unwrap();
        let maintain = MaintainTask {
            prune: true,
            max_unused_percent: Some(7),
            check: true,
            check_read_data_percent: 5,
            check_sample: 3,
            retention: Some(Retention { cluster_uid: "c".into(), keep_daily: 7, ..Default::default() }),
            velero_backups: Some(KnownBackups {
                cluster_uid: "c".into(),
                at: "2026-11-26T03:17:00Z".into(),
                names: ["daily".to_owned()].into(),
            }),
        };
        for task in
            [Task::Forget(Box::new(ForgetTask { reference })), Task::Maintain(Box::new(maintain.clone()))]
        {
            let document = document(task);
            assert_eq!(JobDocument::from_json(&document.to_json().unwrap()).unwrap(), document);
        }
        let short = r#"{"version":1,"run":{"uid":"u","namespace":"n","name":"r"},"task":{"maintain":{"prune":true,"check":false}}}"#;
        let read = JobDocument::from_json(short).unwrap();
        assert!(matches!(read.task, Task::Maintain(task) if task.prune && task.max_unused_percent.is_none()));
    }

    #[test]
    fn a_task_of_a_later_release_is_refused_as_a_whole() {
        let later = r#"{"version":1,"run":{"uid":"u","namespace":"n","name":"r"},"task":{"defragment":{"prune":true}}}"#;
        assert!(matches!(JobDocument::from_json(later), Err(DocumentError::Malformed(_))));
    }

    #[test]
    fn a_document_survives_json_and_another_version_is_refused() {
        let document = JobDocument {
            version: CONTRACT_VERSION,
            run: RunIdentity { uid: "u".into(), namespace: "shop".into(), name: "vsr".into() },
            task: Task::Restore(Box::new(restore("shop", &[]))),
        };
        let text = document.to_json().unwrap();
        assert_eq!(JobDocument::from_json(&text).unwrap(), document);
        let newer = text.replace("\"version\":1", "\"version\":2");
        assert!(matches!(JobDocument::from_json(&newer), Err(DocumentError::Version { found: 2 })));
        assert!(matches!(JobDocument::from_json("{}"), Err(DocumentError::Malformed(_))));
    }
}
