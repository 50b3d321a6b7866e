//! Key slots: each keeps the private half of a key pair under one password, key file or recovery key. Keyset revisions are
//! sealed to the public halves (see [`crate::keyset`]). All before the sealed part is read before it is authenticated.

use crate::{
    FormatError, RepositoryId, SlotId,
    bytes::{Put, Reader},
};

const MAGIC: &[u8; 4] = b"LSKS";
const VERSION: u16 = 1;
/// The exact length of a slot.
pub const SLOT_BYTES: usize = 200;
/// Bytes of the private half and the anchor, sealed.
pub const SLOT_SEALED_BYTES: usize = 84;

/// What a password guess costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl KdfCost {
    /// What new repositories use: 64 MiB, 3 passes, 1 lane.
    pub const STANDARD: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 1 };
    /// The most that a slot may ask for, so that a hostile store cannot exhaust a reader.
    pub const LIMIT: Self = Self { memory_kib: 256 << 10, passes: 16, lanes: 4 };
    /// What slots of strong secrets say: there is nothing to stretch.
    const NONE: Self = Self { memory_kib: 0, passes: 0, lanes: 0 };
}

/// What a slot opens with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SlotKind {
    /// A password, stretched with Argon2id.
    Password,
    /// A key file of random bytes.
    KeyFile,
    /// A printed key of random bytes.
    RecoveryKey,
    /// A private X25519 key that its owner keeps; there is no slot object.
    Recipient,
}

impl SlotKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Password, Self::KeyFile, Self::RecoveryKey, Self::Recipient];
    /// The byte that is kept for keys which a management service holds; this build does not read them.
    const MANAGED: u8 = 5;

    /// The byte that stands for the kind.
    pub fn code(self) -> u8 {
        match self {
            Self::Password => 1,
            Self::KeyFile => 2,
            Self::RecoveryKey => 3,
            Self::Recipient => 4,
        }
    }

    /// The kind's name for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::KeyFile => "key-file",
            Self::RecoveryKey => "recovery-key",
            Self::Recipient => "recipient",
        }
    }

    /// The kind of a byte.
    pub(crate) fn from_code(code: u8, what: &'static str) -> Result<Self, FormatError> {
        let found = Self::ALL.into_iter().find(|kind| kind.code() == code);
        found.ok_or(match code {
            Self::MANAGED => FormatError::Unsupported { what, feature: "a key management service" },
            _ => FormatError::Unsupported { what, feature: "an unknown kind of key" },
        })
    }
}

/// How the secret of a slot becomes its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Derivation {
    /// Argon2id of a password.
    Password(KdfCost),
    /// HKDF of a key file's bytes.
    KeyFile,
    /// HKDF of a recovery key's bytes.
    RecoveryKey,
}

impl Derivation {
    /// What the slot opens with.
    pub fn kind(self) -> SlotKind {
        match self {
            Self::Password(_) => SlotKind::Password,
            Self::KeyFile => SlotKind::KeyFile,
            Self::RecoveryKey => SlotKind::RecoveryKey,
        }
    }
}

/// A key slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySlot {
    /// How its secret becomes its key.
    pub derivation: Derivation,
    /// The repository that the slot is bound to.
    pub repository: RepositoryId,
    /// The slot.
    pub id: SlotId,
    /// The salt of the derivation.
    pub salt: [u8; 32],
    /// The commitment to the slot's key.
    pub commitment: [u8; 32],
    /// The private half and the anchor, sealed.
    pub sealed: [u8; SLOT_SEALED_BYTES],
}

impl KeySlot {
    /// The bytes before the sealed part; they are the associated data of its seal.
    pub fn head(&self) -> Vec<u8> {
        let cost = match self.derivation {
            Derivation::Password(cost) => cost,
            Derivation::KeyFile | Derivation::RecoveryKey => KdfCost::NONE,
        };
        let mut out = Vec::with_capacity(SLOT_BYTES);
        out.put(MAGIC);
        out.put_u16(VERSION);
        out.put_u8(self.derivation.kind().code());
        out.put_u8(0);
        out.put(&self.repository.0);
        out.put(&self.id.0);
        out.put_u32(cost.memory_kib);
        out.put_u32(cost.passes);
        out.put_u32(cost.lanes);
        out.put(&self.salt);
        out.put(&self.commitment);
        out
    }

    /// The bytes of the slot.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.head();
        out.put(&self.sealed);
        out
    }

    /// Reads a slot.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new("key slot", bytes);
        reader.magic(MAGIC)?;
        reader.version(VERSION)?;
        let kind = SlotKind::from_code(reader.u8()?, "key slot")?;
        reader.reserved(1)?;
        let (repository, id) = (RepositoryId(reader.array()?), SlotId(reader.array()?));
        let cost = KdfCost { memory_kib: reader.u32()?, passes: reader.u32()?, lanes: reader.u32()? };
        let derivation = match kind {
            SlotKind::Password => Derivation::Password(within_limit(cost)?),
            SlotKind::KeyFile if cost == KdfCost::NONE => Derivation::KeyFile,
            SlotKind::RecoveryKey if cost == KdfCost::NONE => Derivation::RecoveryKey,
            SlotKind::KeyFile | SlotKind::RecoveryKey => {
                return Err(reader.invalid("a cost without a password"));
            }
            SlotKind::Recipient => return Err(reader.invalid("recipients have no slot object")),
        };
        let (salt, commitment, sealed) = (reader.array()?, reader.array()?, reader.array()?);
        reader.finish()?;
        Ok(Self { derivation, repository, id, salt, commitment, sealed })
    }
}

fn within_limit(cost: KdfCost) -> Result<KdfCost, FormatError> {
    let limits = [
        ("memory of a key slot", cost.memory_kib, KdfCost::LIMIT.memory_kib),
        ("passes of a key slot", cost.passes, KdfCost::LIMIT.passes),
        ("lanes of a key slot", cost.lanes, KdfCost::LIMIT.lanes),
    ];
    for (what, found, limit) in limits {
        if found > limit {
            return Err(FormatError::Limit { what, found: found.into(), limit: limit.into() });
        }
    }
    Ok(cost)
}
