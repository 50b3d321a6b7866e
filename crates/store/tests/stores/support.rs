//! Stores that are slow, late, or out of order.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use longshore_store::{Class, ObjectInfo, Operation, Store, StoreError, StoreKind, memory};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

type Trouble = dyn Fn(usize) -> Option<Class> + Send + Sync;

/// Takes its time for each request, counts those in flight, and fails as it is told by the number of the request.
pub struct SlowStore {
    inner: Arc<dyn Store>,
    takes: Duration,
    trouble: Box<Trouble>,
    number: AtomicUsize,
    now: AtomicUsize,
    peak: AtomicUsize,
}

impl std::fmt::Debug for SlowStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SlowStore")
    }
}

impl SlowStore {
    pub fn new(
        takes: Duration,
        trouble: impl Fn(usize) -> Option<Class> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner: memory(),
            takes,
            trouble: Box::new(trouble),
            number: AtomicUsize::new(0),
            now: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
        })
    }

    /// The most requests in flight since this was last asked.
    pub fn peak(&self) -> usize {
        self.peak.swap(0, SeqCst)
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.number.load(SeqCst)
    }

    async fn dawdle(&self, operation: Operation, name: &str) -> Result<(), StoreError> {
        struct Leave<'a>(&'a AtomicUsize);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        let number = self.number.fetch_add(1, SeqCst);
        self.peak.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        let _leave = Leave(&self.now);
        tokio::time::sleep(self.takes).await;
        match (self.trouble)(number) {
            Some(class) => Err(StoreError::new(class, operation, name)),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl Store for SlowStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        self.dawdle(Operation::Create, name).await?;
        self.inner.create(name, body).await
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.dawdle(Operation::Read, name).await?;
        self.inner.get(name, limit_bytes).await
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.dawdle(Operation::Read, name).await?;
        self.inner.get_range(name, offset_bytes, length_bytes).await
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.dawdle(Operation::Read, name).await?;
        self.inner.get_tail(name, length_bytes).await
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        self.dawdle(Operation::Info, name).await?;
        self.inner.info(name).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.dawdle(Operation::Delete, name).await?;
        self.inner.delete(name).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        self.inner.list(prefix)
    }

    async fn kind(&self) -> Result<StoreKind, StoreError> {
        self.inner.kind().await
    }

    fn describe(&self) -> String {
        "slow".to_owned()
    }
}
