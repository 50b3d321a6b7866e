//! The table of fingerprints by itself.

use super::fingerprints::Fingerprints;
use std::collections::BTreeSet;

fn numbers(count: u64, salt: u64) -> Vec<(u64, u32)> {
    let hash = |number: u64| {
        let hash = blake3::hash(&[number.to_le_bytes(), salt.to_le_bytes()].concat());
        u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap())
    };
    (0..count).map(|number| (hash(number), number as u32)).collect()
}

/// However entries come in, the table holds exactly those below its bound, and knows where its knowledge ends.
#[test]
fn a_table_holds_exactly_the_lowest_fingerprints() {
    for (keys_max, expected) in
        [(64, 0), (64, 1000), (64, 64), (1000, 0), (1000, 1_000_000), (5000, 3000), (2, 9)]
    {
        let mut table = Fingerprints::new(keys_max * 8, expected);
        let first = numbers(1500, 1);
        let second = numbers(1500, 2);
        table.append(first.iter().copied());
        table.sort();
        for some in second.chunks(130) {
            table.merge(some.iter().copied());
        }
        assert!(table.len() <= keys_max);
        let highest = table.highest();
        let mut held = 0;
        for (fingerprint, pack) in first.iter().chain(&second) {
            let is_held = highest.is_some_and(|highest| *fingerprint <= highest);
            held += usize::from(is_held);
            match table.packs_of(*fingerprint) {
                Some(packs) => assert!(is_held && packs.contains(pack)),
                None => assert!(!is_held),
            }
        }
        assert_eq!(held, table.len(), "{keys_max} {expected}");
        assert_eq!(table.is_exact(), keys_max == 5000);
    }
}

#[test]
fn entries_of_packs_that_are_gone_leave_the_table() {
    let mut table = Fingerprints::new(8000, 0);
    let entries = numbers(500, 1);
    table.append(entries.iter().copied());
    table.sort();
    table.retain(|pack| pack % 3 == 0);
    for (fingerprint, pack) in entries {
        assert_eq!(table.packs_of(fingerprint).unwrap().contains(&pack), pack % 3 == 0);
    }
}

/// Whoever writes many entries with one fingerprint cannot make the table grow or hang.
#[test]
fn equal_fingerprints_cannot_fill_the_table() {
    for fingerprint in [0, 1 << 40, u64::MAX] {
        let mut table = Fingerprints::new(100 * 8, 0);
        table.append((0..10_000).map(|pack| (fingerprint, pack)));
        table.sort();
        table.merge((0..500).map(|pack| (fingerprint, pack)));
        assert!(table.len() <= 100);
        if let Some(packs) = table.packs_of(fingerprint) {
            assert_eq!(packs.len(), packs.iter().collect::<BTreeSet<_>>().len());
        }
    }
}
