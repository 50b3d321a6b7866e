//! The custom resources of Longshore and the few foreign ones that it uses.
//!
//! Owns the names, fields and printed columns of `VolumeSnapshotBackup` and `VolumeSnapshotRestore` (group
//! `datamover.oadp.openshift.io/v1alpha1`, a contract with backup tools that exist already: fields are added, never changed), our own kinds
//! (`longshore.dev/v1alpha1`: [`Repository`], [`ForgetRequest`]), and reduced views of `snapshot.storage.k8s.io/v1` and of Velero's kinds.
//! Start with [`VolumeSnapshotBackup`].
//!
//! # Guarantees
//! - Every field but `spec` is optional, so that no stored object, however old or incomplete, stops a watch.
//! - The foreign kinds hold only the fields that Longshore reads. They may be created and merge-patched, never replaced: a replacement would
//!   drop what they do not know.
//!
//! # Does not know
//! How objects are read or written: no client calls here.

mod backup;
mod choice;
mod common;
mod definitions;
mod forget;
pub mod labels;
mod reason;
mod repository;
mod restore;
mod snapshot;
mod velero;

pub use backup::{VolumeSnapshotBackup, VolumeSnapshotBackupSpec, VolumeSnapshotBackupStatus};
pub use choice::{ChoiceClass, ChoiceError, repository_for_location, repository_named};
pub use common::{
    BatchingStatus, LocalReference, Phase, ResolvedSource, RunProgress, SourcePVCData, VolSyncData,
};
pub use definitions::crds;
pub use forget::{DeletedBackup, ForgetLocation, ForgetRequest, ForgetRequestSpec, ForgetRequestStatus};
pub use labels::velero_label_value;
pub use reason::OperatorReason;
pub use repository::{
    MaintenancePolicy, Repository, RepositorySpec, RepositoryStatus, RepositoryVolume, RetentionPolicy,
};
pub use restore::{
    BackupReference, TargetPVC, VolumeSnapshotRestore, VolumeSnapshotRestoreSpec, VolumeSnapshotRestoreStatus,
};
pub use snapshot::{
    DeletionPolicy, SnapshotError, VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent,
    VolumeSnapshotContentSource, VolumeSnapshotContentSpec, VolumeSnapshotContentStatus,
    VolumeSnapshotSource, VolumeSnapshotSpec, VolumeSnapshotStatus,
};

pub use velero::{
    CSISnapshotSpec, DATA_MOVER_FINALIZER, DataDownload, DataDownloadSpec, DataDownloadStatus, DataMovePhase,
    DataMoveProgress, DataUpload, DataUploadSpec, DataUploadStatus, TargetVolumeSpec, VeleroBackup,
    VeleroBackupSpec, VeleroPhase, VeleroRestore, VeleroRestoreSpec,
};

/// Held on a run while it has objects in the cluster.
pub const FINALIZER: &str = "oadp.openshift.io/oadp-datamover";
/// Group of both runs.
pub const GROUP: &str = "datamover.oadp.openshift.io";
/// Group of our own kinds.
pub const OWN_GROUP: &str = "longshore.dev";
