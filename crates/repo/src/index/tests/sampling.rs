//! Indexes that are larger than their memory.

use super::*;
use longshore_format::index::fingerprint;

/// Invariant 5: memory does not grow with the repository; whatever the sample, readers find everything, and writers
/// find exactly what is sampled or lies near it.
#[test]
fn any_sample_finds_what_it_holds_and_readers_find_all() {
    let world = World::new();
    // One chunk a pack: nothing is near anything, so only the sample counts. Two in a row never.
    world.fill(3, 700, 1);
    for keys_max in [2, 10, 100, 500, 1000, 2000, 2100, 5000] {
        let index = world.index_of(keys_max * 8);
        index.find(PackKind::Data, &id(1 << 40)).unwrap();
        let (highest, held, exact) = {
            let state = index.state();
            let fingerprints = state.fingerprints.as_ref().unwrap();
            (fingerprints.highest(), fingerprints.len(), fingerprints.is_exact())
        };
        assert!(held <= keys_max, "{held} of {keys_max}");
        assert_eq!(exact, keys_max == 5000, "{keys_max}");
        let mut count = 0;
        for number in 0..2100 {
            let is_sampled = highest.is_some_and(|highest| fingerprint(&id(number)) <= highest);
            count += usize::from(is_sampled);
            // A fresh window each time: what was met before would be found without the sample.
            *index.recent() = RecentPacks::new(1);
            let found = index.find(PackKind::Data, &id(number)).unwrap();
            assert_eq!(found.is_some(), is_sampled, "{number} of {keys_max}");
        }
        assert_eq!(count, held);
        for number in (0..2100).step_by(83) {
            *index.recent() = RecentPacks::new(1);
            let found = index.find_anywhere(PackKind::Data, &id(number), &[]).unwrap();
            assert_eq!(found, Some(expected(number, 1)));
        }
    }
}

/// Sparse indexing: with one chunk in twenty sampled, a stream of known chunks is still recognised, because packs are
/// read whole and ahead.
#[test]
fn a_stream_of_known_chunks_is_recognised_by_a_sample() {
    let world = World::new();
    world.fill(8, 32, 128);
    let chunks = 8 * 32 * 128;
    let index = world.index_of(chunks as usize / 20 * 8);
    let found =
        (0..chunks).filter(|number| index.find(PackKind::Data, &id(*number)).unwrap().is_some()).count();
    let share = found as f64 / chunks as f64;
    assert!(share > 0.98, "{share}");
    assert!(index.requests() < 120, "{} requests for 256 packs", index.requests());
    let sampled = index.state().fingerprints.as_ref().unwrap().len();
    assert!(sampled < chunks as usize / 19, "{sampled}");
}

/// Streams that begin anywhere and jump are recognised too, but for the few chunks before their first sampled one.
#[test]
fn jumping_streams_are_recognised_but_for_their_first_chunks() {
    let world = World::new();
    world.fill(8, 32, 128);
    let chunks = 8 * 32 * 128;
    let index = world.index_of(chunks as usize / 10 * 8);
    let (mut found, mut asked) = (0, 0);
    for jump in 0..100u64 {
        let start = jump * 7919 % (chunks - 300);
        for number in start..start + 300 {
            asked += 1;
            found += u64::from(index.find(PackKind::Data, &id(number)).unwrap().is_some());
        }
    }
    let share = found as f64 / asked as f64;
    assert!(share > 0.93, "{share}");
}

/// What a process adds itself does not grow the table either.
#[test]
fn adding_segments_samples_more_finely_instead_of_growing() {
    let world = World::new();
    let index = world.index_of(8 * 1000);
    index.find(PackKind::Data, &id(0)).unwrap();
    for number in 0..40 {
        let segment = world.segment(&[pack(number, number * 200..(number + 1) * 200)]);
        index.add(&segment).unwrap();
        let state = index.state();
        let fingerprints = state.fingerprints.as_ref().unwrap();
        assert!(fingerprints.len() <= 1000);
        assert_eq!(fingerprints.is_exact(), number < 5, "{number}");
    }
    for number in (0..8000).step_by(77) {
        assert!(index.find_anywhere(PackKind::Data, &id(number), &[]).unwrap().is_some());
    }
}

/// More packs than can be numbered: what is beyond is stored again, and readers find all.
#[test]
fn packs_beyond_the_last_number_are_found_by_readers() {
    let world = World::new();
    world.fill(4, 6, 10);
    let limits = IndexLimits { packs_max: 13, ..IndexLimits::STANDARD };
    let index = Index::new(world.keys.clone(), world.io.clone(), limits, Box::new(world.view.clone()));
    let found = (0..240).filter(|number| index.find(PackKind::Data, &id(*number)).unwrap().is_some()).count();
    assert_eq!(found, 120, "two segments of six packs have numbers");
    let readers = index;
    for number in 0..240 {
        let found = readers.find_anywhere(PackKind::Data, &id(number), &[]).unwrap();
        assert_eq!(found, Some(expected(number, 10)));
    }
    let late = world.segment(&[pack(70, 700..710)]);
    readers.add(&late).unwrap();
    assert!(readers.find_anywhere(PackKind::Data, &id(705), &[]).unwrap().is_some());
}
