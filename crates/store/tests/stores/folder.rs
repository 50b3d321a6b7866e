//! The folder store: private, durable names, no half-written objects.

use bytes::Bytes;
use futures::TryStreamExt as _;
use longshore_store::{Class, FolderStore, ObjectInfo, Store as _, StoreKind, StoreSettings, open};
use longshore_testkit::conformance;
use std::{
    collections::BTreeMap,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    sync::Arc,
};

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

/// In containers every process has the same id: a name made of it once let one writer remove another's half-written file
/// and link its own half under the other's name.
#[tokio::test]
async fn what_others_are_writing_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    for number in 0..100 {
        std::fs::write(data.join(format!(".{}-{number}.tmp", std::process::id())), b"half").unwrap();
    }
    let store = FolderStore::new(folder.path().to_owned());
    for number in 0..20 {
        store.create(&format!("data/{number}"), Bytes::from_static(b"x")).await.unwrap();
    }
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 120);
}

#[tokio::test]
async fn no_symbolic_link_leads_out_of_the_folder() {
    let place = tempfile::tempdir().unwrap();
    let (root, outside) = (place.path().join("root"), place.path().join("outside"));
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("file"), b"secret").unwrap();
    let store = FolderStore::new(root.clone());
    store.create("data/real", Bytes::from_static(b"x")).await.unwrap();
    symlink(&outside, root.join("snap")).unwrap();
    symlink(outside.join("file"), root.join("data/link")).unwrap();
    for name in ["snap/file", "data/link"] {
        assert_eq!(store.get(name, 100).await.unwrap_err().class(), Class::Permanent, "{name}");
        assert_eq!(store.get_range(name, 0, 1).await.unwrap_err().class(), Class::Permanent, "{name}");
        assert_eq!(store.get_tail(name, 1).await.unwrap_err().class(), Class::Permanent, "{name}");
        assert_eq!(store.info(name).await.unwrap_err().class(), Class::Permanent, "{name}");
        assert_eq!(store.delete(name).await.unwrap_err().class(), Class::Permanent, "{name}");
    }
    assert_eq!(store.create("snap/new", Bytes::new()).await.unwrap_err().class(), Class::Permanent);
    assert_eq!(store.create("data/link", Bytes::new()).await.unwrap_err().class(), Class::AlreadyExists);
    // Left out, a folder that somebody moved to a larger disk would look empty.
    for prefix in ["", "snap/", "data/"] {
        let listed: Result<Vec<ObjectInfo>, _> = store.list(prefix).try_collect().await;
        assert_eq!(listed.unwrap_err().class(), Class::Permanent, "{prefix}");
    }
    assert_eq!(std::fs::read(outside.join("file")).unwrap(), b"secret");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
}

#[tokio::test]
async fn the_root_may_be_a_link_and_may_hold_what_is_not_ours() {
    let place = tempfile::tempdir().unwrap();
    let (disk, root) = (place.path().join("disk"), place.path().join("root"));
    std::fs::create_dir_all(disk.join("lost+found/x")).unwrap();
    symlink(&disk, &root).unwrap();
    let store = FolderStore::new(root);
    store.create("data/a", Bytes::from_static(b"x")).await.unwrap();
    let all: Vec<ObjectInfo> = store.list("").try_collect().await.unwrap();
    assert_eq!(all.iter().map(|info| &info.name[..]).collect::<Vec<_>>(), ["data/a"]);
    assert_eq!(store.kind().await.unwrap(), StoreKind::Folder);
}

#[tokio::test]
async fn a_pipe_in_place_of_an_object_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(folder.path().join("data/pipe")).status().unwrap();
    assert!(made.success());
    let store = FolderStore::new(folder.path().to_owned());
    assert_eq!(store.get("data/pipe", 100).await.unwrap_err().class(), Class::Permanent);
}

/// Sessions come and go, each in a folder of its own.
#[tokio::test]
async fn folders_go_with_their_last_object_and_come_with_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let store = FolderStore::new(root.clone());
    for _ in 0..2 {
        for name in ["sess/run/one/open", "sess/run/two/open"] {
            store.create(name, Bytes::from_static(b"x")).await.unwrap();
        }
        store.delete("sess/run/one/open").await.unwrap();
        assert!(!root.join("sess/run/one").exists() && root.join("sess/run/two/open").exists());
        store.delete("sess/run/two/open").await.unwrap();
        assert!(!root.join("sess").exists() && root.exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_beside_the_delete_of_its_last_neighbour_finds_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    // Stores of their own, as processes have them.
    let workers = (0..4).map(|worker| {
        let store = FolderStore::new(folder.path().to_owned());
        tokio::spawn(async move {
            for round in 0..200 {
                let name = format!("sess/run/{worker}-{round}");
                store.create(&name, Bytes::from_static(b"x")).await.unwrap();
                assert_eq!(&store.get(&name, 1).await.unwrap()[..], b"x");
                store.delete(&name).await.unwrap();
            }
        })
    });
    for worker in futures::future::join_all(workers).await {
        worker.unwrap();
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
