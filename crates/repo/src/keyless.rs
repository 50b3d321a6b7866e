//! What can be proven of a repository without any key: anybody who may read the store can do it.
//!
//! Packs and index segments are named by the hash of their bytes. Everything else only shows whether it has the form and
//! the size of what stands at its name.

use crate::{CheckProgress, Problem, RepoError, check::says_damage, error::chain, io::Io, parallel};
use longshore_format::{
    FormatError,
    header::RepositoryHeader,
    index::{SEGMENT_BYTES_MAX, SegmentFooter},
    keyset::KeysetRevision,
    names,
    pack::{PACK_BYTES_MAX, PackFooter},
    sealed::{EnvelopeHead, RecordKind},
    slot::KeySlot,
};
use longshore_store::{Class as StoreClass, ObjectInfo, Store};
use std::sync::Arc;

/// What a check without a key found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeylessReport {
    /// Objects of the repository.
    pub objects: u64,
    /// Packs and index segments whose bytes were read and compared with their names.
    pub proven_objects: u64,
    /// Their bytes.
    pub proven_bytes: u64,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

/// Reads every object: of packs and index segments it proves all bytes, of the others their form.
///
/// # Errors
/// [`crate::Class::NoRepository`] if there is none.
pub fn check_keyless(
    store: Arc<dyn Store>,
    progress: &mut dyn FnMut(CheckProgress),
) -> Result<KeylessReport, RepoError> {
    let io = Io::new(store)?;
    let objects = io.list("")?;
    if objects.iter().all(|object| object.name != names::REPOSITORY) {
        return Err(RepoError::NoRepository { location: io.store().describe() });
    }
    let total_bytes = objects.iter().map(|object| object.size_bytes).sum();
    let mut report = KeylessReport { objects: objects.len() as u64, ..KeylessReport::default() };
    let mut done_bytes = 0;
    let at_once = std::thread::available_parallelism().map_or(2, usize::from).min(4);
    for some in objects.chunks(at_once * 8) {
        let results = parallel::map(some, at_once, |object| match prove(&io, object) {
            Ok(proven_bytes) => Ok((proven_bytes, None)),
            // It was listed, and a session or prune that is at work has removed it since.
            Err(RepoError::Store { source }) if source.class() == StoreClass::NotFound => Ok((None, None)),
            Err(error) if says_damage(&error) => Ok((None, Some(chain(&error)))),
            Err(error) => Err(error),
        })?;
        for (object, (proven_bytes, reason)) in some.iter().zip(results) {
            done_bytes += object.size_bytes;
            if let Some(bytes) = proven_bytes {
                report.proven_objects += 1;
                report.proven_bytes += bytes;
            }
            if let Some(reason) = reason {
                report.problems.push(Problem { object: object.name.clone(), reason });
            }
        }
        progress(CheckProgress::Data { done_bytes, total_bytes });
    }
    Ok(report)
}

/// Proves an object; the bytes that its name proves, if its name does.
fn prove(io: &Io, object: &ObjectInfo) -> Result<Option<u64>, RepoError> {
    let name = object.name.as_str();
    let wrong = || RepoError::WrongContent { object: name.to_owned() };
    if let Some((kind, id)) = names::parse_pack(name) {
        let bytes = io.get(name, PACK_BYTES_MAX)?;
        let footer = PackFooter::decode(&bytes).map_err(RepoError::format(name))?;
        let is_it = blake3::hash(&bytes).as_bytes() == &id.0
            && footer.kind == kind
            && footer.pack_bytes() == bytes.len() as u64;
        return if is_it { Ok(Some(bytes.len() as u64)) } else { Err(wrong()) };
    }
    if let Some((level, id)) = names::parse_index_segment(name) {
        let bytes = io.get(name, SEGMENT_BYTES_MAX)?;
        let footer = SegmentFooter::decode(&bytes).map_err(RepoError::format(name))?;
        let is_it = blake3::hash(&bytes).as_bytes() == &id.0 && footer.level == level;
        return if is_it { Ok(Some(bytes.len() as u64)) } else { Err(wrong()) };
    }
    let bytes = io.get(name, object.size_bytes)?;
    has_form(name, &bytes).map_err(RepoError::format(name)).map(|()| None)
}

/// Whether bytes have the form of what stands at a name.
fn has_form(name: &str, bytes: &[u8]) -> Result<(), FormatError> {
    let is_record = |kind| EnvelopeHead::split(kind, bytes).map(drop);
    if name == names::REPOSITORY {
        return RepositoryHeader::decode(bytes).map(drop);
    }
    if name.starts_with(names::KEYS) {
        return KeySlot::decode(bytes).map(drop);
    }
    if name.starts_with(names::KEYSETS) {
        return KeysetRevision::decode(bytes).map(drop);
    }
    if names::parse_snapshot(name).is_some() {
        let (head, _) = EnvelopeHead::split_any(bytes)?;
        return match head.kind {
            RecordKind::Snapshot | RecordKind::Fence => Ok(()),
            _ => Err(FormatError::Invalid { what: "snapshot record", why: "another kind of record" }),
        };
    }
    for (prefix, kind) in [
        (names::CONFIG, RecordKind::Config),
        (names::SESSIONS, RecordKind::Session),
        (names::TOMBSTONES, RecordKind::Forget),
        (names::DAMAGE, RecordKind::Bad),
    ] {
        if name.starts_with(prefix) {
            return is_record(kind);
        }
    }
    match names::parse_plan(name) {
        Some((_, names::PlanObject::Plan)) => is_record(RecordKind::Plan),
        Some((_, names::PlanObject::Result)) => is_record(RecordKind::Result),
        // Clocks, probes, and what no version of this software knows.
        None => Ok(()),
    }
}
