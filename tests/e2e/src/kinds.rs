//! The kinds that scenarios handle.

use anyhow::{Context, Result};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::Value;

/// One kind of object.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    group: &'static str,
    version: &'static str,
    /// Its name, `Pod`.
    pub name: &'static str,
    plural: &'static str,
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $constant:ident = ($group:literal, $version:literal, $name:literal, $plural:literal);)*) => {
        $($(#[$meta])* pub const $constant: Kind = Kind { group: $group, version: $version, name: $name, plural: $plural };)*
        const ALL: &[&Kind] = &[$(&$constant),*];
    };
}

kinds! {
    /// core
    POD = ("", "v1", "Pod", "pods");
    /// core
    PVC = ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
    /// core
    PV = ("", "v1", "PersistentVolume", "persistentvolumes");
    /// core
    SECRET = ("", "v1", "Secret", "secrets");
    /// core
    CONFIG_MAP = ("", "v1", "ConfigMap", "configmaps");
    /// core
    NAMESPACE = ("", "v1", "Namespace", "namespaces");
    /// core
    EVENT = ("", "v1", "Event", "events");
    /// coordination.k8s.io
    LEASE = ("coordination.k8s.io", "v1", "Lease", "leases");
    /// core
    QUOTA = ("", "v1", "ResourceQuota", "resourcequotas");
    /// batch
    JOB = ("batch", "v1", "Job", "jobs");
    /// apps
    DEPLOYMENT = ("apps", "v1", "Deployment", "deployments");
    /// RBAC
    CLUSTER_ROLE = ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles");
    /// RBAC
    ROLE = ("rbac.authorization.k8s.io", "v1", "Role", "roles");
    /// CSI
    VOLUME_SNAPSHOT = ("snapshot.storage.k8s.io", "v1", "VolumeSnapshot", "volumesnapshots");
    /// CSI
    VOLUME_SNAPSHOT_CONTENT = ("snapshot.storage.k8s.io", "v1", "VolumeSnapshotContent", "volumesnapshotcontents");
    /// CSI
    VOLUME_SNAPSHOT_CLASS = ("snapshot.storage.k8s.io", "v1", "VolumeSnapshotClass", "volumesnapshotclasses");
    /// storage
    STORAGE_CLASS = ("storage.k8s.io", "v1", "StorageClass", "storageclasses");
    /// Backup run
    BACKUP = ("datamover.oadp.openshift.io", "v1alpha1", "VolumeSnapshotBackup", "volumesnapshotbackups");
    /// Restore run
    RESTORE = ("datamover.oadp.openshift.io", "v1alpha1", "VolumeSnapshotRestore", "volumesnapshotrestores");
    /// Where restore points live
    REPOSITORY = ("longshore.dev", "v1alpha1", "Repository", "repositories");
    /// The wish that a restore point be deleted
    FORGET_REQUEST = ("longshore.dev", "v1alpha1", "ForgetRequest", "forgetrequests");
    /// Velero
    VELERO_BACKUP = ("velero.io", "v1", "Backup", "backups");
    /// Velero
    VELERO_RESTORE = ("velero.io", "v1", "Restore", "restores");
    /// Velero
    VELERO_SCHEDULE = ("velero.io", "v1", "Schedule", "schedules");
    /// Velero
    VELERO_LOCATION = ("velero.io", "v1", "BackupStorageLocation", "backupstoragelocations");
    /// Velero
    DELETE_BACKUP_REQUEST = ("velero.io", "v1", "DeleteBackupRequest", "deletebackuprequests");
    /// Velero
    DOWNLOAD_REQUEST = ("velero.io", "v1", "DownloadRequest", "downloadrequests");
    /// Velero
    BACKUP_REPOSITORY = ("velero.io", "v1", "BackupRepository", "backuprepositories");
    /// Velero
    DATA_UPLOAD = ("velero.io", "v2alpha1", "DataUpload", "datauploads");
    /// Velero
    DATA_DOWNLOAD = ("velero.io", "v2alpha1", "DataDownload", "datadownloads");
}

impl Kind {
    pub(crate) fn resource(&self) -> ApiResource {
        ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(self.group, self.version, self.name),
            self.plural,
        )
    }

    /// The kind of an object that is to be created.
    pub(crate) fn of(object: &Value) -> Result<&'static Self> {
        let name = object["kind"].as_str().context("an object without kind")?;
        ALL.iter()
            .copied()
            .find(|kind| kind.name == name)
            .with_context(|| format!("kind {name} is not in the list"))
    }
}
