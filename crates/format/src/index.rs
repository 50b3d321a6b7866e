//! Index segments: where chunks and nodes are, as sorted entries in sealed pages behind a sealed head.

use crate::{
    FormatError, PackId, Place,
    bytes::{Put, Reader},
    filter::Filter,
    names::PackKind,
};

const MAGIC: &[u8; 4] = b"LSIX";
const VERSION: u16 = 1;
/// The exact length of the plain preamble.
pub const PREAMBLE_BYTES: usize = 96;
/// Bytes of an entry.
pub const ENTRY_BYTES: usize = 48;
/// Entries of a full page: its plaintext stays just under 64 KiB with the tag.
pub const ENTRIES_PER_PAGE: usize = 1365;
/// Most entries of a segment.
pub const ENTRIES_MAX: usize = 4 << 20;
/// Most packs of a segment.
pub const PACKS_MAX: usize = 1 << 20;
/// The nonce ordinal of the head.
pub const HEAD_ORDINAL: u32 = u32::MAX;
/// Largest sealed head.
pub const HEAD_BYTES_MAX: usize = 64 << 20;

/// The plain start of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// The level: 0 for what a mover writes.
    pub level: u8,
    /// The epoch of the keyset that sealed it.
    pub epoch: u32,
    /// The salt of its key.
    pub salt: [u8; 32],
    /// The commitment to its key.
    pub commitment: [u8; 32],
    /// The length of the sealed head.
    pub head_bytes: u32,
    /// Entries in all pages.
    pub entry_count: u32,
}

impl Preamble {
    /// The bytes of the preamble. They are the associated data of head and pages.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(PREAMBLE_BYTES);
        out.put(MAGIC);
        out.put_u16(VERSION);
        out.put_u8(self.level);
        out.put_u8(0);
        out.put_u32(self.epoch);
        out.put(&self.salt);
        out.put(&self.commitment);
        out.put_u32(self.head_bytes);
        out.put_u32(self.entry_count);
        out.resize(PREAMBLE_BYTES, 0);
        out
    }

    /// Reads a preamble.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let own = bytes.get(..PREAMBLE_BYTES).ok_or(FormatError::Truncated {
            what: "index segment",
            need: PREAMBLE_BYTES,
            have: bytes.len(),
        })?;
        let mut reader = Reader::new("index segment", own);
        reader.magic(MAGIC)?;
        reader.version(VERSION)?;
        let level = reader.u8()?;
        reader.reserved(1)?;
        let epoch = reader.u32()?;
        let (salt, commitment) = (reader.array()?, reader.array()?);
        let (head_bytes, entry_count) = (reader.u32()?, reader.u32()?);
        for (what, found, limit) in [
            ("head of an index segment", head_bytes, HEAD_BYTES_MAX),
            ("entries of an index segment", entry_count, ENTRIES_MAX),
        ] {
            if found as usize > limit {
                return Err(FormatError::Limit { what, found: found.into(), limit: limit as u64 });
            }
        }
        reader.reserved_rest()?;
        Ok(Self { level, epoch, salt, commitment, head_bytes, entry_count })
    }

    /// How many pages the segment has.
    pub fn page_count(&self) -> u32 {
        self.entry_count.div_ceil(ENTRIES_PER_PAGE as u32)
    }

    /// Where a page lies in the object: offset and length of its sealed bytes.
    pub fn page_range(&self, page: u32) -> (u64, u64) {
        let full = (ENTRIES_PER_PAGE * ENTRY_BYTES + crate::pack::TAG_BYTES) as u64;
        let start = PREAMBLE_BYTES as u64 + u64::from(self.head_bytes) + full * u64::from(page);
        (start, (self.entries_in_page(page) * ENTRY_BYTES + crate::pack::TAG_BYTES) as u64)
    }

    /// Entries of a page.
    pub fn entries_in_page(&self, page: u32) -> usize {
        (self.entry_count as usize).saturating_sub(page as usize * ENTRIES_PER_PAGE).min(ENTRIES_PER_PAGE)
    }
}

/// The sealed head: which packs the segment knows, and how to find an id in its pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentHead {
    /// The packs.
    pub packs: Vec<(PackKind, PackId)>,
    /// The first id of each page.
    pub fences: Vec<[u8; 32]>,
    /// Which ids the segment may hold.
    pub filter: Filter,
}

impl SegmentHead {
    /// The bytes of the head.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u32(self.packs.len() as u32);
        for (kind, id) in &self.packs {
            out.put_u8(kind.code());
            out.put(&id.0);
        }
        out.put_u32(self.fences.len() as u32);
        self.fences.iter().for_each(|fence| out.put(fence));
        out.put_u32(self.filter.size_bytes() as u32);
        self.filter.encode(&mut out);
        out
    }

    /// Reads an opened head.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new("head of an index segment", bytes);
        let count = reader.count(PACKS_MAX, 33)?;
        let mut packs = Vec::with_capacity(count);
        for _ in 0..count {
            let code = reader.u8()?;
            let kind = PackKind::from_code(code).ok_or_else(|| reader.invalid("unknown kind of pack"))?;
            packs.push((kind, PackId(reader.array()?)));
        }
        let count = reader.count(ENTRIES_MAX, 32)?;
        let mut fences = Vec::with_capacity(count);
        for _ in 0..count {
            fences.push(reader.array()?);
        }
        let length = reader.count(HEAD_BYTES_MAX, 1)?;
        let filter = Filter::decode(reader.take(length)?)?;
        reader.finish()?;
        Ok(Self { packs, fences, filter })
    }

    /// The page that holds `id` if any does.
    pub fn page_of(&self, id: &[u8; 32]) -> Option<u32> {
        let after = self.fences.partition_point(|fence| fence <= id);
        after.checked_sub(1).map(|page| page as u32)
    }

    /// Bytes that the head takes in memory.
    pub fn memory_bytes(&self) -> usize {
        self.packs.len() * 33 + self.fences.len() * 32 + self.filter.size_bytes() + 128
    }
}

/// An entry of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexEntry {
    /// The chunk or node.
    pub id: [u8; 32],
    /// The number of the pack in the head.
    pub pack_number: u32,
    /// The ordinal of the frame.
    pub slot: u16,
    /// Where the frame begins.
    pub offset_bytes: u32,
    /// The length of the sealed frame.
    pub length_bytes: u32,
}

impl IndexEntry {
    /// Appends the 48 bytes of the entry.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put(&self.id);
        out.put_u32(self.pack_number);
        out.put_u16(self.slot);
        out.put_u16(0);
        out.put_u32(self.offset_bytes);
        out.put_u32(self.length_bytes);
    }

    fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new("index entry", bytes);
        let (id, pack_number, slot) = (reader.array()?, reader.u32()?, reader.u16()?);
        reader.reserved(2)?;
        Ok(Self { id, pack_number, slot, offset_bytes: reader.u32()?, length_bytes: reader.u32()? })
    }

    /// The place that the entry names, with its kind of pack.
    pub fn place(&self, head: &SegmentHead) -> Result<(PackKind, Place), FormatError> {
        let (kind, pack) = *head
            .packs
            .get(self.pack_number as usize)
            .ok_or(FormatError::Invalid { what: "index entry", why: "it names no pack of the head" })?;
        Ok((
            kind,
            Place { pack, slot: self.slot, offset_bytes: self.offset_bytes, length_bytes: self.length_bytes },
        ))
    }
}

/// Finds an id in the plaintext of a page by binary search.
pub fn find_in_page(page: &[u8], id: &[u8; 32]) -> Result<Option<IndexEntry>, FormatError> {
    if !page.len().is_multiple_of(ENTRY_BYTES) {
        return Err(FormatError::Invalid { what: "index page", why: "length" });
    }
    let (mut low, mut high) = (0, page.len() / ENTRY_BYTES);
    while low < high {
        let middle = (low + high) / 2;
        let entry = &page[middle * ENTRY_BYTES..(middle + 1) * ENTRY_BYTES];
        match entry[..32].cmp(id) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
            std::cmp::Ordering::Equal => return IndexEntry::decode(entry).map(Some),
        }
    }
    Ok(None)
}

/// Reads all entries of a page.
pub fn decode_page(page: &[u8]) -> Result<Vec<IndexEntry>, FormatError> {
    if !page.len().is_multiple_of(ENTRY_BYTES) {
        return Err(FormatError::Invalid { what: "index page", why: "length" });
    }
    page.chunks_exact(ENTRY_BYTES).map(IndexEntry::decode).collect()
}
