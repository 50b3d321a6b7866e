use crate::{
    Class, LimitStore, Location, LocationError, MetricsStore, RetryPolicy, RetryStore, Store, StoreCounters,
    cloud, folder::FolderStore, object::ObjectStoreAdapter,
};
use std::{collections::BTreeMap, fmt, sync::Arc};
use thiserror::Error;

/// All that opening a store may depend on; nothing is read from the process's environment.
#[derive(Clone)]
pub struct StoreSettings {
    variables: BTreeMap<String, String>,
    ca_pem: Option<Vec<u8>>,
    retry: RetryPolicy,
    requests_max: usize,
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
        Self { variables, ca_pem: None, retry: RetryPolicy::STANDARD, requests_max: 32 }
    }

    /// Trusts these certificates (PEM) too.
    pub fn with_ca_pem(mut self, pem: Vec<u8>) -> Self {
        self.ca_pem = Some(pem);
        self
    }

    /// Sets how long to insist on a failing store.
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how many requests may be in flight.
    pub fn with_requests_max(mut self, requests_max: usize) -> Self {
        self.requests_max = requests_max;
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

/// Opens the store at a location, with retries, a bound on requests, and counters.
pub fn open(
    location: &str,
    settings: &StoreSettings,
) -> Result<(Arc<dyn Store>, Arc<StoreCounters>), OpenError> {
    let location: Location = location.parse().map_err(|source| OpenError::Location { source })?;
    let store: Arc<dyn Store> = match (&location, cloud::build(&location, settings)?) {
        (_, Some(cloud)) => Arc::new(cloud),
        (Location::Folder(path), None) => Arc::new(FolderStore::new(path.clone())),
        (_, None) => return Err(OpenError::Location { source: LocationError::Empty }),
    };
    Ok(with_decorators(store, settings.retry, settings.requests_max))
}

/// Puts the usual decorators around a store: counters innermost, so that each attempt counts; retries outermost.
pub fn with_decorators(
    store: Arc<dyn Store>,
    retry: RetryPolicy,
    requests_max: usize,
) -> (Arc<dyn Store>, Arc<StoreCounters>) {
    let counters = Arc::new(StoreCounters::default());
    let counted = Arc::new(MetricsStore::new(store, counters.clone()));
    let limited = Arc::new(LimitStore::new(counted, requests_max));
    (Arc::new(RetryStore::new(limited, retry)), counters)
}

/// An empty store in memory, for tests and dry runs.
pub fn memory() -> Arc<dyn Store> {
    let inner = Arc::new(object_store::memory::InMemory::new());
    Arc::new(ObjectStoreAdapter::new(inner, "", "memory".to_owned()))
}
