//! The words that decoders give, as functions of bytes.

use longshore_format::{
    FormatError,
    hint::Hints,
    index::{IndexEntry, SegmentHead, decode_page, find_in_page},
    node::{Node, NodeParts},
    pack::PackTrailer,
};
use std::fmt::Debug;

/// What is decoded encodes to the very bytes that were read.
pub(crate) fn exact<T>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, FormatError>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> bool {
    let Ok(value) = decode(bytes) else { return false };
    assert!(encode(&value) == bytes, "it would write other bytes than it read");
    true
}

/// What is decoded from a part of the bytes is the same when it is written and read again.
pub(crate) fn same<T: PartialEq + Debug>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, FormatError>,
    encode: impl Fn(&T) -> Vec<u8>,
) -> bool {
    let Ok(value) = decode(bytes) else { return false };
    assert_eq!(decode(&encode(&value)).ok(), Some(value));
    true
}

/// The same for records of JSON.
pub(crate) fn json<T: PartialEq + Debug>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, FormatError>,
    encode: impl Fn(&T) -> Result<Vec<u8>, FormatError>,
) -> bool {
    let Ok(value) = decode(bytes) else { return false };
    assert_eq!(encode(&value).ok().and_then(|bytes| decode(&bytes).ok()), Some(value));
    true
}

/// A text that is taken for a value is the only text of this value.
pub(crate) fn text<T>(
    bytes: &[u8],
    parse: impl Fn(&str) -> Option<T>,
    format: impl Fn(&T) -> String,
) -> bool {
    let Ok(read) = std::str::from_utf8(bytes) else { return false };
    let Some(value) = parse(read) else { return false };
    assert_eq!(format(&value), read);
    true
}

/// A text that is taken for a value is the same value when it is written and read again.
pub(crate) fn again<T: PartialEq + Debug>(
    bytes: &[u8],
    parse: impl Fn(&str) -> Option<T>,
    format: impl Fn(&T) -> String,
) -> bool {
    let Ok(read) = std::str::from_utf8(bytes) else { return false };
    let Some(value) = parse(read) else { return false };
    assert_eq!(parse(&format(&value)), Some(value));
    true
}

/// A pack's trailer behind the length that its frames are to have, u32.
pub(crate) fn trailer(bytes: &[u8]) -> bool {
    let Some((length, trailer)) = bytes.split_first_chunk::<4>() else { return false };
    exact(trailer, |bytes| PackTrailer::decode(bytes, u32::from_le_bytes(*length)), PackTrailer::encode)
}

/// Questions to the head of an index segment that was taken for one.
pub(crate) fn lookups(bytes: &[u8]) -> bool {
    let Ok(head) = SegmentHead::decode(bytes) else { return false };
    for id in [[0; 32], [0x7f; 32], [0xff; 32]].iter().chain(&head.fences) {
        let page = head.page_of(id);
        assert!(page.is_none_or(|page| (page as usize) < head.fences.len()), "a page beyond the last");
        let _either_is_right = head.filter.may_hold(id);
    }
    true
}

/// A page of an index segment: entries are found again, if they are in order.
pub(crate) fn pages(bytes: &[u8]) -> bool {
    let _only_no_panic = find_in_page(bytes, &[0x7f; 32]);
    let Ok(entries) = decode_page(bytes) else { return false };
    if entries.windows(2).all(|pair| pair[0].id < pair[1].id) {
        for entry in &entries {
            assert_eq!(find_in_page(bytes, &entry.id).ok().flatten(), Some(*entry));
        }
    }
    let mut written = Vec::new();
    entries.iter().for_each(|entry: &IndexEntry| entry.encode(&mut written));
    written.len() == bytes.len()
}

/// A node with its hints: its canonical part is the only one of this node.
pub(crate) fn runs_of(bytes: &[u8]) -> bool {
    let Ok(parts) = NodeParts::split(bytes) else { return false };
    let Ok(node) = Node::decode(&parts, None) else { return false };
    assert!(node.canonical() == parts.canonical, "another canonical part: ids would not tell nodes apart");
    let mut hints = Hints::decode(parts.hints, None).ok();
    for (_, location) in node.references() {
        assert_eq!(hints.as_mut().and_then(|hints| hints.take().ok()), Some(location));
    }
    true
}

/// The hints of a node alone.
pub(crate) fn listed(bytes: &[u8]) -> bool {
    let Ok(mut hints) = Hints::decode(bytes, None) else { return false };
    while hints.take().is_ok() {}
    hints.finish().is_ok()
}
