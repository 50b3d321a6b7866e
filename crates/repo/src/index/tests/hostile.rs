//! Segments that are damaged, or made by somebody who holds a key and lies.

use super::*;
use longshore_crypto::Purpose;
use longshore_format::index::{
    FOOTER_BYTES, HEAD_ORDINAL, Layout, PAGES_ORDINAL, PageEntry, SegmentFooter, SegmentHead, TABLE_ORDINAL,
    TableEntry, encode_page, encode_section, encode_table_page,
};
use longshore_format::sealed::TAG_BYTES;
use std::io::Write as _;

/// All parts of a segment before they are sealed, to lie with.
#[derive(Clone)]
struct Parts {
    sections: Vec<Vec<TrailerEntry>>,
    table: Vec<TableEntry>,
    pages: Vec<PageEntry>,
    counts: (u32, u32),
    fences: Vec<u64>,
    head_offset_bytes: Option<u32>,
}

fn honest() -> Parts {
    let packs = [pack(1, 0..10), pack(2, 10..30)];
    let mut pages = Vec::new();
    let mut table = Vec::new();
    for (number, pack) in packs.iter().enumerate() {
        let frames_before = pages.len() as u32;
        let frames = pack.entries.len() as u32;
        table.push(TableEntry { kind: pack.kind, pack: pack.id, frames, frames_before });
        pages.extend(pack.entries.iter().map(|entry| PageEntry {
            fingerprint: longshore_format::index::fingerprint(&entry.id),
            pack_number: number as u16,
        }));
    }
    pages.sort_unstable();
    let fences = vec![pages[0].fingerprint];
    let sections = packs.into_iter().map(|pack| pack.entries).collect();
    Parts { sections, table, pages, counts: (2, 30), fences, head_offset_bytes: None }
}

/// Seals whatever the parts say.
fn seal(world: &World, parts: &Parts) -> EncodedSegment {
    let (level, salt) = (Level::Zero { plan: 0 }, [7; 32]);
    let (key, commitment) = world.keys.object_key(Purpose::Index, 1, &salt).unwrap();
    let associated = writer::part_associated(&world.keys);
    let mut bytes = Vec::new();
    let mut part = |ordinal: u32, plain: &dyn Fn(&mut Vec<u8>)| {
        let start = bytes.len();
        plain(&mut bytes);
        key.seal(ordinal, &associated, &mut bytes, start).unwrap();
    };
    for (number, frames) in parts.sections.iter().enumerate() {
        part(number as u32, &|out| encode_section(frames, out));
    }
    part(TABLE_ORDINAL, &|out| encode_table_page(&parts.table, out));
    part(PAGES_ORDINAL, &|out| encode_page(&parts.pages, out));
    let mut head = Vec::new();
    head.write_all(&parts.counts.0.to_le_bytes()).unwrap();
    head.write_all(&parts.counts.1.to_le_bytes()).unwrap();
    parts.fences.iter().for_each(|fence| head.extend_from_slice(&fence.to_le_bytes()));
    let footer = SegmentFooter {
        level,
        epoch: 1,
        salt,
        commitment,
        head_offset_bytes: parts.head_offset_bytes.unwrap_or(bytes.len() as u32),
        head_bytes: (head.len() + TAG_BYTES) as u32,
    }
    .encode();
    key.seal(HEAD_ORDINAL, &writer::head_associated(&world.keys, &footer), &mut head, 0).unwrap();
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(&footer);
    let id = SegmentId(*blake3::hash(&bytes).as_bytes());
    EncodedSegment { level, id, bytes: bytes.into() }
}

/// Asks everything of an index that holds one bad segment and one good; the good one is always found.
fn survives(world: &World, what: &str) {
    world.segment(&[pack(9, 1000..1100)]);
    let index = world.index();
    for number in (0..30).chain(1000..1100) {
        let found = index.find(PackKind::Data, &id(number)).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(number < 1000 || found.is_some(), "{what}: {number}");
    }
    let reader = world.index();
    for number in (0..30).chain([1000, 1099]) {
        match reader.find_anywhere(PackKind::Data, &id(number), &[]) {
            Ok(found) => assert!(number < 1000 || found.is_some(), "{what}"),
            Err(error) => assert!(number < 1000 && is_damage(&error), "{what}: {error}"),
        }
    }
}

#[test]
fn the_forger_of_these_tests_can_also_be_honest() {
    let world = World::new();
    world.put(&seal(&world, &honest()));
    let index = world.index();
    assert!((0..30).all(|number| index.find(PackKind::Data, &id(number)).unwrap().is_some()));
    let (listed, _) = index.list_segments().unwrap();
    index.prove(&listed[0], |_| {}).unwrap();
}

#[test]
fn segments_that_lie_are_refused_and_take_nothing_with_them() {
    type Lie = fn(&mut Parts);
    let lies: [(&str, Lie); 13] = [
        ("more packs than there are", |parts| parts.counts.0 = 3),
        ("fewer entries than there are", |parts| parts.counts.1 = 29),
        ("the most entries", |parts| parts.counts = (8192, 1 << 20)),
        ("counts beyond all limits", |parts| parts.counts = (u32::MAX, u32::MAX)),
        ("fences out of order", |parts| parts.fences = vec![9, 1]),
        ("another fence", |parts| parts.fences[0] += 1),
        ("sections beyond the end", |parts| parts.table[1].frames_before = u32::MAX - 20),
        ("overlapping sections", |parts| parts.table[1].frames_before = 5),
        ("a section that is longer than it is", |parts| parts.table[1].frames = 21),
        ("entries of a pack that is not there", |parts| parts.pages[3].pack_number = 7),
        ("entries out of order", |parts| parts.pages.reverse()),
        ("frames larger than a pack", |parts| parts.sections[1][0].length_bytes = u32::MAX),
        ("a head far behind the end", |parts| parts.head_offset_bytes = Some(40 << 20)),
    ];
    for (what, lie) in lies {
        let world = World::new();
        let mut parts = honest();
        lie(&mut parts);
        let segment = seal(&world, &parts);
        world.put(&segment);
        survives(&world, what);
        let index = world.index();
        let (listed, _) = index.list_segments().unwrap();
        let bad = listed.iter().find(|listed| listed.id == segment.id).unwrap();
        assert!(index.prove(bad, |_| {}).is_err(), "{what} is overlooked");
    }
}

/// Parts that agree with the format but not with each other: look-ups miss, and a proof finds it.
#[test]
fn fingerprints_that_do_not_belong_to_the_sections_are_found() {
    let world = World::new();
    let mut parts = honest();
    parts.pages[5].pack_number ^= 1;
    world.put(&seal(&world, &parts));
    let index = world.index();
    let (listed, _) = index.list_segments().unwrap();
    assert!(index.prove(&listed[0], |_| {}).is_err());
    survives(&world, "a wrong fingerprint");
}

#[test]
fn truncated_lengthened_and_flipped_segments_are_refused() {
    let good = World::new().encode(Level::Zero { plan: 0 }, &[pack(1, 0..10), pack(2, 10..30)]);
    let mut bad: Vec<Vec<u8>> =
        (0..good.bytes.len()).step_by(97).map(|end| good.bytes[..end].to_vec()).collect();
    bad.push([&good.bytes[..], b"x"].concat());
    for at in (0..good.bytes.len()).step_by(31) {
        let mut bytes = good.bytes.to_vec();
        bytes[at] ^= 1 << (at % 8);
        bad.push(bytes);
    }
    for bytes in bad {
        let world = World::new();
        let what = format!("{} bytes", bytes.len());
        world.io.create(&good.name(), bytes).unwrap();
        survives(&world, &what);
        let index = world.index();
        let (listed, _) = index.list_segments().unwrap();
        let bad = listed.iter().find(|listed| listed.id == good.id).unwrap();
        assert!(index.prove(bad, |_| {}).is_err() || index.prove_name(bad).is_err());
    }
}

/// A segment counts only where its maker put it: not under a later plan, not as one of maintenance.
#[test]
fn a_segment_under_another_name_is_refused() {
    let world = World::new();
    let segment = world.encode(Level::Zero { plan: 1 }, &[pack(1, 0..10)]);
    let merged = world.encode(Level::One, &[pack(2, 10..20)]);
    for (level, segment) in
        [(Level::Zero { plan: 2 }, &segment), (Level::One, &segment), (Level::Zero { plan: 1 }, &merged)]
    {
        world.io.create(&names::index_segment(level, segment.id), segment.bytes.clone()).unwrap();
    }
    let level_1 = HashSet::from([segment.id]);
    world.view.set(IndexView { plan: 1, level_0_from: 1, level_1, ..IndexView::default() });
    let index = world.index();
    assert_eq!(index.find(PackKind::Data, &id(5)).unwrap(), None);
    assert_eq!(index.find(PackKind::Data, &id(15)).unwrap(), None);
    assert_eq!(index.state().damaged.len(), 3);
}

/// A reader is told which segment is damaged, rather than that its chunk is nowhere.
#[test]
fn a_reader_learns_of_the_damage_that_hides_its_chunk() {
    let world = World::new();
    let segment = world.encode(Level::Zero { plan: 0 }, &[pack(1, 0..10)]);
    let mut bytes = segment.bytes.to_vec();
    let at = bytes.len() - FOOTER_BYTES - 3;
    bytes[at] ^= 1;
    world.io.create(&segment.name(), bytes).unwrap();
    let error = world.index().find_anywhere(PackKind::Data, &id(5), &[]).unwrap_err();
    assert_eq!(error.class(), Class::Corrupt);
}

/// A small object that claims the most there can be costs no memory.
#[test]
fn what_a_segment_claims_is_never_allocated() {
    let world = World::new();
    let layout = Layout::new(8192, 1 << 20).unwrap();
    let fences = (0..u64::from(layout.pages())).collect();
    let head = SegmentHead { layout, fences };
    let footer = SegmentFooter {
        level: Level::Zero { plan: 0 },
        epoch: 1,
        salt: [1; 32],
        commitment: [2; 32],
        head_offset_bytes: layout.head_offset_bytes() as u32,
        head_bytes: (head.encode().len() + TAG_BYTES) as u32,
    };
    let bytes = footer.encode();
    let id = SegmentId(*blake3::hash(&bytes).as_bytes());
    world.io.create(&names::index_segment(Level::Zero { plan: 0 }, id), bytes).unwrap();
    survives(&world, "a footer alone");
}
