//! The folder store: private, durable names, no half-written objects.

use bytes::Bytes;
use futures::TryStreamExt as _;
use longshore_store::{Class, FolderStore, ObjectInfo, Store as _, StoreSettings, open};
use longshore_testkit::conformance;
use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

#[tokio::test]
async fn a_folder_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    conformance::run(Arc::new(FolderStore::new(folder.path().join("not/yet/there")))).await;
}

#[tokio::test]
async fn a_folder_opened_by_path_keeps_every_promise() {
    let folder = tempfile::tempdir().unwrap();
    let settings = StoreSettings::new(BTreeMap::new());
    let (store, counters) = open(folder.path().to_str().unwrap(), &settings).unwrap();
    conformance::run(store).await;
    assert!(counters.now().creates > 1100 && counters.now().written_bytes > 3 << 20);
}

#[tokio::test]
async fn files_and_folders_are_private_and_temporaries_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("repository");
    let store = FolderStore::new(root.clone());
    store.create("data/ab/cd", Bytes::from_static(b"x")).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root), 0o700);
    assert_eq!(mode(&root.join("data/ab")), 0o700);
    assert_eq!(mode(&root.join("data/ab/cd")), 0o600);
    let left: Vec<_> =
        std::fs::read_dir(root.join("data/ab")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["cd"]);
}

#[tokio::test]
async fn leavings_of_a_killed_writer_are_no_objects() {
    let folder = tempfile::tempdir().unwrap();
    let store = FolderStore::new(folder.path().to_owned());
    store.create("data/ab/cd", Bytes::from_static(b"x")).await.unwrap();
    std::fs::write(folder.path().join("data/ab/.1-0.tmp"), b"half").unwrap();
    let all: Vec<ObjectInfo> = store.list("").try_collect().await.unwrap();
    assert_eq!(all, [store.info("data/ab/cd").await.unwrap()]);
    // Names cannot leave the folder, nor reach temporaries.
    for name in ["../x", "data/../../x", "/etc/passwd", "data//x", "data/ab/.1-0.tmp", ""] {
        assert_eq!(store.get(name, 100).await.unwrap_err().class(), Class::Permanent, "{name:?}");
        assert_eq!(store.create(name, Bytes::new()).await.unwrap_err().class(), Class::Permanent, "{name:?}");
        assert_eq!(store.delete(name).await.unwrap_err().class(), Class::Permanent, "{name:?}");
    }
}

#[tokio::test]
async fn a_file_in_place_of_the_folder_is_a_missing_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let store = FolderStore::new(file);
    assert_eq!(store.get("repo", 100).await.unwrap_err().class(), Class::BucketMissing);
}
