//! The only door to object storage.
//!
//! Owns the [`Store`] trait with its guarantees, its implementations over `object_store` (folder, S3, GCS, Azure, memory)
//! and its decorators (retry, rate, adaptive concurrency, deadline, refresh of credentials, metrics), [`probe`],
//! and the [`Bucket`] with its versions and locks. Must not know: what the bytes mean, keys, the process environment.
//! First type to read: [`Store`]; to get one: [`open`].

mod adaptive;
mod bucket;
mod classify;
mod cloud;
mod deadline;
mod error;
mod folder;
mod location;
mod metrics;
mod object;
mod open;
mod probe;
mod rate;
mod refresh;
mod retry;

pub use adaptive::{AdaptiveStore, Concurrency};
pub use bucket::{
    Bucket, DefaultRetention, LockMode, ObjectLock, Protection, Retention, ShortLivedStore, Version,
    Versioning,
};
pub use deadline::{DeadlineStore, Deadlines};
pub use error::{Class, Operation, StoreError};
pub use folder::FolderStore;
pub use location::{Location, LocationError};
pub use metrics::{MetricsStore, StoreCounters, StoreUse};
pub use object::ObjectStoreAdapter;
pub use open::{Flow, OpenError, StoreSettings, memory, open, with_decorators};
pub use probe::{PROBE_PREFIX, ProbeError, Promise, StoreCapabilities, StoreKind, probe};
pub use rate::{RateLimits, RateStore};
pub use refresh::RefreshStore;
pub use retry::{RetryPolicy, RetryStore};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;

/// An object as its store describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The name, relative to the repository's root.
    pub name: String,
    /// The length.
    pub size_bytes: u64,
    /// When it was created, by the store's own clock: to be compared with other objects of the same store, never with this
    /// machine's clock. Stores tell it to the second (S3's HEAD) or finer (S3's listing, a folder's mtime), cut off, so
    /// that two sights of one object may differ by less than a second.
    pub modified_at: Timestamp,
}

/// A place for immutable objects.
///
/// # Guarantees that every implementation gives
/// - An object is seen whole or not at all, also after a crash of either side.
/// - When `create` returns, the object is durable, and every later `get` and `list` sees it.
/// - Of two racing `create` calls on one name exactly one succeeds.
/// - When `delete` returns, every later `get` and `list` no longer sees the object, also after a crash of either side, and
///   its name can be created again.
///
/// Names are relative, `/`-separated, without empty parts, of ASCII letters, digits, `-`, `.` and `_`.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Creates an object. Fails with [`Class::AlreadyExists`] if the name is taken; the old object stays as it is.
    /// After a transient failure it is unknown whether the object exists.
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError>;

    /// Reads a whole object of at most `limit_bytes`; a larger one is [`Class::Corrupt`] and is not held in memory.
    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError>;

    /// Reads exactly `length_bytes` from `offset_bytes`. A range beyond the end is [`Class::Corrupt`].
    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError>;

    /// Reads the last `length_bytes`, or the whole object if it is shorter.
    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError>;

    /// Length and time of an object.
    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError>;

    /// Deletes an object; one that is not there is success. Needs no free space. After a transient failure it is unknown
    /// whether the object exists. A delete that is still on its way also takes an object that is created under the name
    /// meanwhile: only names that nobody else creates may be deleted and created again.
    async fn delete(&self, name: &str) -> Result<(), StoreError>;

    /// Streams all objects whose names start with `prefix`, which is empty or ends with `/`, in no promised order.
    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>>;

    /// What sort of place the store is. A folder must exist.
    async fn kind(&self) -> Result<StoreKind, StoreError>;

    /// Says where the store is, without any secret: for messages.
    fn describe(&self) -> String;
}
