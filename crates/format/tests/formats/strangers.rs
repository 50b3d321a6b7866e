//! Bytes of a stranger: arbitrary ones, and good ones with damage. Decoders answer; they never panic, and what they
//! accept encodes to what was read.

use crate::{index, nodes, records, structures};
use longshore_format::{
    bytes::Reader,
    config::RepositoryConfig,
    header::RepositoryHeader,
    hint::Hints,
    index::{SegmentFooter, SegmentHead, decode_page, decode_section, decode_table_page},
    keyset::{KeysetRevision, SlotEntry},
    names,
    node::{Node, NodeParts},
    pack::{FrameHead, PackFooter, PackTrailer},
    sealed::{EnvelopeHead, RecordKind},
    slot::KeySlot,
    snapshot::SnapshotRecord,
};
use proptest::prelude::*;

fn decode_everything(bytes: &[u8]) {
    if let Ok(header) = RepositoryHeader::decode(bytes) {
        assert_eq!(RepositoryHeader::decode(&header.encode()).unwrap(), header);
    }
    if let Ok(slot) = KeySlot::decode(bytes) {
        assert_eq!(slot.encode(), bytes);
    }
    if let Ok(revision) = KeysetRevision::decode(bytes) {
        assert_eq!(revision.encode(), bytes);
    }
    if let Ok(entry) = SlotEntry::read(&mut Reader::new("test", bytes)) {
        let mut again = Vec::new();
        entry.encode(&mut again);
        assert!(bytes.starts_with(&again));
    }
    if let Ok(footer) = PackFooter::decode(bytes) {
        assert_eq!(PackFooter::decode(&footer.encode()).unwrap(), footer);
    }
    if let Ok(trailer) = PackTrailer::decode(bytes, 300) {
        assert_eq!(trailer.encode(), bytes);
    }
    decode_index(bytes);
    if let Ok((head, body)) = EnvelopeHead::split_any(bytes) {
        assert_eq!([&head.encode(), body].concat(), bytes);
        let fitting: Vec<_> =
            RecordKind::ALL.into_iter().filter(|kind| EnvelopeHead::split(*kind, bytes).is_ok()).collect();
        assert_eq!(fitting, [head.kind]);
    }
    let _ = FrameHead::split(bytes);
    let _ = (SnapshotRecord::decode(bytes), RepositoryConfig::decode(bytes), Hints::decode(bytes, None));
    if let Ok(parts) = NodeParts::split(bytes)
        && let Ok(node) = Node::decode(&parts, None)
    {
        assert_eq!(node.canonical(), parts.canonical);
    }
    let text = String::from_utf8_lossy(bytes);
    let _ = (names::parse_pack(&text), names::parse_snapshot(&text), names::parse_index_segment(&text));
    let _ = names::parse_revision("", &text);
}

fn decode_index(bytes: &[u8]) {
    if let Ok(footer) = SegmentFooter::decode(bytes) {
        assert_eq!(SegmentFooter::decode(&footer.encode()).unwrap(), footer);
        let _ = footer.segment_bytes();
    }
    let segment = &*index::SMALL;
    if let Ok(head) = SegmentHead::decode(bytes, &segment.footer) {
        assert_eq!(head.encode(), bytes);
        let _ = (head.pages_of(7), head.pages_up_to(7), head.layout.table_page(u32::MAX));
    }
    for number in [0, 1] {
        let _ = decode_section(bytes, &segment.table[number as usize]);
        let _ = decode_table_page(bytes, number, &segment.head.layout);
        let _ = decode_page(bytes, number, &segment.head);
    }
}

/// Good bytes of every structure.
fn good() -> Vec<Vec<u8>> {
    let mut out: Vec<Vec<u8>> = nodes::nodes().iter().map(|(_, node)| nodes::encode(node)).collect();
    out.push(structures::header().encode());
    out.extend(structures::slots().map(|(_, slot)| slot.encode()));
    out.push(structures::keyset_revision().encode());
    let mut entry = Vec::new();
    structures::slot_entry().encode(&mut entry);
    out.push(entry);
    out.push(structures::footer().encode());
    out.push(structures::trailer().encode());
    out.extend(index::SMALL.encoded_parts());
    out.push(records::volume_record().encode().unwrap());
    out
}

#[test]
fn truncated_bytes_are_refused_or_read_but_never_panic() {
    for bytes in good() {
        (0..=bytes.len()).for_each(|length| decode_everything(&bytes[..length]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        decode_everything(&bytes);
    }

    #[test]
    fn damaged_bytes_never_panic(
        which in 0usize..100,
        damage in prop::collection::vec((any::<u16>(), any::<u8>()), 1..8),
    ) {
        let all = good();
        let mut bytes = all[which % all.len()].clone();
        for (at, value) in damage {
            let at = usize::from(at) % bytes.len();
            bytes[at] = value;
        }
        decode_everything(&bytes);
    }

    #[test]
    fn names_of_a_stranger_never_panic(name in "(data|meta|snap|idx/0/00000001|idx/1)/[0-9a-fé/]{0,80}") {
        if let Some((kind, id)) = names::parse_pack(&name) {
            prop_assert_eq!(names::pack(kind, id), name);
        } else {
            let _ = (names::parse_snapshot(&name), names::parse_index_segment(&name));
        }
    }
}
