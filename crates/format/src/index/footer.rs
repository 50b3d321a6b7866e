use crate::{
    FormatError,
    bytes::{Put, Reader},
    index::{HEAD_BYTES_MAX, SEGMENT_BYTES_MAX},
};

const MAGIC: &[u8; 4] = b"LSIX";
const VERSION: u16 = 1;
/// The exact length of the plain footer.
pub const FOOTER_BYTES: usize = 128;

/// Who made a segment, and when it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// A mover. It counts until a plan above `plan` has a result.
    Zero {
        /// The highest plan that its session had seen.
        plan: u64,
    },
    /// Maintenance. It counts if the newest result names it.
    One,
}

/// The plain end of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentFooter {
    /// The level, with the plan that the name of a level-0 segment says.
    pub level: Level,
    /// The epoch of the keyset that sealed it.
    pub epoch: u32,
    /// The salt of its key.
    pub salt: [u8; 32],
    /// The commitment to its key.
    pub commitment: [u8; 32],
    /// Where the head begins.
    pub head_offset_bytes: u32,
    /// The length of the sealed head.
    pub head_bytes: u32,
}

impl SegmentFooter {
    /// The bytes of the footer. They are part of the associated data of the head.
    pub fn encode(&self) -> Vec<u8> {
        let (level, plan) = match self.level {
            Level::Zero { plan } => (0, plan),
            Level::One => (1, 0),
        };
        let mut out = Vec::with_capacity(FOOTER_BYTES);
        out.put(MAGIC);
        out.put_u16(VERSION);
        out.put_u8(level);
        out.put_u8(0);
        out.put_u32(self.epoch);
        out.put(&self.salt);
        out.put(&self.commitment);
        out.put_u64(plan);
        out.put_u32(self.head_offset_bytes);
        out.put_u32(self.head_bytes);
        out.resize(FOOTER_BYTES, 0);
        out
    }

    /// Reads the footer at the end of `tail`, the last bytes of a segment.
    pub fn decode(tail: &[u8]) -> Result<Self, FormatError> {
        let start = tail.len().checked_sub(FOOTER_BYTES).ok_or(FormatError::Truncated {
            what: "footer of an index segment",
            need: FOOTER_BYTES,
            have: tail.len(),
        })?;
        let mut reader = Reader::new("footer of an index segment", &tail[start..]);
        reader.magic(MAGIC)?;
        reader.version(VERSION)?;
        let level = reader.u8()?;
        reader.reserved(1)?;
        let epoch = reader.u32()?;
        let (salt, commitment) = (reader.array()?, reader.array()?);
        let level = match (level, reader.u64()?) {
            (0, plan) => Level::Zero { plan },
            (1, 0) => Level::One,
            _ => return Err(reader.invalid("unknown level")),
        };
        let (head_offset_bytes, head_bytes) = (reader.u32()?, reader.u32()?);
        reader.reserved_rest()?;
        for (what, found, limit) in [
            ("index segment", u64::from(head_offset_bytes), SEGMENT_BYTES_MAX),
            ("head of an index segment", u64::from(head_bytes), HEAD_BYTES_MAX as u64),
        ] {
            if found > limit {
                return Err(FormatError::Limit { what, found, limit });
            }
        }
        Ok(Self { level, epoch, salt, commitment, head_offset_bytes, head_bytes })
    }

    /// The length of the whole segment.
    pub fn segment_bytes(&self) -> u64 {
        u64::from(self.head_offset_bytes) + u64::from(self.head_bytes) + FOOTER_BYTES as u64
    }
}
