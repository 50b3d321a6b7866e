//! Which packs go: a pure decision.

use longshore_format::{PackId, names::PackKind};
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
};

/// How hard prune tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrunePolicy {
    /// Waste within packs that may stay, in percent of what is live. More of it is copied together.
    pub max_unused_percent: u32,
    /// The most live bytes that one run copies; none means no limit. With 0 only packs without anything live go, for which
    /// no space is needed.
    pub max_copy_bytes: Option<u64>,
    /// Whether to copy out of packs, too, that were sealed before the last rotation of keys, so that old secrets open nothing
    /// of them any more. One request a pack is needed to know them.
    pub reseal: bool,
}

impl Default for PrunePolicy {
    fn default() -> Self {
        Self { max_unused_percent: 5, max_copy_bytes: None, reseal: false }
    }
}

/// What is to be condemned if it is confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Choice {
    /// Packs with nothing live in them.
    pub(super) dead: Vec<(PackKind, PackId)>,
    /// Packs whose live part is to be copied out.
    pub(super) wasteful: Vec<(PackKind, PackId)>,
    /// Packs that are to be sealed with the newest secrets.
    pub(super) old: Vec<(PackKind, PackId)>,
    /// Packs that no segment lists: what killed sessions and losing prunes left.
    pub(super) unindexed: Vec<(PackKind, PackId)>,
    /// Packs that an earlier plan condemned and that are still there. They stay condemned.
    pub(super) condemned: Vec<(PackKind, PackId)>,
    /// Packs that are known to be damaged, gone ones included.
    pub(super) damaged: Vec<(PackKind, PackId)>,
}

/// How much of a pack is live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PackUse {
    pub(super) size_bytes: u64,
    pub(super) live_bytes: u64,
    /// Whether a segment lists it; if none does, the index says nothing about it.
    pub(super) is_indexed: bool,
}

/// Why a pack is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    Condemned,
    Damaged,
    Dead,
    Old,
    Unindexed,
    Wasteful,
}

/// What is known of packs beside their use.
pub(super) struct Known<'a> {
    /// Those that an earlier plan condemned.
    pub(super) condemned: &'a HashSet<PackId>,
    /// Those that a report says are damaged.
    pub(super) is_damaged: &'a dyn Fn(PackId) -> bool,
    /// Those that are sealed with old secrets, if that is a reason to copy.
    pub(super) old: &'a HashSet<PackId>,
}

impl Choice {
    /// Everything; what must not be cut off comes first.
    pub(super) fn all(&self) -> Vec<((PackKind, PackId), Why)> {
        let with = |packs: &[(PackKind, PackId)], why| packs.iter().map(move |pack| (*pack, why)).collect();
        let lists: [Vec<_>; 6] = [
            with(&self.condemned, Why::Condemned),
            with(&self.damaged, Why::Damaged),
            with(&self.dead, Why::Dead),
            with(&self.unindexed, Why::Unindexed),
            with(&self.wasteful, Why::Wasteful),
            with(&self.old, Why::Old),
        ];
        lists.concat()
    }
}

/// Chooses: what is dead; then, the most wasteful first, as many others as bring the waste under the limit; then what is sealed
/// with old secrets, as far as may be copied.
pub(super) fn choose(
    uses: &HashMap<(PackKind, PackId), PackUse>,
    known: &Known<'_>,
    policy: PrunePolicy,
) -> Choice {
    let mut choice = Choice::default();
    let (mut live_bytes, mut unused_bytes) = (0, 0);
    let mut partly = Vec::new();
    for (pack, used) in uses {
        if known.condemned.contains(&pack.1) {
            choice.condemned.push(*pack);
            continue;
        }
        if (known.is_damaged)(pack.1) {
            choice.damaged.push(*pack);
            continue;
        }
        if !used.is_indexed {
            choice.unindexed.push(*pack);
            continue;
        }
        live_bytes += used.live_bytes;
        if used.live_bytes == 0 {
            choice.dead.push(*pack);
        } else {
            unused_bytes += used.unused_bytes();
            partly.push((*pack, *used));
        }
    }
    // By share of waste; then by name, so that the choice is the same every time.
    partly.sort_by_key(|(pack, used)| (Reverse(used.unused_bytes() * 1000 / used.size_bytes.max(1)), *pack));
    let allowed_bytes = live_bytes * u64::from(policy.max_unused_percent) / 100;
    let mut may_copy_bytes = policy.max_copy_bytes.unwrap_or(u64::MAX);
    for (pack, used) in &partly {
        if unused_bytes <= allowed_bytes || used.live_bytes > may_copy_bytes {
            break;
        }
        if used.unused_bytes() < used.overhead_bytes_max() {
            break;
        }
        unused_bytes -= used.unused_bytes();
        may_copy_bytes -= used.live_bytes;
        choice.wasteful.push(*pack);
    }
    for (pack, used) in &partly[choice.wasteful.len()..] {
        if known.old.contains(&pack.1) && used.live_bytes <= may_copy_bytes {
            may_copy_bytes -= used.live_bytes;
            choice.old.push(*pack);
        }
    }
    for list in [&mut choice.condemned, &mut choice.damaged, &mut choice.dead, &mut choice.unindexed] {
        list.sort_unstable();
    }
    choice
}

impl PackUse {
    fn unused_bytes(&self) -> u64 {
        self.size_bytes.saturating_sub(self.live_bytes)
    }

    /// Trailer and footer are no waste: a copy has them too.
    fn overhead_bytes_max(&self) -> u64 {
        (self.size_bytes / 50).max(4096)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uses(packs: &[(u8, u64, u64)]) -> HashMap<(PackKind, PackId), PackUse> {
        let used = |(_, size_bytes, live_bytes): &(u8, u64, u64)| PackUse {
            size_bytes: *size_bytes,
            live_bytes: *live_bytes,
            is_indexed: true,
        };
        packs.iter().map(|pack| ((PackKind::Data, PackId([pack.0; 32])), used(pack))).collect()
    }

    fn numbers(packs: &[(PackKind, PackId)]) -> Vec<u8> {
        packs.iter().map(|(_, id)| id.0[0]).collect()
    }

    fn chosen(uses: &HashMap<(PackKind, PackId), PackUse>, policy: PrunePolicy) -> Choice {
        let known = Known { condemned: &HashSet::new(), is_damaged: &|_| false, old: &HashSet::new() };
        choose(uses, &known, policy)
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn dead_packs_go_and_the_most_wasteful_until_little_waste_is_left() {
        let uses = uses(&[
            (1, 16 * MIB, 0),
            (2, 16 * MIB, MIB),
            (3, 16 * MIB, 8 * MIB),
            (4, 16 * MIB, 15 * MIB),
            (5, 16 * MIB, 16 * MIB - 4000),
        ]);
        let choice = chosen(&uses, PrunePolicy::default());
        assert_eq!((numbers(&choice.dead), numbers(&choice.wasteful)), (vec![1], vec![2, 3]));
    }

    #[test]
    fn nothing_is_copied_on_a_full_store_and_never_more_than_allowed() {
        let uses = uses(&[(1, 16 * MIB, 0), (2, 16 * MIB, MIB), (3, 16 * MIB, 4 * MIB)]);
        let none = PrunePolicy { max_copy_bytes: Some(0), ..PrunePolicy::default() };
        assert_eq!(chosen(&uses, none).wasteful, []);
        let one = PrunePolicy { max_copy_bytes: Some(2 * MIB), ..PrunePolicy::default() };
        assert_eq!(numbers(&chosen(&uses, one).wasteful), [2]);
    }

    #[test]
    fn a_trailer_is_no_waste() {
        let uses = uses(&[(1, 40_000, 38_000), (2, 16 * MIB, 16 * MIB - 60_000)]);
        let all = PrunePolicy { max_unused_percent: 0, ..PrunePolicy::default() };
        assert_eq!(chosen(&uses, all).wasteful, []);
    }

    #[test]
    fn what_was_condemned_stays_condemned_and_what_no_segment_lists_is_asked_itself() {
        let mut uses = uses(&[(1, 16 * MIB, 16 * MIB), (2, MIB, 0), (3, MIB, 0)]);
        uses.get_mut(&(PackKind::Data, PackId([2; 32]))).unwrap().is_indexed = false;
        let condemned = HashSet::from([PackId([1; 32])]);
        let known = Known { condemned: &condemned, is_damaged: &|_| false, old: &HashSet::new() };
        let choice = choose(&uses, &known, PrunePolicy::default());
        assert_eq!((numbers(&choice.condemned), numbers(&choice.unindexed)), (vec![1], vec![2]));
        assert_eq!(numbers(&choice.dead), [3]);
        assert_eq!(choice.all()[0], ((PackKind::Data, PackId([1; 32])), Why::Condemned));
    }

    #[test]
    fn a_damaged_pack_goes_whatever_is_live_in_it() {
        let uses = uses(&[(1, 16 * MIB, 16 * MIB), (2, 16 * MIB, 16 * MIB)]);
        let is_damaged = |pack: PackId| pack.0[0] == 2;
        let known = Known { condemned: &HashSet::new(), is_damaged: &is_damaged, old: &HashSet::new() };
        let choice = choose(&uses, &known, PrunePolicy::default());
        assert_eq!(choice.all(), [((PackKind::Data, PackId([2; 32])), Why::Damaged)]);
    }

    #[test]
    fn old_secrets_are_a_reason_to_copy_after_waste_and_within_the_limit() {
        let uses = uses(&[
            (1, 16 * MIB, MIB),
            (2, 16 * MIB, 16 * MIB),
            (3, 16 * MIB, 16 * MIB),
            (4, 16 * MIB, 16 * MIB),
        ]);
        let old = HashSet::from([1, 2, 4].map(|number| PackId([number; 32])));
        let known = Known { condemned: &HashSet::new(), is_damaged: &|_| false, old: &old };
        let choice = choose(&uses, &known, PrunePolicy::default());
        assert_eq!((numbers(&choice.wasteful), numbers(&choice.old)), (vec![1], vec![2, 4]));
        let some = PrunePolicy { max_copy_bytes: Some(20 * MIB), ..PrunePolicy::default() };
        assert_eq!(numbers(&choose(&uses, &known, some).old), [2], "the rest in another run");
    }
}
