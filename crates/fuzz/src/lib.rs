//! What every decoder must hold against any bytes: it answers, it does not panic, and what it accepts is what it would write.
//!
//! The same functions are run by `cargo xtask fuzz`, which makes up bytes under AddressSanitizer and with limits of memory and
//! time (the program is in `fuzz/`, a workspace of its own), and by every ordinary test run on the corpora that earlier runs
//! left in `fuzz/corpus` and on the golden files. A new decoder is one line in [`TARGETS`].
//!
//! Must not know: stores, files. First to read: [`TARGETS`].

mod check;

use check::{exact, json, listed, pages, runs_of, same, text, trailer};
use longshore_crypto::Keyset;
use longshore_format as format;
use longshore_format::{
    PackId, RunId, SourceId,
    config::RepositoryConfig,
    header::RepositoryHeader,
    index::{Preamble, SegmentHead},
    names,
    pack::{FrameHead, PackFooter},
    sealed::{EnvelopeHead, RecordKind},
    slot::KeySlot,
    snapshot::SnapshotRecord,
};
use longshore_job::{JobDocument, JobResult, ProgressLine, RestorePointReference};

/// A decoder and what it must hold.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, also that of its corpus.
    pub name: &'static str,
    /// Shows it some bytes; whether it took them for what it decodes. Panics if it breaks its word.
    pub run: fn(&[u8]) -> bool,
}

const fn target(name: &'static str, run: fn(&[u8]) -> bool) -> Target {
    Target { name, run }
}

/// Every decoder of bytes from outside.
pub const TARGETS: &[Target] = &[
    target("header", |bytes| exact(bytes, RepositoryHeader::decode, RepositoryHeader::encode)),
    target("key-slot", |bytes| exact(bytes, KeySlot::decode, KeySlot::encode)),
    target("keyset", |bytes| Keyset::decode(bytes).is_ok()),
    target("pack-footer", |bytes| same(bytes, PackFooter::decode, PackFooter::encode)),
    target("pack-trailer", trailer),
    target("frame", |bytes| {
        FrameHead::split(bytes).is_ok_and(|(head, rest)| [&head.encode(), rest].concat() == bytes)
    }),
    target("index-preamble", |bytes| same(bytes, Preamble::decode, Preamble::encode)),
    target("index-head", |bytes| {
        exact(bytes, SegmentHead::decode, SegmentHead::encode) && check::lookups(bytes)
    }),
    target("index-page", pages),
    target("node", runs_of),
    target("hints", |bytes| listed(bytes)),
    target("record-config", |bytes| EnvelopeHead::split(RecordKind::Config, bytes).is_ok()),
    target("record-snapshot", |bytes| EnvelopeHead::split(RecordKind::Snapshot, bytes).is_ok()),
    target("config", |bytes| json(bytes, RepositoryConfig::decode, RepositoryConfig::encode)),
    target("snapshot", |bytes| json(bytes, SnapshotRecord::decode, SnapshotRecord::encode)),
    target("name-pack", |bytes| text(bytes, names::parse_pack, |(kind, id)| names::pack(*kind, *id))),
    target("name-segment", |bytes| text(bytes, names::parse_index_segment, |id| names::index_segment(*id))),
    target("name-snapshot", |bytes| text(bytes, names::parse_snapshot, names::snapshot)),
    target("id-pack", |bytes| text(bytes, |name| name.parse().ok(), PackId::to_string)),
    target("id-source", |bytes| text(bytes, |name| name.parse().ok(), SourceId::to_string)),
    target("id-run", |bytes| check::again(bytes, |name| name.parse().ok(), RunId::to_string)),
    target("job-document", |bytes| {
        check::again(
            bytes,
            |json| JobDocument::from_json(json).ok(),
            |document| document.to_json().unwrap_or_default(),
        )
    }),
    target("job-result", |bytes| {
        check::again(bytes, JobResult::from_termination_message, JobResult::to_termination_message)
    }),
    target("job-progress", |bytes| {
        std::str::from_utf8(bytes).is_ok_and(|line| ProgressLine::parse(line).is_some())
    }),
    target("reference", |bytes| text(bytes, |name| name.parse().ok(), RestorePointReference::to_string)),
];

/// The target of a name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
