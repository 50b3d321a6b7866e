//! All fingerprints, or an even sample of them, in 8 bytes each.
//!
//! An entry is the upper 38 bits of a fingerprint and the number of a pack. A look-up of an id that is not there meets
//! a wrong entry with a chance of entries / 2³⁸: with 6 million entries once in 40,000, and then costs one request.

/// Bits for the number of a pack: 67 million, or 1 PiB of packs.
const PACK_BITS: u32 = 26;
/// Packs that can be numbered.
pub(super) const PACKS_MAX: u32 = 1 << PACK_BITS;
const PACK_MASK: u64 = (1 << PACK_BITS) - 1;
/// The bound below which all prefixes are.
const ALL: u64 = 1 << (64 - PACK_BITS);

fn key(fingerprint: u64, pack: u32) -> u64 {
    fingerprint & !PACK_MASK | u64::from(pack)
}

/// Which packs may hold an id.
pub(super) struct Fingerprints {
    /// Sorted, but between [`Self::append`] and [`Self::sort`].
    keys: Vec<u64>,
    keys_max: usize,
    /// Fingerprints whose upper bits are below it are held, no others.
    bound: u64,
}

impl Fingerprints {
    /// An empty table of at most `bytes_max`. It samples at once as finely as `expected` entries need; a wrong guess
    /// costs time or deduplication, never memory.
    pub(super) fn new(bytes_max: usize, expected: u64) -> Self {
        let keys_max = (bytes_max / size_of::<u64>()).max(2);
        // A tenth stays free for what this process adds.
        let room = keys_max as u64 - keys_max as u64 / 10;
        let bound = match expected {
            0 => ALL,
            expected => ((u128::from(ALL) * u128::from(room) / u128::from(expected)) as u64).min(ALL),
        };
        let keys = Vec::with_capacity(keys_max.min(expected.saturating_add(1) as usize));
        Self { keys, keys_max, bound }
    }

    /// The highest fingerprint that is held; none if there is no room for any.
    pub(super) fn highest(&self) -> Option<u64> {
        self.bound.checked_sub(1).map(|prefix| prefix << PACK_BITS | PACK_MASK)
    }

    /// Whether all entries are held, so that what is not found is nowhere.
    pub(super) fn is_exact(&self) -> bool {
        self.bound == ALL
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Adds entries in any order. [`Self::sort`] must follow before anything is looked up.
    pub(super) fn append(&mut self, entries: impl IntoIterator<Item = (u64, u32)>) {
        for (fingerprint, pack) in entries {
            if fingerprint >> PACK_BITS >= self.bound {
                continue;
            }
            if self.keys.len() >= self.keys_max {
                self.keys.sort_unstable();
                self.sample();
                if fingerprint >> PACK_BITS >= self.bound {
                    continue;
                }
            }
            self.keys.push(key(fingerprint, pack));
        }
    }

    /// Puts the entries into order.
    pub(super) fn sort(&mut self) {
        self.keys.sort_unstable();
    }

    /// Adds entries to a table that is in order and stays so: in place, since there is no memory for two.
    pub(super) fn merge(&mut self, entries: impl IntoIterator<Item = (u64, u32)>) {
        let is_held = |fingerprint: u64| fingerprint >> PACK_BITS < self.bound;
        let held = entries.into_iter().filter(|(fingerprint, _)| is_held(*fingerprint));
        let mut new: Vec<u64> = held.map(|(fingerprint, pack)| key(fingerprint, pack)).collect();
        if self.keys.len() + new.len() > self.keys_max {
            self.append(new.into_iter().map(|key| (key, (key & PACK_MASK) as u32)));
            self.sort();
            return;
        }
        new.sort_unstable();
        let (mut old, mut added) = (self.keys.len(), new.len());
        self.keys.resize(old + added, 0);
        while added > 0 {
            let at = old + added - 1;
            if old > 0 && self.keys[old - 1] > new[added - 1] {
                self.keys[at] = self.keys[old - 1];
                old -= 1;
            } else {
                self.keys[at] = new[added - 1];
                added -= 1;
            }
        }
    }

    /// Keeps only the entries of some packs.
    pub(super) fn retain(&mut self, mut keeps: impl FnMut(u32) -> bool) {
        self.keys.retain(|key| keeps((key & PACK_MASK) as u32));
    }

    /// The packs that may hold an id with this fingerprint; `None` if the table would not know.
    pub(super) fn packs_of(&self, fingerprint: u64) -> Option<Vec<u32>> {
        let prefix = fingerprint >> PACK_BITS;
        if prefix >= self.bound {
            return None;
        }
        let start = self.keys.partition_point(|key| key >> PACK_BITS < prefix);
        let equal = self.keys[start..].iter().take_while(|key| **key >> PACK_BITS == prefix);
        Some(equal.map(|key| (key & PACK_MASK) as u32).collect())
    }

    /// Lets the upper quarter go. The keys are in order.
    fn sample(&mut self) {
        let kept = self.keys.len() - self.keys.len() / 4 - 1;
        // Exclusive, so that it gets smaller also where many entries are equal.
        if let Some(key) = self.keys.get(kept) {
            self.bound = key >> PACK_BITS;
        }
        self.keys.truncate(self.keys.partition_point(|key| key >> PACK_BITS < self.bound));
    }
}
