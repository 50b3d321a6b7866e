//! The envelope of small sealed records, their kinds, and who may write which.

use crate::{
    FormatError,
    bytes::{Put, Reader},
};

const MAGIC: &[u8; 4] = b"LSRC";
const VERSION: u16 = 1;
/// Bytes before the sealed body.
pub const ENVELOPE_HEAD_BYTES: usize = 76;
/// Bytes that a seal adds to a record beside the head: the signature of maintenance and the tag.
pub const SEAL_BYTES_MAX: usize = SIGNATURE_BYTES + TAG_BYTES;
/// Bytes of a seal's tag, in records, packs and segments alike.
pub const TAG_BYTES: usize = 16;
/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Who may write records of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// Everybody who holds the repository's keys, movers included.
    Member,
    /// Maintenance alone: the record carries a signature that a mover cannot make.
    Maintenance,
}

/// Which kind of record an envelope holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// A revision of the configuration.
    Config,
    /// A snapshot record.
    Snapshot,
    /// What stands in place of a snapshot record that can never come.
    Fence,
    /// A sign of a session: open, ready, alive, progress, seen, end.
    Session,
    /// What a prune condemns.
    Plan,
    /// What a prune did: the index from then on.
    Result,
    /// The tombstone of a snapshot.
    Forget,
    /// A pack that is damaged.
    Bad,
    /// A state of the repository that readers can hold it to.
    Checkpoint,
}

impl RecordKind {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Config,
        Self::Snapshot,
        Self::Fence,
        Self::Session,
        Self::Plan,
        Self::Result,
        Self::Forget,
        Self::Bad,
        Self::Checkpoint,
    ];

    /// The byte that stands for the kind.
    pub fn code(self) -> u8 {
        match self {
            Self::Config => 1,
            Self::Snapshot => 2,
            Self::Fence => 3,
            Self::Session => 4,
            Self::Plan => 5,
            Self::Result => 6,
            Self::Forget => 7,
            Self::Bad => 8,
            Self::Checkpoint => 9,
        }
    }

    /// The kind's name, as it stands in the derivation of its keys and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Snapshot => "snapshot",
            Self::Fence => "fence",
            Self::Session => "session",
            Self::Plan => "plan",
            Self::Result => "result",
            Self::Forget => "forget",
            Self::Bad => "bad",
            Self::Checkpoint => "checkpoint",
        }
    }

    /// Who may write it. Whatever leads to deletion, or decides for all writers, is maintenance's. A fence is not: any
    /// mover could take a commit key by committing at it, so a fence gives him nothing new, and costs no data.
    pub fn authority(self) -> Authority {
        match self {
            Self::Snapshot | Self::Fence | Self::Session => Authority::Member,
            Self::Config | Self::Plan | Self::Result | Self::Forget | Self::Bad | Self::Checkpoint => {
                Authority::Maintenance
            }
        }
    }

    /// The most bytes that a record of the kind may have before it is sealed. Plans, results and checkpoints name every
    /// pack or snapshot of a repository.
    pub fn bytes_max(self) -> usize {
        match self {
            Self::Plan | Self::Result | Self::Checkpoint => 32 << 20,
            Self::Bad => 2 << 20,
            Self::Config | Self::Snapshot | Self::Fence | Self::Session | Self::Forget => 1 << 20,
        }
    }

    /// The most bytes that an object of the kind may have.
    pub fn object_bytes_max(self) -> usize {
        ENVELOPE_HEAD_BYTES + SEAL_BYTES_MAX + self.bytes_max()
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

    /// Splits an envelope of any kind into its head and its sealed body. Where several kinds may stand at one name, the
    /// head says which it is; it is believed because it is bound into the seal.
    pub fn split_any(bytes: &[u8]) -> Result<(Self, &[u8]), FormatError> {
        let mut reader = Reader::new("sealed record", bytes);
        reader.magic(MAGIC)?;
        reader.version(VERSION)?;
        let code = reader.u8()?;
        let kind = RecordKind::ALL.into_iter().find(|kind| kind.code() == code);
        let kind = kind.ok_or_else(|| reader.invalid("unknown kind of record"))?;
        reader.reserved(1)?;
        let epoch = reader.u32()?;
        let (salt, commitment) = (reader.array()?, reader.array()?);
        let body = reader.rest();
        let limit = kind.bytes_max() + SEAL_BYTES_MAX;
        if body.len() > limit {
            let (found, limit) = (body.len() as u64, limit as u64);
            return Err(FormatError::Limit { what: "sealed record", found, limit });
        }
        Ok((Self { kind, epoch, salt, commitment }, body))
    }

    /// Splits an envelope of the wanted kind into its head and its sealed body.
    pub fn split(kind: RecordKind, bytes: &[u8]) -> Result<(Self, &[u8]), FormatError> {
        let (head, body) = Self::split_any(bytes)?;
        if head.kind == kind {
            Ok((head, body))
        } else {
            Err(FormatError::Invalid { what: "sealed record", why: "another kind of record" })
        }
    }
}
