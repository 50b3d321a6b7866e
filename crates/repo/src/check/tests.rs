use super::*;
use crate::{
    BackupOptions, KdfCost, RunId, Secret, SourceIdentity,
    index::{EncodedSegment, IndexedPack, SegmentBuilder, SegmentLimits},
};
use longshore_format::{PackId, names::PackKind, pack::TrailerEntry};
use longshore_store::memory;

const COST: KdfCost = KdfCost { memory_kib: 64, passes: 1, lanes: 1 };

/// A repository with one data pack of five chunks, and what its index says of it.
fn repository() -> (Repository, IndexedPack) {
    let repository = Repository::init(memory(), &Secret::from("correct horse"), COST).unwrap();
    let source = SourceIdentity::Path { host: "a".into(), path: "/b".into() };
    let run = RunId(uuid::Uuid::from_u128(1));
    let session =
        repository.begin_backup(repository.source_id(&source), run, None, BackupOptions::default()).unwrap();
    for number in 0..5u8 {
        session.put_chunk(&[number; 100], None).unwrap();
    }
    session.checkpoint().unwrap();
    drop(session);
    let mut packs = Vec::new();
    let (segments, _) = repository.index.list_segments().unwrap();
    repository.index.prove(&segments[0], |pack| packs.push(pack.clone())).unwrap();
    let pack = packs.pop().unwrap();
    (repository, pack)
}

/// Adds a segment that agrees with itself, whatever it says, and returns what check says then.
fn problems_with(repository: &Repository, pack: &IndexedPack) -> Vec<String> {
    let level = repository.index.level();
    let mut builder = SegmentBuilder::new(&repository.keys, level, SegmentLimits::default()).unwrap();
    builder.push(pack).unwrap();
    let segment: EncodedSegment = builder.finish(&repository.keys).unwrap().unwrap();
    repository.io.create(&segment.name(), segment.bytes.clone()).unwrap();
    let report = repository.check(&CheckOptions::default(), &mut |_| {}).unwrap();
    report.problems.into_iter().map(|problem| problem.reason).collect()
}

#[test]
fn a_segment_that_says_what_the_trailer_says_is_no_problem() {
    let (repository, pack) = repository();
    assert_eq!(problems_with(&repository, &pack), Vec::<String>::new());
}

#[test]
fn a_segment_that_contradicts_a_trailer_is_reported() {
    type Lie = fn(&mut Vec<TrailerEntry>);
    let lies: [(&str, Lie); 5] = [
        ("another id", |frames| frames[2].id[0] ^= 1),
        ("another length", |frames| frames[2].length_bytes += 1),
        ("a frame less", |frames| frames.truncate(4)),
        ("a frame more", |frames| frames.push(frames[0])),
        ("another order", |frames| frames.swap(0, 1)),
    ];
    for (what, lie) in lies {
        let (repository, mut pack) = repository();
        lie(&mut pack.entries);
        let problems = problems_with(&repository, &pack);
        assert!(problems.len() == 1 && problems[0].contains("other frames"), "{what}: {problems:?}");
    }
}

#[test]
fn a_segment_that_lists_a_missing_pack_is_reported() {
    let (repository, pack) = repository();
    for lie in [
        IndexedPack { id: PackId([9; 32]), ..pack.clone() },
        IndexedPack { kind: PackKind::Meta, ..pack.clone() },
    ] {
        let problems = problems_with(&repository, &lie);
        assert!(problems.iter().any(|problem| problem.contains("missing")), "{problems:?}");
    }
}
