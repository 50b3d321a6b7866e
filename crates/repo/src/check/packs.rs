use super::{CheckProgress, CheckReport};
use crate::{RepoError, Repository, frame::FrameReader, index::IndexedPack, pack};
use longshore_format::{
    PackId, Place,
    names::{self, PackKind},
    node::NodeParts,
    pack::{FOOTER_BYTES, PACK_BYTES_MAX, PackTrailer, TrailerEntry},
};
use std::collections::HashMap;

/// Frames of trailers kept at once: 44 MiB. Snapshots name packs in runs, so few trailers are read twice.
const FRAMES_KEPT_MAX: usize = 1 << 20;

/// All packs of the store, and what is known of each: some 120 bytes a pack and a bit a frame.
pub(super) struct PackTable {
    packs: HashMap<PackKey, PackState>,
    /// Trailers read lately; `None` for one that is damaged.
    trailers: HashMap<PackKey, Option<Vec<Frame>>>,
    frames_kept: usize,
}

type PackKey = (PackKind, PackId);

struct PackState {
    size_bytes: u64,
    indexed: bool,
    /// Frames that a snapshot needs, by slot.
    needed: Vec<u64>,
}

/// A frame as its pack's trailer has it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Frame {
    offset_bytes: u32,
    length_bytes: u32,
    id: [u8; 32],
}

/// Whether a chunk stands where it should.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It does, and no snapshot named it before.
    New,
    /// It does, and it was counted.
    Again,
    /// It does not.
    No,
}

impl PackTable {
    pub(super) fn list(repository: &Repository, report: &mut CheckReport) -> Result<Self, RepoError> {
        let mut packs = HashMap::new();
        for kind in PackKind::ALL {
            for object in repository.io.list(kind.prefix())? {
                match names::parse_pack(&object.name) {
                    Some(key) => {
                        report.packs += 1;
                        report.pack_bytes += object.size_bytes;
                        packs.insert(
                            key,
                            PackState { size_bytes: object.size_bytes, indexed: false, needed: Vec::new() },
                        );
                    }
                    None => report.problem(object.name, "not the name of a pack"),
                }
            }
        }
        Ok(Self { packs, trailers: HashMap::new(), frames_kept: 0 })
    }

    /// Notes that an index segment lists a pack, and reports it unless the pack's own trailer says the same.
    pub(super) fn indexed(
        &mut self,
        repository: &Repository,
        pack: &IndexedPack,
        segment: &str,
        report: &mut CheckReport,
    ) -> Result<(), RepoError> {
        let name = names::pack(pack.kind, pack.id);
        let Some(state) = self.packs.get_mut(&(pack.kind, pack.id)) else {
            if !repository.index.is_condemned(pack.id) {
                report.problem(segment, format!("it lists {name}, which is missing"));
            }
            return Ok(());
        };
        state.indexed = true;
        // What cannot be read is reported with the pack.
        let Some(frames) = self.frames_of(repository, pack.kind, pack.id, report)? else { return Ok(()) };
        if *frames != frames_of_entries(&pack.entries) {
            report.problem(segment, format!("it lists other frames of {name} than the pack's trailer"));
        }
        Ok(())
    }

    pub(super) fn unindexed(&self) -> u64 {
        self.packs.values().filter(|state| !state.indexed).count() as u64
    }

    /// Whether a pack's own trailer says that the id stands at the place.
    pub(super) fn find(
        &mut self,
        repository: &Repository,
        kind: PackKind,
        id: &[u8; 32],
        place: &Place,
        report: &mut CheckReport,
    ) -> Result<Found, RepoError> {
        let key = (kind, place.pack);
        if !self.packs.contains_key(&key) {
            return Ok(Found::No);
        }
        let frames = self.frames_of(repository, kind, place.pack, report)?;
        let slot = usize::from(place.slot);
        let wanted = Frame { offset_bytes: place.offset_bytes, length_bytes: place.length_bytes, id: *id };
        if frames.and_then(|frames| frames.get(slot)) != Some(&wanted) {
            return Ok(Found::No);
        }
        let Some(state) = self.packs.get_mut(&key) else { return Ok(Found::No) };
        if state.needed.len() <= slot / 64 {
            state.needed.resize(slot / 64 + 1, 0);
        }
        let bit = 1 << (slot % 64);
        let again = state.needed[slot / 64] & bit != 0;
        state.needed[slot / 64] |= bit;
        Ok(if again { Found::Again } else { Found::New })
    }

    /// The frames of a pack of the store, by its trailer; none if that cannot be read, which is reported once.
    fn frames_of(
        &mut self,
        repository: &Repository,
        kind: PackKind,
        pack: PackId,
        report: &mut CheckReport,
    ) -> Result<Option<&Vec<Frame>>, RepoError> {
        let key = (kind, pack);
        if !self.trailers.contains_key(&key) {
            let name = names::pack(kind, pack);
            let size_bytes = self.packs.get(&key).map_or(0, |state| state.size_bytes);
            let frames = match read_trailer(repository, kind, &name, size_bytes) {
                Ok(trailer) => Some(frames_of_entries(&trailer.entries)),
                Err(error) => {
                    report.damage(&name, error)?;
                    None
                }
            };
            if self.frames_kept > FRAMES_KEPT_MAX {
                // Damage stays known, so that it is reported once.
                self.trailers.retain(|_, frames| frames.is_none());
                self.frames_kept = 0;
            }
            self.frames_kept += frames.as_ref().map_or(0, Vec::len);
            self.trailers.insert(key, frames);
        }
        Ok(self.trailers.get(&key).and_then(Option::as_ref))
    }
}

fn frames_of_entries(entries: &[TrailerEntry]) -> Vec<Frame> {
    let mut offset = 0;
    let frame = |entry: &TrailerEntry| {
        let offset_bytes = offset;
        offset += entry.length_bytes;
        Frame { offset_bytes, length_bytes: entry.length_bytes, id: entry.id }
    };
    entries.iter().map(frame).collect()
}

fn read_trailer(
    repository: &Repository,
    kind: PackKind,
    name: &str,
    size_bytes: u64,
) -> Result<PackTrailer, RepoError> {
    let (footer, trailer) = pack::read_trailer(&repository.io, &repository.keys, kind, name)?;
    if footer.pack_bytes() == size_bytes {
        Ok(trailer)
    } else {
        Err(RepoError::WrongContent { object: name.to_owned() })
    }
}

impl Repository {
    /// Reads every pack whole: its name, every seal and every id.
    pub(super) fn read_all_packs(
        &self,
        packs: &PackTable,
        report: &mut CheckReport,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<(), RepoError> {
        let mut keys: Vec<_> = packs.packs.keys().copied().collect();
        keys.sort();
        let total_bytes = report.pack_bytes;
        // One pack per processor at a time: 16 MiB each, and as much again for its plaintext.
        let at_once = std::thread::available_parallelism().map_or(2, usize::from).min(4);
        for some in keys.chunks(at_once) {
            let results: Vec<_> = std::thread::scope(|scope| {
                let handles: Vec<_> = some
                    .iter()
                    .map(|(kind, id)| {
                        scope.spawn(move || (names::pack(*kind, *id), self.read_pack(*kind, *id)))
                    })
                    .collect();
                handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
            });
            for (name, result) in results {
                match result {
                    Ok(length) => report.read_bytes += length,
                    Err(error) => report.damage(&name, error)?,
                }
            }
            progress(CheckProgress::Data { done_bytes: report.read_bytes, total_bytes });
        }
        Ok(())
    }

    fn read_pack(&self, kind: PackKind, id: PackId) -> Result<u64, RepoError> {
        let name = names::pack(kind, id);
        let wrong = || RepoError::WrongContent { object: name.clone() };
        let bytes = self.io.get(&name, PACK_BYTES_MAX)?;
        if blake3::hash(&bytes).as_bytes() != &id.0 {
            return Err(wrong());
        }
        let (footer, key) = pack::open_footer(&self.keys, kind, &name, &bytes)?;
        if footer.pack_bytes() != bytes.len() as u64 {
            return Err(wrong());
        }
        let trailer_start = footer.trailer_offset_bytes as usize;
        let sealed = &bytes[trailer_start..bytes.len() - FOOTER_BYTES];
        let trailer = pack::open_trailer(&self.keys, &name, &footer, &key, sealed)?;
        let mut reader = FrameReader::new()?;
        let mut frame = Vec::new();
        for (slot, Frame { offset_bytes, length_bytes, id: chunk }) in
            frames_of_entries(&trailer.entries).into_iter().enumerate()
        {
            frame.clear();
            frame.extend_from_slice(&bytes[offset_bytes as usize..(offset_bytes + length_bytes) as usize]);
            let place = Place { pack: id, slot: slot as u16, offset_bytes, length_bytes };
            let plain = self.open_frame(kind, &chunk, place, &key, &mut frame, &mut reader)?;
            let found = match kind {
                PackKind::Data => self.keys.chunk_id(plain).0,
                PackKind::Meta => {
                    let parts = NodeParts::split(plain).map_err(RepoError::format(&name))?;
                    self.keys.node_id(parts.canonical).0
                }
            };
            if found != chunk {
                return Err(wrong());
            }
        }
        Ok(bytes.len() as u64)
    }
}
