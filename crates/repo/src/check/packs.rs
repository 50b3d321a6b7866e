use super::{CheckProgress, CheckReport};
use crate::{RepoError, Repository, frame::FrameReader, pack};
use longshore_format::{
    PackId, Place,
    names::{self, PackKind},
    node::NodeParts,
    pack::{FOOTER_BYTES, PACK_BYTES_MAX, PackTrailer},
};
use std::collections::HashMap;

/// All packs of the store, and what is known of each: some 100 bytes a pack, and its trailer once a snapshot needs it.
pub(super) struct PackTable {
    packs: HashMap<(PackKind, PackId), PackState>,
}

struct PackState {
    size_bytes: u64,
    indexed: bool,
    trailer: Option<Option<Vec<(u32, u32, [u8; 32])>>>,
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
                        packs.insert(key, PackState { size_bytes: object.size_bytes, indexed: false, trailer: None });
                    }
                    None => report.problem(object.name, "not the name of a pack"),
                }
            }
        }
        Ok(Self { packs })
    }

    /// Notes that an index segment names a place; false if the pack is missing or too short for it.
    pub(super) fn indexed(&mut self, kind: PackKind, place: &Place) -> bool {
        let end = u64::from(place.offset_bytes) + u64::from(place.length_bytes);
        match self.packs.get_mut(&(kind, place.pack)) {
            Some(state) => {
                state.indexed = true;
                end + FOOTER_BYTES as u64 <= state.size_bytes
            }
            None => false,
        }
    }

    pub(super) fn unindexed(&self) -> u64 {
        self.packs.values().filter(|state| !state.indexed).count() as u64
    }

    /// Whether a pack's own trailer says that the id stands at the place. Trailers are read once each.
    pub(super) fn holds(
        &mut self,
        repository: &Repository,
        kind: PackKind,
        id: &[u8; 32],
        place: &Place,
        report: &mut CheckReport,
    ) -> Result<bool, RepoError> {
        let Some(state) = self.packs.get_mut(&(kind, place.pack)) else { return Ok(false) };
        if state.trailer.is_none() {
            let name = names::pack(kind, place.pack);
            let read = read_trailer(repository, kind, &name, state.size_bytes);
            state.trailer = Some(match read {
                Ok(trailer) => Some(frames(&trailer)),
                Err(error) => {
                    report.damage(&name, error)?;
                    None
                }
            });
        }
        let frame = state.trailer.as_ref().and_then(Option::as_ref).and_then(|frames| frames.get(usize::from(place.slot)));
        Ok(frame == Some(&(place.offset_bytes, place.length_bytes, *id)))
    }
}

/// Offset, length and id of each frame.
fn frames(trailer: &PackTrailer) -> Vec<(u32, u32, [u8; 32])> {
    let mut offset = 0;
    let frame = |entry: &longshore_format::pack::TrailerEntry| {
        let start = offset;
        offset += entry.length_bytes;
        (start, entry.length_bytes, entry.id)
    };
    trailer.entries.iter().map(frame).collect()
}

fn read_trailer(repository: &Repository, kind: PackKind, name: &str, size_bytes: u64) -> Result<PackTrailer, RepoError> {
    let tail = repository.io.get_tail(name, pack::TAIL_BYTES)?;
    let (footer, key) = pack::open_footer(&repository.keys, kind, name, &tail)?;
    if footer.pack_bytes() != size_bytes {
        return Err(RepoError::WrongContent { object: name.to_owned() });
    }
    let wanted = footer.trailer_bytes as usize + FOOTER_BYTES;
    if tail.len() >= wanted {
        let from = tail.len() - wanted;
        return pack::open_trailer(&repository.keys, name, &footer, &key, &tail[from..tail.len() - FOOTER_BYTES]);
    }
    let sealed =
        repository.io.get_range(name, footer.trailer_offset_bytes.into(), footer.trailer_bytes.into())?;
    pack::open_trailer(&repository.keys, name, &footer, &key, &sealed)
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
                    .map(|(kind, id)| scope.spawn(move || (names::pack(*kind, *id), self.read_pack(*kind, *id))))
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
        for (slot, (offset_bytes, length_bytes, chunk)) in frames(&trailer).into_iter().enumerate() {
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
