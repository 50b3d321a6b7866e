//! Packs: sealed frames, a sealed trailer that lists them, a plain footer.

use crate::{
    FormatError,
    bytes::{Put, Reader},
    names::PackKind,
};

const MAGIC: &[u8; 4] = b"LSPK";
const VERSION: u16 = 1;
/// The exact length of the footer.
pub const FOOTER_BYTES: usize = 128;
/// Most frames of one pack.
pub const FRAMES_MAX: usize = 16_384;
/// Largest pack.
pub const PACK_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a frame's head, inside its seal.
pub const FRAME_HEAD_BYTES: usize = 4;
/// Largest plaintext of a frame.
pub const FRAME_PLAIN_BYTES_MAX: usize = (1 << 24) - 1;
/// The nonce ordinal of the trailer.
pub const TRAILER_ORDINAL: u32 = u32::MAX;

/// How a frame's payload is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Raw,
    /// One zstd frame.
    Zstd,
}

/// The head of a frame: the first four bytes inside the seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// How the payload is stored.
    pub encoding: Encoding,
    /// The length of the plaintext.
    pub plain_bytes: u32,
}

impl FrameHead {
    /// The bytes of the head.
    pub fn encode(&self) -> [u8; FRAME_HEAD_BYTES] {
        let flags = match self.encoding {
            Encoding::Raw => 0u32,
            Encoding::Zstd => 1,
        };
        (self.plain_bytes | flags << 24).to_le_bytes()
    }

    /// Splits an opened frame into head and payload.
    pub fn split(frame: &[u8]) -> Result<(Self, &[u8]), FormatError> {
        let mut reader = Reader::new("frame", frame);
        let word = reader.u32()?;
        let encoding = match word >> 24 {
            0 => Encoding::Raw,
            1 => Encoding::Zstd,
            _ => return Err(reader.invalid("unknown encoding")),
        };
        let head = Self { encoding, plain_bytes: word & 0x00ff_ffff };
        if encoding == Encoding::Raw && reader.rest().len() != head.plain_bytes as usize {
            return Err(reader.invalid("length of a raw payload"));
        }
        Ok((head, reader.rest()))
    }
}

/// The footer of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackFooter {
    /// What the pack holds.
    pub kind: PackKind,
    /// The epoch of the keyset that sealed it.
    pub epoch: u32,
    /// The salt of its key.
    pub salt: [u8; 32],
    /// The commitment to its key.
    pub commitment: [u8; 32],
    /// Where the trailer begins; also the sum of all frames' lengths.
    pub trailer_offset_bytes: u32,
    /// The length of the sealed trailer.
    pub trailer_bytes: u32,
}

impl PackFooter {
    /// The bytes of the footer. They are the associated data of the trailer.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.put(MAGIC);
        out.put_u16(VERSION);
        out.put_u8(self.kind.code());
        out.put_u8(0);
        out.put_u32(self.epoch);
        out.put(&self.salt);
        out.put(&self.commitment);
        out.put_u32(self.trailer_offset_bytes);
        out.put_u32(self.trailer_bytes);
        out.resize(FOOTER_BYTES, 0);
        out
    }

    /// Reads the footer at the end of `tail`, the last bytes of a pack.
    pub fn decode(tail: &[u8]) -> Result<Self, FormatError> {
        let start = tail.len().checked_sub(FOOTER_BYTES).ok_or(FormatError::Truncated {
            what: "pack footer",
            need: FOOTER_BYTES,
            have: tail.len(),
        })?;
        let mut reader = Reader::new("pack footer", &tail[start..]);
        reader.magic(MAGIC)?;
        reader.version(VERSION)?;
        let code = reader.u8()?;
        let kind = PackKind::from_code(code).ok_or_else(|| reader.invalid("unknown kind of pack"))?;
        if reader.u8()? != 0 {
            return Err(reader.invalid("unknown way of wrapping keys"));
        }
        let epoch = reader.u32()?;
        let (salt, commitment) = (reader.array()?, reader.array()?);
        let footer = Self {
            kind,
            epoch,
            salt,
            commitment,
            trailer_offset_bytes: reader.u32()?,
            trailer_bytes: reader.u32()?,
        };
        if u64::from(footer.trailer_offset_bytes) + u64::from(footer.trailer_bytes) > PACK_BYTES_MAX {
            return Err(reader.invalid("trailer beyond the largest pack"));
        }
        reader.reserved_rest()?;
        Ok(footer)
    }

    /// The length of the whole pack.
    pub fn pack_bytes(&self) -> u64 {
        u64::from(self.trailer_offset_bytes) + u64::from(self.trailer_bytes) + FOOTER_BYTES as u64
    }
}

/// One frame in a pack's trailer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrailerEntry {
    /// The chunk or node.
    pub id: [u8; 32],
    /// The length of the sealed frame. Frames follow each other without gaps.
    pub length_bytes: u32,
}

/// The list of a pack's frames.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PackTrailer {
    /// The session that wrote the pack.
    pub session: [u8; 16],
    /// The frames in the order of their ordinals.
    pub entries: Vec<TrailerEntry>,
}

impl PackTrailer {
    /// The bytes of the trailer.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(20 + self.entries.len() * 36);
        out.put(&self.session);
        out.put_u32(self.entries.len() as u32);
        for entry in &self.entries {
            out.put(&entry.id);
            out.put_u32(entry.length_bytes);
        }
        out
    }

    /// Reads an opened trailer; the frames must fill `frames_bytes` exactly.
    pub fn decode(bytes: &[u8], frames_bytes: u32) -> Result<Self, FormatError> {
        let mut reader = Reader::new("pack trailer", bytes);
        let session = reader.array()?;
        let count = reader.count(FRAMES_MAX, 36)?;
        let mut entries = Vec::with_capacity(count);
        let mut sum = 0u64;
        for _ in 0..count {
            let entry = TrailerEntry { id: reader.array()?, length_bytes: reader.u32()? };
            sum += u64::from(entry.length_bytes);
            entries.push(entry);
        }
        if sum != u64::from(frames_bytes) {
            return Err(reader.invalid("frames do not fill the pack"));
        }
        reader.finish()?;
        Ok(Self { session, entries })
    }
}
