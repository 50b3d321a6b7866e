//! Segments that maintenance supersedes and deletes while somebody works with them.

use super::*;
use longshore_store::{Class as StoreClass, Operation};
use longshore_testkit::{Fault, FaultStore};
use std::sync::atomic::AtomicBool;

/// Until `dead`, everything is there; then segments whose name begins with one of these are not.
fn vanishing(prefixes: &'static [&'static str]) -> (Arc<FaultStore>, Arc<AtomicBool>) {
    let dead = Arc::new(AtomicBool::new(false));
    let is_dead = dead.clone();
    let store = FaultStore::new(memory(), move |_, request| {
        let gone = request.operation == Operation::Read
            && prefixes.iter().any(|prefix| request.name.starts_with(prefix))
            && is_dead.load(Relaxed);
        gone.then_some(Fault::FailBefore(StoreClass::NotFound))
    });
    (store, dead)
}

fn superseded(world: &World, packs: &[IndexedPack]) {
    let merged = world.encode(Level::One, packs);
    world.put(&merged);
    world.view.set(IndexView {
        plan: 1,
        level_0_from: 1,
        level_1: HashSet::from([merged.id]),
        ..IndexView::default()
    });
}

#[test]
fn only_segments_that_count_are_asked() {
    let world = World::new();
    world.segment(&[pack(1, 0..10)]);
    let orphan = world.encode(Level::One, &[pack(2, 10..20)]);
    world.put(&orphan);
    let late = world.encode(Level::Zero { plan: 3 }, &[pack(3, 20..30)]);
    world.put(&late);
    let found = |number| world.index().find(PackKind::Data, &id(number)).unwrap().is_some();
    assert_eq!([found(5), found(15), found(25)], [true, false, true], "no result names the level-1 segment");
    let level_1 = HashSet::from([orphan.id]);
    world.view.set(IndexView { plan: 2, level_0_from: 2, level_1, ..IndexView::default() });
    assert_eq!([found(5), found(15), found(25)], [false, true, true], "level 0 under plan 0 is superseded");
}

#[test]
fn what_was_merged_meanwhile_is_found_in_the_new_segments() {
    for asks_first in [true, false] {
        let (store, dead) = vanishing(&["idx/0/00000000/"]);
        let world = World::on(store);
        world.fill(3, 4, 10);
        let index = world.index();
        let find = |number| match asks_first {
            true => index.find(PackKind::Data, &id(number)).unwrap(),
            false => index.find_anywhere(PackKind::Data, &id(number), &[]).unwrap(),
        };
        assert_eq!(find(1 << 40), None);
        superseded(&world, &[pack(50, 0..60), pack(51, 60..120)]);
        dead.store(true, Relaxed);
        for number in 0..120 {
            assert_eq!(find(number).map(|place| place.pack), Some(pack_id(50 + number / 60)), "{number}");
        }
        let before = index.requests();
        assert_eq!(find((1 << 40) + 1), None);
        assert!(index.requests() - before <= 1);
    }
}

/// All that is needed of the old segment is in memory, so nothing shows that it is gone.
#[test]
fn what_was_moved_meanwhile_is_found_after_it_was_looked_for_in_vain() {
    let store = FaultStore::new(memory(), |_, _| None);
    let world = World::on(store.clone());
    world.segment(&[pack(1, 0..10), pack(2, 10..20)]);
    let index = world.index();
    let find = |number, but: &[PackId]| index.find_anywhere(PackKind::Data, &id(number), but).unwrap();
    assert!((0..20).all(|number| find(number, &[]).is_some()));
    superseded(&world, &[pack(50, 0..20)]);
    for number in 0..20 {
        let old = pack_id(1 + number / 10);
        assert_eq!(find(number, &[old]).map(|place| place.pack), Some(pack_id(50)), "{number}");
    }
    let listings = || store.requests().iter().filter(|request| request.operation == Operation::List).count();
    let before = listings();
    assert!((0..20).all(|number| find(number, &[pack_id(1), pack_id(2), pack_id(50)]).is_none()));
    assert!(
        listings() - before <= 2,
        "once for these packs, and once to load fingerprints for so many questions"
    );
}

/// Nothing takes the place of the segments: not an error of the session, and no listing for each chunk.
#[test]
fn segments_that_are_gone_for_good_are_asked_once() {
    let (store, dead) = vanishing(&["idx/"]);
    let world = World::on(store.clone());
    world.fill(3, 4, 10);
    let index = world.index();
    assert_eq!(index.find(PackKind::Data, &id(1 << 40)).unwrap(), None);
    dead.store(true, Relaxed);
    for number in 0..120 {
        assert_eq!(index.find(PackKind::Data, &id(number)).unwrap(), None);
        assert_eq!(index.find_anywhere(PackKind::Data, &id(number), &[]).unwrap(), None);
    }
    let listings = store.requests().iter().filter(|request| request.operation == Operation::List).count();
    assert!(listings <= 4, "{listings} listings");
}

/// The listing names a segment whose head is gone when it is opened.
#[test]
fn a_segment_that_goes_between_listing_and_opening_is_left_out() {
    let (store, dead) = vanishing(&["idx/0/00000000/"]);
    let world = World::on(store);
    world.fill(2, 4, 10);
    world.put(&world.encode(Level::Zero { plan: 1 }, &[pack(60, 500..510)]));
    dead.store(true, Relaxed);
    let index = world.index();
    assert_eq!(index.find(PackKind::Data, &id(1)).unwrap(), None);
    assert!(index.find(PackKind::Data, &id(505)).unwrap().is_some());
}

/// An endpoint that is down is an error, never "not found".
#[test]
fn an_unreachable_store_is_not_an_empty_index() {
    let store = FaultStore::new(memory(), |_, request| {
        let read = request.operation == Operation::Read;
        read.then_some(Fault::FailBefore(StoreClass::Transient))
    });
    let world = World::on(store);
    world.fill(2, 4, 10);
    let index = world.index();
    assert!(index.find(PackKind::Data, &id(1)).is_err());
    assert!(index.find(PackKind::Data, &id(1)).is_err(), "and again");
    assert!(index.find_anywhere(PackKind::Data, &id(1), &[]).is_err());
}
