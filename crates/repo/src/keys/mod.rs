//! Keys of a repository: who may open it and as what. How a slot opens stands in `load`, how slots and epochs change in
//! `change`; the bytes and signatures in `longshore-crypto`.

mod change;
mod check;
mod load;

pub use change::{AddedKey, ChangedKeys, KeyChange, KeyHolder};
pub(crate) use load::{Loaded, load, unlock};

use crate::{RepoError, Repository};
use longshore_crypto::{Credential, Secret};
use longshore_format::{
    SlotId,
    keyset::{Role, SlotEntry},
    slot::SlotKind,
};

/// What a repository is opened with.
#[derive(Debug, Clone)]
pub struct Unlock {
    /// The password or key.
    pub credential: Credential,
    /// The beginning of the id of the slot that it belongs to, if known. Each password slot costs a key derivation to try.
    pub slot: Option<String>,
}

impl From<Credential> for Unlock {
    fn from(credential: Credential) -> Self {
        Self { credential, slot: None }
    }
}

impl From<&Secret> for Unlock {
    fn from(password: &Secret) -> Self {
        Credential::from(password).into()
    }
}

impl From<&Self> for Unlock {
    fn from(unlock: &Self) -> Self {
        unlock.clone()
    }
}

/// A key that opens a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its slot.
    pub slot: SlotId,
    /// What it is.
    pub kind: SlotKind,
    /// What its owner may do.
    pub role: Role,
    /// What its owner calls it.
    pub label: String,
    /// The keyset revision that added it.
    pub added: u32,
    /// Whether this repository was opened with it.
    pub in_use: bool,
}

/// The keys of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyList {
    /// The keyset revision in force.
    pub revision: u32,
    /// The epoch that new objects are sealed with.
    pub epoch: u32,
    /// The line that the file of a recipient's identity needs.
    pub anchor_line: String,
    /// The keys, oldest first.
    pub keys: Vec<KeyInfo>,
    /// Objects that stand where keyset revisions do and are none that this key can trust.
    pub ignored: Vec<String>,
}

impl KeyList {
    /// The key that a user means: the unique beginning of its slot's id, or `current`.
    pub fn resolve(&self, wanted: &str) -> Result<SlotId, RepoError> {
        let prefix = wanted.to_ascii_lowercase();
        let fits = |key: &&KeyInfo| match wanted {
            "current" => key.in_use,
            "" => false,
            _ => key.slot.to_string().starts_with(&prefix),
        };
        let found: Vec<_> = self.keys.iter().filter(fits).collect();
        match found.as_slice() {
            [key] => Ok(key.slot),
            found => Err(RepoError::KeyNotFound { wanted: wanted.to_owned(), count: found.len() }),
        }
    }
}

impl Repository {
    /// The keys as they are in the store now.
    pub fn keys(&self) -> Result<KeyList, RepoError> {
        let loaded = load(&self.io, self.id(), &self.slot)?;
        Ok(KeyList {
            revision: loaded.revision,
            epoch: loaded.keyset.newest_epoch(),
            anchor_line: loaded.before.line(self.id()),
            keys: loaded.keyset.slots().iter().map(|entry| self.key_info(entry)).collect(),
            ignored: loaded.ignored,
        })
    }

    fn key_info(&self, entry: &SlotEntry) -> KeyInfo {
        KeyInfo {
            slot: entry.id,
            kind: entry.kind,
            role: entry.role,
            label: entry.label.clone(),
            added: entry.added,
            in_use: entry.id == self.slot.id(),
        }
    }
}
