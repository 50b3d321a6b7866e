//! Forgetting snapshots: one signed tombstone each. The space comes back with the next prune.

mod policy;

pub use policy::{ForgetDecision, ForgetPolicy, KeepReason, decide_forget};

use crate::{RepoError, Repository, Snapshot, check::says_damage, record};
use jiff::Timestamp;
use longshore_format::{
    names::{self, SnapshotKey},
    prune::Tombstone,
    sealed::RecordKind,
};
use longshore_store::Class as StoreClass;

impl Repository {
    /// Forgets a snapshot: from now on it is not listed, cannot be restored, and keeps nothing alive. `reason` stands in the
    /// tombstone, which stays for ever. Forgetting twice is no error. On a full store the reserve makes room; the next prune makes
    /// it again.
    ///
    /// # Errors
    /// [`crate::Class::NoAuthority`] if the key that opened the repository is a mover's.
    pub fn forget(&self, snapshot: &Snapshot, reason: &str, now: Timestamp) -> Result<(), RepoError> {
        self.forget_key(snapshot.key, reason, now)
    }

    /// Forgets whatever snapshot stands at a key, also one whose record cannot be read any more.
    ///
    /// # Errors
    /// [`crate::Class::NoAuthority`] if the key that opened the repository is a mover's.
    pub fn forget_key(&self, key: SnapshotKey, reason: &str, now: Timestamp) -> Result<(), RepoError> {
        let name = names::tombstone(key.source, key.run);
        let tombstone = Tombstone {
            source: key.source,
            run: key.run,
            forgotten_at: now,
            reason: reason.to_owned(),
            software: crate::SOFTWARE.to_owned(),
        };
        let plain = tombstone.encode().map_err(RepoError::format(&name))?;
        let sealed = record::seal(&self.keys, RecordKind::Forget, &name, &plain)?;
        match self.with_reserve(|_| self.io.create(&name, sealed.clone())) {
            Err(RepoError::Store { source }) if source.class() == StoreClass::AlreadyExists => {}
            result => return result,
        }
        match self.is_forgotten(key.source, key.run) {
            // A stranger has put something there, or the tombstone is damaged: it means nothing, and makes room.
            Err(error) if says_damage(&error) => {
                self.io.delete(&name)?;
                self.io.create(&name, sealed)
            }
            result => result.map(|_| ()),
        }
    }
}
