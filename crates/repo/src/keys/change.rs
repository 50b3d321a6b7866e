use crate::{
    RepoError, Repository,
    io::Io,
    keys::{Loaded, load, load::SLOTS_TRIED_MAX},
    record,
};
use longshore_crypto::{Anchor, Credential, Keyset, NewSlot, Recipient, RepositoryKeys};
use longshore_format::{
    RepositoryId, SlotId,
    keyset::{LABEL_BYTES_MAX, Role, SLOTS_MAX, label_is_valid},
    names,
    sealed::RecordKind,
    slot::{KdfCost, SlotKind},
};
use longshore_store::Class as StoreClass;

/// How often a change is tried that others overtake.
const ATTEMPTS: usize = 32;

/// Who gets a new key.
#[derive(Debug, Clone)]
pub enum KeyHolder {
    /// Whoever has this password, key file or recovery key.
    Credential(Credential),
    /// The owner of the private half.
    Recipient(Recipient),
}

/// A key to be added.
#[derive(Debug, Clone)]
pub struct AddedKey {
    /// Who gets it.
    pub holder: KeyHolder,
    /// What he may do.
    pub role: Role,
    /// What it is called.
    pub label: String,
    /// What guessing it costs, if it is a password.
    pub cost: KdfCost,
}

/// A change of a repository's keys. All of it comes in force at once.
#[derive(Debug, Clone, Default)]
pub struct KeyChange {
    /// A key to add.
    pub add: Option<AddedKey>,
    /// A key to remove. Its owner keeps what he has read, and can open what is sealed in epochs that he knows.
    pub remove: Option<SlotId>,
    /// Whether new objects are sealed with new secrets, signed by a new maintenance key.
    pub rotate: bool,
}

/// What a change of keys did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedKeys {
    /// The keyset revision that it made.
    pub revision: u32,
    /// The epoch that new objects are sealed with from now on.
    pub epoch: u32,
    /// The slot that was added.
    pub added: Option<SlotId>,
    /// The line that the file of a recipient's identity needs.
    pub anchor_line: String,
}

impl Repository {
    /// Changes the keys. Of two that change them at the same time, the second builds on what the first made. This open
    /// repository goes on with the keys that it has; others learn of new ones when they open it.
    ///
    /// [`crate::Class::NoAuthority`] unless this repository was opened with a key of role maintenance.
    pub fn change_keys(&self, change: &KeyChange) -> Result<ChangedKeys, RepoError> {
        let mut new_slot = None;
        for _ in 0..ATTEMPTS {
            let current = load(&self.io, self.id(), &self.slot)?;
            check(&current, change)?;
            if let (Some(added), None) = (&change.add, &new_slot) {
                new_slot = Some(make_slot(&self.io, self.id(), &current, added)?);
            }
            let next = apply(&current, change, new_slot.as_ref())?;
            let revision = next.seal(self.id(), current.next, current.hash, &current.keyset)?;
            let bytes = revision.encode();
            if !create_or_found(&self.io, &names::keyset(self.id(), current.next), &bytes)? {
                continue;
            }
            if let Some(id) = change.remove {
                self.delete_slot(id);
            }
            if change.rotate {
                self.seal_config_anew(next.clone())?;
            }
            let anchor = Anchor { revision: current.revision, authority: current.keyset.authority() };
            return Ok(ChangedKeys {
                revision: current.next,
                epoch: next.newest_epoch(),
                added: new_slot.map(|slot| slot.id),
                anchor_line: anchor.line(self.id()),
            });
        }
        Err(RepoError::KeysBusy)
    }

    /// Deletes the object of a slot that nothing is sealed to any more, so that the password that opened it opens nothing of
    /// the past either, unless somebody kept a copy. A store that refuses (a lock, a credential without this right) changes
    /// nothing about the removal.
    fn delete_slot(&self, id: SlotId) {
        let name = names::key_slot(self.id(), id);
        if let Err(error) = self.io.delete(&name) {
            tracing::warn!(object = name, %error, "the slot of a removed key stays in the store");
        }
    }

    /// The configuration in force, sealed in the new epoch and signed by the new maintenance key, so that nobody who holds the
    /// old one can write another. If this fails, the old one stays in force.
    fn seal_config_anew(&self, keyset: Keyset) -> Result<(), RepoError> {
        let keys = RepositoryKeys::new(self.id(), keyset)?;
        let prefix = names::config_revisions(self.id());
        for _ in 0..ATTEMPTS {
            let listed = self.io.list(&prefix)?;
            let numbers = listed.iter().filter_map(|object| names::parse_revision(&prefix, &object.name));
            let name = names::config(self.id(), numbers.max().unwrap_or(0) + 1);
            let plain = self.config.encode().map_err(RepoError::format(&name))?;
            let bytes = record::seal(&keys, RecordKind::Config, &name, &plain)?;
            if create_or_found(&self.io, &name, &bytes)? {
                return Ok(());
            }
        }
        Err(RepoError::KeysBusy)
    }
}

/// Whether the change may be made to what is in force now.
fn check(current: &Loaded, change: &KeyChange) -> Result<(), RepoError> {
    if !current.keyset.can_maintain() {
        return Err(RepoError::NoAuthority);
    }
    let slots = current.keyset.slots();
    if let Some(id) = change.remove
        && !slots.iter().any(|slot| slot.id == id)
    {
        return Err(RepoError::KeyNotFound { wanted: id.to_string(), count: 0 });
    }
    let staying =
        slots.iter().filter(|slot| Some(slot.id) != change.remove).map(|slot| (slot.kind, slot.role));
    let added = change.add.as_ref().map(|added| (added.kind(), added.role));
    let after: Vec<(SlotKind, Role)> = staying.chain(added).collect();
    if !after.iter().any(|(_, role)| *role == Role::Maintenance) {
        return Err(RepoError::LastMaintenanceKey);
    }
    let of_kind = |kind: SlotKind| after.iter().filter(|(other, _)| *other == kind).count();
    // Recipients find their slot by its id; the others try those of their kind.
    let tried = SlotKind::ALL.into_iter().filter(|kind| *kind != SlotKind::Recipient).map(of_kind).max();
    if after.len() > SLOTS_MAX || tried > Some(SLOTS_TRIED_MAX) {
        return Err(RepoError::TooManyKeys { keys: SLOTS_MAX, of_kind: SLOTS_TRIED_MAX });
    }
    match &change.add {
        Some(added) if !label_is_valid(&added.label) => {
            Err(RepoError::KeyLabel { longest_bytes: LABEL_BYTES_MAX })
        }
        _ => Ok(()),
    }
}

impl AddedKey {
    fn kind(&self) -> SlotKind {
        match &self.holder {
            KeyHolder::Credential(credential) => credential.kind(),
            KeyHolder::Recipient(_) => SlotKind::Recipient,
        }
    }
}

/// Makes a slot, and its object if it has one. Nothing is sealed to it yet: alone, it means nothing.
fn make_slot(io: &Io, id: RepositoryId, current: &Loaded, added: &AddedKey) -> Result<NewSlot, RepoError> {
    let anchor = Anchor { revision: current.revision, authority: current.keyset.authority() };
    let slot = match &added.holder {
        KeyHolder::Credential(credential) => NewSlot::for_credential(id, anchor, credential, added.cost)?,
        KeyHolder::Recipient(recipient) => NewSlot::for_recipient(id, *recipient),
    };
    if let Some(object) = &slot.object {
        create_or_found(io, &names::key_slot(id, slot.id), &object.encode())?;
    }
    Ok(slot)
}

fn apply(current: &Loaded, change: &KeyChange, new_slot: Option<&NewSlot>) -> Result<Keyset, RepoError> {
    let mut next = current.keyset.clone();
    if let Some(id) = change.remove {
        next.remove_slot(id);
    }
    if let (Some(added), Some(slot)) = (&change.add, new_slot) {
        if next.slots().iter().any(|other| other.id == slot.id) {
            return Err(RepoError::KeyExists { slot: slot.id.to_string() });
        }
        next.add_slot(slot, added.role, &added.label, current.next);
    }
    if change.rotate {
        next.rotate()?;
    }
    Ok(next)
}

/// Creates an object; false if another one stands there. An answer that was lost on the way makes a repeated request find its
/// own object.
pub(crate) fn create_or_found(io: &Io, name: &str, bytes: &[u8]) -> Result<bool, RepoError> {
    match io.create(name, bytes.to_vec()) {
        Ok(()) => Ok(true),
        Err(RepoError::Store { source }) if source.class() == StoreClass::AlreadyExists => {
            Ok(io.get(name, bytes.len() as u64).is_ok_and(|found| found == bytes))
        }
        Err(error) => Err(error),
    }
}
