//! A store in memory whose clock the simulation moves.

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use longshore_repo::store::{ObjectInfo, Store, StoreError, StoreKind, memory};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

#[derive(Debug)]
pub struct SimStore {
    inner: Arc<dyn Store>,
    seconds: AtomicI64,
    made: Mutex<HashMap<String, i64>>,
}

impl SimStore {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { inner: memory(), seconds: AtomicI64::new(1_000), made: Mutex::default() })
    }

    pub fn advance(&self, seconds: i64) {
        self.seconds.fetch_add(seconds, SeqCst);
    }

    /// Flips a bit of an object.
    pub fn rot(&self, name: &str, place: u32) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut body = self.inner.get(name, u64::MAX).await.unwrap().to_vec();
            let at = place as usize % body.len();
            body[at] ^= 1;
            self.inner.delete(name).await.unwrap();
            self.inner.create(name, body.into()).await.unwrap();
        });
    }

    /// Loses an object.
    pub fn lose(&self, name: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(self.inner.delete(name)).unwrap();
    }

    fn dated(&self, mut info: ObjectInfo) -> ObjectInfo {
        let seconds = self.made.lock().unwrap().get(&info.name).copied().unwrap_or_default();
        info.modified_at = Timestamp::from_second(seconds).unwrap();
        info
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for SimStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        self.inner.create(name, body).await?;
        self.made.lock().unwrap().insert(name.to_owned(), self.seconds.load(SeqCst));
        Ok(())
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
        Ok(self.dated(self.inner.info(name).await?))
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.inner.delete(name).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        self.inner.list(prefix).map(|info| info.map(|info| self.dated(info))).boxed()
    }

    async fn kind(&self) -> Result<StoreKind, StoreError> {
        self.inner.kind().await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
