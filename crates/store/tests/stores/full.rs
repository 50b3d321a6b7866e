//! A folder on a file system without a free block: creates fail by name, and deleting works.

use bytes::Bytes;
use futures::TryStreamExt as _;
use longshore_store::{Class, FolderStore, ObjectInfo, Store as _};
use longshore_testkit::{SmallVolume, small_volume};

const PROOF: &str = "deleted on a full file system";

#[test]
fn a_full_tmpfs_can_be_emptied() {
    SmallVolume::Tmpfs.run(4, "full::inside", PROOF);
}

#[test]
fn a_full_ext4_can_be_emptied() {
    SmallVolume::Ext4.run(8, "full::inside", PROOF);
}

/// Does nothing unless one of the tests above runs it.
#[tokio::test]
async fn inside() {
    let Some(folder) = small_volume() else { return };
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
    println!("{PROOF}");
}
