//! Merging, and when.

use super::{
    policy::{SegmentSummary, segments_to_merge},
    *,
};

const SMALL: SegmentLimits = SegmentLimits { packs: 7, entries: 100 };

fn packs_of(world: &World, segments: &[EncodedSegment]) -> Vec<IndexedPack> {
    let index = world.index();
    let mut out = Vec::new();
    for segment in segments {
        let listed =
            ListedSegment { level: segment.level, id: segment.id, size_bytes: segment.bytes.len() as u64 };
        index.prove(&listed, |pack| out.push(pack.clone())).unwrap();
    }
    out
}

/// Packs of all sizes, some as large as a segment, some twice.
fn sources(count: u64) -> Vec<IndexedPack> {
    let mut at = 0;
    let mut out = Vec::new();
    for number in 0..count {
        let frames = 1 + (number * number * 7) % 130;
        out.push(pack(number, at..at + frames));
        at += frames;
    }
    out.extend(out.clone().into_iter().step_by(5));
    out
}

#[test]
fn merging_keeps_what_should_stay_in_order_and_within_limits() {
    let world = World::new();
    let sources = sources(120);
    let dropped = |pack: PackId| (0..120).step_by(3).any(|number| pack_id(number) == pack);
    let merged: Vec<EncodedSegment> =
        merge(&world.keys, Level::One, SMALL, sources.iter().cloned().map(Ok), |_, pack| !dropped(pack))
            .collect::<Result<_, _>>()
            .unwrap();
    merged.iter().for_each(|segment| world.put(segment));
    let mut expected: Vec<IndexedPack> = Vec::new();
    for pack in &sources {
        if !dropped(pack.id) && !expected.contains(pack) {
            expected.push(pack.clone());
        }
    }
    assert_eq!(packs_of(&world, &merged), expected);
    for segment in &merged {
        let packs = packs_of(&world, std::slice::from_ref(segment));
        let entries: usize = packs.iter().map(|pack| pack.entries.len()).sum();
        assert!(packs.len() <= 7 && (entries <= 100 || packs.len() == 1), "{} packs, {entries}", packs.len());
    }
    let filled = merged.len() * 100;
    let entries: usize = expected.iter().map(|pack| pack.entries.len()).sum();
    assert!(filled < entries * 3, "{} segments for {entries} entries", merged.len());
}

#[test]
fn a_stored_segment_is_a_source_like_any_other() {
    let world = World::new();
    let all: Vec<IndexedPack> = (0..900).map(|number| pack(number, number * 40..(number + 1) * 40)).collect();
    let segment = world.segment(&all);
    let index = world.index();
    let (listed, _) = index.list_segments().unwrap();
    let packs = index.packs_of(index.open_segment(&listed[0]).unwrap());
    let limits = SegmentLimits { packs: 500, ..SegmentLimits::default() };
    let merged: Vec<_> =
        merge(&world.keys, Level::One, limits, packs, |_, _| true).collect::<Result<_, _>>().unwrap();
    assert_eq!(merged.len(), 2);
    assert_eq!(merged[0].level, Level::One);
    merged.iter().for_each(|segment| world.put(segment));
    assert_eq!(packs_of(&world, &merged), packs_of(&world, &[segment]));
}

/// A source that fails ends the merge: half a segment would hide what the other half listed.
#[test]
fn a_failing_source_ends_the_merge_with_its_error() {
    let world = World::new();
    let mut sources: Vec<Result<IndexedPack, RepoError>> =
        (0..20).map(|number| Ok(pack(number, number * 30..(number + 1) * 30))).collect();
    sources.insert(13, Err(RepoError::WrongContent { object: "idx/1/x".into() }));
    let results: Vec<_> = merge(&world.keys, Level::One, SMALL, sources.into_iter(), |_, _| true).collect();
    assert!(results[..results.len() - 1].iter().all(Result::is_ok));
    assert!(results[results.len() - 1].is_err());
    assert_eq!(results.len(), 5, "four full segments of three packs, then the error");
}

#[test]
fn merging_nothing_makes_no_segment() {
    let world = World::new();
    let none = merge(&world.keys, Level::One, SMALL, std::iter::empty(), |_, _| true).count();
    let all_dropped = std::iter::once(Ok(pack(1, 0..5)));
    let dropped = merge(&world.keys, Level::One, SMALL, all_dropped, |_, _| false).count();
    let empty = std::iter::once(Ok(pack(1, 0..0)));
    let empty = merge(&world.keys, Level::One, SMALL, empty, |_, _| true).count();
    assert_eq!([none, dropped, empty], [0, 0, 0]);
}

#[test]
fn only_what_is_worth_it_is_merged() {
    let summary = |number: u8, level, entries, dropped_packs| SegmentSummary {
        id: SegmentId([number; 32]),
        level,
        entries,
        dropped_packs,
    };
    let zero = Level::Zero { plan: 0 };
    let check = |segments: &[SegmentSummary], expected: &[u8]| {
        let merged = segments_to_merge(segments, 1000);
        assert_eq!(merged, expected.iter().map(|number| SegmentId([*number; 32])).collect::<Vec<_>>());
    };
    check(&[], &[]);
    check(&[summary(1, Level::One, 900, 0), summary(2, Level::One, 500, 0)], &[]);
    check(&[summary(1, Level::One, 900, 0), summary(2, zero, 900, 0)], &[2]);
    check(&[summary(1, Level::One, 900, 1), summary(2, Level::One, 900, 0)], &[1]);
    check(&[summary(1, Level::One, 10, 0)], &[]);
    check(&[summary(1, Level::One, 10, 0), summary(2, Level::One, 20, 0)], &[1, 2]);
    check(&[summary(1, Level::One, 10, 0), summary(2, zero, 5, 0), summary(3, Level::One, 600, 0)], &[1, 2]);
}
