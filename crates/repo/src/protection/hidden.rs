//! Versions that only a deletion hides: in a bucket with versions, prune's deletions free nothing before these are removed.

use crate::{
    RepoError, Repository,
    parallel::{self, AT_ONCE},
};
use jiff::Timestamp;
use longshore_format::names::{self, PackKind};
use longshore_store::{Bucket, Class as StoreClass, PROBE_PREFIX, Version};
use std::collections::HashSet;

/// Where prune deletes. What is hidden elsewhere, somebody else has hidden: it is left.
const PLACES: [&str; 7] = [
    PackKind::Data.prefix(),
    PackKind::Meta.prefix(),
    names::INDEX,
    names::SNAPSHOTS,
    names::SESSIONS,
    names::PLANS,
    PROBE_PREFIX,
];

/// What was removed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemovedVersions {
    /// Versions, without markers.
    pub versions: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Versions that are still locked, or that these credentials may not remove.
    pub locked: u64,
}

impl RemovedVersions {
    fn add(&mut self, more: Self) {
        self.versions += more.versions;
        self.bytes += more.bytes;
        self.locked += more.locked;
    }
}

impl Repository {
    /// Removes the versions of what was deleted before a time, as far as they are not locked.
    ///
    /// Refuses ([`RepoError::HiddenObjects`]) if anything is hidden that nobody who keeps to the protocol has deleted: the record
    /// of a snapshot that was not forgotten, or an object that a kept snapshot needs. Then somebody else deletes here, and these
    /// versions are all that is left.
    pub fn remove_hidden(&self, bucket: &Bucket, before: Timestamp) -> Result<RemovedVersions, RepoError> {
        let mut hidden = Vec::new();
        for place in PLACES {
            let bucket = bucket.clone();
            let versions = self.io.wait(async move { bucket.versions(place).await })?;
            hidden.extend(by_name(versions).filter(|versions| versions[0].is_marker));
        }
        // In most buckets nothing is, and then there is no reason to walk what snapshots need.
        if hidden.is_empty() {
            return Ok(RemovedVersions::default());
        }
        self.refuse_strange(&hidden)?;
        hidden.retain(|versions| versions[0].modified_at < before);
        let mut removed = RemovedVersions::default();
        for one in parallel::map(&hidden, AT_ONCE, |versions| self.remove(bucket, versions))? {
            removed.add(one);
        }
        Ok(removed)
    }

    fn refuse_strange(&self, hidden: &[Vec<Version>]) -> Result<(), RepoError> {
        let names = hidden.iter().filter(|versions| versions.iter().any(|version| !version.is_marker));
        let needed: HashSet<String> = self.needed_objects()?.into_iter().collect();
        let mut strange = Vec::new();
        for name in names.map(|versions| &versions[0].name) {
            let is_strange = match names::parse_snapshot(name) {
                Some(key) => !self.is_forgotten(key.source, key.run)?,
                None => needed.contains(name),
            };
            if is_strange {
                strange.push(name.clone());
            }
        }
        match strange.first() {
            None => Ok(()),
            Some(first) => Err(RepoError::HiddenObjects { count: strange.len(), first: first.clone() }),
        }
    }

    /// Removes all versions of an object, and then its markers: a marker that went first would show what it hides.
    fn remove(&self, bucket: &Bucket, versions: &[Version]) -> Result<RemovedVersions, RepoError> {
        let mut removed = RemovedVersions::default();
        let (markers, versions): (Vec<_>, Vec<_>) = versions.iter().partition(|version| version.is_marker);
        for version in versions {
            match self.remove_one(bucket, version) {
                Ok(()) => {
                    removed.versions += 1;
                    removed.bytes += version.size_bytes;
                }
                Err(RepoError::Store { source }) if source.class() == StoreClass::AccessDenied => {
                    removed.locked += 1;
                }
                Err(error) => return Err(error),
            }
        }
        if removed.locked == 0 {
            markers.into_iter().try_for_each(|marker| self.remove_one(bucket, marker))?;
        }
        Ok(removed)
    }

    fn remove_one(&self, bucket: &Bucket, version: &Version) -> Result<(), RepoError> {
        let (bucket, name, id) = (bucket.clone(), version.name.clone(), version.id.clone());
        self.io.wait(async move { bucket.delete_version(&name, &id).await })
    }
}

/// Groups what is listed by name, newest first, as the bucket's listing is sorted.
pub(super) fn by_name(versions: Vec<Version>) -> impl Iterator<Item = Vec<Version>> {
    let mut versions = versions.into_iter().peekable();
    std::iter::from_fn(move || {
        let mut group = vec![versions.next()?];
        while let Some(next) = versions.next_if(|next| next.name == group[0].name) {
            group.push(next);
        }
        Some(group)
    })
}
