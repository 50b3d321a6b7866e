//! A real MinIO on loopback, in the clear and with TLS: the suite, and the reasons that an operator shows.

use bytes::Bytes;
use futures::TryStreamExt as _;
use longshore_store::{Class, ObjectInfo, Store, StoreSettings, open};
use longshore_testkit::{
    conformance,
    minio::{MINIO_PASSWORD, Minio, SHORT},
};
use std::{net::TcpListener, sync::Arc};

async fn failure(location: &str, settings: &StoreSettings) -> Class {
    let (store, _) = open(location, settings).unwrap();
    store.get("repo", 100).await.unwrap_err().class()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minio_keeps_every_promise() {
    let minio = Minio::start(false).unwrap();
    let (store, _) = open("s3://bucket/a/prefix", &minio.settings()).unwrap();
    conformance::run(store).await;
    // The same objects by restic's way of writing it, and nothing outside the prefix.
    let location = format!("s3:{}/bucket/a/prefix", minio.endpoint());
    let (store, _) = open(&location, &minio.settings()).unwrap();
    assert_eq!(&store.get("once/a", 100).await.unwrap()[..], b"first");
    let (outside, _) = open("s3://bucket/a/pre", &minio.settings()).unwrap();
    let all: Vec<ObjectInfo> = outside.list("").try_collect().await.unwrap();
    assert_eq!(all, []);
    assert!(minio.folder().join("data/bucket/a/prefix/once/a").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn minio_behind_tls_keeps_every_promise_and_needs_its_authority() {
    let minio = Minio::start(true).unwrap();
    let (store, _) = open("s3://bucket/tls", &minio.settings()).unwrap();
    conformance::run(store).await;
    let stranger = StoreSettings::new(minio.variables()).with_retry(SHORT);
    assert_eq!(failure("s3://bucket/tls", &stranger).await, Class::CertificateUntrusted);
    // The authority by AWS_CA_BUNDLE, as other tools take it.
    let bundle = minio.folder().join("ca.pem");
    std::fs::write(&bundle, minio.authority().unwrap()).unwrap();
    let mut variables = minio.variables();
    variables.insert("AWS_CA_BUNDLE".into(), bundle.to_str().unwrap().into());
    let (store, _) = open("s3://bucket/tls", &StoreSettings::new(variables).with_retry(SHORT)).unwrap();
    assert_eq!(&store.get("once/a", 100).await.unwrap()[..], b"first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_have_the_reasons_that_an_operator_shows() {
    let minio = Minio::start(false).unwrap();
    let with = |name: &str, value: &str| {
        let mut variables = minio.variables();
        variables.insert(name.to_owned(), value.to_owned());
        StoreSettings::new(variables).with_retry(SHORT)
    };
    let (ready, _) = open("s3://bucket", &minio.settings()).unwrap();
    ready.create("here", Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(failure("s3://bucket", &minio.settings()).await, Class::NotFound);
    assert_eq!(failure("s3://no-such-bucket", &minio.settings()).await, Class::BucketMissing);
    let wrong_secret = with("AWS_SECRET_ACCESS_KEY", "wrong-wrong-wrong");
    assert_eq!(failure("s3://bucket", &wrong_secret).await, Class::BadCredentials);
    assert_eq!(failure("s3://bucket", &with("AWS_ACCESS_KEY_ID", "nobody")).await, Class::BadCredentials);
    assert_eq!(failure("s3://bucket", &with("AWS_SKIP_SIGNATURE", "true")).await, Class::AccessDenied);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let down = with("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{closed}"));
    assert_eq!(failure("s3://bucket", &down).await, Class::Unreachable);
    let unknown = with("AWS_ENDPOINT_URL", "http://no-such-host.invalid");
    assert_eq!(failure("s3://bucket", &unknown).await, Class::Unreachable);
    // No key at all: the instance's own identity is asked for, and there is none.
    let mut variables = minio.variables();
    variables.retain(|name, _| !name.contains("KEY"));
    variables.insert("AWS_METADATA_ENDPOINT".into(), format!("http://127.0.0.1:{closed}"));
    let nobody = StoreSettings::new(variables).with_retry(SHORT);
    assert_eq!(failure("s3://bucket", &nobody).await, Class::BadCredentials);
    for settings in [wrong_secret, down] {
        let (store, _): (Arc<dyn Store>, _) = open("s3://bucket", &settings).unwrap();
        let mut texts = vec![format!("{settings:?}")];
        let error = store.create("x", Bytes::from_static(b"x")).await.unwrap_err();
        texts.push(format!("{error:?} {error}"));
        assert!(
            texts.iter().all(|text| !text.contains("wrong-wrong-wrong") && !text.contains(MINIO_PASSWORD)),
            "{texts:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_are_read_again_when_they_are_refused() {
    let minio = Minio::start(false).unwrap();
    let mut wrong = minio.variables();
    wrong.insert("AWS_SECRET_ACCESS_KEY".into(), "revoked-revoked".into());
    let right = minio.variables();
    let settings = StoreSettings::new(wrong).with_retry(SHORT).with_refresh(move || Some(right.clone()));
    let (store, _) = open("s3://bucket", &settings).unwrap();
    // Never accepted, so not tried again; but what is asked next is asked with the new ones.
    assert_eq!(store.get("a", 1).await.unwrap_err().class(), Class::BadCredentials);
    assert_eq!(store.get("a", 1).await.unwrap_err().class(), Class::NotFound);
}
