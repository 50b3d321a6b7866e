use crate::golden;
use longshore_format::{
    Class, FormatError, RepositoryId, SlotId,
    header::RepositoryHeader,
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
