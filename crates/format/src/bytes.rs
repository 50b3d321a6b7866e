//! Bounded little-endian reading and writing.

use crate::FormatError;

/// A cursor over bytes that may come from a stranger.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
}

macro_rules! read_int {
    ($name:ident, $kind:ty) => {
        /// Reads one little-endian integer.
        pub fn $name(&mut self) -> Result<$kind, FormatError> {
            Ok(<$kind>::from_le_bytes(self.array()?))
        }
    };
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; `what` names the structure in errors.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    /// Takes the next `length` bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], FormatError> {
        if length > self.rest.len() {
            return Err(FormatError::Truncated { what: self.what, need: length, have: self.rest.len() });
        }
        let (head, tail) = self.rest.split_at(length);
        self.rest = tail;
        Ok(head)
    }

    /// Takes the next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let mut out = [0u8; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    read_int!(u8, u8);
    read_int!(u16, u16);
    read_int!(u32, u32);
    read_int!(u64, u64);
    read_int!(i64, i64);

    /// Reads a `u32` count and refuses it if it is above `limit`, or if `item_bytes` times it exceeds what is left.
    pub fn count(&mut self, limit: usize, item_bytes: usize) -> Result<usize, FormatError> {
        let found = self.u32()? as usize;
        if found > limit {
            return Err(FormatError::Limit { what: self.what, found: found as u64, limit: limit as u64 });
        }
        let need = found.saturating_mul(item_bytes);
        if need > self.rest.len() {
            return Err(FormatError::Truncated { what: self.what, need, have: self.rest.len() });
        }
        Ok(found)
    }

    /// Requires the next bytes to be `magic`.
    pub fn magic(&mut self, magic: &[u8]) -> Result<(), FormatError> {
        match self.take(magic.len()) {
            Ok(found) if found == magic => Ok(()),
            _ => Err(FormatError::Magic { what: self.what }),
        }
    }

    /// Reads a `u16` version between 1 and `supported`.
    pub fn version(&mut self, supported: u16) -> Result<u16, FormatError> {
        let found = self.u16()?;
        if found == 0 {
            return Err(self.invalid("version is zero"));
        }
        if found > supported {
            return Err(FormatError::Version { what: self.what, found, supported });
        }
        Ok(found)
    }

    /// Requires the next `length` bytes to be zero: reserved, so that a later version may give them a meaning.
    pub fn reserved(&mut self, length: usize) -> Result<(), FormatError> {
        if self.take(length)?.iter().all(|byte| *byte == 0) {
            Ok(())
        } else {
            Err(self.invalid("reserved bytes"))
        }
    }

    /// Requires all that is left to be zero.
    pub fn reserved_rest(mut self) -> Result<(), FormatError> {
        self.reserved(self.rest.len())
    }

    /// The bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Requires that nothing is left.
    pub fn finish(self) -> Result<(), FormatError> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.invalid("bytes after its end")) }
    }

    /// An error that names this structure.
    pub fn invalid(&self, why: &'static str) -> FormatError {
        FormatError::Invalid { what: self.what, why }
    }
}

/// Appends little-endian fields to a vector.
pub trait Put {
    /// Appends raw bytes.
    fn put(&mut self, bytes: &[u8]);
    /// Appends one byte.
    fn put_u8(&mut self, value: u8) {
        self.put(&[value]);
    }
    /// Appends a `u16`.
    fn put_u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }
    /// Appends a `u32`.
    fn put_u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }
    /// Appends a `u64`.
    fn put_u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }
    /// Appends an `i64`.
    fn put_i64(&mut self, value: i64) {
        self.put(&value.to_le_bytes());
    }
}

impl Put for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
