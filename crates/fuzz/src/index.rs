//! Parts of an index segment. What they are read beside is made so that it fits: else nearly nothing would be taken.

use crate::check::{exact, number};
use longshore_format::index::{
    Layout, Level, PACKS_PER_TABLE_PAGE, PAGE_ENTRY_BYTES, SECTION_ENTRY_BYTES, SegmentFooter, SegmentHead,
    TABLE_ENTRY_BYTES, TableEntry, decode_page, decode_section, decode_table_page, encode_page,
    encode_section, encode_table_page,
};
use longshore_format::{PackId, names::PackKind};

/// The head, in a segment of the size that it says. Questions to it have answers within the segment.
pub(crate) fn head(bytes: &[u8]) -> bool {
    let Ok(layout) = Layout::new(number(bytes), number(bytes.get(4..).unwrap_or_default())) else {
        return false;
    };
    let Ok(head_offset_bytes) = u32::try_from(layout.head_offset_bytes()) else { return false };
    let footer = SegmentFooter {
        level: Level::One,
        epoch: 1,
        salt: [0; 32],
        commitment: [0; 32],
        head_offset_bytes,
        head_bytes: 0,
    };
    if let Ok(head) = SegmentHead::decode(bytes, &footer) {
        for fingerprint in [0, 1 << 63, u64::MAX].into_iter().chain(head.fences.iter().copied()) {
            assert!(head.pages_of(fingerprint).end <= layout.pages(), "a page beyond the last");
            assert!(head.pages_up_to(fingerprint).end <= layout.pages(), "a page beyond the last");
        }
    }
    exact(bytes, |bytes| SegmentHead::decode(bytes, &footer), SegmentHead::encode)
}

/// The first page of the table, in a segment of as many packs and frames as it says.
pub(crate) fn table(bytes: &[u8]) -> bool {
    let packs = bytes.len() / TABLE_ENTRY_BYTES;
    let Some(last) = bytes.rchunks_exact(TABLE_ENTRY_BYTES).next() else { return false };
    let frames = number(&last[34..]) & 0xffff;
    let Some(entries) = number(&last[36..]).checked_add(frames) else { return false };
    if packs > PACKS_PER_TABLE_PAGE {
        return false;
    }
    let Ok(layout) = Layout::new(packs as u32, entries) else { return false };
    let encode = |packs: &Vec<TableEntry>| {
        let mut out = Vec::new();
        encode_table_page(packs, &mut out);
        out
    };
    exact(bytes, |bytes| decode_table_page(bytes, 0, &layout), encode)
}

/// The first fingerprint page, in a segment that has no other.
pub(crate) fn page(bytes: &[u8]) -> bool {
    let entries = bytes.chunks_exact(PAGE_ENTRY_BYTES);
    let packs = entries.clone().map(|entry| (number(&entry[6..]) >> 16) + 1).max().unwrap_or(0);
    let Ok(layout) = Layout::new(packs, entries.len() as u32) else { return false };
    let first = bytes.first_chunk::<8>().map(|first| u64::from_le_bytes(*first));
    let head = SegmentHead { layout, fences: first.into_iter().collect() };
    let encode = |entries: &Vec<_>| {
        let mut out = Vec::new();
        encode_page(entries, &mut out);
        out
    };
    exact(bytes, |bytes| decode_page(bytes, 0, &head), encode)
}

/// A section of as many frames as fit into it.
pub(crate) fn section(bytes: &[u8]) -> bool {
    let frames = (bytes.len() / SECTION_ENTRY_BYTES) as u32;
    let pack = TableEntry { kind: PackKind::Data, pack: PackId([0; 32]), frames, frames_before: 0 };
    let encode = |frames: &Vec<_>| {
        let mut out = Vec::new();
        encode_section(frames, &mut out);
        out
    };
    exact(bytes, |bytes| decode_section(bytes, &pack), encode)
}
