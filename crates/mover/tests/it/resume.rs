//! What the death of a tree's backup costs (invariant 8): its files are read again, what was stored is not stored again.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use longshore_mover::{Control, MoverError, TreeBackupOptions, backup_tree};
use longshore_repo::store::{Operation, memory};
use longshore_repo::{BackupOptions, KdfCost, Repository, RepositorySettings, RunId, Secret, SourceIdentity};
use longshore_testkit::{Fault, FaultStore};
use longshore_volume::{Tree, TreeOptions};

const MIB: u64 = 1 << 20;
/// In place of the gigabyte.
const INDEX_AFTER_BYTES: u64 = 4 * MIB;
const FILES: u64 = 24;

/// Backs the tree up; returns the bytes that had to be stored.
fn back_up(repository: &Repository, path: &Path, run: RunId) -> Result<u64, MoverError> {
    let source = repository.source_id(&SourceIdentity::Path { host: "test".into(), path: "/tree".into() });
    let options = BackupOptions { index_after_bytes: INDEX_AFTER_BYTES, ..BackupOptions::default() };
    let session = repository.begin_backup(source, run, None, options)?;
    let tree = Tree::open(path, TreeOptions::default()).unwrap();
    let splitter = repository.file_splitter();
    backup_tree(&session, &splitter, &tree, &TreeBackupOptions::default(), &Control::default())?;
    session.checkpoint()?;
    Ok(session.stats().new_bytes)
}

#[test]
fn a_tree_that_is_killed_stores_again_at_most_what_no_segment_named() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..FILES {
        let bytes = crate::noise(number, MIB as usize);
        fs::write(folder.path().join(number.to_string()), bytes).unwrap();
    }
    let store = memory();
    let password = Secret::from("password");
    let cost = KdfCost { memory_kib: 8, passes: 1, lanes: 1 };
    let settings = RepositorySettings { pack_bytes: MIB as u32, ..RepositorySettings::default() };
    Repository::init_with(store.clone(), &password, cost, settings).unwrap();
    let run = RunId(uuid::Uuid::now_v7());
    let segments = AtomicU64::new(0);
    let dying = FaultStore::new(store.clone(), move |_, request| {
        let is_segment = request.operation == Operation::Create && request.name.starts_with("idx/");
        (is_segment && segments.fetch_add(1, SeqCst) == 2).then_some(Fault::DeadAfter)
    });
    back_up(&Repository::open(dying, &password).unwrap(), folder.path(), run).unwrap_err();
    let again = back_up(&Repository::open(store.clone(), &password).unwrap(), folder.path(), run).unwrap();
    // Three segments named at least this much.
    assert!(again <= FILES * MIB - 3 * INDEX_AFTER_BYTES, "{} MiB were stored again", again / MIB);
    let nothing = back_up(&Repository::open(store, &password).unwrap(), folder.path(), run).unwrap();
    assert_eq!(nothing, 0);
}
