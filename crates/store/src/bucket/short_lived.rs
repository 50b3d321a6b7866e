use super::{Bucket, errors::failed};
use crate::{Class, ObjectInfo, Operation, Store, StoreError, StoreKind};
use async_trait::async_trait;
use aws_sdk_s3::{
    primitives::{ByteStream, DateTime},
    types::{ChecksumAlgorithm, ObjectLockMode},
};
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use tokio::sync::OnceCell;

/// For how long what is short-lived is locked where something must be: S3 takes no end in the past, and this machine's clock
/// may be some hours wrong.
const LOCK: SignedDuration = SignedDuration::from_hours(24);

/// Keeps a bucket that locks whatever is put into it from locking for months what is needed for minutes.
///
/// What is short-lived is created with a lock of their own, which stands above the bucket's default: of one day, and of
/// the mode that who has the right to may open. All else goes by as it is. A bucket is asked once, with the first such object;
/// if it may not be asked, or locks nothing, the store does what it would do anyway.
#[derive(Debug)]
pub struct ShortLivedStore {
    inner: Arc<dyn Store>,
    bucket: Bucket,
    is_short_lived: fn(&str) -> bool,
    locks: OnceCell<bool>,
}

impl ShortLivedStore {
    /// `is_short_lived`: tells such objects by their names.
    pub fn new(inner: Arc<dyn Store>, bucket: Bucket, is_short_lived: fn(&str) -> bool) -> Self {
        Self { inner, bucket, is_short_lived, locks: OnceCell::new() }
    }

    /// Whether the bucket locks what is put into it.
    async fn locks(&self) -> Result<bool, StoreError> {
        let ask = || async {
            match self.bucket.object_lock().await {
                Ok(lock) => Ok(lock.is_some_and(|lock| lock.default.is_some())),
                // A store that only speaks like S3 may not know the question.
                Err(error) if matches!(error.class(), Class::AccessDenied | Class::Permanent) => {
                    tracing::info!(error = %error, "the bucket does not say whether it locks objects; taken for one that does not");
                    Ok(false)
                }
                Err(error) => Err(error),
            }
        };
        self.locks.get_or_try_init(ask).await.copied()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for ShortLivedStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        if (self.is_short_lived)(name) && self.locks().await? {
            self.bucket.create_locked(name, body, Timestamp::now() + LOCK).await
        } else {
            self.inner.create(name, body).await
        }
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.inner.get(name, limit_bytes).await
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.inner.get_range(name, offset_bytes, length_bytes).await
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.inner.get_tail(name, length_bytes).await
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        self.inner.info(name).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.inner.delete(name).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        self.inner.list(prefix)
    }

    async fn kind(&self) -> Result<StoreKind, StoreError> {
        self.inner.kind().await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

impl Bucket {
    /// [`Store::create`], with a lock of governance.
    async fn create_locked(&self, name: &str, body: Bytes, until: Timestamp) -> Result<(), StoreError> {
        let request = self.client.put_object().bucket(&self.name).key(self.key(name)).if_none_match("*");
        // S3 demands a checksum where locks are named.
        let request = request
            .object_lock_mode(ObjectLockMode::Governance)
            .object_lock_retain_until_date(DateTime::from_secs(until.as_second()))
            .checksum_algorithm(ChecksumAlgorithm::Crc32C);
        let sent = request.body(ByteStream::from(body)).send().await;
        sent.map(drop).map_err(|error| failed(Operation::Create, name, error))
    }
}
