//! The real engine on a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use longshore_mover::{BackupRequest, Control, RestoreOptions, run_backup, run_restore};
use longshore_repo::store::{StoreSettings, open};
use longshore_repo::{
    KdfCost, KeyChange, PruneOptions, PrunePolicy, Repository, RepositorySettings, RunId, Secret, Snapshot,
    SourceIdentity,
};

const PASSWORD: &str = "a password of the tests";

pub struct Engine {
    folder: PathBuf,
    repository: Repository,
}

impl Engine {
    /// A new repository in a folder, with small packs and a cheap password.
    pub fn new(folder: &Path) -> Self {
        let (store, _) = open(folder.to_str().unwrap(), &StoreSettings::new(BTreeMap::new())).unwrap();
        let cost = KdfCost { memory_kib: 64, passes: 2, lanes: 2 };
        let settings = RepositorySettings { pack_bytes: 1 << 20, ..RepositorySettings::default() };
        let repository = Repository::init_with(store, &Secret::from(PASSWORD), cost, settings).unwrap();
        Self { folder: folder.to_owned(), repository }
    }

    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The independent reader on the same folder.
    pub fn reader(&self) -> crate::Reader {
        crate::Reader::new(&self.folder, PASSWORD)
    }

    /// Opened anew, as by another process.
    fn again(&self) -> Repository {
        let (store, _) = open(self.folder.to_str().unwrap(), &StoreSettings::new(BTreeMap::new())).unwrap();
        Repository::open(store, &Secret::from(PASSWORD)).unwrap()
    }

    pub fn back_up(&self, path: &Path) -> Snapshot {
        let request = BackupRequest {
            path,
            run: RunId(uuid::Uuid::now_v7()),
            source: SourceIdentity::Path { host: "test".into(), path: path.to_string_lossy().into_owned() },
            kubernetes: None,
            data_at: None,
            labels: BTreeMap::from([("tier".to_owned(), "gold".to_owned())]),
            allow_incomplete: false,
            force: false,
            one_file_system: false,
            is_immutable: false,
        };
        run_backup(&self.again(), &request, &jiff::Timestamp::now, &Control::default()).unwrap().snapshot
    }

    pub fn restore(&self, snapshot: &Snapshot, target: &Path) {
        run_restore(&self.again(), snapshot, target, RestoreOptions::default(), &Control::default()).unwrap();
    }

    pub fn forget(&self, snapshot: &Snapshot) {
        self.again().forget(snapshot, "test", jiff::Timestamp::now()).unwrap();
    }

    /// Gives back all that nothing needs; returns how many bytes were copied out of packs for it.
    pub fn prune(&self) -> u64 {
        let policy = PrunePolicy { max_unused_percent: 0, ..PrunePolicy::default() };
        let options = PruneOptions { policy, patience: Duration::from_secs(60) };
        self.again().prune(&options, &mut |_| {}).unwrap().copied_bytes
    }

    pub fn rotate_keys(&self) {
        self.again().change_keys(&KeyChange { rotate: true, ..KeyChange::default() }).unwrap();
    }
}

/// Pseudorandom bytes, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut out = vec![0; length];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}
