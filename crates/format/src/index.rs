//! Index segments: which frames each pack holds, and how to find an id among them.
//!
//! A segment lists packs whole, as their trailers do. Parts, each sealed alone:
//!
//! ```text
//! section of pack 0 ‖ section of pack 1 ‖ … ‖ table pages ‖ fingerprint pages ‖ head ‖ footer
//! ```
//!
//! Ids are keyed hashes, hence uniform. Eight bytes of an id, its [`fingerprint`], order all entries of a segment: the
//! entries with the lowest fingerprints are an even sample of all, and lie in one contiguous range. All offsets follow
//! from the two counts of the head ([`Layout`]), so that there are none to lie.

mod footer;
mod head;
mod layout;
mod page;
mod section;
mod table;

pub use footer::{FOOTER_BYTES, Level, SegmentFooter};
pub use head::SegmentHead;
pub use layout::Layout;
pub use page::{PageEntry, decode_page, encode_page};
pub use section::{decode_section, encode_section};
pub use table::{TableEntry, decode_table_page, encode_table_page};

/// Most entries of a segment.
pub const ENTRIES_MAX: usize = 1 << 20;
/// Most packs of a segment.
pub const PACKS_MAX: usize = 1 << 13;
/// Bytes of an entry of a section, as in a pack's trailer: an id and the length of its sealed frame.
pub const SECTION_ENTRY_BYTES: usize = 36;
/// Bytes of an entry of the pack table.
pub const TABLE_ENTRY_BYTES: usize = 40;
/// Packs of a full table page, of 10 KiB.
pub const PACKS_PER_TABLE_PAGE: usize = 256;
/// Bytes of an entry of a fingerprint page: a fingerprint and the number of a pack.
pub const PAGE_ENTRY_BYTES: usize = 10;
/// Entries of a full fingerprint page, of 40 KiB.
pub const ENTRIES_PER_PAGE: usize = 4096;
/// Largest sealed head: a fence for each page, two counts, a tag.
pub const HEAD_BYTES_MAX: usize = 8 * ENTRIES_MAX.div_ceil(ENTRIES_PER_PAGE) + 8 + crate::sealed::TAG_BYTES;
/// Largest segment.
pub const SEGMENT_BYTES_MAX: u64 = 64 << 20;

/// The nonce ordinal of the head.
pub const HEAD_ORDINAL: u32 = u32::MAX;
/// The nonce ordinal of the first table page; the others follow. Sections have the number of their pack.
pub const TABLE_ORDINAL: u32 = 1 << 30;
/// The nonce ordinal of the first fingerprint page; the others follow.
pub const PAGES_ORDINAL: u32 = 2 << 30;

/// The fingerprint of an id: its bytes 8 to 15 as a number.
///
/// Not the first bytes: those of a chunk's id decide where nodes of files are cut, and a sample should not depend on it.
pub fn fingerprint(id: &[u8; 32]) -> u64 {
    let mut bytes = [0u8; 8];
    bytes.copy_from_slice(&id[8..16]);
    u64::from_le_bytes(bytes)
}
