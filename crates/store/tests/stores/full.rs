//! A folder on a file system without a free block: creates fail by name, and deleting works.

use bytes::Bytes;
use futures::TryStreamExt as _;
use longshore_store::{Class, FolderStore, ObjectInfo, Store as _};
use std::{path::PathBuf, process::Command};

const FOLDER: &str = "LONGSHORE_TEST_FULL_FOLDER";

/// Runs `inside` of this file again in a mount namespace of its own, which ends with it, on what `mount` mounts at `$1`.
fn on(mount: &str) {
    let place = tempfile::tempdir().unwrap();
    let script = format!("{mount} && exec \"$2\" --exact full::inside --nocapture");
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-ec", &script, "sh"])
        .arg(place.path())
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER, place.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("deleted on a full file system"),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_full_tmpfs_can_be_emptied() {
    on("mount -t tmpfs -o size=4m tmpfs \"$1\"");
}

#[test]
fn a_full_ext4_can_be_emptied() {
    on("truncate -s 8M \"$1.img\" && mkfs.ext4 -q -m 0 \"$1.img\" \
        && mount -o loop \"$1.img\" \"$1\" && rm \"$1.img\"");
}

/// Does nothing unless one of the tests above runs it.
#[tokio::test]
async fn inside() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let store = FolderStore::new(folder.join("repository"));
    let mut made = 0;
    // Large ones first, then ever smaller ones, until not one block is left.
    for length in [256 << 10, 16 << 10, 4096, 1] {
        let error = loop {
            match store.create(&format!("data/{made}"), Bytes::from(vec![7; length])).await {
                Ok(()) => made += 1,
                Err(error) => break error,
            }
            assert!(made < 100_000);
        };
        assert_eq!(error.class(), Class::Full, "{error:?}");
    }
    let all: Vec<ObjectInfo> = store.list("").try_collect().await.unwrap();
    assert_eq!(all.len(), made, "what failed left nothing");
    for object in all.iter().rev() {
        store.delete(&object.name).await.unwrap();
    }
    let left: Vec<ObjectInfo> = store.list("").try_collect().await.unwrap();
    assert_eq!(left, []);
    store.create("data/again", Bytes::from(vec![7; 256 << 10])).await.unwrap();
    println!("deleted on a full file system");
}
