use crate::{
    FormatError,
    index::{
        ENTRIES_MAX, ENTRIES_PER_PAGE, PACKS_MAX, PACKS_PER_TABLE_PAGE, PAGE_ENTRY_BYTES,
        SECTION_ENTRY_BYTES, TABLE_ENTRY_BYTES, TableEntry,
    },
    sealed::TAG_BYTES,
};
use std::ops::Range;

/// Where the parts of a segment lie: all of it follows from how many packs and entries there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    packs: u32,
    entries: u32,
}

impl Layout {
    /// The layout of a segment. Each pack has at least one entry, and there is at least one pack.
    pub fn new(packs: u32, entries: u32) -> Result<Self, FormatError> {
        for (what, found, limit) in [
            ("packs of an index segment", packs, PACKS_MAX),
            ("entries of an index segment", entries, ENTRIES_MAX),
        ] {
            if found as usize > limit {
                return Err(FormatError::Limit { what, found: found.into(), limit: limit as u64 });
            }
        }
        if packs == 0 || entries < packs {
            return Err(FormatError::Invalid {
                what: "index segment",
                why: "a pack without frames, or no pack",
            });
        }
        Ok(Self { packs, entries })
    }

    /// How many packs the segment lists.
    pub fn packs(&self) -> u32 {
        self.packs
    }

    /// How many frames these hold.
    pub fn entries(&self) -> u32 {
        self.entries
    }

    /// How many table pages there are.
    pub fn table_pages(&self) -> u32 {
        self.packs.div_ceil(PACKS_PER_TABLE_PAGE as u32)
    }

    /// How many fingerprint pages there are.
    pub fn pages(&self) -> u32 {
        self.entries.div_ceil(ENTRIES_PER_PAGE as u32)
    }

    /// The packs of a table page.
    pub fn packs_of(&self, table_page: u32) -> Range<u32> {
        part(table_page, PACKS_PER_TABLE_PAGE, self.packs)
    }

    /// How many entries a fingerprint page has.
    pub fn entries_of(&self, page: u32) -> u32 {
        part(page, ENTRIES_PER_PAGE, self.entries).len() as u32
    }

    /// The bytes of the sealed section of pack `number`.
    pub fn section(&self, number: u32, entry: &TableEntry) -> Range<u64> {
        let start = sealed(entry.frames_before, SECTION_ENTRY_BYTES, number);
        start..start + sealed(entry.frames, SECTION_ENTRY_BYTES, 1)
    }

    /// The bytes of a sealed table page.
    pub fn table_page(&self, table_page: u32) -> Range<u64> {
        let packs = self.packs_of(table_page);
        let start = self.sections_end() + sealed(packs.start, TABLE_ENTRY_BYTES, table_page);
        start..start + sealed(packs.len() as u32, TABLE_ENTRY_BYTES, 1)
    }

    /// The bytes of some sealed fingerprint pages, one after the other.
    pub fn page_range(&self, pages: Range<u32>) -> Range<u64> {
        self.page_start(pages.start)..self.page_start(pages.end)
    }

    /// Where the head begins: the end of all other parts.
    pub fn head_offset_bytes(&self) -> u64 {
        self.page_start(self.pages())
    }

    fn sections_end(&self) -> u64 {
        sealed(self.entries, SECTION_ENTRY_BYTES, self.packs)
    }

    fn page_start(&self, page: u32) -> u64 {
        let before = part(page, ENTRIES_PER_PAGE, self.entries).start;
        let table = sealed(self.packs, TABLE_ENTRY_BYTES, self.table_pages());
        self.sections_end() + table + sealed(before, PAGE_ENTRY_BYTES, page.min(self.pages()))
    }
}

/// The items of part `number`, of `per_part` each.
fn part(number: u32, per_part: usize, items: u32) -> Range<u32> {
    let per_part = per_part as u32;
    let start = number.saturating_mul(per_part).min(items);
    start..start.saturating_add(per_part).min(items)
}

/// Bytes of items that are sealed in a number of parts.
fn sealed(items: u32, item_bytes: usize, parts: u32) -> u64 {
    u64::from(items) * item_bytes as u64 + u64::from(parts) * TAG_BYTES as u64
}
