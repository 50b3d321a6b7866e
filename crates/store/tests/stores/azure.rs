//! Azure Blob Storage, as far as its emulator Azurite goes.

use bytes::Bytes;
use longshore_store::{Class, StoreSettings, open};
use longshore_testkit::{conformance, emulator::Azurite, minio::SHORT};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azurite_keeps_every_promise_and_tells_what_is_missing() {
    let azurite = Azurite::start().unwrap();
    let (store, _) = open("az://bucket/a/prefix", &azurite.settings()).unwrap();
    conformance::run(store).await;
    let (missing, _) = open("az://no-such-container", &azurite.settings()).unwrap();
    assert_eq!(missing.get("repo", 100).await.unwrap_err().class(), Class::BucketMissing);
    assert_eq!(
        missing.create("repo", Bytes::from_static(b"x")).await.unwrap_err().class(),
        Class::BucketMissing
    );
    let mut wrong = azurite.variables();
    wrong.insert("AZURE_STORAGE_ACCOUNT_KEY".into(), "d3Jvbmcta2V5".into());
    let (stranger, _) = open("az://bucket", &StoreSettings::new(wrong).with_retry(SHORT)).unwrap();
    assert_eq!(stranger.get("repo", 100).await.unwrap_err().class(), Class::BadCredentials);
}
