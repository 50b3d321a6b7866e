use crate::golden;
use longshore_format::{
    Class, FormatError, PackId, Place, RepositoryId, SlotId,
    filter::Filter,
    header::RepositoryHeader,
    index::{ENTRIES_PER_PAGE, IndexEntry, Preamble, SegmentHead, decode_page, find_in_page},
    names::PackKind,
    pack::{Encoding, FrameHead, PackFooter, PackTrailer, TrailerEntry},
    sealed::{EnvelopeHead, RecordKind},
    slot::{KdfCost, KeySlot},
};

pub fn header() -> RepositoryHeader {
    RepositoryHeader { id: RepositoryId([1; 16]) }
}

pub fn slot() -> KeySlot {
    KeySlot {
        repository: RepositoryId([1; 16]),
        id: SlotId([2; 16]),
        cost: KdfCost::STANDARD,
        salt: [3; 32],
        commitment: [4; 32],
        wrapped: vec![5; 90],
    }
}

pub fn footer() -> PackFooter {
    PackFooter {
        kind: PackKind::Meta,
        epoch: 7,
        salt: [1; 32],
        commitment: [2; 32],
        trailer_offset_bytes: 300,
        trailer_bytes: 108,
    }
}

pub fn trailer() -> PackTrailer {
    let entries = vec![
        TrailerEntry { id: [1; 32], length_bytes: 100 },
        TrailerEntry { id: [2; 32], length_bytes: 200 },
    ];
    PackTrailer { session: [9; 16], entries }
}

pub fn preamble() -> Preamble {
    Preamble { level: 0, epoch: 1, salt: [1; 32], commitment: [2; 32], head_bytes: 500, entry_count: 3000 }
}

pub fn segment_head() -> SegmentHead {
    let ids = [[1u8; 32], [2; 32], [3; 32]];
    SegmentHead {
        packs: vec![(PackKind::Data, PackId([1; 32])), (PackKind::Meta, PackId([2; 32]))],
        fences: vec![[1; 32], [3; 32]],
        filter: Filter::build(ids.iter()),
    }
}

#[test]
fn structures_come_back_from_bytes_that_never_move() {
    let golden = golden::check("header.bin", &header().encode());
    assert_eq!(RepositoryHeader::decode(&golden).unwrap(), header());
    let golden = golden::check("slot.bin", &slot().encode());
    assert_eq!(KeySlot::decode(&golden).unwrap(), slot());
    let golden = golden::check("pack-footer.bin", &footer().encode());
    assert_eq!(PackFooter::decode(&golden).unwrap(), footer());
    let golden = golden::check("pack-trailer.bin", &trailer().encode());
    assert_eq!(PackTrailer::decode(&golden, 300).unwrap(), trailer());
    let golden = golden::check("index-preamble.bin", &preamble().encode());
    assert_eq!(Preamble::decode(&golden).unwrap(), preamble());
    let golden = golden::check("index-head.bin", &segment_head().encode());
    assert_eq!(SegmentHead::decode(&golden).unwrap(), segment_head());
    let head = EnvelopeHead { kind: RecordKind::Snapshot, epoch: 3, salt: [1; 32], commitment: [2; 32] };
    let golden = golden::check("record-head.bin", &head.encode());
    assert_eq!(EnvelopeHead::split(RecordKind::Snapshot, &golden).unwrap(), (head, &[][..]));
    assert!(EnvelopeHead::split(RecordKind::Config, &golden).is_err(), "one kind never stands for another");
}

#[test]
fn a_frame_says_how_it_is_stored() {
    for encoding in [Encoding::Raw, Encoding::Zstd] {
        let head = FrameHead { encoding, plain_bytes: 3 };
        let frame = [&head.encode()[..], b"abc"].concat();
        assert_eq!(FrameHead::split(&frame).unwrap(), (head, &b"abc"[..]));
    }
    let lying = [&FrameHead { encoding: Encoding::Raw, plain_bytes: 4 }.encode()[..], b"abc"].concat();
    assert!(FrameHead::split(&lying).is_err());
}

#[test]
fn a_slot_cannot_exhaust_its_reader() {
    for cost in [
        KdfCost { memory_kib: u32::MAX, ..KdfCost::STANDARD },
        KdfCost { passes: u32::MAX, ..KdfCost::STANDARD },
        KdfCost { lanes: u32::MAX, ..KdfCost::STANDARD },
    ] {
        let bytes = KeySlot { cost, ..slot() }.encode();
        assert!(matches!(KeySlot::decode(&bytes), Err(FormatError::Limit { .. })));
    }
}

#[test]
fn newer_versions_are_told_from_damage() {
    let mut bytes = header().encode();
    bytes[8] = 2;
    assert_eq!(RepositoryHeader::decode(&bytes).unwrap_err().class(), Class::Unsupported);
    let mut bytes = header().encode();
    bytes[20] ^= 1;
    assert_eq!(RepositoryHeader::decode(&bytes).unwrap_err().class(), Class::Corrupt);
    let mut bytes = footer().encode();
    bytes[4] = 2;
    assert_eq!(PackFooter::decode(&bytes).unwrap_err().class(), Class::Unsupported);
}

#[test]
fn frames_must_fill_their_pack() {
    assert!(PackTrailer::decode(&trailer().encode(), 299).is_err());
}

#[test]
fn entries_are_found_in_their_page() {
    let id = |number: usize| {
        let mut id = [0u8; 32];
        id[..8].copy_from_slice(&(number as u64 * 3).to_be_bytes());
        id
    };
    let entry = |number: usize| IndexEntry {
        id: id(number),
        pack_number: 1,
        slot: number as u16,
        offset_bytes: 7,
        length_bytes: 8,
    };
    for count in [0, 1, 2, 1000, ENTRIES_PER_PAGE] {
        let mut page = Vec::new();
        (0..count).for_each(|number| entry(number).encode(&mut page));
        for number in 0..count {
            assert_eq!(find_in_page(&page, &id(number)).unwrap(), Some(entry(number)));
        }
        assert_eq!(find_in_page(&page, &[0xff; 32]).unwrap(), None);
        assert_eq!(decode_page(&page).unwrap().len(), count);
    }
    let place = Place { pack: PackId([2; 32]), slot: 5, offset_bytes: 7, length_bytes: 8 };
    assert_eq!(entry(5).place(&segment_head()).unwrap(), (PackKind::Meta, place));
    assert!(IndexEntry { pack_number: 2, ..entry(5) }.place(&segment_head()).is_err());
}

#[test]
fn pages_are_found_by_their_fences_and_lie_one_after_the_other() {
    let head = segment_head();
    assert_eq!(
        [[0; 32], [1; 32], [2; 32], [3; 32], [9; 32]].map(|id| head.page_of(&id)),
        [None, Some(0), Some(0), Some(1), Some(1)]
    );
    let preamble = preamble();
    assert_eq!(preamble.page_count(), 3);
    assert_eq!(preamble.page_range(0), (596, 65536));
    assert_eq!(preamble.page_range(2), (596 + 2 * 65536, 270 * 48 + 16));
}

#[test]
fn a_filter_knows_its_ids_and_few_others() {
    let id = |number: u64| {
        let mut id = [0u8; 32];
        id.copy_from_slice(
            &[number, 1, 2, 3]
                .map(|word| {
                    word.wrapping_add(number)
                        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                        .rotate_left(31)
                        .wrapping_mul(0xbf58_476d_1ce4_e5b9)
                        .to_le_bytes()
                })
                .concat(),
        );
        id
    };
    let ids: Vec<[u8; 32]> = (0..10_000).map(id).collect();
    let filter = Filter::build(ids.iter());
    assert!(ids.iter().all(|id| filter.may_hold(id)));
    let wrong = (10_000..110_000).filter(|number| filter.may_hold(&id(*number))).count();
    assert!(wrong < 20, "{wrong} of 100,000 others are taken for known");
    assert!(!Filter::build([].iter()).may_hold(&[1; 32]));
}
