//! The labels and annotations by which the objects of a run are found: the operator writes them, other programs look for them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest, Sha256};

/// Label: UID of the run that a child belongs to.
pub const RUN_UID: &str = "longshore.dev/run-uid";
/// Label: namespace of the run.
pub const RUN_NAMESPACE: &str = "longshore.dev/run-namespace";
/// Label: name of the run, cut to a label's length.
pub const RUN_NAME: &str = "longshore.dev/run-name";
/// Label: what the child is for, see [`Role`].
pub const ROLE: &str = "longshore.dev/role";
/// Label of a mover whose number per node is limited: no two movers of one lane share a node.
pub const LANE: &str = "longshore.dev/lane";
/// Annotation: `kind/namespace/name` of the run, in full.
pub const RUN: &str = "longshore.dev/run";
/// Label of a VolumeSnapshotBackup: UID of the DataUpload that it serves.
pub const DATA_UPLOAD_UID: &str = "longshore.dev/data-upload-uid";
/// Annotation of a keeper: until when the snapshot is kept if no PVC gets bound to it, RFC 3339.
pub const RELEASE_AFTER: &str = "longshore.dev/release-after";
/// Annotation of a Repository: a value that was not there before asks for a maintenance at once.
pub const MAINTAIN_NOW: &str = "longshore.dev/maintain-now";
/// Annotation of a DataDownload: the Secret of its repository, as it was when the download was accepted.
pub const REPOSITORY_SECRET: &str = "longshore.dev/repository-secret";
/// Label that marks all that Longshore made.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "longshore");

/// Which kind of run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RunKind {
    /// VolumeSnapshotBackup.
    Backup,
    /// VolumeSnapshotRestore.
    Restore,
    /// ForgetRequest.
    Forget,
    /// Repository, whose runs are its maintenance.
    Maintenance,
    /// Velero's DataDownload.
    DataDownload,
}

impl RunKind {
    /// The word in annotations, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Forget => "forget",
            Self::Maintenance => "maintenance",
            Self::DataDownload => "download",
        }
    }

    /// The contract's label on children, whose value is the name of the run.
    pub fn contract_label(self) -> &'static str {
        match self {
            Self::Backup => "datamover.oadp.openshift.io/vsb",
            Self::Restore => "datamover.oadp.openshift.io/vsr",
            Self::Forget => "longshore.dev/forget-request",
            Self::Maintenance => "longshore.dev/repository",
            Self::DataDownload => "longshore.dev/data-download",
        }
    }
}

/// What a child is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Lives as long as the run's work.
    Temporary,
    /// The VolumeSnapshotContent that a restore publishes.
    Result,
    /// The VolumeSnapshotContent that remembers a restored snapshot until it may be deleted.
    Keeper,
    /// VolumeSnapshot and content that the application's PVC is made from.
    Target,
}

impl Role {
    /// The label's value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Temporary => "temporary",
            Self::Result => "result",
            Self::Keeper => "keeper",
            Self::Target => "target",
        }
    }
}

/// The run that a child names in its annotation: kind, namespace, name.
pub fn run_of(metadata: &ObjectMeta) -> Option<(RunKind, &str, &str)> {
    let mut pieces = metadata.annotations.as_ref()?.get(RUN)?.splitn(3, '/');
    let kind = match pieces.next()? {
        "backup" => RunKind::Backup,
        "restore" => RunKind::Restore,
        "forget" => RunKind::Forget,
        "maintenance" => RunKind::Maintenance,
        "download" => RunKind::DataDownload,
        _ => return None,
    };
    Some((kind, pieces.next()?, pieces.next()?))
}

/// The value of a label, if it is there.
pub fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// Whether a child belongs to the run with this UID.
pub fn belongs_to(metadata: &ObjectMeta, uid: &str) -> bool {
    !uid.is_empty() && label(metadata, RUN_UID) == Some(uid)
}

/// Whether a child has this role.
pub fn has_role(metadata: &ObjectMeta, role: Role) -> bool {
    label(metadata, ROLE) == Some(role.as_str())
}

/// Longest value of a label, and how much of a hash ends one that Velero cut.
const VALUE_BYTES_MAX: usize = 63;
const HASH_BYTES: usize = 6;

/// A name as Velero puts it into a label: one that is too long ends in a piece of its hash.
pub fn velero_label_value(name: &str) -> String {
    if name.len() <= VALUE_BYTES_MAX {
        return name.to_owned();
    }
    let kept: String = name.chars().filter(char::is_ascii).take(VALUE_BYTES_MAX - HASH_BYTES).collect();
    format!("{kept}{}", &hex::encode(Sha256::digest(name.as_bytes()))[..HASH_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotation_names_the_run() {
        let child = |text: &str| ObjectMeta {
            annotations: Some([(RUN.to_owned(), text.to_owned())].into()),
            ..ObjectMeta::default()
        };
        for kind in
            [RunKind::Backup, RunKind::Restore, RunKind::Forget, RunKind::Maintenance, RunKind::DataDownload]
        {
            let child = child(&format!("{}/shop/data", kind.as_str()));
            assert_eq!(run_of(&child), Some((kind, "shop", "data")));
        }
        assert_eq!(run_of(&child("other/shop/data")), None);
        assert_eq!(run_of(&child("backup/shop")), None);
        assert_eq!(run_of(&ObjectMeta::default()), None);
    }

    #[test]
    fn labels_are_cut_as_velero_cuts_them() {
        assert_eq!(velero_label_value("short"), "short");
        assert_eq!(velero_label_value(&"a".repeat(63)), "a".repeat(63));
        let cut = velero_label_value(&"a".repeat(70));
        // The first digits of the name's SHA-256.
        assert_eq!(cut, format!("{}6bd5e5", "a".repeat(57)));
    }

    #[test]
    fn nothing_belongs_to_a_run_without_uid() {
        let labels = [(RUN_UID.to_owned(), String::new())].into();
        let child = ObjectMeta { labels: Some(labels), ..ObjectMeta::default() };
        assert!(!belongs_to(&child, ""));
        assert!(!has_role(&child, Role::Temporary));
    }
}
