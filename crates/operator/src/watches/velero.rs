//! Watches of Velero's kinds. Their stores exist from the start and stay empty until the cluster has the kinds.

use super::*;
use k8s_openapi::api::core::v1::PersistentVolume;
use longshore_api::{VeleroBackup, VeleroRestore};

use crate::names::{DATA_UPLOAD_UID, RUN};

/// Stores of Velero's kinds.
#[derive(Clone)]
pub struct VeleroStores {
    /// DataUploads, those of other movers included.
    pub uploads: Store<DataUpload>,
    /// DataDownloads, those of other movers included.
    pub downloads: Store<DataDownload>,
    /// Velero's backups.
    pub backups: Store<VeleroBackup>,
    /// Velero's restores.
    pub restores: Store<VeleroRestore>,
    health: WatchHealth,
}

impl VeleroStores {
    /// Whether every watch of Velero's kinds is past its start.
    pub fn are_started(&self) -> bool {
        self.health.first(|_, state| *state == WatchState::Starting).is_none()
    }
}

/// What is needed to start the watches later.
pub struct VeleroWatches {
    // Apart from the others' health: missing rights on Velero's kinds must stop no run of our own kinds.
    spawner: Spawner,
    senders: Senders,
    queue: Arc<OnceLock<Runs>>,
    stores: VeleroStores,
    uploads: Writer<DataUpload>,
    downloads: Writer<DataDownload>,
    backups: Writer<VeleroBackup>,
    restores: Writer<VeleroRestore>,
}

/// Stores that nothing fills yet, and what fills them.
pub(super) fn prepare(
    spawner: &Spawner,
    senders: &Senders,
    queue: &Arc<OnceLock<Runs>>,
) -> (VeleroStores, VeleroWatches) {
    let spawner = Spawner { client: spawner.client.clone(), health: WatchHealth::default() };
    let (uploads, uploads_writer) = reflector::store();
    let (downloads, downloads_writer) = reflector::store();
    let (backups, backups_writer) = reflector::store();
    let (restores, restores_writer) = reflector::store();
    let stores = VeleroStores { uploads, downloads, backups, restores, health: spawner.health.clone() };
    let watches = VeleroWatches {
        spawner,
        senders: senders.clone(),
        queue: queue.clone(),
        stores: stores.clone(),
        uploads: uploads_writer,
        downloads: downloads_writer,
        backups: backups_writer,
        restores: restores_writer,
    };
    (stores, watches)
}

impl VeleroWatches {
    /// Starts the watches.
    pub fn start(self) {
        let Self { spawner, senders, queue, stores, uploads, downloads, backups, restores } = self;
        let client = spawner.client.clone();
        let wake = senders.uploads.clone();
        let pair = (stores.uploads.clone(), uploads);
        let api = Api::all(client.clone());
        spawner.spawn_into("datauploads", api, any(), pair, move |upload: &DataUpload| {
            let _closed = wake.send(ObjectRef::from_obj(upload)).is_err();
        });
        let (wake, all) = (senders.uploads.clone(), stores.uploads.clone());
        let api = Api::all(client.clone());
        let pair = (stores.backups.clone(), backups);
        spawner.spawn_into("velero backups", api, any(), pair, move |backup: &VeleroBackup| {
            for upload in all.state_filter(|upload| owned_by(upload, backup.uid())) {
                let _closed = wake.send(ObjectRef::from_obj(upload.as_ref())).is_err();
            }
        });
        let (wake, all) = (senders.downloads.clone(), stores.downloads.clone());
        let api = Api::all(client.clone());
        let pair = (stores.restores, restores);
        spawner.spawn_into("velero restores", api, any(), pair, move |restore: &VeleroRestore| {
            for download in all.state_filter(|download| owned_by(download, restore.uid())) {
                let _closed = wake.send(ObjectRef::from_obj(download.as_ref())).is_err();
            }
        });
        let all = stores.downloads.clone();
        let api = Api::all(client.clone());
        let pair = (stores.downloads, downloads);
        spawner.spawn_into("datadownloads", api, any(), pair, move |download: &DataDownload| {
            let reference = ObjectRef::from_obj(download);
            let is_gone = all.get(&reference).is_none();
            let _closed = senders.downloads.send(reference).is_err();
            let holds_no_slot = is_gone || !(is_waiting(download) || is_working(download));
            if let Some(runs) = queue.get().filter(|_| holds_no_slot) {
                senders.wake_waiting(runs);
            }
        });
    }

    /// Wakes the DataDownload that a volume on its way belongs to, though it may be gone: nothing else remembers such a volume.
    pub fn wake_volume_owner(&self, volume: &PersistentVolume) {
        if volume.annotations().contains_key(RUN) {
            self.senders.wake_run(volume);
        }
    }
}

fn owned_by<K: ResourceExt>(object: &K, uid: Option<String>) -> bool {
    uid.is_some_and(|uid| object.owner_references().iter().any(|owner| owner.uid == uid))
}

impl Senders {
    /// Wakes the DataUpload that a backup serves.
    pub(super) fn wake_upload_of(&self, backup: &VolumeSnapshotBackup) {
        if backup.labels().contains_key(DATA_UPLOAD_UID) {
            let namespace = backup.namespace().unwrap_or_default();
            for owner in backup.owner_references().iter().filter(|owner| owner.kind == "DataUpload") {
                let _closed = self.uploads.send(ObjectRef::new(&owner.name).within(&namespace)).is_err();
            }
        }
    }

    /// Wakes the DataUploads whose source this is.
    pub(super) fn wake_uploads_from(&self, uploads: &Store<DataUpload>, snapshot: &VolumeSnapshot) {
        let (namespace, name) = (snapshot.namespace(), snapshot.name_any());
        let from = uploads.state_filter(|upload| {
            let csi = upload.spec.csi_snapshot.as_ref();
            upload.spec.source_namespace == namespace
                && csi.and_then(|csi| csi.volume_snapshot.as_deref()) == Some(name.as_str())
        });
        for upload in from {
            let _closed = self.uploads.send(ObjectRef::from_obj(upload.as_ref())).is_err();
        }
    }

    /// Wakes the DataDownloads whose target this is.
    pub(super) fn wake_downloads_to(&self, downloads: &Store<DataDownload>, claim: &PersistentVolumeClaim) {
        let (namespace, name) = (claim.namespace(), claim.name_any());
        let to = downloads.state_filter(|download| {
            let target = download.spec.target_volume.as_ref();
            target.is_some_and(|target| {
                target.namespace == namespace && target.pvc.as_deref() == Some(name.as_str())
            })
        });
        for download in to {
            let _closed = self.downloads.send(ObjectRef::from_obj(download.as_ref())).is_err();
        }
    }
}
