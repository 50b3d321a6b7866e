use super::{CheckProgress, CheckReport, Read, says_damage};
use crate::{RepoError, Repository, damage::Quarantine, index::IndexedPack, pack, parallel};
use longshore_format::{
    Location, PackId, Place,
    names::{self, PackKind},
    pack::{PackTrailer, TrailerEntry},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Copies of one chunk that are looked at.
const COPIES_MAX: usize = 16;

/// Frames of trailers kept at once: 44 MiB. Snapshots name packs in runs, so few trailers are read twice.
const FRAMES_KEPT_MAX: usize = 1 << 20;

/// All packs of the store, and what is known of each: some 120 bytes a pack and a bit a frame.
pub(crate) struct PackTable {
    packs: HashMap<PackKey, PackState>,
    /// Trailers read lately; `None` for one that is damaged.
    trailers: HashMap<PackKey, Option<Vec<Frame>>>,
    frames_kept: usize,
    /// What reading has shown of packs that are damaged: ids that are lost, or all.
    damaged: HashMap<PackKey, Option<HashSet<[u8; 32]>>>,
    quarantine: Arc<Quarantine>,
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
pub(crate) enum Found {
    /// It does, and no snapshot named it before.
    New,
    /// It does, and it was counted.
    Again,
    /// It does not.
    No,
}

impl PackTable {
    pub(crate) fn list(repository: &Repository, report: &mut CheckReport) -> Result<Self, RepoError> {
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
        let quarantine = Arc::new(Quarantine::load(&repository.io, &repository.keys)?);
        repository.index.set_quarantine(quarantine.clone());
        report.quarantined_packs = quarantine.reports().count() as u64;
        Ok(Self { packs, trailers: HashMap::new(), frames_kept: 0, damaged: HashMap::new(), quarantine })
    }

    /// Notes what reading a pack has shown: ids that are lost, or all.
    pub(crate) fn note_damage(&mut self, key: PackKey, lost: Option<HashSet<[u8; 32]>>) {
        self.damaged.insert(key, lost);
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
            if !repository.index.is_condemned(pack.id) && !self.quarantine.holds(pack.id) {
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
    pub(crate) fn find(
        &mut self,
        repository: &Repository,
        kind: PackKind,
        id: &[u8; 32],
        place: &Place,
        report: &mut CheckReport,
    ) -> Result<Found, RepoError> {
        let key = (kind, place.pack);
        if !self.packs.contains_key(&key) || self.is_lost(key, id) {
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

    /// Whether a chunk stands where its hint says, or anywhere else.
    pub(crate) fn find_anywhere(
        &mut self,
        repository: &Repository,
        id: &[u8; 32],
        location: Location,
        report: &mut CheckReport,
    ) -> Result<Found, RepoError> {
        let mut next = match location {
            Location::Stored(place) => Some(place),
            Location::Unknown | Location::Open { .. } => None,
        };
        let mut tried = Vec::new();
        while tried.len() < COPIES_MAX {
            let place = match next.take() {
                Some(place) => place,
                None => match repository.index.find_anywhere(PackKind::Data, id, &tried) {
                    Ok(Some(place)) => place,
                    Ok(None) => break,
                    // A damaged index was reported when it was read whole; here it only means that it does not help.
                    Err(error) if error.class().is_transient() => return Err(error),
                    Err(_) => break,
                },
            };
            let found = self.find(repository, PackKind::Data, id, &place, report)?;
            if found != Found::No {
                return Ok(found);
            }
            tried.push(place.pack);
        }
        Ok(Found::No)
    }

    /// Whether the pack is known not to hold the id any more. What was read counts more than what was reported.
    fn is_lost(&self, key: PackKey, id: &[u8; 32]) -> bool {
        match self.damaged.get(&key) {
            Some(Some(lost)) => lost.contains(id),
            Some(None) => true,
            None => self.quarantine.is_lost(key.1, id),
        }
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
                Err(error) if self.quarantine.holds(pack) && says_damage(&error) => None,
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
    /// Reads packs whole: their names, every seal and every id.
    pub(super) fn read_packs(
        &self,
        read: Read,
        packs: &mut PackTable,
        report: &mut CheckReport,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<(), RepoError> {
        let mut keys: Vec<_> = packs.packs.keys().copied().filter(|(_, id)| read.holds(*id)).collect();
        keys.sort();
        let total_bytes =
            keys.iter().filter_map(|key| packs.packs.get(key)).map(|state| state.size_bytes).sum();
        // One pack per processor at a time: 16 MiB each, and as much again for its plaintext.
        let at_once = std::thread::available_parallelism().map_or(2, usize::from).min(4);
        for some in keys.chunks(at_once) {
            let examined = parallel::map(some, at_once, |(kind, id)| self.examine_pack(*kind, *id, None))?;
            for (key, examined) in some.iter().zip(examined) {
                report.read_packs += 1;
                report.read_bytes += examined.length_bytes;
                let Some(error) = examined.error else { continue };
                if !packs.quarantine.holds(key.1) {
                    report.damage(&names::pack(key.0, key.1), error)?;
                }
                if examined.frames.is_empty() {
                    packs.trailers.insert(*key, None);
                }
                let lost = examined.lost.map(|lost| lost.into_iter().map(|id| id.0).collect());
                packs.note_damage(*key, lost);
            }
            progress(CheckProgress::Data { done_bytes: report.read_bytes, total_bytes });
        }
        Ok(())
    }
}
