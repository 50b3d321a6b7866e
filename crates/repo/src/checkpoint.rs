//! Checkpoints: finding out a store that shows an older state of the repository than there was.
//!
//! Every object of a repository is authentic, but nothing in it says that it is all. A checkpoint does: maintenance signs what it
//! saw, under a number that only grows. Who keeps a checkpoint's [`Anchor`] outside the store finds out a store that goes back
//! before it; everybody finds out one that hides a snapshot that a checkpoint names. What came after the newest checkpoint a store
//! can still hide.

use crate::{
    RepoError, Repository, Snapshot,
    parallel::{self, AT_ONCE},
    plans, record,
};
use jiff::Timestamp;
use longshore_format::{
    Digest,
    checkpoint::{
        CHECKPOINT_SNAPSHOTS_MAX, CHECKPOINTS_BEFORE_MAX, Checkpoint, EarlierCheckpoint, SeenSnapshot,
    },
    names::{self, SnapshotKey},
    sealed::RecordKind,
};
use longshore_store::Class as StoreClass;
use std::{fmt, str::FromStr};

/// Checkpoints that are kept in the store; all that came before are named in them.
const KEPT: usize = 10;
/// Others may make checkpoints too; more often than this in one call cannot be.
const TRIES_MAX: usize = 16;

/// A checkpoint, as one keeps it outside the store: `<number>:<64 hex digits>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The checkpoint's number.
    pub number: u64,
    /// BLAKE3 of its object.
    pub digest: Digest,
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.number, self.digest)
    }
}

/// A text that is no anchor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint as `longshore checkpoint` prints it: its number, a colon, 64 hex digits")]
pub struct AnchorError;

impl FromStr for Anchor {
    type Err = AnchorError;

    fn from_str(text: &str) -> Result<Self, AnchorError> {
        let (number, digest) = text.trim().split_once(':').ok_or(AnchorError)?;
        let number = number.parse().ok().filter(|number| *number > 0).ok_or(AnchorError)?;
        Ok(Self { number, digest: digest.parse().map_err(|_| AnchorError)? })
    }
}

/// The newest checkpoint that a store shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How it is named outside.
    pub anchor: Anchor,
    /// When it was made.
    pub created_at: Timestamp,
    /// How many snapshots it names.
    pub snapshots: usize,
}

impl Repository {
    /// Signs what is there now, and returns how to name it outside the store. Needs maintenance's key.
    pub fn checkpoint(&self) -> Result<Anchor, RepoError> {
        for _ in 0..TRIES_MAX {
            let checkpoint = self.look()?;
            let name = names::checkpoint(checkpoint.number);
            let plain = checkpoint.encode().map_err(RepoError::format(&name))?;
            let sealed = record::seal(&self.keys, RecordKind::Checkpoint, &name, &plain)?;
            let anchor = Anchor { number: checkpoint.number, digest: digest(&sealed) };
            match self.with_reserve(|_| self.io.create(&name, sealed.clone())) {
                Ok(()) => {
                    self.drop_old_checkpoints(anchor.number)?;
                    return Ok(anchor);
                }
                Err(RepoError::Store { source }) if source.class() == StoreClass::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(RepoError::Misuse { rule: "checkpoints come faster than one can be made" })
    }

    /// The newest checkpoint, if there is any.
    pub fn newest_checkpoint(&self) -> Result<Option<Seen>, RepoError> {
        Ok(self.newest()?.map(|(anchor, checkpoint)| Seen {
            anchor,
            created_at: checkpoint.created_at,
            snapshots: checkpoint.snapshots.len(),
        }))
    }

    /// Proves that the store shows at least the state of an anchor: its checkpoint or a later one that follows from it, and
    /// everything that the newest one names, as far as it was not forgotten since.
    ///
    /// # Errors
    /// [`RepoError::RolledBack`] if it does not.
    pub fn expect_checkpoint(&self, anchor: &Anchor) -> Result<(), RepoError> {
        let rolled_back = |what: String| RepoError::RolledBack { number: anchor.number, what };
        let Some((newest, checkpoint)) = self.newest()? else {
            return Err(rolled_back("the store shows no checkpoint at all".to_owned()));
        };
        if newest.number < anchor.number {
            return Err(rolled_back(format!(
                "the newest checkpoint that the store shows is {}",
                newest.number
            )));
        }
        let named = checkpoint.before.iter().find(|earlier| earlier.number == anchor.number);
        let known =
            if newest.number == anchor.number { Some(newest.digest) } else { named.map(|one| one.digest) };
        if known.is_some_and(|known| known != anchor.digest) {
            return Err(rolled_back("the store shows another checkpoint of that number".to_owned()));
        }
        match self.hidden_since(&checkpoint)?.first() {
            None => Ok(()),
            Some(hidden) => Err(rolled_back(hidden.clone())),
        }
    }

    /// What the newest checkpoint names and the store does not show; one sentence each.
    pub(crate) fn hidden(&self) -> Result<Vec<(String, String)>, RepoError> {
        let Some((anchor, checkpoint)) = self.newest()? else { return Ok(Vec::new()) };
        let name = names::checkpoint(anchor.number);
        Ok(self.hidden_since(&checkpoint)?.into_iter().map(|what| (name.clone(), what)).collect())
    }

    fn hidden_since(&self, checkpoint: &Checkpoint) -> Result<Vec<String>, RepoError> {
        let mut hidden = Vec::new();
        let revision = self.keys()?.revision;
        if revision < checkpoint.keyset_revision {
            hidden.push(format!("keyset revision {} is hidden", checkpoint.keyset_revision));
        }
        let (_, plan) = plans::newest_numbers(&self.io)?;
        if plan < checkpoint.plan {
            hidden.push(format!("the result of prune {} is hidden", checkpoint.plan));
        }
        let lost = parallel::map(&checkpoint.snapshots, AT_ONCE, |seen| self.lost(seen))?;
        hidden.extend(lost.into_iter().flatten());
        Ok(hidden)
    }

    /// What is wrong with a snapshot that a checkpoint names, if anything is.
    fn lost(&self, seen: &SeenSnapshot) -> Result<Option<String>, RepoError> {
        let key = SnapshotKey::from(seen.key);
        let name = names::snapshot(&key);
        let found = match self.io.get(&name, RecordKind::Snapshot.object_bytes_max() as u64) {
            Ok(bytes) => Some(digest(&bytes)),
            Err(RepoError::Store { source }) if source.class() == StoreClass::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(match found {
            Some(found) if found == seen.digest => None,
            _ if self.is_forgotten(key.source, key.run)? => None,
            Some(_) => Some(format!("the record of snapshot {} is another one", key.run)),
            None => Some(format!("snapshot {} is hidden, and was not forgotten", key.run)),
        })
    }

    fn look(&self) -> Result<Checkpoint, RepoError> {
        let listed = self.numbers()?;
        let before = match self.newest()? {
            None => Vec::new(),
            Some((anchor, newest)) => {
                let this = EarlierCheckpoint { number: anchor.number, digest: anchor.digest };
                std::iter::once(this).chain(newest.before).take(CHECKPOINTS_BEFORE_MAX).collect()
            }
        };
        let (_, plan) = plans::newest_numbers(&self.io)?;
        let mut snapshots = self.snapshots()?;
        // The newest matter most.
        let spare = snapshots.len().saturating_sub(CHECKPOINT_SNAPSHOTS_MAX);
        snapshots.drain(..spare);
        let snapshots = parallel::map(&snapshots, AT_ONCE, |snapshot: &Snapshot| {
            let name = names::snapshot(&snapshot.key);
            let bytes = self.io.get(&name, RecordKind::Snapshot.object_bytes_max() as u64)?;
            Ok(SeenSnapshot { key: snapshot.key.into(), digest: digest(&bytes) })
        })?;
        Ok(Checkpoint {
            number: listed.last().map_or(1, |newest| newest.saturating_add(1)),
            created_at: Timestamp::now(),
            before,
            keyset_revision: self.keys()?.revision,
            plan,
            snapshots,
        })
    }

    /// The newest object that is a checkpoint. What stands beside and is none (no signature of maintenance), is passed over:
    /// somebody who may create there must not hide the checkpoints by it.
    fn newest(&self) -> Result<Option<(Anchor, Checkpoint)>, RepoError> {
        for number in self.numbers()?.into_iter().rev() {
            let name = names::checkpoint(number);
            let bytes = match self.io.get(&name, RecordKind::Checkpoint.object_bytes_max() as u64) {
                Ok(bytes) => bytes,
                // An old one that was dropped meanwhile.
                Err(RepoError::Store { source }) if source.class() == StoreClass::NotFound => continue,
                Err(error) => return Err(error),
            };
            let opened = record::open(&self.keys, RecordKind::Checkpoint, &name, &bytes)
                .and_then(|plain| Checkpoint::decode(&plain).map_err(RepoError::format(&name)));
            match opened {
                Ok(checkpoint) if checkpoint.number == number => {
                    return Ok(Some((Anchor { number, digest: digest(&bytes) }, checkpoint)));
                }
                Ok(_) | Err(_) => {
                    tracing::warn!(object = %name, "passed over: it is no checkpoint of maintenance's")
                }
            }
        }
        Ok(None)
    }

    /// Numbers of all checkpoints, ascending.
    fn numbers(&self) -> Result<Vec<u64>, RepoError> {
        let listed = self.io.list(names::CHECKPOINTS)?;
        let mut numbers: Vec<_> =
            listed.iter().filter_map(|object| names::parse_checkpoint(&object.name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn drop_old_checkpoints(&self, newest: u64) -> Result<(), RepoError> {
        let mut numbers = self.numbers()?;
        numbers.retain(|number| *number <= newest);
        let old = numbers.len().saturating_sub(KEPT);
        for number in numbers.into_iter().take(old) {
            match self.io.delete(&names::checkpoint(number)) {
                // They are of no use, and in nobody's way.
                Err(RepoError::Store { source }) if source.class() == StoreClass::AccessDenied => {
                    return Ok(());
                }
                result => result?,
            }
        }
        Ok(())
    }
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(*blake3::hash(bytes).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_read_back_and_nothing_else_does() {
        let anchor = Anchor { number: 12, digest: Digest([0xab; 32]) };
        assert_eq!(format!("{anchor}\n").parse(), Ok(anchor));
        for wrong in ["", "12", "12:", "0:ab", ":", "12:AB"].map(str::to_owned) {
            assert_eq!(wrong.parse::<Anchor>(), Err(AnchorError), "{wrong}");
        }
        assert_eq!(anchor.to_string().replace("12:", "0:").parse::<Anchor>(), Err(AnchorError));
    }
}
