//! Index segments: their parts come back, lie where the layout says, and contradict each other in no way unseen.

use crate::golden;
use longshore_format::{
    PackId,
    index::{
        ENTRIES_MAX, ENTRIES_PER_PAGE, HEAD_BYTES_MAX, Layout, Level, PACKS_MAX, PACKS_PER_TABLE_PAGE,
        PageEntry, SEGMENT_BYTES_MAX, SegmentFooter, SegmentHead, TableEntry, decode_page, decode_section,
        decode_table_page, encode_page, encode_section, encode_table_page, fingerprint,
    },
    names::PackKind,
    pack::{FRAMES_MAX, PACK_BYTES_MAX, TrailerEntry},
    sealed::TAG_BYTES,
};
use proptest::prelude::*;
use std::{ops::Range, sync::LazyLock};

/// All parts of a small segment, not sealed.
pub struct Segment {
    pub footer: SegmentFooter,
    pub head: SegmentHead,
    pub table: Vec<TableEntry>,
    pub sections: Vec<Vec<TrailerEntry>>,
    pub pages: Vec<Vec<PageEntry>>,
}

impl Segment {
    pub fn encoded_parts(&self) -> Vec<Vec<u8>> {
        let mut out = vec![self.footer.encode(), self.head.encode()];
        let mut part = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = Vec::new();
            write(&mut bytes);
            out.push(bytes);
        };
        self.table
            .chunks(PACKS_PER_TABLE_PAGE)
            .for_each(|packs| part(&|bytes| encode_table_page(packs, bytes)));
        self.sections.iter().for_each(|frames| part(&|bytes| encode_section(frames, bytes)));
        self.pages.iter().for_each(|entries| part(&|bytes| encode_page(entries, bytes)));
        out
    }
}

fn id(number: u64) -> [u8; 32] {
    *blake3::hash(&number.to_le_bytes()).as_bytes()
}

/// A segment of packs of so many frames.
fn segment_of(frames: &[u32]) -> Segment {
    let (mut table, mut sections, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    let mut frames_before = 0;
    for (number, &count) in frames.iter().enumerate() {
        let kind = PackKind::ALL[number % 2];
        table.push(TableEntry { kind, pack: PackId([number as u8; 32]), frames: count, frames_before });
        let section: Vec<_> = (0..count)
            .map(|slot| TrailerEntry { id: id((frames_before + slot).into()), length_bytes: slot + 1 })
            .collect();
        entries.extend(
            section
                .iter()
                .map(|frame| PageEntry { fingerprint: fingerprint(&frame.id), pack_number: number as u16 }),
        );
        frames_before += count;
        sections.push(section);
    }
    entries.sort_unstable();
    let layout = Layout::new(frames.len() as u32, frames_before).unwrap();
    let pages: Vec<Vec<PageEntry>> = entries.chunks(ENTRIES_PER_PAGE).map(<[_]>::to_vec).collect();
    let head = SegmentHead { layout, fences: pages.iter().map(|page| page[0].fingerprint).collect() };
    let footer = SegmentFooter {
        level: Level::Zero { plan: 3 },
        epoch: 1,
        salt: [1; 32],
        commitment: [2; 32],
        head_offset_bytes: layout.head_offset_bytes() as u32,
        head_bytes: (head.encode().len() + TAG_BYTES) as u32,
    };
    Segment { footer, head, table, sections, pages }
}

/// Two packs and five frames, for bytes of strangers.
pub static SMALL: LazyLock<Segment> = LazyLock::new(|| segment_of(&[2, 3]));

/// Two packs, two pages.
fn segment() -> Segment {
    segment_of(&[2, ENTRIES_PER_PAGE as u32])
}

fn page_bytes(entries: &[PageEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_page(entries, &mut out);
    out
}

fn table_bytes(packs: &[TableEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_table_page(packs, &mut out);
    out
}

fn section_bytes(frames: &[TrailerEntry]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_section(frames, &mut out);
    out
}

#[test]
fn segments_come_back_from_bytes_that_never_move() {
    let segment = &*SMALL;
    let golden = golden::check("index-footer.bin", &segment.footer.encode());
    assert_eq!(SegmentFooter::decode(&golden).unwrap(), segment.footer);
    let golden = golden::check("index-head.bin", &segment.head.encode());
    assert_eq!(SegmentHead::decode(&golden, &segment.footer).unwrap(), segment.head);
    let golden = golden::check("index-table.bin", &table_bytes(&segment.table));
    assert_eq!(decode_table_page(&golden, 0, &segment.head.layout).unwrap(), segment.table);
    let golden = golden::check("index-section.bin", &section_bytes(&segment.sections[1]));
    assert_eq!(decode_section(&golden, &segment.table[1]).unwrap(), segment.sections[1]);
    let golden = golden::check("index-page.bin", &page_bytes(&segment.pages[0]));
    assert_eq!(decode_page(&golden, 0, &segment.head).unwrap(), segment.pages[0]);
}

#[test]
fn a_segment_of_level_1_is_no_segment_of_level_0() {
    let footer = |level| SegmentFooter { level, ..segment().footer };
    for level in [Level::One, Level::Zero { plan: 0 }, Level::Zero { plan: u64::MAX }] {
        assert_eq!(SegmentFooter::decode(&footer(level).encode()).unwrap().level, level);
    }
    let mut bytes = footer(Level::Zero { plan: 1 }).encode();
    bytes[6] = 1;
    assert!(SegmentFooter::decode(&bytes).is_err(), "level 1 stands under no plan");
}

/// The largest segment stays within what readers accept.
#[test]
fn the_largest_segment_is_within_its_limits() {
    let layout = Layout::new(PACKS_MAX as u32, ENTRIES_MAX as u32).unwrap();
    assert!(layout.head_offset_bytes() + (HEAD_BYTES_MAX + 128) as u64 <= SEGMENT_BYTES_MAX);
    assert_eq!(layout.pages() as usize * 8 + 8 + TAG_BYTES, HEAD_BYTES_MAX);
    assert!(PACKS_MAX <= usize::from(u16::MAX), "page entries have 16 bits for the number of a pack");
}

#[test]
fn counts_that_no_segment_has_are_refused() {
    for (packs, entries) in [
        (0, 0),
        (0, 5),
        (2, 1),
        (1, ENTRIES_MAX as u32 + 1),
        (PACKS_MAX as u32 + 1, 10_000),
        (u32::MAX, u32::MAX),
    ] {
        assert!(Layout::new(packs, entries).is_err(), "{packs} packs, {entries} entries");
    }
}

#[test]
fn a_head_that_contradicts_its_segment_is_refused() {
    let good = segment();
    let decode = |head: &SegmentHead| SegmentHead::decode(&head.encode(), &good.footer);
    assert!(decode(&good.head).is_ok());
    for layout in [Layout::new(1, 4098), Layout::new(2, 4099), Layout::new(3, 4097)] {
        assert!(decode(&SegmentHead { layout: layout.unwrap(), ..good.head.clone() }).is_err());
    }
    let mut fences = good.head.fences.clone();
    fences.reverse();
    assert!(decode(&SegmentHead { fences, ..good.head.clone() }).is_err(), "fences out of order");
    for fences in [vec![], vec![1], vec![1, 2, 3]] {
        assert!(decode(&SegmentHead { fences, ..good.head.clone() }).is_err(), "a fence too few or too many");
    }
}

#[test]
fn a_table_that_contradicts_its_segment_is_refused() {
    let good = segment();
    let decode = |table: &[TableEntry]| decode_table_page(&table_bytes(table), 0, &good.head.layout);
    assert!(decode(&good.table).is_ok());
    let changed = |change: &dyn Fn(&mut Vec<TableEntry>)| {
        let mut table = good.table.clone();
        change(&mut table);
        table
    };
    for (what, table) in [
        ("a gap", changed(&|table| table[1].frames_before += 1)),
        ("an overlap", changed(&|table| table[1].frames_before -= 1)),
        ("a late start", changed(&|table| table[0].frames_before = 1)),
        ("a pack without frames", changed(&|table| table[0].frames = 0)),
        ("frames beyond the end", changed(&|table| table[1].frames += 1)),
        ("entries of no pack", changed(&|table| table[1].frames -= 1)),
        ("a pack too few", changed(&|table| table.truncate(1))),
        ("a pack too many", changed(&|table| table.push(table[1]))),
    ] {
        assert!(decode(&table).is_err(), "{what}");
    }
    let mut bytes = table_bytes(&good.table);
    bytes[32] = 9;
    assert!(decode_table_page(&bytes, 0, &good.head.layout).is_err(), "an unknown kind");
    assert!(decode_table_page(&[], 1, &good.head.layout).unwrap().is_empty(), "there is no second page");
}

/// A later table page cannot know what stands before it, but its sections stay within the segment.
#[test]
fn frames_before_a_later_table_page_stay_within_the_segment() {
    let frames = [1; PACKS_PER_TABLE_PAGE + 2];
    let good = segment_of(&frames);
    let later = &good.table[PACKS_PER_TABLE_PAGE..];
    let decode = |table: &[TableEntry]| decode_table_page(&table_bytes(table), 1, &good.head.layout);
    assert_eq!(decode(later).unwrap(), later);
    let mut beyond = later.to_vec();
    beyond.iter_mut().for_each(|entry| entry.frames_before = u32::MAX);
    assert!(decode(&beyond).is_err());
}

#[test]
fn a_page_that_contradicts_its_head_is_refused() {
    let good = segment();
    let decode = |page: u32, entries: &[PageEntry]| decode_page(&page_bytes(entries), page, &good.head);
    for (number, page) in good.pages.iter().enumerate() {
        assert_eq!(&decode(number as u32, page).unwrap(), page);
    }
    let changed = |change: &dyn Fn(&mut Vec<PageEntry>)| {
        let mut page = good.pages[0].clone();
        change(&mut page);
        page
    };
    for (what, page) in [
        ("out of order", changed(&|page| page.swap(1, 2))),
        ("not its fence", changed(&|page| page[0].fingerprint -= 1)),
        ("beyond the next fence", changed(&|page| page[4095].fingerprint = u64::MAX)),
        ("a pack that the segment has not", changed(&|page| page[7].pack_number = 2)),
        ("an entry too few", changed(&|page| page.truncate(4095))),
        ("an entry too many", changed(&|page| page.push(page[4095]))),
    ] {
        assert!(decode(0, &page).is_err(), "{what}");
    }
    assert!(decode(1, &good.pages[0]).is_err(), "another page");
    assert!(decode(u32::MAX, &[]).is_err() || good.head.layout.entries_of(u32::MAX) == 0);
}

#[test]
fn a_section_holds_what_its_pack_can() {
    let good = segment();
    let mut frames = good.sections[0].clone();
    assert!(decode_section(&section_bytes(&frames), &good.table[1]).is_err(), "another pack's count");
    frames[0].length_bytes = PACK_BYTES_MAX as u32;
    assert!(decode_section(&section_bytes(&frames), &good.table[0]).is_err(), "more than any pack holds");
}

#[test]
fn fingerprints_are_found_by_fences_also_where_many_are_equal() {
    let layout = Layout::new(1, 4 * ENTRIES_PER_PAGE as u32).unwrap();
    let head = SegmentHead { layout, fences: vec![10, 20, 20, 30] };
    for (fingerprint, pages) in
        [(0, 0..0), (9, 0..0), (10, 0..1), (15, 0..1), (20, 0..3), (25, 2..3), (30, 2..4), (u64::MAX, 3..4)]
    {
        assert_eq!(head.pages_of(fingerprint), pages, "{fingerprint}");
    }
    for (highest, pages) in [(9, 0..0), (10, 0..1), (20, 0..3), (u64::MAX, 0..4)] {
        assert_eq!(head.pages_up_to(highest), pages, "{highest}");
    }
}

/// Every part begins where the one before it ends.
fn parts(segment: &Segment) -> Vec<Range<u64>> {
    let layout = segment.head.layout;
    let sections =
        segment.table.iter().enumerate().map(|(number, entry)| layout.section(number as u32, entry));
    let tables = (0..layout.table_pages()).map(|page| layout.table_page(page));
    let pages = (0..layout.pages()).map(|page| layout.page_range(page..page + 1));
    sections.chain(tables).chain(pages).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_segment_comes_back_and_its_parts_fill_it(
        frames in prop::collection::vec(1u32..200, 1..600),
        large in prop::option::of(1u32..=FRAMES_MAX as u32),
        highest in any::<u64>(),
    ) {
        let frames: Vec<u32> = large.into_iter().chain(frames).collect();
        let segment = segment_of(&frames);
        let layout = segment.head.layout;
        prop_assert_eq!(&SegmentHead::decode(&segment.head.encode(), &segment.footer).unwrap(), &segment.head);
        let mut table = Vec::new();
        for page in 0..layout.table_pages() {
            let packs = layout.packs_of(page);
            let bytes = table_bytes(&segment.table[packs.start as usize..packs.end as usize]);
            let range = layout.table_page(page);
            prop_assert_eq!(bytes.len() + TAG_BYTES, (range.end - range.start) as usize);
            table.extend(decode_table_page(&bytes, page, &layout).unwrap());
        }
        prop_assert_eq!(&table, &segment.table);
        let mut at = 0;
        for part in parts(&segment) {
            prop_assert_eq!(part.start, at);
            at = part.end;
        }
        prop_assert_eq!(at, layout.head_offset_bytes());
        let up_to = segment.head.pages_up_to(highest);
        for (page, entries) in segment.pages.iter().enumerate() {
            prop_assert_eq!(&decode_page(&page_bytes(entries), page as u32, &segment.head).unwrap(), entries);
            for entry in entries.iter().step_by(97) {
                prop_assert!(segment.head.pages_of(entry.fingerprint).contains(&(page as u32)));
                prop_assert!(entry.fingerprint > highest || up_to.contains(&(page as u32)));
            }
        }
    }
}
