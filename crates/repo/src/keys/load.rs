use crate::{RepoError, io::Io, keys::Unlock, parallel};
use bytes::Bytes;
use longshore_crypto::{Anchor, Class as CryptoClass, Credential, Keyset, KeysetChain, OpenedSlot};
use longshore_format::{
    RepositoryId,
    keyset::{KEYSET_BYTES_MAX, KeysetEntry, KeysetRevision},
    names,
    slot::{KeySlot, SLOT_BYTES},
};
use longshore_store::Class as StoreClass;

/// Revisions read at once.
const REVISIONS_AT_ONCE: usize = 16;
/// Slots of one kind that are tried at most. Trying a password costs a key derivation, so no honest repository has more
/// passwords, and a hostile store cannot ask for more.
pub(crate) const SLOTS_TRIED_MAX: usize = 32;

/// The keyset in force.
pub(crate) struct Loaded {
    pub(crate) keyset: Keyset,
    pub(crate) revision: u32,
    /// What somebody trusts who takes this revision and those after it.
    pub(crate) before: Anchor,
    /// BLAKE3 of the revision.
    pub(crate) hash: [u8; 32],
    /// The number that the next revision will have: the first after it at which nothing stands.
    pub(crate) next: u32,
    pub(crate) ignored: Vec<String>,
}

/// Opens a slot with what the user has, and the newest keyset that the slot trusts.
pub(crate) fn unlock(io: &Io, id: RepositoryId, unlock: &Unlock) -> Result<(OpenedSlot, Keyset), RepoError> {
    let slot = open_slot(io, id, unlock)?;
    let keyset = load(io, id, &slot)?.keyset;
    Ok((slot, keyset))
}

/// Follows the keyset revisions from what the slot trusts to the newest valid one, and opens that.
pub(crate) fn load(io: &Io, id: RepositoryId, slot: &OpenedSlot) -> Result<Loaded, RepoError> {
    let numbers = revisions(io, id)?;
    let after: Vec<u32> = numbers.iter().copied().filter(|number| *number > slot.anchor().revision).collect();
    let mut chain = KeysetChain::new(id, slot.anchor());
    let (mut newest, mut before) = (None, chain.anchor());
    let (mut ignored, mut refusal) = (Vec::new(), None);
    for some in after.chunks(REVISIONS_AT_ONCE) {
        for (number, bytes) in read_revisions(io, id, some)? {
            let name = names::keyset(id, number);
            let trusted = chain.anchor();
            match chain.follow(number, &bytes) {
                Ok(revision) => (newest, before) = (Some(revision), trusted),
                // Written by a newer version: what this one would take for the newest is not.
                Err(error) if error.class() == CryptoClass::Unsupported => {
                    return Err(RepoError::seal(&name)(error));
                }
                Err(error) => {
                    tracing::warn!(object = name, %error, "ignoring what is no keyset revision of this repository");
                    refusal.get_or_insert_with(|| RepoError::seal(&name)(error));
                    ignored.push(name);
                }
            }
        }
    }
    let location = || io.store().describe();
    let missing = || RepoError::Incomplete { location: location(), what: "keyset that this key can trust" };
    let newest = newest.ok_or_else(|| refusal.unwrap_or_else(missing))?;
    let name = names::keyset(id, newest.revision);
    Ok(Loaded {
        keyset: Keyset::open(&newest, slot).map_err(RepoError::seal(&name))?,
        revision: newest.revision,
        before,
        hash: chain.last(),
        next: (newest.revision + 1..).find(|number| !numbers.contains(number)).unwrap_or(u32::MAX),
        ignored,
    })
}

/// The numbers of all revisions, ascending.
pub(crate) fn revisions(io: &Io, id: RepositoryId) -> Result<Vec<u32>, RepoError> {
    let prefix = names::keyset_revisions(id);
    let listed = io.list(&prefix)?;
    Ok(listed.iter().filter_map(|object| names::parse_revision(&prefix, &object.name)).collect())
}

pub(crate) fn read_revisions(
    io: &Io,
    id: RepositoryId,
    numbers: &[u32],
) -> Result<Vec<(u32, Bytes)>, RepoError> {
    let read = |number: u32| match io.get(&names::keyset(id, number), KEYSET_BYTES_MAX as u64) {
        Ok(bytes) => Ok((number, bytes)),
        // Too large for a revision: it is none.
        Err(RepoError::Store { source }) if source.class() == StoreClass::Corrupt => {
            Ok((number, Bytes::new()))
        }
        Err(error) => Err(error),
    };
    parallel::map(numbers, numbers.len(), |number| read(*number))
}

fn open_slot(io: &Io, id: RepositoryId, wanted: &Unlock) -> Result<OpenedSlot, RepoError> {
    if let Credential::Identity(identity) = &wanted.credential {
        return match OpenedSlot::of_identity(id, identity) {
            Some(slot) => Ok(slot),
            None => Err(RepoError::NoAnchor { line: claimed_anchor(io, id)?.line(id) }),
        };
    }
    let newest = claimed_revisions(io, id, 1)?.swap_remove(0);
    let kind = wanted.credential.kind();
    let fits = |entry: &&KeysetEntry| {
        let chosen =
            wanted.slot.as_ref().is_none_or(|prefix| entry.slot.to_string().starts_with(prefix.as_str()));
        entry.kind == kind && chosen
    };
    let (mut tried, mut damaged) = (0, None);
    // The newest first: who has just changed a password has the new one.
    for entry in newest.entries.iter().rev().filter(fits).take(SLOTS_TRIED_MAX) {
        let name = names::key_slot(id, entry.slot);
        let slot = match read_slot(io, id, entry, &name) {
            Ok(slot) => slot,
            Err(RepoError::Store { source }) if source.class() != StoreClass::NotFound => {
                return Err(source.into());
            }
            Err(error) => {
                damaged = Some(error);
                continue;
            }
        };
        tried += 1;
        tracing::debug!(slot = name, kind = kind.as_str(), "trying to open a key slot");
        match OpenedSlot::open(&slot, &wanted.credential) {
            Ok(opened) => return Ok(opened),
            Err(error) if error.class() == CryptoClass::WrongPassword => {}
            Err(error) => return Err(RepoError::seal(&name)(error)),
        }
    }
    match damaged {
        Some(error) if tried == 0 => Err(error),
        _ => Err(RepoError::WrongKey { kind: kind.as_str(), slots: tried }),
    }
}

fn read_slot(io: &Io, id: RepositoryId, entry: &KeysetEntry, name: &str) -> Result<KeySlot, RepoError> {
    let bytes = io.get(name, SLOT_BYTES as u64)?;
    let slot = KeySlot::decode(&bytes).map_err(RepoError::format(name))?;
    if slot.repository == id && slot.id == entry.slot && slot.derivation.kind() == entry.kind {
        Ok(slot)
    } else {
        Err(RepoError::WrongContent { object: name.to_owned() })
    }
}

/// The newest objects that look like keyset revisions, newest first, at least one and at most `count`. They are not
/// authenticated: which slots are worth trying is read from them, so a hostile store can make a key seem wrong, and that is all.
fn claimed_revisions(io: &Io, id: RepositoryId, count: usize) -> Result<Vec<KeysetRevision>, RepoError> {
    let (mut found, mut refusal) = (Vec::new(), None);
    for number in revisions(io, id)?.into_iter().rev() {
        let name = names::keyset(id, number);
        let (_, bytes) = read_revisions(io, id, &[number])?.pop().unwrap_or_default();
        match KeysetRevision::decode(&bytes) {
            Ok(revision) if revision.repository == id && revision.revision == number => found.push(revision),
            Ok(_) => refusal = Some(RepoError::WrongContent { object: name }),
            Err(source) if source.class() == longshore_format::Class::Unsupported => {
                return Err(RepoError::format(&name)(source));
            }
            Err(source) => refusal = Some(RepoError::format(&name)(source)),
        }
        if found.len() == count {
            break;
        }
    }
    if found.is_empty() {
        let location = io.store().describe();
        return Err(refusal.unwrap_or(RepoError::Incomplete { location, what: "keyset" }));
    }
    Ok(found)
}

/// Whom the store says is to be trusted: the key that would have signed the newest revision.
fn claimed_anchor(io: &Io, id: RepositoryId) -> Result<Anchor, RepoError> {
    let newest = claimed_revisions(io, id, 2)?;
    Ok(match newest.as_slice() {
        [_, before, ..] => Anchor { revision: before.revision, authority: before.authority },
        [first] => Anchor { revision: 0, authority: first.authority },
        [] => Anchor { revision: 0, authority: [0; 32] },
    })
}
