//! Versions and locks of a bucket, on a real MinIO.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use longshore_store::{
    Bucket, Class, DefaultRetention, LockMode, ObjectLock, Protection, Retention, Store, Versioning, open,
};
use longshore_testkit::minio::Minio;
use std::sync::Arc;

fn bucket(minio: &Minio, name: &str) -> Bucket {
    Bucket::open(&format!("s3://{name}/p"), &minio.settings()).unwrap().unwrap()
}

fn store(minio: &Minio, name: &str) -> Arc<dyn Store> {
    open(&format!("s3://{name}/p"), &minio.settings().with_short_lived(|name| name.starts_with("sess/")))
        .unwrap()
        .0
}

#[tokio::test]
async fn a_bucket_says_what_it_does_for_what_is_in_it() {
    let minio = Minio::start(false).unwrap();
    let protection = async |name| bucket(&minio, name).protection().await;
    let plain = Protection { versioning: Versioning::Off, lock: None };
    assert_eq!(protection("bucket").await.unwrap(), plain);
    minio.make_locked_bucket("lockable", None).await.unwrap();
    let lockable = Protection { versioning: Versioning::On, lock: Some(ObjectLock { default: None }) };
    assert_eq!(protection("lockable").await.unwrap(), lockable);
    minio.make_locked_bucket("locked", Some(7)).await.unwrap();
    let default = Some(DefaultRetention { mode: LockMode::Compliance, days: 7 });
    assert_eq!(protection("locked").await.unwrap().lock, Some(ObjectLock { default }));
    assert_eq!(protection("missing").await.unwrap_err().class(), Class::BucketMissing);
    assert!(Bucket::open("/a/folder", &minio.settings()).unwrap().is_none());
}

#[tokio::test]
async fn a_server_with_tls_and_its_own_authority_is_asked_too() {
    let minio = Minio::start(true).unwrap();
    assert_eq!(bucket(&minio, "bucket").protection().await.unwrap().versioning, Versioning::Off);
    let settings = longshore_store::StoreSettings::new(minio.variables());
    let stranger = Bucket::open("s3://bucket/p", &settings).unwrap().unwrap();
    assert_eq!(stranger.protection().await.unwrap_err().class(), Class::CertificateUntrusted);
}

#[tokio::test]
async fn what_is_short_lived_is_locked_for_a_day_and_nothing_else_is() {
    let minio = Minio::start(false).unwrap();
    minio.make_locked_bucket("locked", Some(7)).await.unwrap();
    let (store, bucket) = (store(&minio, "locked"), bucket(&minio, "locked"));
    for name in ["data/x", "sess/x"] {
        store.create(name, Bytes::from_static(b"x")).await.unwrap();
        let again = store.create(name, Bytes::from_static(b"y")).await.unwrap_err();
        assert_eq!(again.class(), Class::AlreadyExists, "{name}");
        assert_eq!(store.get(name, 10).await.unwrap(), "x");
    }
    let hours = async |name| {
        let lock = bucket.retention(name).await.unwrap().unwrap();
        (lock.mode, (lock.until.duration_since(Timestamp::now()).as_secs_f64() / 3600.0).round())
    };
    assert_eq!(hours("data/x").await, (LockMode::Compliance, 168.0));
    assert_eq!(hours("sess/x").await, (LockMode::Governance, 24.0));
    let later =
        Retention { mode: LockMode::Compliance, until: Timestamp::now() + SignedDuration::from_hours(400) };
    bucket.lock("data/x", later).await.unwrap();
    assert_eq!(hours("data/x").await, (LockMode::Compliance, 400.0));
    let sooner = Retention { until: Timestamp::now() + SignedDuration::from_hours(1), ..later };
    assert_eq!(bucket.lock("data/x", sooner).await.unwrap_err().class(), Class::AccessDenied);
}

#[tokio::test]
async fn a_bucket_without_locks_takes_short_lived_objects_like_others() {
    let minio = Minio::start(false).unwrap();
    let store = store(&minio, "bucket");
    store.create("sess/x", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(bucket(&minio, "bucket").retention("sess/x").await.unwrap(), None);
}

#[tokio::test]
async fn what_was_deleted_is_found_among_the_versions_and_shown_again() {
    let minio = Minio::start(false).unwrap();
    minio.make_locked_bucket("locked", Some(1)).await.unwrap();
    let (store, bucket) = (store(&minio, "locked"), bucket(&minio, "locked"));
    store.create("data/x", Bytes::from_static(b"first")).await.unwrap();
    store.delete("data/x").await.unwrap();
    store.create("data/x", Bytes::from_static(b"second")).await.unwrap();
    let versions = bucket.versions("data/").await.unwrap();
    let shape: Vec<_> = versions.iter().map(|one| (one.size_bytes, one.is_latest, one.is_marker)).collect();
    assert_eq!(shape, [(6, true, false), (0, false, true), (5, false, false)]);
    let locked = bucket.delete_version("data/x", &versions[2].id).await.unwrap_err();
    assert_eq!(locked.class(), Class::AccessDenied);
    bucket.copy_version("data/x", &versions[2].id).await.unwrap();
    assert_eq!(store.get("data/x", 10).await.unwrap(), "first");
    store.delete("data/x").await.unwrap();
    assert_eq!(store.get("data/x", 10).await.unwrap_err().class(), Class::NotFound);
    let marker = bucket.versions("data/").await.unwrap().remove(0);
    assert!(marker.is_marker && marker.is_latest);
    bucket.delete_version("data/x", &marker.id).await.unwrap();
    assert_eq!(store.get("data/x", 10).await.unwrap(), "first");
}
