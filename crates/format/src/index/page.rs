use crate::{
    FormatError,
    bytes::{Put, Reader},
    index::{PAGE_ENTRY_BYTES, SegmentHead},
};

/// An entry of a fingerprint page: a pack that holds an id with this fingerprint. Ordered as in the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PageEntry {
    /// The fingerprint.
    pub fingerprint: u64,
    /// The number of the pack in the segment.
    pub pack_number: u16,
}

/// Appends the plaintext of a fingerprint page.
pub fn encode_page(entries: &[PageEntry], out: &mut Vec<u8>) {
    for entry in entries {
        out.put_u64(entry.fingerprint);
        out.put_u16(entry.pack_number);
    }
}

/// Reads an opened fingerprint page: sorted, between its fence and the next, and only of packs of the segment.
pub fn decode_page(bytes: &[u8], page: u32, head: &SegmentHead) -> Result<Vec<PageEntry>, FormatError> {
    let mut reader = Reader::new("fingerprint page of an index segment", bytes);
    let count = head.layout.entries_of(page) as usize;
    if bytes.len() != count * PAGE_ENTRY_BYTES {
        return Err(reader.invalid("length"));
    }
    let mut out = Vec::with_capacity(count);
    for _ in 0..count {
        let entry = PageEntry { fingerprint: reader.u64()?, pack_number: reader.u16()? };
        if u32::from(entry.pack_number) >= head.layout.packs() {
            return Err(reader.invalid("it names no pack of the segment"));
        }
        out.push(entry);
    }
    let (first, next) = (head.fences.get(page as usize), head.fences.get(page as usize + 1));
    let is_between = out.first().map(|entry| &entry.fingerprint) == first
        && next.is_none_or(|next| out.last().is_some_and(|last| last.fingerprint <= *next));
    if !out.is_sorted() || !is_between {
        return Err(reader.invalid("entries are out of order"));
    }
    Ok(out)
}
