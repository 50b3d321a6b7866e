//! The one owner of retries.
//!
//! `object_store` retries nothing for us: its own retries send a request again as it was signed, with credentials that may
//! have expired meanwhile, and hide from us that the store is struggling. Here each attempt is a new request, signed with the
//! credentials of its moment.

use crate::{Class, ObjectInfo, Operation, Store, StoreError, StoreKind};
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
use tokio::time::Instant;

/// How long to insist on one request. Each time counts from the request's first failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// On a store that struggles, or that was reached before and is not now: its restart does not end a long backup.
    pub budget: Duration,
    /// On an endpoint that never answered at all: it is more often a wrong address than a passing fault.
    pub budget_unreachable: Duration,
    /// On a store that refuses credentials which it accepted before: they are being replaced, or whoever gives them out is
    /// struggling. Credentials that never worked are not tried again.
    pub budget_credentials: Duration,
    /// Attempts that a budget buys at least, however long each of them waits for its turn or its deadline.
    pub attempts_min: u32,
    /// The upper bound of the first pause; it doubles with each attempt.
    pub pause_first: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl RetryPolicy {
    /// Ten minutes for a store that struggles, as long as a node takes to be replaced; ten seconds for a wrong address; two
    /// minutes for credentials, since a kubelet needs more than one to show a changed Secret to a pod.
    pub const STANDARD: Self = Self {
        budget: Duration::from_secs(600),
        budget_unreachable: Duration::from_secs(10),
        budget_credentials: Duration::from_secs(120),
        attempts_min: 5,
        pause_first: Duration::from_millis(500),
        pause_max: Duration::from_secs(20),
    };
    /// No retry at all.
    pub const NONE: Self = Self {
        budget: Duration::ZERO,
        budget_unreachable: Duration::ZERO,
        budget_credentials: Duration::ZERO,
        attempts_min: 1,
        pause_first: Duration::ZERO,
        pause_max: Duration::ZERO,
    };

    /// Full jitter: any pause up to the bound, so that pods which failed together do not come back together.
    fn pause(&self, attempt: u32) -> Duration {
        let bound = self.pause_first.saturating_mul(1 << attempt.min(16)).min(self.pause_max);
        bound.mul_f64(rand::rng().random_range(0.0..=1.0))
    }

    /// How long to insist after a failure; `None` if trying again cannot help.
    fn budget(&self, class: Class, known: Known) -> Option<Duration> {
        match class {
            Class::Unreachable if !known.reached => Some(self.budget_unreachable),
            Class::BadCredentials if known.accepted => Some(self.budget_credentials),
            class => class.is_transient().then_some(self.budget),
        }
    }
}

/// What earlier answers told of the store.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// It answered something.
    reached: bool,
    /// It accepted our credentials.
    accepted: bool,
}

/// Repeats what failed for reasons that pass, with growing, jittered pauses, until the policy's budget is spent.
///
/// # What a create means after retries
/// An attempt whose answer was lost (a broken connection, a deadline, a 5xx) may have taken effect; the next one is then
/// refused because the name is taken. This decorator reads what is there:
/// - our own bytes: success. For objects that are named by their content this is exact; for others it says that the name holds
///   what the caller wanted, whoever wrote it, so that whoever needs to be the *only* winner puts something of his own into
///   the body (a session's id does that for snapshot records and plans).
/// - other bytes, or more or fewer: [`Class::AlreadyExists`], exactly as without the failure.
/// - it cannot be read now: the failure of that read if it may pass, so that the caller does not take "unknown" for either;
///   `AlreadyExists` if reading is refused, as it is to movers for packs. Callers that name objects by their content then
///   take `AlreadyExists` for success, and are right.
///
/// A create that is refused at its *first* attempt is `AlreadyExists` without a look: nothing of ours was sent before.
#[derive(Debug)]
pub struct RetryStore {
    inner: Arc<dyn Store>,
    policy: RetryPolicy,
    reached: AtomicBool,
    accepted: AtomicBool,
}

/// One request's history.
#[derive(Debug, Default)]
struct Attempts {
    made: u32,
    failed_first: Option<Instant>,
}

impl RetryStore {
    /// Retries requests to `inner`.
    pub fn new(inner: Arc<dyn Store>, policy: RetryPolicy) -> Self {
        Self { inner, policy, reached: AtomicBool::new(false), accepted: AtomicBool::new(false) }
    }

    /// Takes note of an answer; says how long to pause before asking again, or that this was the last answer. Tells
    /// the log of each request that is made again.
    fn again<T>(&self, result: &Result<T, StoreError>, attempts: &mut Attempts) -> Option<Duration> {
        let class = result.as_ref().err().map(StoreError::class);
        if class != Some(Class::Unreachable) {
            self.reached.store(true, Relaxed);
        }
        if matches!(class, None | Some(Class::NotFound | Class::AlreadyExists)) {
            self.accepted.store(true, Relaxed);
        }
        let known = Known { reached: self.reached.load(Relaxed), accepted: self.accepted.load(Relaxed) };
        let budget = self.policy.budget(class?, known)?;
        attempts.made += 1;
        let now = Instant::now();
        let spent = now.duration_since(*attempts.failed_first.get_or_insert(now));
        let go_on = spent < budget || attempts.made < self.policy.attempts_min;
        if let (true, Err(error)) = (go_on, result) {
            let (operation, name, class) = (error.operation(), error.name(), error.class().as_str());
            let attempts = attempts.made;
            tracing::info!(%operation, name, class, attempts, "a request failed and is made again");
        }
        go_on.then(|| self.policy.pause(attempts.made - 1))
    }

    async fn repeat<T, F>(&self, mut request: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut attempts = Attempts::default();
        loop {
            let result = request().await;
            match self.again(&result, &mut attempts) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return result,
            }
        }
    }

    /// The name is taken although an earlier attempt of ours may have been the one that took it.
    async fn whose(&self, name: &str, body: &Bytes, error: StoreError) -> Result<(), StoreError> {
        match self.get(name, body.len() as u64).await {
            Ok(found) if found == *body => Ok(()),
            Err(read) if read.class().is_transient() => {
                Err(StoreError::new(read.class(), Operation::Create, name).caused_by(read))
            }
            _ => Err(error),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for RetryStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        let mut attempts = Attempts::default();
        loop {
            let result = self.inner.create(name, body.clone()).await;
            match (self.again(&result, &mut attempts), result) {
                (Some(pause), _) => tokio::time::sleep(pause).await,
                (None, Err(error)) if error.class() == Class::AlreadyExists && attempts.made > 0 => {
                    return self.whose(name, &body, error).await;
                }
                (None, result) => return result,
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

    async fn kind(&self) -> Result<StoreKind, StoreError> {
        self.repeat(|| self.inner.kind()).await
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}
