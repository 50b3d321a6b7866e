//! A store that allows an identity only what its policy allows.

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use longshore_store::{Class, ObjectInfo, Operation, Store, StoreError, StoreKind};
use std::sync::Arc;

type Policy = dyn Fn(Operation, &str) -> bool + Send + Sync;

/// Passes on what its policy allows, and refuses the rest as clouds do ([`Class::AccessDenied`]).
pub struct RightsStore {
    inner: Arc<dyn Store>,
    policy: Box<Policy>,
}

impl std::fmt::Debug for RightsStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RightsStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl RightsStore {
    /// Asks `policy` whether an operation on an object, or a listing of a prefix, is allowed.
    pub fn new(
        inner: Arc<dyn Store>,
        policy: impl Fn(Operation, &str) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { inner, policy: Box::new(policy) })
    }

    fn check(&self, operation: Operation, name: &str) -> Result<(), StoreError> {
        if (self.policy)(operation, name) {
            return Ok(());
        }
        Err(StoreError::new(Class::AccessDenied, operation, name).caused_by("the policy forbids it"))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for RightsStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        self.check(Operation::Create, name)?;
        self.inner.create(name, body).await
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.check(Operation::Read, name)?;
        self.inner.get(name, limit_bytes).await
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.check(Operation::Read, name)?;
        self.inner.get_range(name, offset_bytes, length_bytes).await
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.check(Operation::Read, name)?;
        self.inner.get_tail(name, length_bytes).await
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        self.check(Operation::Info, name)?;
        self.inner.info(name).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.check(Operation::Delete, name)?;
        self.inner.delete(name).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        match self.check(Operation::List, prefix) {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::once(futures::future::ready(Err(error))).boxed(),
        }
    }

    async fn kind(&self) -> Result<StoreKind, StoreError> {
        self.inner.kind().await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
