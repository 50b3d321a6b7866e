//! Key slots: the keyset, wrapped with a password. The part before the wrapped keyset is read before it is authenticated.

use crate::{
    FormatError, RepositoryId, SlotId,
    bytes::{Put, Reader},
};

const MAGIC: &[u8; 4] = b"LSKS";
const VERSION: u16 = 1;
const KDF_ARGON2ID: u8 = 1;
/// Largest slot object.
pub const SLOT_BYTES_MAX: usize = 64 << 10;

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
}

/// A key slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySlot {
    /// The repository that the slot is bound to.
    pub repository: RepositoryId,
    /// The slot.
    pub id: SlotId,
    /// The cost of the key derivation.
    pub cost: KdfCost,
    /// Its salt.
    pub salt: [u8; 32],
    /// The commitment to the wrapping key.
    pub commitment: [u8; 32],
    /// The keyset, sealed.
    pub wrapped: Vec<u8>,
}

impl KeySlot {
    /// The bytes before the wrapped keyset; they are the associated data of its seal.
    pub fn head(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put(MAGIC);
        out.put_u16(VERSION);
        out.put_u8(KDF_ARGON2ID);
        out.put_u8(0);
        out.put(&self.repository.0);
        out.put(&self.id.0);
        out.put_u32(self.cost.memory_kib);
        out.put_u32(self.cost.passes);
        out.put_u32(self.cost.lanes);
        out.put(&self.salt);
        out.put(&self.commitment);
        out
    }

    /// The bytes of the slot.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = self.head();
        out.put_u32(self.wrapped.len() as u32);
        out.put(&self.wrapped);
        out
    }

    /// Reads a slot.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new("key slot", bytes);
        reader.magic(MAGIC)?;
        reader.version(VERSION)?;
        if reader.u8()? != KDF_ARGON2ID {
            return Err(reader.invalid("unknown key derivation"));
        }
        reader.reserved(1)?;
        let (repository, id) = (RepositoryId(reader.array()?), SlotId(reader.array()?));
        let cost = KdfCost { memory_kib: reader.u32()?, passes: reader.u32()?, lanes: reader.u32()? };
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
        let (salt, commitment) = (reader.array()?, reader.array()?);
        let length = reader.count(SLOT_BYTES_MAX, 1)?;
        let wrapped = reader.take(length)?.to_vec();
        reader.finish()?;
        Ok(Self { repository, id, cost, salt, commitment, wrapped })
    }
}
