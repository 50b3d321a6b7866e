use crate::{
    AdaptiveStore, Bucket, Class, Concurrency, DeadlineStore, Deadlines, Location, LocationError,
    MetricsStore, RateLimits, RateStore, RefreshStore, RetryPolicy, RetryStore, ShortLivedStore, Store,
    StoreCounters, cloud, folder::FolderStore, object::ObjectStoreAdapter,
};
use std::{collections::BTreeMap, fmt, sync::Arc};
use thiserror::Error;

/// The variables as they are now; `None` if they cannot be read now.
type Refresh = dyn Fn() -> Option<BTreeMap<String, String>> + Send + Sync;

/// All that opening a store may depend on; nothing is read from the process's environment.
#[derive(Clone)]
pub struct StoreSettings {
    variables: BTreeMap<String, String>,
    refresh: Option<Arc<Refresh>>,
    ca_pem: Option<Vec<u8>>,
    short_lived: Option<fn(&str) -> bool>,
    flow: Flow,
}

/// How requests flow: what is repeated, how long, how many at once, how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// How long to insist on a failing store.
    pub retry: RetryPolicy,
    /// How long one attempt may last.
    pub deadlines: Deadlines,
    /// How many requests may be in flight.
    pub concurrency: Concurrency,
    /// What the store may take of the network.
    pub limits: RateLimits,
}

impl Flow {
    /// Nothing is limited but what the store cannot bear.
    pub const STANDARD: Self = Self {
        retry: RetryPolicy::STANDARD,
        deadlines: Deadlines::STANDARD,
        concurrency: Concurrency::STANDARD,
        limits: RateLimits::NONE,
    };
}

impl fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names only: values are credentials.
        f.debug_struct("StoreSettings").field("variables", &self.variables.keys()).finish_non_exhaustive()
    }
}

impl StoreSettings {
    /// Settings from variables by their usual names: `AWS_*`, `GOOGLE_*`, `AZURE_*`.
    pub fn new(variables: BTreeMap<String, String>) -> Self {
        Self { variables, refresh: None, ca_pem: None, short_lived: None, flow: Flow::STANDARD }
    }

    /// Asks for the variables again when the store refuses credentials that it accepted before: for those whose owner
    /// replaces them while the program runs. Called from an async thread, now and then; it may read small files.
    pub fn with_refresh(
        mut self,
        variables: impl Fn() -> Option<BTreeMap<String, String>> + Send + Sync + 'static,
    ) -> Self {
        self.refresh = Some(Arc::new(variables));
        self
    }

    /// Trusts these certificates (PEM) too.
    pub fn with_ca_pem(mut self, pem: Vec<u8>) -> Self {
        self.ca_pem = Some(pem);
        self
    }

    /// Says which objects live for minutes, by their names, so that no bucket locks them for longer: see [`ShortLivedStore`].
    pub fn with_short_lived(mut self, is_short_lived: fn(&str) -> bool) -> Self {
        self.short_lived = Some(is_short_lived);
        self
    }

    /// Sets how long to insist on a failing store.
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.flow.retry = retry;
        self
    }

    /// Sets what the store may take of the network.
    pub fn with_limits(mut self, limits: RateLimits) -> Self {
        self.flow.limits = limits;
        self
    }

    /// Sets how many requests may be in flight.
    pub fn with_concurrency(mut self, concurrency: Concurrency) -> Self {
        self.flow.concurrency = concurrency;
        self
    }

    pub(crate) fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn ca_pem(&self) -> Option<&[u8]> {
        self.ca_pem.as_deref()
    }
}

/// Why a store could not be opened. Opening asks nothing of the endpoint; that comes with the first request.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The location is none.
    #[error("the repository location cannot be read")]
    Location {
        /// Why.
        #[source]
        source: LocationError,
    },
    /// A file of certificates cannot be read.
    #[error("the CA bundle {path} cannot be read")]
    CaBundle {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The client for the bucket's locks and versions cannot be made.
    #[error("the settings of the store's TLS are not usable")]
    Client {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The settings contradict each other or are malformed.
    #[error("the settings of the store are not usable")]
    Settings {
        /// Why.
        #[source]
        source: object_store::Error,
    },
}

impl OpenError {
    /// The closed class of this error.
    pub fn class(&self) -> Class {
        Class::Permanent
    }
}

/// Opens the store at a location, with all decorators, and counters.
pub fn open(
    location: &str,
    settings: &StoreSettings,
) -> Result<(Arc<dyn Store>, Arc<StoreCounters>), OpenError> {
    let location: Location = location.parse().map_err(|source| OpenError::Location { source })?;
    let store = backend(&location, settings)?;
    let store: Arc<dyn Store> = match &settings.refresh {
        None => store,
        Some(refresh) => {
            let (refresh, settings) = (refresh.clone(), settings.clone());
            Arc::new(RefreshStore::new(store, move || {
                let settings = StoreSettings { variables: refresh()?, ..settings.clone() };
                backend(&location, &settings).ok()
            }))
        }
    };
    Ok(with_decorators(store, settings.flow))
}

/// The place itself; no request to it lasts for ever.
fn backend(location: &Location, settings: &StoreSettings) -> Result<Arc<dyn Store>, OpenError> {
    let store: Arc<dyn Store> = match (location, cloud::build(location, settings)?) {
        (_, Some(cloud)) => Arc::new(cloud),
        // A request to a folder cannot be given up: its thread would go on.
        (Location::Folder(path), None) => return Ok(Arc::new(FolderStore::new(path.clone()))),
        (_, None) => return Err(OpenError::Location { source: LocationError::Empty }),
    };
    let store: Arc<dyn Store> = match (location, settings.short_lived) {
        (Location::S3 { endpoint, bucket, prefix }, Some(short_lived)) => {
            let bucket = Bucket::at(endpoint.as_deref(), bucket, prefix, settings)?;
            Arc::new(ShortLivedStore::new(store, bucket, short_lived))
        }
        _ => store,
    };
    Ok(Arc::new(DeadlineStore::new(store, settings.flow.deadlines)))
}

/// Puts the usual decorators around a store. From outside to inside: retries, so that each attempt waits for its turn anew
/// and a pause holds no permit; rates; concurrency, which learns from each attempt; counters, which count each attempt.
pub fn with_decorators(store: Arc<dyn Store>, flow: Flow) -> (Arc<dyn Store>, Arc<StoreCounters>) {
    let counters = Arc::new(StoreCounters::default());
    let counted = Arc::new(MetricsStore::new(store, counters.clone()));
    let adaptive = Arc::new(AdaptiveStore::new(counted, flow.concurrency));
    let paced = Arc::new(RateStore::new(adaptive, flow.limits));
    (Arc::new(RetryStore::new(paced, flow.retry)), counters)
}

/// An empty store in memory, for tests and dry runs.
pub fn memory() -> Arc<dyn Store> {
    let inner = Arc::new(object_store::memory::InMemory::new());
    Arc::new(ObjectStoreAdapter::new(inner, "", "memory".to_owned()))
}
