//! Velero's objects as far as they matter here, and the names and labels that tie ours to them. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Velero's label with the name of a backup.
pub const BACKUP_NAME: &str = longshore_job::VELERO_BACKUP_LABEL;
/// Velero's label with the name of a restore.
pub const RESTORE_NAME: &str = "velero.io/restore-name";
/// UID of the Velero Backup that an object of ours was made for. What lacks it is not ours.
pub const BACKUP_UID: &str = "longshore.dev/velero-backup-uid";
/// UID of the Velero Restore that an object of ours was made for.
pub const RESTORE_UID: &str = "longshore.dev/velero-restore-uid";
/// Label or annotation, `true`, by which a Backup or PVC is given to Longshore.
pub const MOVER: &str = "longshore.dev/mover";
/// Annotation of a Backup: the Repository to use instead of the one that lists the storage location.
pub const REPOSITORY: &str = "longshore.dev/repository";
/// Annotation of a Backup, `true`: CSI snapshots stay until the backup is deleted.
pub const KEEP_SNAPSHOTS: &str = "longshore.dev/keep-snapshots";
/// Annotation, only in a backup's archive, of a PVC or PV whose volume Longshore moved: the name of the backup.
pub const MOVED_BY: &str = "longshore.dev/moved-by-backup";
/// Annotation of a run: the VolumeSnapshot it was made from.
pub const SNAPSHOT: &str = "longshore.dev/volume-snapshot";
/// Label by which the operator marks a run of a DataUpload.
pub const DATA_UPLOAD_UID: &str = "longshore.dev/data-upload-uid";

/// The item or the backup that Velero sent could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the {what} that Velero sent is not what it should be")]
pub struct ItemError {
    what: &'static str,
    #[source]
    source: serde_json::Error,
}

/// Reads what Velero sent.
///
/// # Errors
/// When it is no JSON of that form.
pub fn parse<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, ItemError> {
    serde_json::from_slice(bytes).map_err(|source| ItemError { what, source })
}

/// A Velero Backup.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Backup {
    /// Name, namespace, UID, labels, annotations.
    pub metadata: ObjectMeta,
    /// What is asked for.
    pub spec: BackupSpec,
    /// Where it stands.
    pub status: BackupStatus,
}

/// What is asked of a backup.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct BackupSpec {
    /// BackupStorageLocation.
    pub storage_location: Option<String>,
    /// How long a snapshot may take.
    pub csi_snapshot_timeout: Option<String>,
    /// `false`: no snapshots.
    pub snapshot_volumes: Option<bool>,
    /// ConfigMap with volume policies.
    pub resource_policy: Option<PolicyReference>,
}

/// Where a backup stands.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct BackupStatus {
    /// Velero's word for it.
    pub phase: Option<String>,
}

/// Names the ConfigMap of the volume policies.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PolicyReference {
    /// `configmap`.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// A Velero Restore.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Restore {
    /// Name, namespace, UID, annotations.
    pub metadata: ObjectMeta,
    /// What is asked for.
    pub spec: RestoreSpec,
}

/// What is asked of a restore.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RestoreSpec {
    /// The backup.
    pub backup_name: Option<String>,
    /// Source namespace to target namespace.
    pub namespace_mapping: Option<BTreeMap<String, String>>,
    /// `false`: no volumes.
    #[serde(rename = "restorePVs")]
    pub restore_pvs: Option<bool>,
}

impl Backup {
    /// Velero writes what the operations changed into the archive and starts nothing any more.
    pub fn is_finalizing(&self) -> bool {
        self.status.phase.as_deref().is_some_and(|phase| phase.starts_with("Finalizing"))
    }

    /// Name of the backup.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// Velero's namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// UID of the backup.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// How long a snapshot may take to get its handle; ten minutes unless the backup says otherwise.
    pub fn snapshot_timeout(&self) -> Duration {
        let asked = self.spec.csi_snapshot_timeout.as_deref();
        let asked = asked.and_then(|text| text.parse::<jiff::SignedDuration>().ok());
        let asked = asked.filter(jiff::SignedDuration::is_positive);
        asked.and_then(|asked| Duration::try_from(asked).ok()).unwrap_or(Duration::from_secs(600))
    }

    /// Whether CSI snapshots outlive the backup's work.
    pub fn keeps_snapshots(&self) -> bool {
        annotation(&self.metadata, KEEP_SNAPSHOTS) == Some("true")
    }
}

impl Restore {
    /// Velero's namespace.
    pub fn namespace(&self) -> &str {
        self.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// UID of the restore.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Where what was in `source` goes.
    pub fn target_namespace(&self, source: &str) -> String {
        let mapping = self.spec.namespace_mapping.as_ref();
        mapping.and_then(|mapping| mapping.get(source)).map_or_else(|| source.to_owned(), Clone::clone)
    }
}

/// An annotation's value.
pub fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// A label's value.
pub fn label<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(key).map(String::as_str)
}

/// Whether label or annotation gives the object to Longshore.
pub fn is_marked(metadata: &ObjectMeta) -> bool {
    label(metadata, MOVER) == Some("true") || annotation(metadata, MOVER) == Some("true")
}

fn hash(parts: &[&str]) -> String {
    hex::encode(Sha256::digest(parts.join("\n").as_bytes()))
}

/// A name that the same `parts` always give, so that a call that is repeated finds what the first one made.
pub fn derived_name(prefix: &str, parts: &[&str]) -> String {
    format!("{prefix}-{}", &hash(parts)[..20])
}

/// Puts an annotation on an item.
pub fn annotate(item: &mut Value, key: &str, value: &str) {
    let Some(metadata) = item.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(Default::default()));
    if annotations.is_null() {
        *annotations = Value::Object(Default::default());
    }
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(key.to_owned(), value.into());
    }
}

/// Name of an object in the API server or in a backup's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifier {
    /// API group.
    pub group: &'static str,
    /// Plural.
    pub resource: &'static str,
    /// Namespace; empty for cluster-scoped objects.
    pub namespace: String,
    /// Name.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_depend_on_every_part() {
        assert_eq!(derived_name("x", &["a", "b"]), derived_name("x", &["a", "b"]));
        assert_ne!(derived_name("x", &["a", "b"]), derived_name("x", &["a", "c"]));
        assert_ne!(derived_name("x", &["ab"]), derived_name("x", &["a", "b"]));
    }

    #[test]
    fn a_backup_is_read_with_what_is_null_or_missing() {
        let text = r#"{"metadata":{"name":"b","creationTimestamp":null},"spec":{"csiSnapshotTimeout":"1m30s","snapshotVolumes":null},"status":{}}"#;
        let backup: Backup = parse("backup", text.as_bytes()).unwrap();
        assert_eq!(backup.snapshot_timeout(), Duration::from_secs(90));
        assert!(!backup.is_finalizing());
        assert_eq!(Backup::default().snapshot_timeout(), Duration::from_secs(600));
        assert!(parse::<Backup>("backup", b"{").is_err());
    }

    #[test]
    fn an_item_without_annotations_can_be_annotated() {
        for text in [r#"{"metadata":{}}"#, r#"{"metadata":{"annotations":null}}"#] {
            let mut item: Value = serde_json::from_str(text).unwrap();
            annotate(&mut item, "k", "v");
            assert_eq!(item["metadata"]["annotations"]["k"], "v");
        }
        annotate(&mut Value::Null, "k", "v");
    }
}
