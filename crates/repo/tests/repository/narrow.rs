//! A store that bears few requests at a time.

use crate::support::{Never, back_up, noise, open, run_id, small_packs};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use longshore_repo::{
    Run,
    store::{ObjectInfo, Store, StoreError, StoreKind},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc,
    },
    time::Duration,
};
use tokio::sync::Semaphore;

/// Lets reads in one after the other, each of which takes a while.
#[derive(Debug)]
struct Narrow {
    inner: Arc<dyn Store>,
    gate: Semaphore,
}

impl Narrow {
    async fn slowly<T>(&self, read: impl Future<Output = T> + Send) -> T {
        let _permit = self.gate.acquire().await.unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
        read.await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Narrow {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        self.inner.create(name, body).await
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.slowly(self.inner.get(name, limit_bytes)).await
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.slowly(self.inner.get_range(name, offset_bytes, length_bytes)).await
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.slowly(self.inner.get_tail(name, length_bytes)).await
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

/// Fetches that are ahead of the workers must not keep the places that the workers' own requests need.
#[test]
fn many_chunks_are_read_though_the_store_bears_one_request_at_a_time() {
    let (store, repository) = small_packs();
    let volume = noise(1, 40 << 20);
    back_up(&repository, "db", run_id(1), &volume, None).unwrap();
    let narrow: Arc<dyn Store> = Arc::new(Narrow { inner: store, gate: Semaphore::new(1) });
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let repository = open(&narrow).unwrap();
        let reader = repository.open_volume(&repository.resolve("latest").unwrap()).unwrap();
        let spans = (0..reader.span_count()).filter_map(|span| reader.span(span).unwrap());
        let runs = spans.flatten().filter_map(|run| match run {
            Run::Chunk(chunk) => Some(chunk),
            Run::Hole { .. } => None,
        });
        let chunks: Vec<_> = runs.collect();
        let read = AtomicUsize::new(0);
        let deliver = |_, bytes: &[u8]| -> Result<(), Never> {
            read.fetch_add(bytes.len(), Relaxed);
            Ok(())
        };
        repository.read_chunks(&chunks, &deliver).unwrap();
        sender.send(read.into_inner()).unwrap();
    });
    let read_bytes = receiver.recv_timeout(Duration::from_secs(60)).expect("it waits for itself");
    assert_eq!(read_bytes, volume.len());
}
