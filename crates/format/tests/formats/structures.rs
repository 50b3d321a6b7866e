use crate::golden;
use longshore_format::{
    Class, FormatError, PackId, Place, RepositoryId, SlotId,
    bytes::Reader,
    filter::Filter,
    header::RepositoryHeader,
    index::{ENTRIES_PER_PAGE, IndexEntry, Preamble, SegmentHead, decode_page, find_in_page},
    keyset::{KeysetEntry, KeysetRevision, Role, SlotEntry, label_is_valid},
    names::PackKind,
    pack::{Encoding, FrameHead, PackFooter, PackTrailer, TrailerEntry},
    sealed::{EnvelopeHead, RecordKind},
    slot::{Derivation, KdfCost, KeySlot, SlotKind},
};

pub fn header() -> RepositoryHeader {
    RepositoryHeader { id: RepositoryId([1; 16]) }
}

pub fn slot(derivation: Derivation) -> KeySlot {
    KeySlot {
        derivation,
        repository: RepositoryId([1; 16]),
        id: SlotId([2; 16]),
        salt: [3; 32],
        commitment: [4; 32],
        sealed: [5; 84],
    }
}

pub fn slots() -> [(&'static str, KeySlot); 3] {
    [
        ("slot-password.bin", slot(Derivation::Password(KdfCost::STANDARD))),
        ("slot-key-file.bin", slot(Derivation::KeyFile)),
        ("slot-recovery-key.bin", slot(Derivation::RecoveryKey)),
    ]
}

pub fn keyset_revision() -> KeysetRevision {
    let entry = |number: u8, kind, role: Role| KeysetEntry {
        slot: SlotId([number; 16]),
        kind,
        role,
        ephemeral: [number; 32],
        wrapped: vec![number; role.wrapped_bytes()],
    };
    KeysetRevision {
        repository: RepositoryId([1; 16]),
        revision: 7,
        previous: [2; 32],
        authority: [3; 32],
        entries: vec![
            entry(4, SlotKind::Password, Role::Maintenance),
            entry(5, SlotKind::KeyFile, Role::Mover),
            entry(6, SlotKind::RecoveryKey, Role::Maintenance),
            entry(7, SlotKind::Recipient, Role::Mover),
        ],
        members: vec![8; 300],
        maintenance: [9; 48],
        signature: [10; 64],
    }
}

pub fn slot_entry() -> SlotEntry {
    SlotEntry {
        id: SlotId([1; 16]),
        kind: SlotKind::KeyFile,
        role: Role::Mover,
        added: 3,
        public: [2; 32],
        object: [3; 32],
        label: "cluster a".into(),
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
    for (name, slot) in slots() {
        let golden = golden::check(name, &slot.encode());
        assert_eq!(golden.len(), longshore_format::slot::SLOT_BYTES);
        assert_eq!(KeySlot::decode(&golden).unwrap(), slot);
    }
    let golden = golden::check("keyset-revision.bin", &keyset_revision().encode());
    assert_eq!(KeysetRevision::decode(&golden).unwrap(), keyset_revision());
    let mut entry = Vec::new();
    slot_entry().encode(&mut entry);
    let golden = golden::check("keyset-slot.bin", &entry);
    assert_eq!(SlotEntry::read(&mut Reader::new("test", &golden)).unwrap(), slot_entry());
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
        let bytes = slot(Derivation::Password(cost)).encode();
        assert!(matches!(KeySlot::decode(&bytes), Err(FormatError::Limit { .. })));
    }
}

#[test]
fn a_kind_of_key_that_is_not_known_is_no_damage() {
    for (code, class) in [
        (5, Class::Unsupported),
        (99, Class::Unsupported),
        // A recipient has no slot object, and a key file says no cost.
        (4, Class::Corrupt),
        (2, Class::Corrupt),
    ] {
        let mut bytes = slot(Derivation::Password(KdfCost::STANDARD)).encode();
        bytes[6] = code;
        assert_eq!(KeySlot::decode(&bytes).unwrap_err().class(), class, "{code}");
    }
    let mut revision = keyset_revision().encode();
    assert_eq!(revision[96 + 16], SlotKind::Password.code());
    revision[96 + 16] = 5;
    assert_eq!(KeysetRevision::decode(&revision).unwrap_err().class(), Class::Unsupported);
}

#[test]
fn labels_cannot_play_with_a_terminal() {
    assert!(label_is_valid("") && label_is_valid("Öl & Gas / Ärzte") && label_is_valid(&"x".repeat(64)));
    for label in ["a\nb", "\u{1b}[2J", "\u{9b}2J", &"x".repeat(65)] {
        assert!(!label_is_valid(label), "{label:?}");
        let mut bytes = Vec::new();
        SlotEntry { label: label.into(), ..slot_entry() }.encode(&mut bytes);
        assert!(SlotEntry::read(&mut Reader::new("test", &bytes)).is_err());
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
