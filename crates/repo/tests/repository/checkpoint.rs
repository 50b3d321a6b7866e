//! A store that shows less than there was.

use crate::support::{back_up, block_on, class, new_repository, noise, objects, open, run_id, store_of};
use jiff::Timestamp;
use longshore_format::names;
use longshore_repo::{Anchor, Class, Repository, Snapshot, store::Store};
use std::sync::Arc;

/// A repository with two snapshots and a checkpoint that names both.
fn world() -> (Arc<dyn Store>, Repository, [Snapshot; 2], Anchor) {
    let (store, repository) = new_repository();
    let snapshots = [1, 2].map(|number| {
        let made = back_up(&repository, "db", run_id(number), &noise(number as u64, 100_000), None).unwrap();
        made.snapshot().clone()
    });
    let anchor = repository.checkpoint().unwrap();
    (store, repository, snapshots, anchor)
}

/// What somebody finds who opens the store as it is after `changed`.
fn after(store: &Arc<dyn Store>, removed: &[String]) -> Repository {
    let mut all = objects(store);
    for name in removed {
        all.remove(name).unwrap();
    }
    open(&store_of(&all)).unwrap()
}

fn problems(repository: &Repository) -> Vec<String> {
    let report = repository.check(&Default::default(), &mut |_| {}).unwrap();
    report.problems.into_iter().map(|problem| problem.reason).collect()
}

#[test]
fn a_hidden_snapshot_is_missed_by_whoever_holds_the_anchor_and_by_every_check() {
    let (store, repository, [_, newest], anchor) = world();
    repository.expect_checkpoint(&anchor).unwrap();
    assert!(problems(&repository).is_empty());
    let hidden = after(&store, &[names::snapshot(&newest.key)]);
    assert_eq!(class(hidden.expect_checkpoint(&anchor)), Class::RolledBack);
    let problems = problems(&hidden);
    assert!(problems.len() == 1 && problems[0].contains(&newest.id().to_string()), "{problems:?}");
}

#[test]
fn a_store_that_goes_back_before_the_anchor_is_found_out() {
    let (store, repository, [_, newest], first) = world();
    let before = objects(&store);
    let third = back_up(&repository, "db", run_id(3), &noise(3, 100_000), None).unwrap();
    let second = repository.checkpoint().unwrap();
    assert_eq!(second.number, 2);
    for anchor in [first, second] {
        repository.expect_checkpoint(&anchor).unwrap();
    }
    // As it was before: everything is authentic.
    let old = open(&store_of(&before)).unwrap();
    assert!(problems(&old).is_empty());
    old.expect_checkpoint(&first).unwrap();
    assert_eq!(class(old.expect_checkpoint(&second)), Class::RolledBack);
    // Hiding the checkpoints too, or only the newest snapshot, does not help.
    let bare = after(&store, &[names::checkpoint(1), names::checkpoint(2)]);
    assert_eq!(class(bare.expect_checkpoint(&first)), Class::RolledBack);
    let without = after(&store, &[names::snapshot(&third.snapshot().key)]);
    assert_eq!(class(without.expect_checkpoint(&first)), Class::RolledBack);
    // What was forgotten since is not missed, tombstone or not a record.
    repository.forget(&newest, "test", Timestamp::UNIX_EPOCH).unwrap();
    after(&store, &[names::snapshot(&newest.key)]).expect_checkpoint(&second).unwrap();
}

/// Two maintainers that a store keeps apart make two checkpoints of one number.
#[test]
fn a_fork_is_found_out_by_who_saw_the_other_branch() {
    let (store, repository, _, first) = world();
    let other = after(&store, &[]);
    back_up(&other, "db", run_id(4), &noise(4, 1000), None).unwrap();
    let (ours, theirs) = (repository.checkpoint().unwrap(), other.checkpoint().unwrap());
    assert!(ours.number == theirs.number && ours.digest != theirs.digest);
    assert_eq!(class(repository.expect_checkpoint(&theirs)), Class::RolledBack);
    // Also after both have gone on.
    other.checkpoint().unwrap();
    assert_eq!(class(other.expect_checkpoint(&ours)), Class::RolledBack);
    for branch in [&repository, &other] {
        branch.expect_checkpoint(&first).unwrap();
    }
}

#[test]
fn another_record_in_a_snapshots_place_and_junk_among_checkpoints_are_noticed() {
    let (store, repository, [first, second], anchor) = world();
    let all = objects(&store);
    let mut swapped = all.clone();
    swapped.insert(names::snapshot(&first.key), all[&names::snapshot(&second.key)].clone());
    let swapped = open(&store_of(&swapped)).unwrap();
    let text = format!("{:?}", swapped.expect_checkpoint(&anchor));
    assert!(text.contains("another one") || text.contains("RolledBack"), "{text}");
    // Junk of a higher number hides nothing, and `check` names it.
    let junk = names::checkpoint(anchor.number + 1);
    block_on(store.create(&junk, all[&names::checkpoint(anchor.number)].clone())).unwrap();
    repository.expect_checkpoint(&anchor).unwrap();
    let report = repository.check(&Default::default(), &mut |_| {}).unwrap();
    assert!(report.problems.len() == 1 && report.problems[0].object == junk, "{report:?}");
    let next = repository.checkpoint().unwrap();
    assert_eq!(next.number, anchor.number + 2);
    repository.expect_checkpoint(&anchor).unwrap();
}

#[test]
fn old_checkpoints_go_and_their_anchors_stay_good() {
    let (store, repository, _, first) = world();
    let last = (0..14).map(|_| repository.checkpoint().unwrap()).last().unwrap();
    let kept = objects(&store).into_keys().filter(|name| name.starts_with(names::CHECKPOINTS)).count();
    assert_eq!((last.number, kept), (15, 10));
    repository.expect_checkpoint(&first).unwrap();
    let wrong = Anchor { digest: last.digest, ..first };
    assert_eq!(class(repository.expect_checkpoint(&wrong)), Class::RolledBack);
}
