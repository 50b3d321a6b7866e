//! The envelope of small sealed records: configuration and snapshot records.

use crate::{
    FormatError,
    bytes::{Put, Reader},
};

const MAGIC: &[u8; 4] = b"LSRC";
const VERSION: u16 = 1;
/// Bytes before the sealed body.
pub const ENVELOPE_HEAD_BYTES: usize = 76;
/// Largest sealed record.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Which kind of record an envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// A revision of the configuration.
    Config,
    /// A snapshot record.
    Snapshot,
}

impl RecordKind {
    /// The byte that stands for the kind.
    pub fn code(self) -> u8 {
        match self {
            Self::Config => 1,
            Self::Snapshot => 2,
        }
    }
}

/// The plain head of an envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvelopeHead {
    /// What is inside.
    pub kind: RecordKind,
    /// The epoch of the keyset that sealed it.
    pub epoch: u32,
    /// The salt of its key.
    pub salt: [u8; 32],
    /// The commitment to its key.
    pub commitment: [u8; 32],
}

impl EnvelopeHead {
    /// The bytes of the head.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(ENVELOPE_HEAD_BYTES);
        out.put(MAGIC);
        out.put_u16(VERSION);
        out.put_u8(self.kind.code());
        out.put_u8(0);
        out.put_u32(self.epoch);
        out.put(&self.salt);
        out.put(&self.commitment);
        out
    }

    /// Splits an envelope of the wanted kind into its head and its sealed body.
    pub fn split(kind: RecordKind, bytes: &[u8]) -> Result<(Self, &[u8]), FormatError> {
        let mut reader = Reader::new("sealed record", bytes);
        reader.magic(MAGIC)?;
        reader.version(VERSION)?;
        if reader.u8()? != kind.code() {
            return Err(reader.invalid("another kind of record"));
        }
        reader.reserved(1)?;
        let epoch = reader.u32()?;
        let (salt, commitment) = (reader.array()?, reader.array()?);
        let body = reader.rest();
        if body.len() > RECORD_BYTES_MAX {
            return Err(FormatError::Limit {
                what: "sealed record",
                found: body.len() as u64,
                limit: RECORD_BYTES_MAX as u64,
            });
        }
        Ok((Self { kind, epoch, salt, commitment }, body))
    }
}
