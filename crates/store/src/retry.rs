//! The one owner of retries.

use crate::{Class, ObjectInfo, Operation, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use rand::Rng as _;
use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// How long to insist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// Attempts while the endpoint was never reached at all: it is more often a wrong address than a passing fault. Once it
    /// has answered anything, `attempts` counts here too, so that a restart of the store does not end a long backup.
    pub attempts_unreachable: u32,
    /// The pause before the second attempt; it doubles each time.
    pub pause_first: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl RetryPolicy {
    /// About two minutes of insisting on a struggling store, ten seconds on an unreachable one.
    pub const STANDARD: Self = Self {
        attempts: 12,
        attempts_unreachable: 6,
        pause_first: Duration::from_millis(300),
        pause_max: Duration::from_secs(20),
    };
    /// No retry at all.
    pub const NONE: Self =
        Self { attempts: 1, attempts_unreachable: 1, pause_first: Duration::ZERO, pause_max: Duration::ZERO };

    fn pause(&self, attempt: u32) -> Duration {
        let full = self.pause_first.saturating_mul(1 << attempt.min(16)).min(self.pause_max);
        // Half fixed, half random: pods that failed together do not come back together.
        full / 2 + full.mul_f64(rand::rng().random_range(0.0..0.5))
    }

    fn allows(&self, class: Class, attempt: u32, reached: bool) -> bool {
        match class {
            Class::Unreachable if !reached => attempt + 1 < self.attempts_unreachable,
            class => class.is_transient() && attempt + 1 < self.attempts,
        }
    }
}

/// Repeats transient failures with growing, jittered pauses.
#[derive(Debug)]
pub struct RetryStore {
    inner: Arc<dyn Store>,
    policy: RetryPolicy,
    /// Whether the endpoint ever answered.
    reached: AtomicBool,
}

impl RetryStore {
    /// Retries requests to `inner`.
    pub fn new(inner: Arc<dyn Store>, policy: RetryPolicy) -> Self {
        Self { inner, policy, reached: AtomicBool::new(false) }
    }

    /// Takes note of an answer and says whether to ask again.
    fn again<T>(&self, result: &Result<T, StoreError>, attempt: u32) -> bool {
        let class = result.as_ref().err().map(StoreError::class);
        if class != Some(Class::Unreachable) {
            self.reached.store(true, Relaxed);
        }
        class.is_some_and(|class| self.policy.allows(class, attempt, self.reached.load(Relaxed)))
    }

    async fn repeat<T, F>(&self, mut request: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut attempt = 0;
        loop {
            let result = request().await;
            if !self.again(&result, attempt) {
                return result;
            }
            tokio::time::sleep(self.policy.pause(attempt)).await;
            attempt += 1;
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for RetryStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        let mut attempt = 0;
        loop {
            let result = self.inner.create(name, body.clone()).await;
            let again = self.again(&result, attempt);
            match result {
                Err(_) if again => {
                    tokio::time::sleep(self.policy.pause(attempt)).await;
                    attempt += 1;
                }
                // An earlier attempt of ours may have taken effect although its answer was lost: equal bytes are success.
                Err(error) if error.class() == Class::AlreadyExists && attempt > 0 => {
                    let found = self.get(name, body.len() as u64).await;
                    return match found {
                        Ok(found) if found == body => Ok(()),
                        Err(read) if read.class().is_transient() => {
                            Err(StoreError::new(read.class(), Operation::Create, name).caused_by(read))
                        }
                        _ => Err(error),
                    };
                }
                result => return result,
            }
        }
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.repeat(|| self.inner.get(name, limit_bytes)).await
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.repeat(|| self.inner.get_range(name, offset_bytes, length_bytes)).await
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.repeat(|| self.inner.get_tail(name, length_bytes)).await
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        self.repeat(|| self.inner.info(name)).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.repeat(|| self.inner.delete(name)).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        // A listing that breaks in the middle starts again from its beginning; only a whole one is passed on.
        let prefix = prefix.to_owned();
        let whole = async move {
            let all = self.repeat(|| self.inner.list(&prefix).try_collect::<Vec<_>>()).await?;
            Ok::<_, StoreError>(futures::stream::iter(all.into_iter().map(Ok)))
        };
        futures::stream::once(whole).try_flatten().boxed()
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
