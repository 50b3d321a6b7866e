//! Where restore points live, and who looks after them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::LocalReference;

/// A repository in an object store or on a volume, the Velero storage locations that map to it, and its maintenance. Lives in a protected namespace, beside
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
    /// A volume that holds the repository, instead of an object store: then the Secrets carry the password or key only, and an address in them is
    /// ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<RepositoryVolume>,
    /// Secret of the identity that may forget and prune; without it `secretRef` is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_secret_ref: Option<LocalReference>,
    /// When and how space is given back and data is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<MaintenancePolicy>,
    /// Which restore points maintenance forgets by itself; none without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<RetentionPolicy>,
    /// Stops maintenance; movers go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// A volume with a repository on it, in the folder `longshore`. Every mover of the repository mounts it, so it must be one that all nodes with movers
/// can mount at once (`ReadWriteMany`), unless there is one node only.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "has(self.claimName) && self.claimName != ''",
    "message": "a volume needs the name of its PVC",
}]))]
#[serde(rename_all = "camelCase")]
pub struct RepositoryVolume {
    /// A PVC of the same namespace, volume mode Filesystem. It is never made, changed or deleted by Longshore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_name: Option<String>,
}

/// When and how a repository is maintained.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaintenancePolicy {
    /// Cron expression of five fields, in UTC; `17 3 * * *` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// How much of the live bytes may be waste before packs are copied together, in percent; 5 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unused_percent: Option<i32>,
    /// How much of the data each maintenance reads and checks, in percent; 0, the default, checks the structure only. Each time another part is
    /// read, so that with 5 everything was read after 20 times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_read_data_percent: Option<i32>,
}

/// What is kept of each PVC of this cluster; maintenance forgets the rest of its restore points before it prunes. A point stays if any rule keeps
/// it. Hours, days and so on are those of UTC. Whatever the rules say, these stay: the last complete point of a PVC, points that were made for a
/// Velero Backup, points of other clusters, and, until `adopt`, points that are older than this Repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "(has(self.keepLast) && self.keepLast > 0) || (has(self.keepHourly) && self.keepHourly > 0) || (has(self.keepDaily) && self.keepDaily > 0) || (has(self.keepWeekly) && self.keepWeekly > 0) || (has(self.keepMonthly) && self.keepMonthly > 0) || (has(self.keepYearly) && self.keepYearly > 0) || (has(self.keepWithin) && self.keepWithin != '')",
    "message": "at least one rule must keep something",
}]))]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicy {
    /// So many of the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub keep_last: Option<i32>,
    /// The newest of so many hours that have any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub keep_hourly: Option<i32>,
    /// The newest of so many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub keep_daily: Option<i32>,
    /// The newest of so many weeks of ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub keep_weekly: Option<i32>,
    /// The newest of so many months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub keep_monthly: Option<i32>,
    /// The newest of so many years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub keep_yearly: Option<i32>,
    /// Everything not older than this before the newest: a number and a unit, as `36h`, `14d`, `2w`, `1y`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_within: Option<String>,
    /// Applies the rules also to points that are older than this Repository: those that were in the store when it was attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<bool>,
}

/// What the last maintenance found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryStatus {
    /// `Ready`, `Maintaining`, or `Degraded` (a condition says why).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// `Ready` (it names a Secret, and its schedule is one), `Progressing`, `Maintained` and `Checked` (how the last ones ended), `Abandoned`
    /// (whether there are points whose Velero Backup is gone).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<Condition>>,
    /// Generation of the specification that this status is about; another one is tried at once, also after a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When maintenance last ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_maintenance_time: Option<Time>,
    /// When a check last ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check_time: Option<Time>,
    /// When maintenance runs next, if nothing forbids it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_maintenance_time: Option<Time>,
    /// Last value of the annotation `longshore.dev/maintain-now` for which a maintenance was begun. A new value there asks for one at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_maintenance_request: Option<String>,
    /// How often maintenance failed since it last ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_failures: Option<i32>,
    /// After a failure: maintenance is tried again no earlier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_time: Option<Time>,
    /// How many checks there were; chooses the part of the data that the next one reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<i64>,
    /// Bytes in the store after the last maintenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
    /// Restore points that the last maintenance forgot by `spec.retention`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<i64>,
    /// Restore points after the last maintenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restore_points: Option<i64>,
}

impl RepositoryStatus {
    /// Phase in which a maintenance is at work, or about to be.
    pub const MAINTAINING: &str = "Maintaining";

    /// Whether a maintenance is at work, or about to be.
    pub fn is_maintaining(&self) -> bool {
        self.phase.as_deref() == Some(Self::MAINTAINING)
    }
}
