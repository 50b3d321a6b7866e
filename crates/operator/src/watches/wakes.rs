//! Whom a change wakes, and how.

use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use longshore_api::{
    DataDownload, DataUpload, ForgetRequest, Repository, VolumeSnapshotBackup, VolumeSnapshotContent,
    VolumeSnapshotRestore,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::names::{RunKind, run_of};
use crate::slots::is_waiting;

/// What wakes the controllers.
pub struct Wakes {
    /// Backups to look at.
    pub backups: UnboundedReceiver<ObjectRef<VolumeSnapshotBackup>>,
    /// Restores to look at.
    pub restores: UnboundedReceiver<ObjectRef<VolumeSnapshotRestore>>,
    /// Keepers to look at.
    pub keepers: UnboundedReceiver<ObjectRef<VolumeSnapshotContent>>,
    /// Repositories to look at.
    pub repositories: UnboundedReceiver<ObjectRef<Repository>>,
    /// Requests to forget to look at.
    pub forgets: UnboundedReceiver<ObjectRef<ForgetRequest>>,
    /// DataUploads to look at.
    pub uploads: UnboundedReceiver<ObjectRef<DataUpload>>,
    /// DataDownloads to look at.
    pub downloads: UnboundedReceiver<ObjectRef<DataDownload>>,
}

/// Senders that wake controllers.
#[derive(Clone)]
pub(super) struct Senders {
    pub(super) backups: UnboundedSender<ObjectRef<VolumeSnapshotBackup>>,
    pub(super) restores: UnboundedSender<ObjectRef<VolumeSnapshotRestore>>,
    pub(super) keepers: UnboundedSender<ObjectRef<VolumeSnapshotContent>>,
    pub(super) repositories: UnboundedSender<ObjectRef<Repository>>,
    pub(super) forgets: UnboundedSender<ObjectRef<ForgetRequest>>,
    pub(super) uploads: UnboundedSender<ObjectRef<DataUpload>>,
    pub(super) downloads: UnboundedSender<ObjectRef<DataDownload>>,
}

impl Senders {
    /// Wakes the run that a child belongs to. A closed channel means that the program is ending.
    pub(super) fn wake_run<K: ResourceExt>(&self, child: &K) {
        if let Some((kind, namespace, name)) = run_of(child.meta()) {
            let _closed = match kind {
                RunKind::Backup => self.backups.send(ObjectRef::new(name).within(namespace)).is_err(),
                RunKind::Restore => self.restores.send(ObjectRef::new(name).within(namespace)).is_err(),
                RunKind::Forget => self.forgets.send(ObjectRef::new(name).within(namespace)).is_err(),
                RunKind::Maintenance => {
                    self.repositories.send(ObjectRef::new(name).within(namespace)).is_err()
                }
                RunKind::DataDownload => self.downloads.send(ObjectRef::new(name).within(namespace)).is_err(),
            };
        }
    }

    /// Wakes everybody who waits for a slot.
    pub(super) fn wake_waiting(&self, runs: &Runs) {
        for run in runs.restores.state_filter(is_waiting) {
            let _closed = self.restores.send(ObjectRef::from_obj(run.as_ref())).is_err();
        }
        for run in runs.downloads.state_filter(is_waiting) {
            let _closed = self.downloads.send(ObjectRef::from_obj(run.as_ref())).is_err();
        }
        for run in runs.backups.state_filter(is_waiting) {
            let _closed = self.backups.send(ObjectRef::from_obj(run.as_ref())).is_err();
        }
        for run in runs.forgets.state_filter(is_waiting) {
            let _closed = self.forgets.send(ObjectRef::from_obj(run.as_ref())).is_err();
        }
    }

    pub(super) fn wake_keeper(&self, keeper: &VolumeSnapshotContent) {
        let _closed = self.keepers.send(ObjectRef::from_obj(keeper)).is_err();
    }
}

/// Stores of all kinds that queue: the end of one kind may make room for another.
pub(super) struct Runs {
    pub(super) backups: Store<VolumeSnapshotBackup>,
    pub(super) restores: Store<VolumeSnapshotRestore>,
    pub(super) downloads: Store<DataDownload>,
    pub(super) forgets: Store<ForgetRequest>,
}

/// What wakes the controllers, from both sides.
pub(super) fn channels() -> (Senders, Wakes) {
    let (backup_sender, backups) = unbounded_channel();
    let (restore_sender, restores) = unbounded_channel();
    let (keeper_sender, keepers) = unbounded_channel();
    let (repository_sender, repositories) = unbounded_channel();
    let (forget_sender, forgets) = unbounded_channel();
    let (upload_sender, uploads) = unbounded_channel();
    let (download_sender, downloads) = unbounded_channel();
    let senders = Senders {
        backups: backup_sender,
        restores: restore_sender,
        keepers: keeper_sender,
        repositories: repository_sender,
        forgets: forget_sender,
        uploads: upload_sender,
        downloads: download_sender,
    };
    (senders, Wakes { backups, restores, keepers, repositories, forgets, uploads, downloads })
}
