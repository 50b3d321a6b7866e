//! How many requests may be in flight, found out by trying.

use crate::{ObjectInfo, Store, StoreError, StoreKind};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{Semaphore, SemaphorePermit};

/// Bounds on requests in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// Where it begins.
    pub start: NonZeroUsize,
    /// The most that it ever becomes.
    pub max: NonZeroUsize,
}

impl Concurrency {
    /// From 4 to 32.
    pub const STANDARD: Self =
        Self { start: NonZeroUsize::MIN.saturating_add(3), max: NonZeroUsize::MIN.saturating_add(31) };
}

/// Lets a number of requests run at once that follows what the store can bear: one more after each round of successes, half
/// as many after one that failed for reasons that pass (503, 429, a deadline, a broken connection). Of several that fail
/// together only the first counts.
///
/// A request that is begun holds its place until it is driven to its end or dropped: whoever begins several and then waits for
/// another must let a task of its own drive each.
///
/// Listings do not count: they hold no body, and one may last as long as its reader likes.
#[derive(Debug)]
pub struct AdaptiveStore {
    inner: Arc<dyn Store>,
    permits: Semaphore,
    state: Mutex<State>,
    max: usize,
}

#[derive(Debug)]
struct State {
    limit: usize,
    /// Permits that were handed out before the limit sank: so many are not given back.
    owed: usize,
    /// Successes since the limit last changed.
    successes: usize,
    /// How often the limit sank.
    falls: u64,
}

impl AdaptiveStore {
    /// Bounds requests to `inner`.
    pub fn new(inner: Arc<dyn Store>, concurrency: Concurrency) -> Self {
        let (max, limit) = (concurrency.max.get(), concurrency.start.min(concurrency.max).get());
        let state = State { limit, owed: 0, successes: 0, falls: 0 };
        Self { inner, permits: Semaphore::new(limit), state: Mutex::new(state), max }
    }

    /// Requests that may be in flight now.
    pub fn limit(&self) -> usize {
        self.lock().limit
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run<T>(&self, request: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        // The semaphore is never closed, so this only waits.
        let permit = self.permits.acquire().await.ok();
        let permit = Permit { store: self, permit, falls: self.lock().falls };
        let result = request.await;
        match &result {
            Err(error) if error.class().is_transient() => permit.failed(),
            _ => permit.succeeded(),
        }
        result
    }
}

/// Given back, or kept if the limit sank meanwhile, also when its request is dropped.
struct Permit<'a> {
    store: &'a AdaptiveStore,
    permit: Option<SemaphorePermit<'a>>,
    falls: u64,
}

impl Permit<'_> {
    fn succeeded(&self) {
        let mut state = self.store.lock();
        state.successes += 1;
        if state.successes >= state.limit {
            state.successes = 0;
            if state.limit < self.store.max {
                state.limit += 1;
                match state.owed.checked_sub(1) {
                    Some(owed) => state.owed = owed,
                    None => self.store.permits.add_permits(1),
                }
            }
        }
    }

    fn failed(&self) {
        let mut state = self.store.lock();
        state.successes = 0;
        // It began before the last fall: that one answered for it.
        if state.falls > self.falls {
            return;
        }
        let half = (state.limit / 2).max(1);
        state.owed += state.limit - half;
        state.limit = half;
        state.falls += 1;
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.store.lock();
        if let Some(owed) = state.owed.checked_sub(1) {
            state.owed = owed;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for AdaptiveStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        self.run(self.inner.create(name, body)).await
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.run(self.inner.get(name, limit_bytes)).await
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.run(self.inner.get_range(name, offset_bytes, length_bytes)).await
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.run(self.inner.get_tail(name, length_bytes)).await
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        self.run(self.inner.info(name)).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.run(self.inner.delete(name)).await
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
