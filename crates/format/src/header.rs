//! The object `repo`: the only one in the clear. It says that here is a repository, and which.

use crate::{
    FORMAT_VERSION, FormatError, RepositoryId,
    bytes::{Put, Reader},
};

const MAGIC: &[u8; 8] = b"LONGSHOR";
/// The exact length of the header.
pub const HEADER_BYTES: usize = 64;

/// The header of a repository. Its id is trusted only after a key slot that is bound to it has opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepositoryHeader {
    /// The repository.
    pub id: RepositoryId,
}

impl RepositoryHeader {
    /// The 64 bytes of the header.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES);
        out.put(MAGIC);
        out.put_u16(FORMAT_VERSION);
        out.put_u16(0);
        out.put(&self.id.0);
        out.put_u32(0);
        let sum = blake3::hash(&out);
        out.put(sum.as_bytes());
        out
    }

    /// Reads a header.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new("repository header", bytes);
        reader.magic(MAGIC)?;
        reader.version(FORMAT_VERSION)?;
        reader.reserved(2)?;
        let id = RepositoryId(reader.array()?);
        reader.reserved(4)?;
        if blake3::hash(&bytes[..32]).as_bytes() != &reader.array::<32>()? {
            return Err(reader.invalid("checksum"));
        }
        reader.finish()?;
        Ok(Self { id })
    }
}
