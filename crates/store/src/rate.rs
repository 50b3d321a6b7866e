//! How much of the network, and how many requests a second, the store may take.

use crate::{ObjectInfo, Store, StoreError, StoreKind};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Limits of one process; what is not set is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// Bytes sent a second, on average over a few objects.
    pub upload_bytes_per_second: Option<NonZeroU64>,
    /// Bytes received a second, on average over a few objects.
    pub download_bytes_per_second: Option<NonZeroU64>,
    /// Requests a second; a listing counts as one.
    pub requests_per_second: Option<NonZeroU64>,
}

impl RateLimits {
    /// No limits.
    pub const NONE: Self =
        Self { upload_bytes_per_second: None, download_bytes_per_second: None, requests_per_second: None };
}

/// Makes requests wait until the limits allow them.
///
/// An object travels at full speed once it is allowed; the pause comes before the next one. So each attempt is a short
/// request whatever the limit, and does not run into its deadline. Failed attempts count too: they used the line.
#[derive(Debug)]
pub struct RateStore {
    inner: Arc<dyn Store>,
    upload: Bucket,
    download: Bucket,
    requests: Bucket,
}

impl RateStore {
    /// Limits requests to `inner`.
    pub fn new(inner: Arc<dyn Store>, limits: RateLimits) -> Self {
        Self {
            inner,
            upload: Bucket::new(limits.upload_bytes_per_second),
            download: Bucket::new(limits.download_bytes_per_second),
            requests: Bucket::new(limits.requests_per_second),
        }
    }

    /// A read of a length that is known when it is over.
    async fn read(
        &self,
        request: impl Future<Output = Result<Bytes, StoreError>>,
    ) -> Result<Bytes, StoreError> {
        self.requests.take(1).await;
        self.download.take(0).await;
        let result = request.await;
        if let Ok(bytes) = &result {
            self.download.charge(bytes.len() as u64);
        }
        result
    }
}

/// A token bucket that holds what comes in a second. It may be overdrawn by one request, and whoever comes next waits: so an
/// object larger than the bucket passes too, and the average holds.
#[derive(Debug)]
struct Bucket {
    per_second: Option<NonZeroU64>,
    /// When it is empty no longer; before now, it holds the difference's worth.
    paid_until: Mutex<Option<Instant>>,
}

impl Bucket {
    /// What comes in this time may be spent at once.
    const BURST: Duration = Duration::from_secs(1);

    fn new(per_second: Option<NonZeroU64>) -> Self {
        Self { per_second, paid_until: Mutex::default() }
    }

    /// Waits until the bucket is not overdrawn, having taken `amount` out of it. Whoever comes first goes first.
    async fn take(&self, amount: u64) {
        if let Some(before) = self.charge(amount) {
            tokio::time::sleep_until(before).await;
        }
    }

    /// Takes `amount` out and says until when the bucket was overdrawn before that.
    fn charge(&self, amount: u64) -> Option<Instant> {
        let per_second = self.per_second?;
        let now = Instant::now();
        let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
        let full = now.checked_sub(Self::BURST).unwrap_or(now);
        let before = paid_until.map_or(full, |until| until.max(full));
        let cost = Duration::try_from_secs_f64(amount as f64 / per_second.get() as f64);
        // Beyond the end of time nothing is charged: no such object is there to be read.
        *paid_until = cost.ok().and_then(|cost| before.checked_add(cost)).or(*paid_until);
        Some(before)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for RateStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        self.requests.take(1).await;
        self.upload.take(body.len() as u64).await;
        self.inner.create(name, body).await
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.read(self.inner.get(name, limit_bytes)).await
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.requests.take(1).await;
        self.download.take(length_bytes).await;
        self.inner.get_range(name, offset_bytes, length_bytes).await
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.read(self.inner.get_tail(name, length_bytes)).await
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        self.requests.take(1).await;
        self.inner.info(name).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.requests.take(1).await;
        self.inner.delete(name).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        let prefix = prefix.to_owned();
        let stream = async move {
            self.requests.take(1).await;
            self.inner.list(&prefix)
        };
        futures::stream::once(stream).flatten().boxed()
    }

    async fn kind(&self) -> Result<StoreKind, StoreError> {
        self.inner.kind().await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
