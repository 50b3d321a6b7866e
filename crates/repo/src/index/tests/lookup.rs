use super::*;

#[test]
fn every_entry_of_every_segment_is_found_where_it_is() {
    let world = World::new();
    world.fill(3, 300, 5);
    world.segment(&[pack(9000, 9000..19_000)]);
    for asks_first in [true, false] {
        let index = world.index();
        let find = |number| match asks_first {
            true => index.find(PackKind::Data, &id(number)).unwrap(),
            false => index.find_anywhere(PackKind::Data, &id(number), &[]).unwrap(),
        };
        for number in (0..4500).step_by(7) {
            assert_eq!(find(number), Some(expected(number, 5)), "{number}");
        }
        for number in (9000..19_000).step_by(501) {
            assert_eq!(find(number).map(|place| u64::from(place.slot)), Some(number - 9000));
        }
        assert_eq!(find(99_999), None);
        assert_eq!(index.find(PackKind::Meta, &id(1)).unwrap(), None, "a chunk is no node");
        assert_eq!(index.find_anywhere(PackKind::Meta, &id(1), &[]).unwrap(), None, "nor for a reader");
    }
}

#[test]
fn a_bad_place_is_left_out_when_another_is_wanted() {
    let world = World::new();
    world.segment(&[pack(1, 0..10)]);
    world.segment(&[pack(2, 0..10)]);
    let index = world.index();
    let first = index.find_anywhere(PackKind::Data, &id(3), &[]).unwrap().unwrap();
    let second = index.find_anywhere(PackKind::Data, &id(3), &[first.pack]).unwrap().unwrap();
    assert_ne!(first.pack, second.pack);
    let none = world.index();
    world.io.create("idx/0/00000000/not-a-segment", b"x".to_vec()).unwrap();
    assert!(none.find_anywhere(PackKind::Data, &id(3), &[]).unwrap().is_some(), "strange names are ignored");
}

/// What is nowhere costs nothing once the index is open, and what is known costs requests by the pack.
#[test]
fn unique_chunks_cost_no_request_and_known_ones_few() {
    let world = World::new();
    world.fill(4, 50, 100);
    let index = world.index();
    assert_eq!(index.requests(), 0, "opening a repository asks nothing");
    assert_eq!(index.find(PackKind::Data, &id(1 << 40)).unwrap(), None);
    let opened = index.requests();
    assert_eq!(opened, 1 + 4 * 2, "a listing; a head and fingerprints for each segment");
    for number in (1 << 40)..(1 << 40) + 20_000 {
        assert_eq!(index.find(PackKind::Data, &id(number)).unwrap(), None);
    }
    assert_eq!(index.requests(), opened);
    for number in 0..20_000 {
        assert!(index.find(PackKind::Data, &id(number)).unwrap().is_some());
    }
    let hits = index.requests() - opened;
    assert!(hits <= 4 + 200 / 18 + 4, "{hits} requests for 200 packs in 4 segments");
}

/// Frames of a pack that another process has just listed are found with those that this one adds.
#[test]
fn segments_of_this_process_are_found_with_the_others() {
    let world = World::new();
    world.fill(2, 10, 10);
    let index = world.index();
    assert_eq!(index.find(PackKind::Data, &id(500)).unwrap(), None);
    let own = world.segment(&[pack(77, 500..600), pack(78, 600..700)]);
    index.add(&own).unwrap();
    index.add(&own).unwrap();
    for number in (0..200).chain(500..700) {
        assert!(index.find(PackKind::Data, &id(number)).unwrap().is_some(), "{number}");
    }
    let unopened = world.index();
    unopened.add(&own).unwrap();
    assert!(unopened.find(PackKind::Data, &id(550)).unwrap().is_some());
    assert!(unopened.find(PackKind::Data, &id(50)).unwrap().is_some(), "adding is not opening");
}

/// A reader that asks often gets all fingerprints, if they fit; one that asks once does not load them.
#[test]
fn a_reader_that_asks_often_loads_the_fingerprints() {
    let world = World::new();
    world.fill(20, 2, 50);
    let index = world.index();
    let ask = |number| index.find_anywhere(PackKind::Data, &id(number), &[]).unwrap();
    ask(1 << 40);
    assert!(index.state().fingerprints.is_none());
    for number in 0..10 {
        assert_eq!(ask((1 << 40) + number), None);
    }
    assert!(index.state().fingerprints.is_some());
    let before = index.requests();
    assert_eq!(ask((1 << 40) + 99), None);
    assert_eq!(index.requests(), before);
    let poor = world.index_of(8 * 1000);
    for number in 0..100 {
        assert_eq!(poor.find_anywhere(PackKind::Data, &id(1 << 40 | number), &[]).unwrap(), None);
    }
    assert!(poor.state().fingerprints.is_none(), "a sample would not help a reader");
}
