use crate::{
    RepoError, Repository,
    io::Io,
    parallel::{self, AT_ONCE},
};
use jiff::{SignedDuration, Timestamp};
use longshore_store::{Bucket, Class as StoreClass, LockMode, Protection, Retention, Store, Versioning};
use std::sync::Arc;

/// How to lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockOptions {
    /// How firmly. What is locked more firmly stays so.
    pub mode: LockMode,
    /// For how long from now.
    pub period: SignedDuration,
}

/// What a lock did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LockReport {
    /// Objects that kept snapshots need.
    pub objects: u64,
    /// Objects whose lock became longer, or that had none.
    pub extended: u64,
}

/// How long data is truly protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProtectionReport {
    /// What the bucket does by itself.
    pub bucket: Protection,
    /// The locks of what kept snapshots need; none where the bucket has no Object Lock.
    pub locks: Option<Locks>,
}

/// The locks of all objects that kept snapshots need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locks {
    /// The objects.
    pub objects: u64,
    /// How many of them have no lock that still holds.
    pub unlocked: u64,
    /// How many of them have a lock that a person with the right to may open.
    pub governed: u64,
    /// Until when every one of them is locked; none if some are not.
    pub until: Option<Timestamp>,
}

/// Whether what is deleted from the bucket goes on taking room, as far as it tells.
pub fn keeps_versions(store: Arc<dyn Store>, bucket: &Bucket) -> Result<bool, RepoError> {
    let bucket = bucket.clone();
    match Io::new(store)?.wait(async move { bucket.protection().await }) {
        Ok(found) => Ok(found.versioning != Versioning::Off),
        Err(RepoError::Store { source })
            if matches!(source.class(), StoreClass::AccessDenied | StoreClass::Permanent) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

impl Repository {
    /// Looks at the lock of every object that kept snapshots need: one request for each, if the bucket locks at all.
    pub fn protection(&self, bucket: &Bucket) -> Result<ProtectionReport, RepoError> {
        let of = bucket.clone();
        let state = self.io.wait(async move { of.protection().await })?;
        // Without locks there is nothing to ask of each object, and no reason to walk everything.
        let locks = state.lock.map(|_| self.locks(bucket)).transpose()?;
        Ok(ProtectionReport { bucket: state, locks })
    }

    fn locks(&self, bucket: &Bucket) -> Result<Locks, RepoError> {
        let needed = self.needed_objects()?;
        let now = Timestamp::now();
        let found = parallel::map(&needed, AT_ONCE, |name| self.retention(bucket, name))?;
        let holding: Vec<_> = found.into_iter().flatten().filter(|lock| lock.until > now).collect();
        let unlocked = (needed.len() - holding.len()) as u64;
        Ok(Locks {
            objects: needed.len() as u64,
            unlocked,
            governed: holding.iter().filter(|lock| lock.mode == LockMode::Governance).count() as u64,
            until: if unlocked == 0 { holding.iter().map(|lock| lock.until).min() } else { None },
        })
    }

    /// Locks every object that kept snapshots need, if its lock ends before two thirds of the period have passed: run daily,
    /// it touches each object a few times in a period. Other objects are left to become free.
    pub fn lock(&self, bucket: &Bucket, options: LockOptions) -> Result<LockReport, RepoError> {
        let needed = self.needed_objects()?;
        let now = Timestamp::now();
        let (enough, until) = (now + options.period / 3 * 2, now + options.period);
        let extended = parallel::map(&needed, AT_ONCE, |name| {
            let found = self.retention(bucket, name)?;
            if found.is_some_and(|lock| lock.until >= enough && lock.mode >= options.mode) {
                return Ok(0);
            }
            let mode = found.map_or(options.mode, |lock| lock.mode.max(options.mode));
            // A lock of compliance that ends later than this one would, cannot become shorter.
            let until = found.map_or(until, |lock| lock.until.max(until));
            let (bucket, name) = (bucket.clone(), name.clone());
            self.io.wait(async move { bucket.lock(&name, Retention { mode, until }).await })?;
            Ok(1)
        })?;
        Ok(LockReport { objects: needed.len() as u64, extended: extended.into_iter().sum() })
    }

    fn retention(&self, bucket: &Bucket, name: &str) -> Result<Option<Retention>, RepoError> {
        let (bucket, name) = (bucket.clone(), name.to_owned());
        self.io.wait(async move { bucket.retention(&name).await })
    }
}
