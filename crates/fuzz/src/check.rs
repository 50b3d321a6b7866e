//! The words that decoders give, as functions of bytes.

use longshore_format::{
    FormatError,
    bytes::Reader,
    hint::Hints,
    keyset::SlotEntry,
    node::{Node, NodeParts},
    pack::PackTrailer,
    sealed::{EnvelopeHead, RecordKind},
};
use longshore_job::{JobResult, Outcome, RESULT_BYTES_MAX};
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

/// A pack's trailer, in a pack whose frames have the lengths that it says.
pub(crate) fn trailer(bytes: &[u8]) -> bool {
    let lengths = bytes.get(20..).unwrap_or_default().as_chunks::<36>().0.iter();
    let sum: u64 = lengths.map(|entry| u64::from(number(&entry[32..]))).sum();
    let Ok(frames_bytes) = u32::try_from(sum) else { return false };
    exact(bytes, |bytes| PackTrailer::decode(bytes, frames_bytes), PackTrailer::encode)
}

/// The first four bytes as a number.
pub(crate) fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// A slot as a keyset lists it.
pub(crate) fn keyset_slot(bytes: &[u8]) -> bool {
    let mut reader = Reader::new("slot", bytes);
    let Ok(slot) = SlotEntry::read(&mut reader) else { return false };
    let mut written = Vec::new();
    slot.encode(&mut written);
    assert_eq!([&written, reader.rest()].concat(), bytes);
    true
}

/// The head of a sealed record. Only the kind that it says itself is taken.
pub(crate) fn record(bytes: &[u8]) -> bool {
    let Ok((head, body)) = EnvelopeHead::split_any(bytes) else { return false };
    assert_eq!([&head.encode(), body].concat(), bytes);
    for kind in RecordKind::ALL {
        assert_eq!(EnvelopeHead::split(kind, bytes).is_ok(), kind == head.kind);
    }
    true
}

/// A node with its hints: its canonical part is the only one of this node.
pub(crate) fn node(bytes: &[u8]) -> bool {
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

/// A mover's last words. Of a failure that is too long for them the end is cut off.
pub(crate) fn job_result(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Some(result) = JobResult::from_termination_message(text) else { return false };
    let written = result.to_termination_message();
    assert!(JobResult::from_termination_message(&written).is_some());
    assert!(written.len() <= RESULT_BYTES_MAX || !matches!(result.outcome, Outcome::Failed { .. }));
    true
}
