//! What every decoder must hold against any bytes: it answers, it does not panic, and what it accepts is what it would write.
//!
//! The same functions are run by `cargo xtask fuzz`, which makes up bytes under AddressSanitizer and with limits of memory and
//! time (the program is in `fuzz/`, a workspace of its own), and by every ordinary test run on the corpora that earlier runs
//! left in `fuzz/corpus` and on the golden files. A new decoder is one line in [`TARGETS`].
//!
//! Must not know: stores, files. First to read: [`TARGETS`].

mod check;
mod index;

use check::{again, exact, json, listed, node, same, text, trailer};
use longshore_crypto::Keyset;
use longshore_format::{
    PackId, RunId, SourceId,
    checkpoint::Checkpoint,
    config::RepositoryConfig,
    damage::DamageReport,
    header::RepositoryHeader,
    index::SegmentFooter,
    keyset::KeysetRevision,
    names,
    pack::{FrameHead, PackFooter},
    prune::{Fence, Plan, PlanResult, Tombstone},
    session::{SessionEnd, SessionOpen, SessionProgress, SessionReady, SessionSeen},
    slot::KeySlot,
    snapshot::SnapshotRecord,
};
use longshore_job::{JobDocument, ProgressLine, RestorePointReference};

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
    target("keyset-revision", |bytes| exact(bytes, KeysetRevision::decode, KeysetRevision::encode)),
    target("keyset-slot", check::keyset_slot),
    target("keyset", |bytes| Keyset::decode(bytes).is_ok()),
    target("pack-footer", |bytes| same(bytes, PackFooter::decode, PackFooter::encode)),
    target("pack-trailer", trailer),
    target("frame", |bytes| {
        FrameHead::split(bytes).is_ok_and(|(head, rest)| [&head.encode(), rest].concat() == bytes)
    }),
    target("index-footer", |bytes| same(bytes, SegmentFooter::decode, SegmentFooter::encode)),
    target("index-head", index::head),
    target("index-table", index::table),
    target("index-page", index::page),
    target("index-section", index::section),
    target("node", node),
    target("hints", listed),
    target("record", check::record),
    target("config", |bytes| json(bytes, RepositoryConfig::decode, RepositoryConfig::encode)),
    target("snapshot", |bytes| json(bytes, SnapshotRecord::decode, SnapshotRecord::encode)),
    target("fence", |bytes| json(bytes, Fence::decode, Fence::encode)),
    target("tombstone", |bytes| json(bytes, Tombstone::decode, Tombstone::encode)),
    target("damage-report", |bytes| json(bytes, DamageReport::decode, DamageReport::encode)),
    target("plan", |bytes| json(bytes, Plan::decode, Plan::encode)),
    target("plan-result", |bytes| json(bytes, PlanResult::decode, PlanResult::encode)),
    target("checkpoint", |bytes| json(bytes, Checkpoint::decode, Checkpoint::encode)),
    target("session-open", |bytes| json(bytes, SessionOpen::decode, SessionOpen::encode)),
    target("session-ready", |bytes| json(bytes, SessionReady::decode, SessionReady::encode)),
    target("session-seen", |bytes| json(bytes, SessionSeen::decode, SessionSeen::encode)),
    target("session-progress", |bytes| json(bytes, SessionProgress::decode, SessionProgress::encode)),
    target("session-end", |bytes| json(bytes, SessionEnd::decode, SessionEnd::encode)),
    target("name-pack", |bytes| text(bytes, names::parse_pack, |(kind, id)| names::pack(*kind, *id))),
    target("name-segment", |bytes| {
        text(bytes, names::parse_index_segment, |(level, id)| names::index_segment(*level, *id))
    }),
    target("name-snapshot", |bytes| text(bytes, names::parse_snapshot, names::snapshot)),
    target("name-session", |bytes| {
        text(bytes, names::parse_session, |(run, id, object)| names::session(*run, *id, *object))
    }),
    target("name-tombstone", |bytes| {
        text(bytes, names::parse_tombstone, |(source, run)| names::tombstone(*source, *run))
    }),
    target("name-plan", |bytes| {
        text(bytes, names::parse_plan, |(number, object)| names::plan(*number, *object))
    }),
    target("name-checkpoint", |bytes| {
        text(bytes, names::parse_checkpoint, |number| names::checkpoint(*number))
    }),
    target("name-damage", |bytes| text(bytes, names::parse_damage, |pack| names::damage(*pack))),
    target("id-pack", |bytes| text(bytes, |name| name.parse().ok(), PackId::to_string)),
    target("id-source", |bytes| text(bytes, |name| name.parse().ok(), SourceId::to_string)),
    target("id-run", |bytes| again(bytes, |name| name.parse().ok(), RunId::to_string)),
    target("job-document", |bytes| {
        again(
            bytes,
            |json| JobDocument::from_json(json).ok(),
            |document| document.to_json().unwrap_or_default(),
        )
    }),
    target("job-result", check::job_result),
    target("job-progress", |bytes| {
        std::str::from_utf8(bytes).is_ok_and(|line| ProgressLine::parse(line).is_some())
    }),
    target("reference", |bytes| text(bytes, |name| name.parse().ok(), RestorePointReference::to_string)),
];

/// The target of a name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
