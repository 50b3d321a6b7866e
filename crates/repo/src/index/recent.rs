//! Packs in which something was found lately, with all their frames.
//!
//! Chunks that were stored together are met together again: after one hit the rest of its pack and the packs after it
//! are known for the price of one request.

use super::{IndexedPack, segment::Segment};
use longshore_format::{PackId, Place, names::PackKind};
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// Frames kept: about 70 bytes each, 9 MiB. At 128 KiB a chunk that is a window of 16 GiB.
pub(super) const FRAMES_MAX: usize = 128 << 10;

/// Where to go on when a stream of known chunks reaches the last pack that was read.
#[derive(Clone)]
pub(super) struct Next {
    pub(super) segment: Arc<Segment>,
    pub(super) number: u32,
}

struct Kept {
    pack: Arc<IndexedPack>,
    next: Option<Next>,
}

pub(super) struct RecentPacks {
    /// In the order in which they came; the first has number `first`.
    kept: VecDeque<Kept>,
    first: u64,
    numbers: HashMap<PackId, u64>,
    /// By the first 8 bytes of an id: the number of its pack, and its slot there.
    frames: HashMap<[u8; 8], (u64, u16)>,
    frames_max: usize,
}

impl RecentPacks {
    pub(super) fn new(frames_max: usize) -> Self {
        Self { kept: VecDeque::new(), first: 0, numbers: HashMap::new(), frames: HashMap::new(), frames_max }
    }

    /// Where an id is, and what should be read ahead now that it was met.
    pub(super) fn find(&mut self, kind: PackKind, id: &[u8; 32]) -> Option<(Place, Option<Next>)> {
        let (number, slot) = *self.frames.get(&short(id))?;
        let kept = self.kept.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)?;
        let is_it = kept.pack.kind == kind && kept.pack.entries.get(usize::from(slot))?.id == *id;
        if !is_it {
            return None;
        }
        Some((kept.pack.place(slot.into())?, kept.next.take()))
    }

    /// A pack, if it is kept.
    pub(super) fn pack(&self, id: PackId) -> Option<Arc<IndexedPack>> {
        let number = self.numbers.get(&id)?.checked_sub(self.first)?;
        Some(self.kept.get(usize::try_from(number).ok()?)?.pack.clone())
    }

    pub(super) fn put(&mut self, pack: Arc<IndexedPack>, next: Option<Next>) {
        if self.numbers.contains_key(&pack.id) {
            return;
        }
        let number = self.first + self.kept.len() as u64;
        self.numbers.insert(pack.id, number);
        for (slot, entry) in pack.entries.iter().enumerate() {
            self.frames.insert(short(&entry.id), (number, slot as u16));
        }
        self.kept.push_back(Kept { pack, next });
        while self.frames.len() > self.frames_max && self.kept.len() > 1 {
            let Some(oldest) = self.kept.pop_front() else { return };
            self.numbers.remove(&oldest.pack.id);
            for entry in &oldest.pack.entries {
                // An id may stand in a younger pack too; then that one's entry stays.
                if self.frames.get(&short(&entry.id)).is_some_and(|(number, _)| *number == self.first) {
                    self.frames.remove(&short(&entry.id));
                }
            }
            self.first += 1;
        }
    }
}

fn short(id: &[u8; 32]) -> [u8; 8] {
    let mut out = [0u8; 8];
    out.copy_from_slice(&id[..8]);
    out
}
