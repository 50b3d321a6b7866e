//! What a place can do, tried out before anybody trusts it with data.

use crate::{Class, ObjectInfo, Store, StoreError};
use bytes::Bytes;
use futures::TryStreamExt as _;
use jiff::Timestamp;
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where probes live; each has a folder of its own below. Nothing else is kept there.
pub const PROBE_PREFIX: &str = "probe/";

/// Races that are run, and creates in each: a store that only seldom lets two win is found out with some luck, one that never
/// looks at the condition at once.
const RACES: usize = 5;
const RACERS: usize = 4;

/// What sort of place a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StoreKind {
    /// Objects behind an API, whose answers are the same for everybody.
    Objects,
    /// A folder on a file system of this machine.
    Folder,
    /// A folder on a network file system, or on one that is not known: what other machines changed may be seen late. Nothing
    /// that relies on listings of other writers' objects runs beside them here.
    SharedFolder,
}

/// What a probe found, for the repository's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreCapabilities {
    /// What sort of place it is.
    pub kind: StoreKind,
    /// Of racing creates of one name exactly one wins, and nothing is overwritten. A store without it is refused.
    pub conditional_create: bool,
    /// Whether the credentials of the probe may delete. If not, the probe's objects are still there.
    pub deletes: bool,
    /// When this was found, by the store's clock.
    pub probed_at: Timestamp,
}

/// What a store failed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// A whole object is read as it was written.
    ReadAfterWrite,
    /// A fresh listing shows what was just made, with its length.
    ListAfterWrite,
    /// A part of an object is read as it was written.
    RangedRead,
    /// An object has a time, and the same one in every answer.
    Times,
    /// What was deleted is no longer seen.
    DeleteIsSeen,
}

impl std::fmt::Display for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::ReadAfterWrite => "an object that was just created does not read back as it was written",
            Self::ListAfterWrite => "a listing does not show an object that was just created",
            Self::RangedRead => "a part of an object does not read back as it was written",
            Self::Times => "the time of an object is missing or differs between answers",
            Self::DeleteIsSeen => "an object that was just deleted is still seen",
        })
    }
}

/// Why a place cannot hold a repository.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// A request failed.
    #[error("the store at {store} could not be probed")]
    Store {
        /// Where it is.
        store: String,
        /// What failed.
        #[source]
        source: StoreError,
    },
    /// It does not create conditionally.
    #[error(
        "the store at {store} has no conditional create ({evidence}): two writers could overwrite each other's objects. \
         For S3 this is the header `If-None-Match: *` of PutObject. Use a version of the store that honours it, another \
         store, or a folder"
    )]
    NoConditionalCreate {
        /// Where it is.
        store: String,
        /// What was seen.
        evidence: String,
    },
    /// It breaks another promise.
    #[error(
        "the store at {store} cannot hold a repository: {promise}. A cache or a replica between here and the store may do \
         this; reach it directly, or use another store"
    )]
    Broken {
        /// Where it is.
        store: String,
        /// What it failed to do.
        promise: Promise,
    },
}

impl ProbeError {
    /// The closed class of this error.
    pub fn class(&self) -> Class {
        match self {
            Self::Store { source, .. } => source.class(),
            Self::NoConditionalCreate { .. } | Self::Broken { .. } => Class::Permanent,
        }
    }
}

/// Finds out whether a place keeps the promises of [`Store`] that a repository needs, with small objects below
/// [`PROBE_PREFIX`], which it removes if it may.
///
/// # Errors
/// When it does not keep one, or a request fails. What was made is then removed as far as possible, too.
pub async fn probe(store: &dyn Store) -> Result<StoreCapabilities, ProbeError> {
    let probe = Probe { store, folder: format!("{PROBE_PREFIX}{:032x}/", rand::rng().random::<u128>()) };
    let found = probe.run().await;
    let removed = probe.remove_all().await;
    let probed_at = found?;
    Ok(StoreCapabilities {
        kind: store.kind().await.map_err(probe.failed())?,
        conditional_create: true,
        deletes: removed?,
        probed_at,
    })
}

struct Probe<'a> {
    store: &'a dyn Store,
    folder: String,
}

impl Probe<'_> {
    async fn run(&self) -> Result<Timestamp, ProbeError> {
        // A cache of an empty folder, if anything caches, is filled before the first object is made.
        if !self.list().await?.is_empty() {
            return Err(self.broken(Promise::ListAfterWrite));
        }
        let (name, body) = (self.name("object"), Bytes::from_static(b"what Longshore found out"));
        self.create_first(&name, &body).await?;
        self.reads(&name, &body).await?;
        let made_at = self.is_listed(&name, &body).await?;
        self.refuses_a_second(&name, &body).await?;
        for race in 0..RACES {
            self.one_wins(&self.name(&format!("race-{race}"))).await?;
        }
        Ok(made_at)
    }

    async fn create_first(&self, name: &str, body: &Bytes) -> Result<(), ProbeError> {
        self.store.create(name, body.clone()).await.map_err(|source| {
            let mut chain = source.to_string();
            let mut cause = std::error::Error::source(&source);
            while let Some(error) = cause {
                chain = format!("{chain}: {error}");
                cause = error.source();
            }
            // How stores say that they do not know a header: with S3's code, or with HTTP's.
            if chain.contains("NotImplemented") || chain.contains("501 Not Implemented") {
                return self.no_condition("it refuses the condition as not implemented".to_owned());
            }
            self.failed()(source)
        })
    }

    async fn reads(&self, name: &str, body: &Bytes) -> Result<(), ProbeError> {
        let length = body.len() as u64;
        let whole = self.read_back(self.store.get(name, length).await, Promise::ReadAfterWrite)?;
        let middle = self.read_back(self.store.get_range(name, 5, 9).await, Promise::RangedRead)?;
        let tail = self.read_back(self.store.get_tail(name, 9).await, Promise::RangedRead)?;
        if whole != *body {
            return Err(self.broken(Promise::ReadAfterWrite));
        }
        if middle != body[5..14] || tail != body[body.len() - 9..] {
            return Err(self.broken(Promise::RangedRead));
        }
        Ok(())
    }

    fn read_back(&self, result: Result<Bytes, StoreError>, promise: Promise) -> Result<Bytes, ProbeError> {
        result.map_err(|source| match source.class() {
            Class::NotFound | Class::Corrupt => self.broken(promise),
            _ => self.failed()(source),
        })
    }

    async fn is_listed(&self, name: &str, body: &Bytes) -> Result<Timestamp, ProbeError> {
        let all = self.list().await?;
        let [listed] = all.as_slice() else { return Err(self.broken(Promise::ListAfterWrite)) };
        if listed.name != name || listed.size_bytes != body.len() as u64 {
            return Err(self.broken(Promise::ListAfterWrite));
        }
        let asked = self.store.info(name).await.map_err(self.failed())?;
        // To the second: more is not promised.
        if asked.modified_at.as_second() != listed.modified_at.as_second()
            || asked.modified_at.as_second() <= 0
        {
            return Err(self.broken(Promise::Times));
        }
        Ok(asked.modified_at)
    }

    async fn refuses_a_second(&self, name: &str, body: &Bytes) -> Result<(), ProbeError> {
        match self.store.create(name, Bytes::from_static(b"overwritten")).await {
            Ok(()) => return Err(self.no_condition("it took a second create of one name".to_owned())),
            Err(error) if error.class() == Class::AlreadyExists => {}
            Err(error) => return Err(self.failed()(error)),
        }
        let kept = self.read_back(self.store.get(name, 1 << 10).await, Promise::ReadAfterWrite)?;
        if kept == *body {
            return Ok(());
        }
        Err(self.no_condition("it refused a second create of one name, and overwrote the object".to_owned()))
    }

    /// Creates that are on their way at the same time.
    async fn one_wins(&self, name: &str) -> Result<(), ProbeError> {
        let racers = (0..RACERS).map(|racer| async move {
            let body = Bytes::from(format!("racer {racer}"));
            (body.clone(), self.store.create(name, body).await)
        });
        let mut winners = Vec::new();
        for (body, result) in futures::future::join_all(racers).await {
            match result {
                Ok(()) => winners.push(body),
                Err(error) if error.class() == Class::AlreadyExists => {}
                Err(error) => return Err(self.failed()(error)),
            }
        }
        let kept = self.read_back(self.store.get(name, 1 << 10).await, Promise::ReadAfterWrite)?;
        match winners.as_slice() {
            [winner] if *winner == kept => Ok(()),
            [_] => Err(self.no_condition("the winner of a race is not what is stored".to_owned())),
            winners => {
                Err(self.no_condition(format!("{} of {RACERS} racing creates succeeded", winners.len())))
            }
        }
    }

    /// Removes everything that was made; false if that is not allowed.
    async fn remove_all(&self) -> Result<bool, ProbeError> {
        for object in self.list().await? {
            match self.store.delete(&object.name).await {
                Err(error) if error.class() == Class::AccessDenied => return Ok(false),
                result => result.map_err(self.failed())?,
            }
            match self.store.get(&object.name, 1 << 10).await {
                Err(error) if error.class() == Class::NotFound => {}
                Err(error) => return Err(self.failed()(error)),
                Ok(_) => return Err(self.broken(Promise::DeleteIsSeen)),
            }
        }
        if self.list().await?.is_empty() { Ok(true) } else { Err(self.broken(Promise::DeleteIsSeen)) }
    }

    fn name(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    async fn list(&self) -> Result<Vec<ObjectInfo>, ProbeError> {
        self.store.list(&self.folder).try_collect().await.map_err(self.failed())
    }

    fn failed(&self) -> impl Fn(StoreError) -> ProbeError {
        let store = self.store.describe();
        move |source| ProbeError::Store { store: store.clone(), source }
    }

    fn broken(&self, promise: Promise) -> ProbeError {
        ProbeError::Broken { store: self.store.describe(), promise }
    }

    fn no_condition(&self, evidence: String) -> ProbeError {
        ProbeError::NoConditionalCreate { store: self.store.describe(), evidence }
    }
}
