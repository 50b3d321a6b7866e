use crate::golden;
use longshore_format::{
    Class, FormatError, RepositoryId, SlotId,
    bytes::Reader,
    header::RepositoryHeader,
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
