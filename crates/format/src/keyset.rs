//! Keyset revisions: the secrets of a repository, sealed to the public halves of its key slots and signed by maintenance.
//!
//! Who reads one checks its signature with a key that it already trusts (the slot holds it, or the revision before), so that
//! a store can neither make a keyset nor add a slot to one. The highest valid revision counts.

use crate::{
    FormatError, RepositoryId, SlotId,
    bytes::{Put, Reader},
    sealed::{SIGNATURE_BYTES, TAG_BYTES},
    slot::SlotKind,
};

const MAGIC: &[u8; 4] = b"LSKR";
const VERSION: u16 = 1;
/// Bytes before the entries.
const HEAD_BYTES: usize = 92;
/// Most slots of a repository.
pub const SLOTS_MAX: usize = 256;
/// Most epochs, and most maintenance keys, of a repository.
pub const EPOCHS_MAX: usize = 1024;
/// Largest sealed part of members.
const MEMBERS_BYTES_MAX: usize = 128 << 10;
/// Largest keyset revision.
pub const KEYSET_BYTES_MAX: usize = 192 << 10;
/// Longest label of a slot.
pub const LABEL_BYTES_MAX: usize = 64;
/// Bytes of the signing key of maintenance, sealed.
pub const MAINTENANCE_BYTES: usize = 32 + TAG_BYTES;

/// What a slot's owner may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Read, and add snapshots.
    Mover,
    /// Also forget, prune, change configuration and keys.
    Maintenance,
}

impl Role {
    /// Both roles.
    pub const ALL: [Self; 2] = [Self::Mover, Self::Maintenance];

    /// The byte that stands for the role.
    pub fn code(self) -> u8 {
        match self {
            Self::Mover => 1,
            Self::Maintenance => 2,
        }
    }

    /// The role's name for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mover => "mover",
            Self::Maintenance => "maintenance",
        }
    }

    /// Bytes of the wrapped content keys that the role gets: the members' alone, or maintenance's too.
    pub fn wrapped_bytes(self) -> usize {
        match self {
            Self::Mover => 32 + TAG_BYTES,
            Self::Maintenance => 64 + TAG_BYTES,
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let code = reader.u8()?;
        Self::ALL.into_iter().find(|role| role.code() == code).ok_or_else(|| reader.invalid("unknown role"))
    }
}

/// The content keys of a revision, wrapped for one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysetEntry {
    /// The slot.
    pub slot: SlotId,
    /// What it opens with: says which slots are worth trying with a given secret.
    pub kind: SlotKind,
    /// What its owner may do.
    pub role: Role,
    /// The public half of a key that was made for this entry alone.
    pub ephemeral: [u8; 32],
    /// The content keys: [`Role::wrapped_bytes`] of them.
    pub wrapped: Vec<u8>,
}

/// A keyset revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysetRevision {
    /// The repository that it belongs to.
    pub repository: RepositoryId,
    /// Its number, from 1.
    pub revision: u32,
    /// BLAKE3 of the revision before; zeros for the first.
    pub previous: [u8; 32],
    /// The public maintenance key that the next revision must be signed with.
    pub authority: [u8; 32],
    /// For whom it is sealed.
    pub entries: Vec<KeysetEntry>,
    /// What every member gets, sealed.
    pub members: Vec<u8>,
    /// The private half of `authority`, sealed for maintenance.
    pub maintenance: [u8; MAINTENANCE_BYTES],
    /// Of all bytes before it, by the authority of the revision before; of the first by its own.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl KeysetRevision {
    /// The bytes before the entries; they are the associated data of both sealed parts.
    pub fn head(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES);
        out.put(MAGIC);
        out.put_u16(VERSION);
        out.put_u16(0);
        out.put(&self.repository.0);
        out.put_u32(self.revision);
        out.put(&self.previous);
        out.put(&self.authority);
        out
    }

    /// The bytes that the signature covers.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = self.head();
        out.put_u32(self.entries.len() as u32);
        for entry in &self.entries {
            out.put(&entry.slot.0);
            out.put_u8(entry.kind.code());
            out.put_u8(entry.role.code());
            out.put(&entry.ephemeral);
            out.put(&entry.wrapped);
        }
        out.put_u32(self.members.len() as u32);
        out.put(&self.members);
        out.put(&self.maintenance);
        out
    }

    /// The bytes of the revision.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.signed_bytes();
        out.put(&self.signature);
        out
    }

    /// Reads a revision. Nothing of it may be believed before its signature is checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new("keyset revision", bytes);
        reader.magic(MAGIC)?;
        reader.version(VERSION)?;
        reader.reserved(2)?;
        let (repository, revision) = (RepositoryId(reader.array()?), reader.u32()?);
        let (previous, authority) = (reader.array()?, reader.array()?);
        let count = reader.count(SLOTS_MAX, 50 + Role::Mover.wrapped_bytes())?;
        let mut entries = Vec::with_capacity(count);
        for _ in 0..count {
            let slot = SlotId(reader.array()?);
            let kind = SlotKind::from_code(reader.u8()?, "keyset revision")?;
            let role = Role::read(&mut reader)?;
            let ephemeral = reader.array()?;
            let wrapped = reader.take(role.wrapped_bytes())?.to_vec();
            entries.push(KeysetEntry { slot, kind, role, ephemeral, wrapped });
        }
        let length = reader.count(MEMBERS_BYTES_MAX, 1)?;
        let members = reader.take(length)?.to_vec();
        let (maintenance, signature) = (reader.array()?, reader.array()?);
        reader.finish()?;
        Ok(Self { repository, revision, previous, authority, entries, members, maintenance, signature })
    }
}

/// A valid slot, as the sealed part of a revision lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotEntry {
    /// The slot.
    pub id: SlotId,
    /// What it opens with.
    pub kind: SlotKind,
    /// What its owner may do.
    pub role: Role,
    /// The revision that added it.
    pub added: u32,
    /// The public half that revisions are sealed to.
    pub public: [u8; 32],
    /// BLAKE3 of the slot object, so that rot is found before the slot is needed; zeros if it has none.
    pub object: [u8; 32],
    /// What its owner calls it.
    pub label: String,
}

impl SlotEntry {
    /// Appends the entry.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put(&self.id.0);
        out.put_u8(self.kind.code());
        out.put_u8(self.role.code());
        out.put_u32(self.added);
        out.put(&self.public);
        out.put(&self.object);
        out.put_u8(self.label.len() as u8);
        out.put(self.label.as_bytes());
    }

    /// Reads the next entry.
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, FormatError> {
        let id = SlotId(reader.array()?);
        let kind = SlotKind::from_code(reader.u8()?, "keyset")?;
        let role = Role::read(reader)?;
        let (added, public, object) = (reader.u32()?, reader.array()?, reader.array()?);
        let length = reader.u8()?;
        let label = std::str::from_utf8(reader.take(length.into())?).map_err(|_| reader.invalid("label"))?;
        if !label_is_valid(label) {
            return Err(reader.invalid("label"));
        }
        Ok(Self { id, kind, role, added, public, object, label: label.to_owned() })
    }
}

/// Whether a slot may have this label: short, and nothing in it that a terminal obeys.
pub fn label_is_valid(label: &str) -> bool {
    label.len() <= LABEL_BYTES_MAX && !label.chars().any(char::is_control)
}
