//! A store that does what it is told: fails, lies, forgets.

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use longshore_store::{Class, ObjectInfo, Operation, Store, StoreError, StoreKind};
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering::SeqCst},
};

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and nothing happens.
    FailBefore(Class),
    /// It takes effect, and then its answer is a failure.
    FailAfter(Class),
    /// This one and all later ones fail before any effect: the process was killed here.
    DeadFrom,
    /// This one takes effect, but its answer never comes; all later ones fail: killed just after.
    DeadAfter,
    /// It fails without effect, but only after a later request was made or a fifth of a second passed: whoever should have
    /// waited for its answer and did not is caught.
    FailLate(Class),
    /// A read returns its bytes with this bit of this byte flipped (modulo the length).
    FlipBit(u64),
    /// A read returns all but its last byte; the length of an answer is not to be trusted.
    ShortRead,
    /// A listing leaves out its last object.
    StaleList,
}

/// How long [`Fault::FailLate`] waits for a later request.
const LATE: std::time::Duration = std::time::Duration::from_millis(200);

/// A request that was made, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What was asked.
    pub operation: Operation,
    /// Of which object or prefix.
    pub name: String,
}

type Script = dyn Fn(u64, &Request) -> Option<Fault> + Send + Sync;

/// Passes requests on, unless its script has a fault for them.
pub struct FaultStore {
    inner: Arc<dyn Store>,
    script: Box<Script>,
    number: AtomicU64,
    dead_from: AtomicU64,
    requests: Mutex<Vec<Request>>,
}

impl std::fmt::Debug for FaultStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultStore").field("requests", &self.number).finish_non_exhaustive()
    }
}

impl FaultStore {
    /// A store that asks `script`, with the number of each request from 0, what is to happen to it.
    pub fn new(
        inner: Arc<dyn Store>,
        script: impl Fn(u64, &Request) -> Option<Fault> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner,
            script: Box::new(script),
            number: AtomicU64::new(0),
            dead_from: AtomicU64::new(u64::MAX),
            requests: Mutex::default(),
        })
    }

    /// A store that only takes notes.
    pub fn recording(inner: Arc<dyn Store>) -> Arc<Self> {
        Self::new(inner, |_, _| None)
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn fault(&self, operation: Operation, name: &str) -> Option<Fault> {
        let request = Request { operation, name: name.to_owned() };
        let number = self.number.fetch_add(1, SeqCst);
        let fault = (self.script)(number, &request);
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        match fault {
            Some(Fault::DeadFrom) => self.dead_from.fetch_min(number, SeqCst),
            Some(Fault::DeadAfter) => self.dead_from.fetch_min(number + 1, SeqCst),
            _ => 0,
        };
        if number >= self.dead_from.load(SeqCst) { Some(Fault::DeadFrom) } else { fault }
    }

    async fn read(
        &self,
        operation: Operation,
        name: &str,
        result: impl Future<Output = Result<Bytes, StoreError>>,
    ) -> Result<Bytes, StoreError> {
        let failed = |class| StoreError::new(class, operation, name).caused_by("injected fault");
        match self.fault(operation, name) {
            None | Some(Fault::StaleList) => result.await,
            Some(Fault::FailBefore(class) | Fault::FailAfter(class) | Fault::FailLate(class)) => {
                Err(failed(class))
            }
            Some(Fault::DeadFrom | Fault::DeadAfter) => Err(failed(Class::Permanent)),
            Some(Fault::FlipBit(number)) => {
                let mut bytes = result.await?.to_vec();
                if !bytes.is_empty() {
                    let at = (number / 8 % bytes.len() as u64) as usize;
                    bytes[at] ^= 1 << (number % 8);
                }
                Ok(bytes.into())
            }
            Some(Fault::ShortRead) => {
                let bytes = result.await?;
                Ok(bytes.slice(..bytes.len().saturating_sub(1)))
            }
        }
    }
}

impl FaultStore {
    /// A create or a delete.
    async fn change(
        &self,
        operation: Operation,
        name: &str,
        effect: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), StoreError> {
        let failed = |class| Err(StoreError::new(class, operation, name).caused_by("injected fault"));
        match self.fault(operation, name) {
            Some(Fault::FailBefore(class)) => failed(class),
            Some(Fault::FailLate(class)) => {
                let made = self.number.load(SeqCst);
                let deadline = std::time::Instant::now() + LATE;
                while self.number.load(SeqCst) == made && std::time::Instant::now() < deadline {
                    tokio::task::yield_now().await;
                }
                failed(class)
            }
            Some(Fault::DeadFrom) => failed(Class::Permanent),
            Some(Fault::FailAfter(class)) => {
                effect.await?;
                failed(class)
            }
            Some(Fault::DeadAfter) => {
                effect.await?;
                failed(Class::Permanent)
            }
            _ => effect.await,
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for FaultStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        self.change(Operation::Create, name, self.inner.create(name, body)).await
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.read(Operation::Read, name, self.inner.get(name, limit_bytes)).await
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.read(Operation::Read, name, self.inner.get_range(name, offset_bytes, length_bytes)).await
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.read(Operation::Read, name, self.inner.get_tail(name, length_bytes)).await
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        let failed = |class| StoreError::new(class, Operation::Info, name).caused_by("injected fault");
        match self.fault(Operation::Info, name) {
            Some(Fault::FailBefore(class) | Fault::FailAfter(class) | Fault::FailLate(class)) => {
                Err(failed(class))
            }
            Some(Fault::DeadFrom | Fault::DeadAfter) => Err(failed(Class::Permanent)),
            _ => self.inner.info(name).await,
        }
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.change(Operation::Delete, name, self.inner.delete(name)).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        let failed = |class| StoreError::new(class, Operation::List, prefix).caused_by("injected fault");
        match self.fault(Operation::List, prefix) {
            Some(Fault::FailBefore(class) | Fault::FailAfter(class) | Fault::FailLate(class)) => {
                futures::stream::once(futures::future::ready(Err(failed(class)))).boxed()
            }
            Some(Fault::DeadFrom | Fault::DeadAfter) => {
                futures::stream::once(futures::future::ready(Err(failed(Class::Permanent)))).boxed()
            }
            Some(Fault::StaleList) => {
                let whole = self.inner.list(prefix).collect::<Vec<_>>();
                let stale = async move {
                    let mut all = whole.await;
                    all.pop();
                    futures::stream::iter(all)
                };
                futures::stream::once(stale).flatten().boxed()
            }
            _ => self.inner.list(prefix),
        }
    }

    async fn kind(&self) -> Result<StoreKind, StoreError> {
        self.inner.kind().await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
