use crate::{
    FormatError,
    bytes::{Put, Reader},
    index::{Layout, SegmentFooter},
};
use std::ops::Range;

/// The sealed head: how much there is, and the first fingerprint of each page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHead {
    /// Where all other parts lie.
    pub layout: Layout,
    /// The first fingerprint of each page, ascending.
    pub fences: Vec<u64>,
}

impl SegmentHead {
    /// The bytes of the head.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + self.fences.len() * 8);
        out.put_u32(self.layout.packs());
        out.put_u32(self.layout.entries());
        self.fences.iter().for_each(|fence| out.put_u64(*fence));
        out
    }

    /// Reads an opened head. What it says must fill the segment exactly up to where the footer saw the head begin.
    pub fn decode(bytes: &[u8], footer: &SegmentFooter) -> Result<Self, FormatError> {
        let mut reader = Reader::new("head of an index segment", bytes);
        let layout = Layout::new(reader.u32()?, reader.u32()?)?;
        if layout.head_offset_bytes() != u64::from(footer.head_offset_bytes) {
            return Err(reader.invalid("its counts do not fill the segment"));
        }
        let mut fences = Vec::with_capacity(layout.pages() as usize);
        for _ in 0..layout.pages() {
            fences.push(reader.u64()?);
        }
        if !fences.is_sorted() {
            return Err(reader.invalid("fences are out of order"));
        }
        reader.finish()?;
        Ok(Self { layout, fences })
    }

    /// The pages that may hold a fingerprint: nearly always one, more only where many entries share it.
    pub fn pages_of(&self, fingerprint: u64) -> Range<u32> {
        let first = self.fences.partition_point(|fence| *fence < fingerprint).saturating_sub(1);
        let end = self.fences.partition_point(|fence| *fence <= fingerprint);
        first as u32..end.max(first) as u32
    }

    /// The pages that hold all fingerprints up to `highest`; always the first ones.
    pub fn pages_up_to(&self, highest: u64) -> Range<u32> {
        0..self.fences.partition_point(|fence| *fence <= highest) as u32
    }

    /// Bytes that the head takes in memory.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.fences.len() * 8
    }
}
