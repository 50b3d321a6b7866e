//! Counting requests and bytes, and telling of each request at trace level.

use crate::{ObjectInfo, Operation, Store, StoreError, StoreKind};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// Running counts of a store's use.
#[derive(Debug, Default)]
pub struct StoreCounters {
    creates: AtomicU64,
    reads: AtomicU64,
    deletes: AtomicU64,
    lists: AtomicU64,
    failures: AtomicU64,
    written_bytes: AtomicU64,
    read_bytes: AtomicU64,
}

/// A store's use at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreUse {
    /// Objects created.
    pub creates: u64,
    /// Reads, whole or in part, and questions for length and time.
    pub reads: u64,
    /// Deletions asked for.
    pub deletes: u64,
    /// Listings begun.
    pub lists: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Bytes of created objects.
    pub written_bytes: u64,
    /// Bytes read.
    pub read_bytes: u64,
}

impl StoreCounters {
    /// The counts now.
    pub fn now(&self) -> StoreUse {
        StoreUse {
            creates: self.creates.load(Relaxed),
            reads: self.reads.load(Relaxed),
            deletes: self.deletes.load(Relaxed),
            lists: self.lists.load(Relaxed),
            failures: self.failures.load(Relaxed),
            written_bytes: self.written_bytes.load(Relaxed),
            read_bytes: self.read_bytes.load(Relaxed),
        }
    }

    fn read<T>(
        &self,
        request: Request<'_>,
        result: Result<T, StoreError>,
        bytes: impl Fn(&T) -> u64,
    ) -> Result<T, StoreError> {
        self.reads.fetch_add(1, Relaxed);
        let length = result.as_ref().map_or(0, bytes);
        match &result {
            Ok(_) => self.read_bytes.fetch_add(length, Relaxed),
            Err(_) => self.failures.fetch_add(1, Relaxed),
        };
        request.tell(length, &result);
        result
    }
}

/// A request on its way. Names of objects are no secrets; bodies are never shown.
struct Request<'a> {
    operation: Operation,
    name: &'a str,
    begun: Instant,
}

impl<'a> Request<'a> {
    fn begin(operation: Operation, name: &'a str) -> Self {
        Self { operation, name, begun: Instant::now() }
    }

    fn tell<T>(&self, bytes: u64, result: &Result<T, StoreError>) {
        let Self { operation, name, begun } = self;
        let seconds = begun.elapsed().as_secs_f64();
        match result {
            Ok(_) => tracing::trace!(%operation, name, bytes, seconds, "a request was answered"),
            Err(error) => {
                let class = error.class().as_str();
                tracing::debug!(%operation, name, class, seconds, "a request failed");
            }
        }
    }
}

/// Counts the requests that pass through it, and tells of each one.
#[derive(Debug)]
pub struct MetricsStore {
    inner: Arc<dyn Store>,
    counters: Arc<StoreCounters>,
}

impl MetricsStore {
    /// Counts requests to `inner` in `counters`.
    pub fn new(inner: Arc<dyn Store>, counters: Arc<StoreCounters>) -> Self {
        Self { inner, counters }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for MetricsStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        let length = body.len() as u64;
        let request = Request::begin(Operation::Create, name);
        let result = self.inner.create(name, body).await;
        self.counters.creates.fetch_add(1, Relaxed);
        match &result {
            Ok(()) => self.counters.written_bytes.fetch_add(length, Relaxed),
            Err(_) => self.counters.failures.fetch_add(1, Relaxed),
        };
        request.tell(length, &result);
        result
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        let request = Request::begin(Operation::Read, name);
        let result = self.inner.get(name, limit_bytes).await;
        self.counters.read(request, result, |bytes| bytes.len() as u64)
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        let request = Request::begin(Operation::Read, name);
        let result = self.inner.get_range(name, offset_bytes, length_bytes).await;
        self.counters.read(request, result, |bytes| bytes.len() as u64)
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        let request = Request::begin(Operation::Read, name);
        let result = self.inner.get_tail(name, length_bytes).await;
        self.counters.read(request, result, |bytes| bytes.len() as u64)
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        let request = Request::begin(Operation::Info, name);
        let result = self.inner.info(name).await;
        self.counters.read(request, result, |_| 0)
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let request = Request::begin(Operation::Delete, name);
        let result = self.inner.delete(name).await;
        self.counters.deletes.fetch_add(1, Relaxed);
        if result.is_err() {
            self.counters.failures.fetch_add(1, Relaxed);
        }
        request.tell(0, &result);
        result
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        self.counters.lists.fetch_add(1, Relaxed);
        tracing::trace!(operation = %Operation::List, name = prefix, "a listing is begun");
        self.inner
            .list(prefix)
            .inspect(|item| {
                if let Err(error) = item {
                    let (name, class) = (error.name(), error.class().as_str());
                    tracing::debug!(operation = %Operation::List, name, class, "a request failed");
                    self.counters.failures.fetch_add(1, Relaxed);
                }
            })
            .boxed()
    }

    async fn kind(&self) -> Result<StoreKind, StoreError> {
        self.inner.kind().await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
