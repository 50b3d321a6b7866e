//! Forgetting snapshots: one signed tombstone each. The space comes back with the next prune.

mod policy;

pub use policy::{ForgetDecision, ForgetPolicy, KeepReason, decide_forget};

use crate::{RepoError, Repository, Snapshot, record};
use jiff::Timestamp;
use longshore_format::{names, prune::Tombstone, sealed::RecordKind};
use longshore_store::Class as StoreClass;

impl Repository {
    /// Forgets a snapshot: from now on it is not listed, cannot be restored, and keeps nothing alive. `reason` stands in the
    /// tombstone, which stays for ever. Forgetting twice is no error. On a full store the reserve makes room; the next prune makes
    /// it again.
    ///
    /// # Errors
    /// [`crate::Class::NoAuthority`] if the key that opened the repository is a mover's.
    pub fn forget(&self, snapshot: &Snapshot, reason: &str, now: Timestamp) -> Result<(), RepoError> {
        let key = snapshot.key;
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
            // A stranger may have put something there; then the snapshot is not forgotten, and that is said.
            Err(RepoError::Store { source }) if source.class() == StoreClass::AlreadyExists => {
                self.is_forgotten(key.source, key.run).map(|_| ())
            }
            result => result,
        }
    }
}
