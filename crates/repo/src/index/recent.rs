//! Packs in which something was found lately, with all their frames.
//!
//! Chunks that were stored together are met together again: after one hit the rest of its pack is known for the price of
//! one request, instead of one page of the index for each chunk.

use longshore_format::{PackId, Place, names::PackKind, pack::PackTrailer};
use std::collections::{HashMap, HashSet, VecDeque};

/// Frames kept: about 130 bytes each, 16 MiB. At 128 KiB a chunk that is a window of 16 GiB.
const FRAMES_MAX: usize = 128 << 10;

#[derive(Default)]
pub(super) struct RecentPacks {
    frames: HashMap<[u8; 32], (PackKind, Place)>,
    order: VecDeque<(PackId, Vec<[u8; 32]>)>,
    packs: HashSet<PackId>,
}

impl RecentPacks {
    pub(super) fn find(&self, kind: PackKind, id: &[u8; 32]) -> Option<Place> {
        let (found_kind, place) = self.frames.get(id)?;
        (*found_kind == kind).then_some(*place)
    }

    pub(super) fn holds(&self, pack: PackId) -> bool {
        self.packs.contains(&pack)
    }

    pub(super) fn put(&mut self, kind: PackKind, pack: PackId, trailer: &PackTrailer) {
        if !self.packs.insert(pack) {
            return;
        }
        let mut offset_bytes = 0;
        for (slot, entry) in trailer.entries.iter().enumerate() {
            let place = Place { pack, slot: slot as u16, offset_bytes, length_bytes: entry.length_bytes };
            self.frames.insert(entry.id, (kind, place));
            offset_bytes += entry.length_bytes;
        }
        self.order.push_back((pack, trailer.entries.iter().map(|entry| entry.id).collect()));
        while self.frames.len() > FRAMES_MAX && self.order.len() > 1 {
            let Some((oldest, ids)) = self.order.pop_front() else { return };
            self.packs.remove(&oldest);
            for id in ids {
                // An id may stand in a younger pack too; then that one's entry stays.
                if self.frames.get(&id).is_some_and(|(_, place)| place.pack == oldest) {
                    self.frames.remove(&id);
                }
            }
        }
    }
}
