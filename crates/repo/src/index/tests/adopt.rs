//! Rule W3 of docs/concurrency.md: a plan is adopted in one step.

use super::*;
use std::sync::{Barrier, atomic::AtomicBool};

fn condemn(plan: u64, packs: impl IntoIterator<Item = u64>) -> IndexView {
    let condemned = Arc::new(packs.into_iter().map(pack_id).collect());
    IndexView { plan, condemned, ..IndexView::default() }
}

#[test]
fn condemned_packs_are_no_answer_for_writers_and_the_last_one_for_readers() {
    let world = World::new();
    world.segment(&[pack(1, 0..10), pack(2, 5..15)]);
    let index = world.index();
    assert_eq!(index.find(PackKind::Data, &id(2)).unwrap().unwrap().pack, pack_id(1));
    assert_eq!(index.adopt_view(&condemn(4, [1, 99])), [pack_id(1)], "it was handed out");
    assert_eq!(index.find(PackKind::Data, &id(2)).unwrap(), None);
    assert_eq!(index.find_anywhere(PackKind::Data, &id(2), &[]).unwrap().unwrap().pack, pack_id(1));
    for number in 5..10 {
        assert_eq!(index.find(PackKind::Data, &id(number)).unwrap().unwrap().pack, pack_id(2));
        let place = index.find_anywhere(PackKind::Data, &id(number), &[]).unwrap().unwrap();
        assert_eq!(place.pack, pack_id(2));
    }
    assert_eq!(index.level(), Level::Zero { plan: 4 }, "new segments stand under the plan");
    assert_eq!(index.adopt_view(&condemn(5, [2])), [pack_id(2)]);
    assert_eq!(index.find(PackKind::Data, &id(2)).unwrap(), None, "condemned is for ever");
    assert_eq!(index.find(PackKind::Data, &id(12)).unwrap(), None);
}

#[test]
fn a_plan_that_a_listing_brings_counts_at_once() {
    let world = World::new();
    world.segment(&[pack(1, 0..10), pack(2, 10..20)]);
    world.view.set(condemn(1, [1]));
    let index = world.index();
    assert_eq!(index.find(PackKind::Data, &id(2)).unwrap(), None);
    assert!(index.find(PackKind::Data, &id(12)).unwrap().is_some());
    assert!(index.adopt_view(&condemn(1, [1])).is_empty(), "nothing of it was handed out");
}

/// While threads look up, a plan is adopted. Whatever they were given of its packs is in the answer, and once the answer
/// is there nobody is given any more.
#[test]
fn nobody_slips_between_the_check_and_the_answer() {
    const PACKS: u64 = 12;
    let world = World::new();
    world.segment(&(0..PACKS).map(|number| pack(number, number * 20..(number + 1) * 20)).collect::<Vec<_>>());
    for round in 0..60 {
        let index = world.index();
        index.find(PackKind::Data, &id(1 << 40)).unwrap();
        let (adopted, start) = (AtomicBool::new(false), Barrier::new(5));
        let ask = |thread: u64| {
            let mut handed = HashSet::new();
            start.wait();
            for step in 0..400 {
                let was_adopted = adopted.load(std::sync::atomic::Ordering::SeqCst);
                let number = (thread * 61 + step * 37 + round) % (PACKS * 20);
                let Some(place) = index.find(PackKind::Data, &id(number)).unwrap() else { continue };
                let is_condemned = (0..PACKS).step_by(2).any(|pack| pack_id(pack) == place.pack);
                assert!(!(was_adopted && is_condemned), "a condemned pack was handed out");
                if is_condemned {
                    handed.insert(place.pack);
                }
            }
            handed
        };
        let (handed, used) = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || ask(thread))).collect();
            start.wait();
            (0..round * 20).for_each(|_| std::hint::spin_loop());
            let used = index.adopt_view(&condemn(1, (0..PACKS).step_by(2)));
            adopted.store(true, std::sync::atomic::Ordering::SeqCst);
            let handed: HashSet<PackId> =
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
            (handed, used)
        });
        let used: HashSet<PackId> = used.into_iter().collect();
        assert!(handed.is_subset(&used), "round {round}: {:?} is missing", handed.difference(&used));
    }
}
