//! A bound on requests in flight.

use crate::{ObjectInfo, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use std::sync::Arc;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Lets at most a number of requests run at once. Listings do not count: they hold no body.
#[derive(Debug)]
pub struct LimitStore {
    inner: Arc<dyn Store>,
    requests: Semaphore,
}

impl LimitStore {
    /// Bounds requests to `inner`.
    pub fn new(inner: Arc<dyn Store>, requests_max: usize) -> Self {
        Self { inner, requests: Semaphore::new(requests_max.max(1)) }
    }

    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // The semaphore is never closed, so this only waits.
        self.requests.acquire().await.ok()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for LimitStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        let _permit = self.permit().await;
        self.inner.create(name, body).await
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        let _permit = self.permit().await;
        self.inner.get(name, limit_bytes).await
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        let _permit = self.permit().await;
        self.inner.get_range(name, offset_bytes, length_bytes).await
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        let _permit = self.permit().await;
        self.inner.get_tail(name, length_bytes).await
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        let _permit = self.permit().await;
        self.inner.info(name).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let _permit = self.permit().await;
        self.inner.delete(name).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        self.inner.list(prefix)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
