//! The wish that a restore point be deleted.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::LocalReference;

/// Deletes one restore point from its repository, durably: it is tried until it succeeds, and survives restarts of everything. A point that is
/// gone already counts as forgotten. The space comes back with the repository's next maintenance. Deleting the request before it is
/// completed withdraws it. Lives in a protected namespace; a completed request is removed after some days.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "ForgetRequest",
    plural = "forgetrequests",
    singular = "forgetrequest",
    shortname = "lforget",
    namespaced,
    status = "ForgetRequestStatus",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Reference","type":"string","jsonPath":".spec.reference"}"#,
    printcolumn = r#"{"name":"Backup","type":"string","jsonPath":".spec.backup.name"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Attempts","type":"integer","jsonPath":".status.attempts"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ForgetRequestSpec {
    /// Reference of the restore point, `longshore://…`, as a backup's `status.resticrepository` or a DataUpload's `status.snapshotID` holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Where the point is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<ForgetLocation>,
    /// The deleted backup of another tool, for the reader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<DeletedBackup>,
}

/// Names the repository of a restore point: exactly one of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForgetLocation {
    /// A Repository of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<LocalReference>,
    /// A Velero BackupStorageLocation that a Repository of the same namespace lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_storage_location: Option<String>,
    /// A Secret of the same namespace, for points made without a Repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
}

/// A backup of another tool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletedBackup {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its UID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

/// Where the deletion stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForgetRequestStatus {
    /// `InProgress`, `Completed` or `Failed` (only for a request that can never succeed, such as a reference that is none).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// `Progressing` (its reason says what the request does, or why the last attempt failed), `Completed`, `Failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// True while an attempt is at work, or about to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempting: Option<bool>,
    /// The next attempt begins no earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// How often a job was started for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<i32>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_timestamp: Option<Time>,
}
