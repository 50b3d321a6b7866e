//! Which ids are live, in little memory.

use longshore_crypto::random_bytes;

use crate::RepoError;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bits for each id while memory allows: one dead id in 100,000 then passes for live.
const BITS_PER_ID: u64 = 24;
/// The most memory that the set takes. Beyond it more dead ids pass for live; a live one never passes for dead.
const BYTES_MAX: u64 = 128 << 20;
const PROBES: u64 = 12;

/// A set of ids that errs on one side only: what was added is always found. Ids are keyed hashes, so their bytes serve as
/// hashes; the random multiplier makes another few dead ids pass in every run, so that nothing is kept for ever.
pub(super) struct LiveIds {
    words: Vec<AtomicU64>,
    multiplier: u64,
}

impl LiveIds {
    /// An empty set for about so many ids.
    pub(super) fn for_ids(count: u64) -> Result<Self, RepoError> {
        let bits = (count.max(1024) * BITS_PER_ID).min(BYTES_MAX * 8).next_multiple_of(64);
        let multiplier = u64::from_le_bytes(random_bytes()?) | 1;
        Ok(Self { words: (0..bits / 64).map(|_| AtomicU64::new(0)).collect(), multiplier })
    }

    pub(super) fn insert(&self, id: &[u8; 32]) {
        for bit in self.bits(id) {
            self.words[(bit / 64) as usize].fetch_or(1 << (bit % 64), Relaxed);
        }
    }

    pub(super) fn may_hold(&self, id: &[u8; 32]) -> bool {
        self.bits(id).all(|bit| self.words[(bit / 64) as usize].load(Relaxed) & (1 << (bit % 64)) != 0)
    }

    fn bits(&self, id: &[u8; 32]) -> impl Iterator<Item = u64> {
        let part = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&id[at..at + 8]);
            u64::from_le_bytes(bytes).wrapping_mul(self.multiplier)
        };
        let (start, step) = (part(0), part(8) | 1);
        let count = self.words.len() as u64 * 64;
        (0..PROBES).map(move |probe| {
            // The high half of a product spreads evenly over any count, without a division.
            let hash = start.wrapping_add(probe.wrapping_mul(step));
            ((u128::from(hash) * u128::from(count)) >> 64) as u64
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> [u8; 32] {
        *blake3::hash(&number.to_le_bytes()).as_bytes()
    }

    #[test]
    fn what_was_added_is_found_and_nearly_nothing_else() {
        let live = LiveIds::for_ids(20_000).unwrap();
        (0..20_000).for_each(|number| live.insert(&id(number)));
        assert!((0..20_000).all(|number| live.may_hold(&id(number))));
        let wrong = (20_000..220_000).filter(|number| live.may_hold(&id(*number))).count();
        assert!(wrong < 40, "{wrong} of 200,000");
    }

    #[test]
    fn an_overfull_set_still_holds_all() {
        let live = LiveIds::for_ids(1).unwrap();
        (0..50_000).for_each(|number| live.insert(&id(number)));
        assert!((0..50_000).all(|number| live.may_hold(&id(number))));
    }
}
