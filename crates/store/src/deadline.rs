//! No attempt lasts for ever.

use crate::{Class, ObjectInfo, Operation, Store, StoreError, StoreKind};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use std::{sync::Arc, time::Duration};

/// How long one attempt may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For any request, and for each next part of a listing.
    pub base: Duration,
    /// What is added for each MiB that travels.
    pub per_mib: Duration,
}

impl Deadlines {
    /// A minute, and time for a line of 64 KiB a second. On a slower one, or when too many share it, deadlines pass,
    /// [`crate::AdaptiveStore`] lets fewer run at once, and each gets more of the line.
    pub const STANDARD: Self = Self { base: Duration::from_secs(60), per_mib: Duration::from_secs(16) };

    fn of(&self, length_bytes: u64) -> Duration {
        let mib = u32::try_from(length_bytes.div_ceil(1 << 20)).unwrap_or(u32::MAX);
        self.base.saturating_add(self.per_mib.saturating_mul(mib))
    }
}

/// Gives up on an attempt whose answer does not come; that is [`Class::Transient`], and whether a create or a delete took
/// effect is then unknown.
#[derive(Debug)]
pub struct DeadlineStore {
    inner: Arc<dyn Store>,
    deadlines: Deadlines,
}

impl DeadlineStore {
    /// Bounds the time of each request to `inner`.
    pub fn new(inner: Arc<dyn Store>, deadlines: Deadlines) -> Self {
        Self { inner, deadlines }
    }

    async fn within<T>(
        &self,
        operation: Operation,
        name: &str,
        length_bytes: u64,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let deadline = self.deadlines.of(length_bytes);
        match tokio::time::timeout(deadline, request).await {
            Ok(result) => result,
            Err(source) => Err(late(operation, name, deadline, source)),
        }
    }
}

fn late(
    operation: Operation,
    name: &str,
    deadline: Duration,
    source: tokio::time::error::Elapsed,
) -> StoreError {
    let text = format!("no answer within {} s: {source}", deadline.as_secs());
    StoreError::new(Class::Transient, operation, name).caused_by(text)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for DeadlineStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        let length = body.len() as u64;
        self.within(Operation::Create, name, length, self.inner.create(name, body)).await
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.within(Operation::Read, name, limit_bytes, self.inner.get(name, limit_bytes)).await
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        let request = self.inner.get_range(name, offset_bytes, length_bytes);
        self.within(Operation::Read, name, length_bytes, request).await
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.within(Operation::Read, name, length_bytes, self.inner.get_tail(name, length_bytes)).await
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        self.within(Operation::Info, name, 0, self.inner.info(name)).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.within(Operation::Delete, name, 0, self.inner.delete(name)).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        let deadline = self.deadlines.base;
        let (stream, prefix) = (self.inner.list(prefix), prefix.to_owned());
        futures::stream::unfold(Some(stream), move |stream| {
            let prefix = prefix.clone();
            async move {
                let mut stream = stream?;
                match tokio::time::timeout(deadline, stream.next()).await {
                    Ok(item) => item.map(|item| (item, Some(stream))),
                    Err(source) => Some((Err(late(Operation::List, &prefix, deadline, source)), None)),
                }
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
