//! Where restore points live, and who looks after them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::LocalReference;

/// A repository in an object store, the Velero storage locations that map to it, and its maintenance. Lives in a protected namespace, beside
/// the Secrets that it names. Deleting it never deletes data.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "longshore.dev",
    version = "v1alpha1",
    kind = "Repository",
    plural = "repositories",
    singular = "repository",
    shortname = "lrepo",
    namespaced,
    status = "RepositoryStatus",
    derive = "Default",
    derive = "PartialEq",
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Restore-Points","type":"integer","jsonPath":".status.restorePoints"}"#,
    printcolumn = r#"{"name":"Size-Bytes","type":"integer","jsonPath":".status.sizeBytes"}"#,
    printcolumn = r#"{"name":"Last-Check","type":"date","jsonPath":".status.lastCheckTime"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct RepositorySpec {
    /// Names of the Velero BackupStorageLocations, of the same namespace, whose volumes go here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backup_storage_locations: Vec<String>,
    /// Secret with the address, the password and the credentials that movers use; keys as OADP's operator writes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<LocalReference>,
    /// Secret of the identity that may forget and prune; without it `secretRef` is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_secret_ref: Option<LocalReference>,
    /// When and how space is given back and data is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<MaintenancePolicy>,
    /// Stops maintenance; movers go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// When and how a repository is maintained.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaintenancePolicy {
    /// Cron expression in UTC; once a day by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// How much of the stored bytes may be waste before packs are copied, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unused_percent: Option<i32>,
    /// How much of the data each maintenance reads and checks, in percent; 0 checks the structure only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_read_data_percent: Option<i32>,
}

/// What the last maintenance found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryStatus {
    /// `Ready`, `Maintaining`, or `Degraded` (a condition says why).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// `Ready`, `Maintained`, `Checked`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// Generation of the specification that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When maintenance last ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_maintenance_time: Option<Time>,
    /// When a check last ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check_time: Option<Time>,
    /// Bytes in the store after the last maintenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
    /// Restore points after the last maintenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_points: Option<i64>,
}
