use super::{counted, diff};
use crate::support::{class, draft, new_repository, noise, pvc, run_id};
use longshore_repo::{
    BackupOptions, Class, Difference, RangeContent, RangeDifference, Repository, Run, SPAN_BYTES, Snapshot,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, ops::ControlFlow};

const BLOCK: u64 = 4096;

/// What stands in a span: lengths in blocks, and the seed of a chunk or 0 for a hole.
type Span = Vec<(u64, u64)>;

fn commit(repository: &Repository, run: u128, size_bytes: u64, spans: &BTreeMap<u64, Span>) -> Snapshot {
    let source = repository.source_id(&pvc("db"));
    let session = repository.begin_backup(source, run_id(run), None, BackupOptions::default()).unwrap();
    let writer = session.volume_writer(size_bytes, None);
    for (index, pieces) in spans {
        let length_bytes = size_bytes.saturating_sub(index * SPAN_BYTES).min(SPAN_BYTES);
        let mut left = length_bytes.next_multiple_of(BLOCK);
        let mut runs = Vec::new();
        for (blocks, seed) in pieces {
            let length_bytes = (blocks * BLOCK).min(left);
            left -= length_bytes;
            match (length_bytes, seed) {
                (0, _) => {}
                (_, 0) => runs.push(Run::Hole { length_bytes }),
                (_, seed) => {
                    let chunk = session.put_chunk(&noise(*seed, length_bytes as usize), None).unwrap();
                    runs.push(Run::Chunk(chunk));
                }
            }
        }
        if left > 0 {
            runs.push(Run::Hole { length_bytes: left });
        }
        if length_bytes > 0 {
            writer.put_span(*index, &runs).unwrap();
        }
    }
    let content = writer.finish().unwrap();
    session.commit(draft(pvc("db"), content)).unwrap().snapshot().clone()
}

/// Every block of data: the chunk that it lies in, and where in it.
fn blocks(repository: &Repository, snapshot: &Snapshot) -> BTreeMap<u64, ([u8; 32], u64, u32)> {
    let reader = repository.open_volume(snapshot).unwrap();
    let mut out = BTreeMap::new();
    for span in 0..reader.span_count() {
        let mut at = span * SPAN_BYTES;
        for run in reader.span(span).unwrap().unwrap_or_default() {
            if let Run::Chunk(chunk) = run {
                for block in 0..u64::from(chunk.length_bytes) / BLOCK {
                    out.insert(at + block * BLOCK, (chunk.id.0, block, chunk.length_bytes));
                }
            }
            at += run.length_bytes();
        }
    }
    out
}

/// The ranges that differ, by looking at every block.
fn naive(repository: &Repository, before: &Snapshot, after: &Snapshot) -> Vec<RangeDifference> {
    let size_bytes = after.record.content.size_bytes();
    let (before, after) = (blocks(repository, before), blocks(repository, after));
    let mut addresses: Vec<u64> = before.keys().chain(after.keys()).copied().collect();
    addresses.sort_unstable();
    addresses.dedup();
    let mut out: Vec<RangeDifference> = Vec::new();
    for at in addresses.into_iter().filter(|at| *at < size_bytes) {
        let content = |known: bool| if known { RangeContent::Data } else { RangeContent::Hole };
        let (old, new) = (before.get(&at), after.get(&at));
        if old == new {
            continue;
        }
        let kinds = (content(old.is_some()), content(new.is_some()));
        let length_bytes = BLOCK.min(size_bytes - at);
        match out.last_mut() {
            Some(last)
                if last.offset_bytes + last.length_bytes == at && (last.before, last.after) == kinds =>
            {
                last.length_bytes += length_bytes;
            }
            _ => {
                out.push(RangeDifference { offset_bytes: at, length_bytes, before: kinds.0, after: kinds.1 })
            }
        }
    }
    out
}

fn ranges(found: Vec<Difference>) -> Vec<RangeDifference> {
    let range = |difference| match difference {
        Difference::Range(range) => range,
        other => panic!("{other:?}"),
    };
    found.into_iter().map(range).collect()
}

/// Few seeds and few shapes, so that neighbours and counterparts are often equal.
fn spans() -> impl Strategy<Value = BTreeMap<u64, Span>> {
    let span = prop::collection::vec((1u64..6, 0u64..4), 0..8);
    // Indexes on both sides of the border of an interior node.
    let index = prop_oneof![0u64..4, 254u64..259];
    prop::collection::btree_map(index, span, 0..6)
}

fn size() -> impl Strategy<Value = u64> {
    let near = |span: u64| (span * SPAN_BYTES)..(span * SPAN_BYTES + 9 * BLOCK);
    prop_oneof![0u64..9 * BLOCK, near(1), near(3), near(256), near(260)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn ranges_are_those_of_a_full_comparison(
        (one, two) in (spans(), spans()),
        (one_bytes, two_bytes) in (size(), size()),
        mixed in any::<bool>(),
    ) {
        let (_, repository) = new_repository();
        // Half the time the second volume is the first with some spans replaced.
        let mut later = if mixed { one.clone() } else { BTreeMap::new() };
        later.extend(two);
        let later_bytes = if mixed { one_bytes } else { two_bytes };
        let before = commit(&repository, 1, one_bytes, &one);
        let after = commit(&repository, 2, later_bytes, &later);
        for (before, after) in [(&before, &after), (&after, &before), (&after, &after)] {
            let (found, totals) = diff(&repository, before, after);
            let (found, expected) = (ranges(found), naive(&repository, before, after));
            prop_assert_eq!(&found, &expected);
            let sum = |wanted: fn(&RangeDifference) -> bool| -> u64 {
                expected.iter().filter(|range| wanted(range)).map(|range| range.length_bytes).sum()
            };
            prop_assert_eq!(totals.ranges, expected.len() as u64);
            prop_assert_eq!(totals.range_bytes, sum(|_| true));
            prop_assert_eq!(totals.added_bytes, sum(|range| range.after == RangeContent::Data));
            prop_assert_eq!(totals.removed_bytes, sum(|range| range.before == RangeContent::Data));
        }
    }
}

#[test]
fn the_cost_is_that_of_what_differs() {
    let (counters, repository) = counted();
    let span = |seed: u64| vec![(32, seed), (100, 0), (8, seed + 1)];
    let size_bytes = 2000 * SPAN_BYTES;
    let mut spans: BTreeMap<u64, Span> = (0..2000).map(|index| (index, span(index % 7 + 1))).collect();
    let before = commit(&repository, 1, size_bytes, &spans);
    for changed in [0u64, 1, 10, 100] {
        for index in 0..changed {
            spans.insert(index * 19, span(50 + index % 5));
        }
        let after = commit(&repository, 2 + u128::from(changed), size_bytes, &spans);
        let reads = counters.now().reads;
        let (_, totals) = diff(&repository, &before, &after);
        let reads = counters.now().reads - reads;
        // A leaf on each side, at most eight interior nodes and the root on each side, and keys of their packs.
        assert!(reads <= changed * 2 + 22, "{reads} reads for {changed} changed spans");
        assert_eq!(totals.ranges, changed * 2, "{totals:?}");
    }
}

#[test]
fn the_receiver_may_stop_the_walk() {
    let (_, repository) = new_repository();
    let span = |seed: u64| vec![(1, seed), (1, 0), (1, seed)];
    let spans = |seed| (0..40).map(|index| (index, span(seed))).collect::<BTreeMap<u64, Span>>();
    let before = commit(&repository, 1, 40 * SPAN_BYTES, &spans(1));
    let after = commit(&repository, 2, 40 * SPAN_BYTES, &spans(2));
    let mut seen = 0;
    let totals = repository.diff(&before, &after, &mut |_| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((seen, totals.unwrap().ranges), (3, 3));
}

#[test]
fn a_volume_and_a_tree_cannot_be_compared() {
    let (_, repository) = new_repository();
    let volume = commit(&repository, 1, SPAN_BYTES, &BTreeMap::new());
    let tree = super::trees::empty(&repository, 2);
    for (before, after) in [(&volume, &tree), (&tree, &volume)] {
        let result = repository.diff(before, after, &mut |_| ControlFlow::Continue(()));
        assert_eq!(class(result), Class::Misuse);
    }
}
