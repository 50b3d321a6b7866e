//! Credentials that are replaced while the program runs.

use crate::{Class, ObjectInfo, Store, StoreError, StoreKind};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

/// Opens a store anew with the credentials of the moment; `None` if that is not possible now.
type Reopen = dyn Fn() -> Option<Arc<dyn Store>> + Send + Sync;

/// Opens its store anew whenever it refuses the credentials. The refused request stays refused; the next one uses the new
/// store, so that [`crate::RetryStore`] around it gets through.
///
/// What cloud identities give out (roles, workload identity) `object_store` renews itself before it expires. This is for what
/// stands in files that somebody else replaces: a Secret that is mounted into a pod.
pub struct RefreshStore {
    current: RwLock<Arc<dyn Store>>,
    reopen: Box<Reopen>,
}

impl fmt::Debug for RefreshStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshStore").field("store", &self.describe()).finish_non_exhaustive()
    }
}

impl RefreshStore {
    /// Begins with `store`.
    pub fn new(
        store: Arc<dyn Store>,
        reopen: impl Fn() -> Option<Arc<dyn Store>> + Send + Sync + 'static,
    ) -> Self {
        Self { current: RwLock::new(store), reopen: Box::new(reopen) }
    }

    fn current(&self) -> Arc<dyn Store> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn seen<T>(&self, used: &Arc<dyn Store>, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.as_ref().is_err_and(|error| error.class() == Class::BadCredentials)
            // Of several requests that fail together the first one does it.
            && Arc::ptr_eq(used, &self.current())
            && let Some(store) = (self.reopen)()
        {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = store;
        }
        result
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for RefreshStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        let store = self.current();
        self.seen(&store, store.create(name, body).await)
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        let store = self.current();
        self.seen(&store, store.get(name, limit_bytes).await)
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        let store = self.current();
        self.seen(&store, store.get_range(name, offset_bytes, length_bytes).await)
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        let store = self.current();
        self.seen(&store, store.get_tail(name, length_bytes).await)
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        let store = self.current();
        self.seen(&store, store.info(name).await)
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let store = self.current();
        self.seen(&store, store.delete(name).await)
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        // The store may be replaced while its listing is read, so the listing is read to its end first, as retries do anyway.
        let (store, prefix) = (self.current(), prefix.to_owned());
        let whole = async move {
            let all = store.list(&prefix).try_collect::<Vec<_>>().await;
            let all = self.seen(&store, all)?;
            Ok::<_, StoreError>(futures::stream::iter(all.into_iter().map(Ok)))
        };
        futures::stream::once(whole).try_flatten().boxed()
    }

    async fn kind(&self) -> Result<StoreKind, StoreError> {
        let store = self.current();
        self.seen(&store, store.kind().await)
    }

    fn describe(&self) -> String {
        self.current().describe()
    }
}
