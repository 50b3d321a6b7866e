//! Memory that direct IO accepts.

/// Alignment that every device and file system accepts for direct IO.
pub const ALIGNMENT_BYTES: usize = 4096;

/// A byte buffer whose first byte lies on a page boundary, so that `O_DIRECT` reads go straight into it.
///
/// It is an ordinary vector with room to shift the start; no unsafe allocation is needed.
pub struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    /// Makes a zeroed buffer of `length` bytes.
    pub fn new(length: usize) -> Self {
        let bytes = vec![0_u8; length + ALIGNMENT_BYTES];
        let start = bytes.as_ptr().align_offset(ALIGNMENT_BYTES);
        Self { bytes, start, length }
    }

    /// Length in bytes, as asked for.
    pub fn len(&self) -> usize {
        self.length
    }

    /// True for a buffer of length zero.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl std::ops::Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}

impl std::ops::DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_on_a_page() {
        for length in [0, 1, 4096, 1 << 20] {
            let buffer = AlignedBuffer::new(length);
            assert_eq!(buffer.as_ptr() as usize % ALIGNMENT_BYTES, 0);
            assert_eq!(buffer.len(), length);
        }
    }
}
