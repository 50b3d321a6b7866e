//! Forget and prune: what goes, what stays, whatever happens at the same time.

use crate::support::{
    COST, back_up, block_on, class, draft, noise, objects, open, password, pvc, restore, run_id, small_packs,
};
use jiff::Timestamp;
use longshore_format::{index::SegmentFooter, pack::PackFooter};
use longshore_repo::{
    BackupOptions, CheckOptions, Class, Committed, KeyChange, PruneOptions, PrunePolicy, PruneReport,
    Repository, RepositorySettings, Snapshot,
    store::{Operation, Store},
};
use longshore_testkit::{Fault, FaultStore};
use std::{sync::Arc, time::Duration};

/// Everything that is not needed goes, down to the last wasted byte.
fn all() -> PruneOptions {
    let policy = PrunePolicy { max_unused_percent: 0, ..PrunePolicy::default() };
    PruneOptions { policy, patience: Duration::from_secs(60) }
}

fn prune(repository: &Repository) -> PruneReport {
    repository.prune(&all(), &mut |_| {}).unwrap()
}

fn forget(repository: &Repository, snapshot: &Snapshot) {
    repository.forget(snapshot, "test", Timestamp::UNIX_EPOCH).unwrap();
}

fn sound(repository: &Repository) {
    let report = repository.check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap();
    assert_eq!(report.problems, []);
    assert_eq!(report.unindexed_packs, 0);
}

fn names(store: &Arc<dyn Store>) -> Vec<String> {
    objects(store).into_keys().collect()
}

fn committed(repository: &Repository, source: &str, run: u128, volume: &[u8]) -> Snapshot {
    let parent = repository.latest_of(repository.source_id(&pvc(source))).unwrap();
    back_up(repository, source, run_id(run), volume, parent.as_ref()).unwrap().snapshot().clone()
}

#[test]
fn when_all_is_forgotten_nothing_is_left() {
    let (store, repository) = small_packs();
    let empty = names(&store);
    let volumes: Vec<Vec<u8>> = (0..3).map(|seed| noise(seed, 3 << 20)).collect();
    for (run, volume) in volumes.iter().enumerate() {
        forget(&repository, &committed(&repository, "db", run as u128, volume));
    }
    assert_eq!(repository.snapshots().unwrap(), []);
    let report = prune(&open(&store).unwrap());
    assert!(report.deleted_bytes > 9 << 20 && report.waiting_sessions == 0, "{report:?}");
    let mut left = names(&store);
    left.retain(|name| !empty.contains(name) && !name.starts_with("forget/"));
    assert_eq!(left, ["gc/00000001/plan", "gc/00000001/result"], "tombstones and the newest plan stay");
    assert_eq!(prune(&open(&store).unwrap()).plan, 0, "nothing to do, so no plan");
}

/// A third of each MiB is new: however the random key cuts the volume, what dies lies beside what lives in nearly every pack.
fn scattered_changes(volume: &[u8]) -> Vec<u8> {
    let mut changed = volume.to_owned();
    for (number, place) in changed.chunks_mut(1 << 20).enumerate() {
        let length = place.len() / 3;
        place[..length].copy_from_slice(&noise(100 + number as u64, length));
    }
    changed
}

#[test]
fn what_snapshots_share_stays_and_waste_is_copied_out() {
    let (store, repository) = small_packs();
    let first = noise(1, 6 << 20);
    let second = scattered_changes(&first);
    let old = committed(&repository, "db", 1, &first);
    let new = committed(&repository, "db", 2, &second);
    let stored = |store: &Arc<dyn Store>| -> usize {
        objects(store).iter().filter(|(name, _)| name.starts_with("data/")).map(|(_, body)| body.len()).sum()
    };
    let before = stored(&store);
    forget(&repository, &old);
    let estimate = repository.plan_prune(&all(), &mut |_| {}).unwrap();
    assert_eq!(stored(&store), before, "a dry run deletes nothing");
    let report = prune(&open(&store).unwrap());
    let (after, freed) = (stored(&store), report.deleted_bytes - report.copied_bytes);
    assert!(freed > 3 << 19 && report.copied_bytes > 0, "{report:?}");
    assert!(after < (6 << 20) + (1 << 18), "{after} bytes for 6 MiB");
    assert!(estimate.freed_bytes().abs_diff(freed) < 100_000, "said {estimate:?}, did {report:?}");
    let repository = open(&store).unwrap();
    sound(&repository);
    assert!(restore(&repository, &new).unwrap() == second);
    assert_eq!(class(repository.begin_reading(&old)), Class::Forgotten);
    assert_eq!(prune(&repository).deleted_packs, 0, "the second prune finds nothing");
}

#[test]
fn a_full_store_needs_no_room_to_be_pruned() {
    let (store, repository) = small_packs();
    let old = committed(&repository, "db", 1, &noise(1, 3 << 20));
    let kept = committed(&repository, "other", 2, &noise(2, 3 << 20));
    forget(&repository, &old);
    let policy = PrunePolicy { max_copy_bytes: Some(0), ..all().policy };
    let report = repository.prune(&PruneOptions { policy, ..all() }, &mut |_| {}).unwrap();
    assert!(report.copied_bytes == 0 && report.deleted_bytes > 3 << 20, "{report:?}");
    assert!(restore(&open(&store).unwrap(), &kept).unwrap() == noise(2, 3 << 20));
}

/// A session that is open owns what it wrote, and keeps its parent alive, though that was forgotten.
#[test]
fn an_open_session_keeps_its_packs_and_its_parent() {
    let (store, repository) = short_limits();
    let volume = noise(1, 3 << 20);
    let parent = committed(&repository, "db", 1, &volume);
    let source = repository.source_id(&pvc("db"));
    let session =
        repository.begin_backup(source, run_id(2), Some(&parent), BackupOptions::default()).unwrap();
    let chunk = noise(9, 100_000);
    session.put_chunk(&chunk, None).unwrap();
    session.checkpoint().unwrap();
    forget(&repository, &parent);
    let other = open(&store).unwrap();
    let report = prune(&other);
    assert_eq!(report.plan, 0, "there is nothing that may go: {report:?}");
    let reader = repository.open_volume(&parent).unwrap();
    let writer = session.volume_writer(volume.len() as u64, Some(&reader));
    writer.keep_span(0).unwrap();
    let content = writer.finish().unwrap();
    let second = session.commit(draft(pvc("db"), content)).unwrap();
    let repository = open(&store).unwrap();
    prune(&repository);
    assert!(restore(&repository, second.snapshot()).unwrap() == volume);
    sound(&repository);
}

/// What a session found in the index before a plan is carried over for it; afterwards it does not use the old place.
#[test]
fn a_session_that_uses_what_is_being_condemned_is_waited_for() {
    let (store, repository) = short_limits();
    let volume = noise(1, 3 << 20);
    let old = committed(&repository, "db", 1, &volume);
    let source = repository.source_id(&pvc("copy"));
    let session = repository.begin_backup(source, run_id(2), None, BackupOptions::default()).unwrap();
    forget(&repository, &old);
    let pruned = std::thread::scope(|scope| {
        // All of it is found in the index: nothing new is stored.
        let writer = session.volume_writer(volume.len() as u64, None);
        let runs = crate::support::split(&session, &volume);
        assert_eq!(session.stats().new_bytes, 0);
        let prune = scope.spawn(|| prune(&open(&store).unwrap()));
        let report = prune.join().unwrap();
        writer.put_span(0, &runs).unwrap();
        let content = writer.finish().unwrap();
        session.commit(draft(pvc("copy"), content)).unwrap();
        report
    });
    assert!(pruned.deleted_packs > 0 && pruned.copied_bytes > 3 << 20, "{pruned:?}");
    let repository = open(&store).unwrap();
    let copy = repository.find_run(source, run_id(2)).unwrap().unwrap();
    assert!(restore(&repository, &copy).unwrap() == volume);
    prune(&repository);
    sound(&repository);
}

/// A session that was killed is fenced after the silence limit; its run begins again as another attempt.
#[test]
fn a_silent_session_is_fenced_and_its_run_begins_again() {
    let (store, repository) = short_limits();
    let source = repository.source_id(&pvc("db"));
    let volume = noise(1, 2 << 20);
    let kept = committed(&repository, "other", 7, &noise(3, 1 << 20));
    let zombie = open(&store).unwrap();
    let session = zombie.begin_backup(source, run_id(1), None, BackupOptions::default()).unwrap();
    crate::support::split(&session, &volume);
    session.checkpoint().unwrap();
    session.pause_for_tests();
    std::thread::sleep(Duration::from_millis(2500));
    let report = prune_until_done(&store);
    assert!(report.deleted_packs > 0, "what the silent session stored is gone: {report:?}");
    let writer = session.volume_writer(volume.len() as u64, None);
    let content = writer.finish().unwrap();
    assert_eq!(class(session.commit(draft(pvc("db"), content))), Class::Fenced);
    let repository = open(&store).unwrap();
    let again = back_up(&repository, "db", run_id(1), &volume, None).unwrap();
    assert_eq!((again.snapshot().key.attempt, matches!(again, Committed::New(_))), (2, true));
    prune(&repository);
    assert!(restore(&repository, again.snapshot()).unwrap() == volume);
    assert!(restore(&repository, &kept).unwrap() == noise(3, 1 << 20));
    sound(&repository);
}

/// What it builds on can be told no more. Alive it is waited for; dead it is given up, in a plan of its own or in one that is there.
#[test]
fn a_dead_session_whose_parent_is_lost_holds_up_nothing() {
    for has_open_plan in [false, true] {
        let (store, repository) = short_limits();
        let parent = committed(&repository, "db", 1, &noise(1, 1 << 20));
        let nodes = names(&store).into_iter().filter(|name| name.starts_with("meta/")).collect::<Vec<_>>();
        let kept = committed(&repository, "other", 7, &noise(3, 1 << 20));
        let dead = open(&store).unwrap();
        let source = dead.source_id(&pvc("db"));
        let session = dead.begin_backup(source, run_id(2), Some(&parent), BackupOptions::default()).unwrap();
        session.pause_for_tests();
        forget(&repository, &parent);
        let impatient = PruneOptions { patience: Duration::ZERO, ..all() };
        if has_open_plan {
            forget(&repository, &committed(&repository, "third", 8, &noise(4, 1 << 20)));
            let waiting = repository.prune(&impatient, &mut |_| {}).unwrap();
            assert_eq!((waiting.plan, waiting.waiting_sessions), (1, 1));
        }
        nodes.iter().for_each(|name| block_on(store.delete(name)).unwrap());
        let prune = open(&store).unwrap().prune(&impatient, &mut |_| {});
        assert_eq!(class(prune), Class::Store(longshore_repo::store::Class::NotFound), "it is alive");
        std::thread::sleep(Duration::from_millis(2500));
        assert!(prune_until_done(&store).deleted_packs > 0);
        assert!(restore(&open(&store).unwrap(), &kept).unwrap() == noise(3, 1 << 20));
    }
}

/// A session that was fenced and comes back two plans later stops; it does not bring packs that are gone into the index.
#[test]
fn a_session_that_missed_a_plan_gives_up() {
    let (store, repository) = short_limits();
    let source = repository.source_id(&pvc("db"));
    let zombie = open(&store).unwrap();
    let session = zombie.begin_backup(source, run_id(1), None, BackupOptions::default()).unwrap();
    // Packs of 1 MiB: the first is durable, and no segment names it yet.
    let chunks: Vec<_> = (0..20).map(|seed| noise(seed, 100_000)).collect();
    for chunk in &chunks {
        session.put_chunk(chunk, None).unwrap();
    }
    session.pause_for_tests();
    std::thread::sleep(Duration::from_millis(2500));
    prune_until_done(&store);
    forget(&repository, &committed(&repository, "other", 7, &noise(99, 1 << 20)));
    prune(&open(&store).unwrap());
    assert!(!names(&store).contains(&"gc/00000002/plan".to_owned()), "the plan that condemned them is gone");
    session.look_for_tests().unwrap();
    assert_eq!(class(session.put_chunk(&noise(98, 1000), None)), Class::Fenced);
    session.checkpoint().unwrap();
    let repository = open(&store).unwrap();
    let later = repository.begin_backup(source, run_id(5), None, BackupOptions::default()).unwrap();
    later.put_chunk(&chunks[0], None).unwrap();
    assert_eq!(later.stats().new_chunks, 1, "it is not found in a pack that is gone");
}

/// The key of a mover may not delete, in whatever words.
#[test]
fn a_forgotten_run_does_not_come_back() {
    let (_, repository) = small_packs();
    let volume = noise(1, 1 << 20);
    let snapshot = committed(&repository, "db", 1, &volume);
    forget(&repository, &snapshot);
    forget(&repository, &snapshot);
    prune(&repository);
    assert_eq!(class(back_up(&repository, "db", run_id(1), &volume, None)), Class::Forgotten);
}

/// A reader's target stays until it has ended, although it was forgotten.
#[test]
fn a_restore_ends_well_though_its_snapshot_was_forgotten() {
    let (store, repository) = small_packs();
    let volume = noise(1, 3 << 20);
    let snapshot = committed(&repository, "db", 1, &volume);
    let reading = repository.begin_reading(&snapshot).unwrap();
    forget(&repository, &snapshot);
    prune(&open(&store).unwrap());
    assert!(restore(&repository, &snapshot).unwrap() == volume);
    drop(reading);
    assert!(prune(&open(&store).unwrap()).deleted_bytes > 3 << 20);
}

/// A reader that did not announce itself finds what was copied out by its id.
#[test]
fn places_that_are_gone_are_found_by_id() {
    let (store, repository) = small_packs();
    let first = noise(1, 6 << 20);
    let second = scattered_changes(&first);
    let old = committed(&repository, "db", 1, &first);
    let new = committed(&repository, "db", 2, &second);
    let late = open(&store).unwrap();
    assert!(restore(&late, &new).unwrap() == second);
    forget(&repository, &old);
    assert!(prune(&repository).copied_bytes > 0);
    assert!(restore(&late, &new).unwrap() == second, "by an index that was read before the prune");
}

/// Limits of a second or two, so that silence can be waited for.
fn short_limits() -> (Arc<dyn Store>, Repository) {
    let store = longshore_repo::store::memory();
    let limits =
        RepositorySettings { pack_bytes: 1 << 20, silence_limit_seconds: 2, ..RepositorySettings::default() };
    let repository = Repository::init_with(store.clone(), &password(), COST, limits).unwrap();
    (store, repository)
}

/// As `longshore prune` again and again: each run is done or waits.
fn prune_until_done(store: &Arc<dyn Store>) -> PruneReport {
    let mut sum = PruneReport::default();
    for _ in 0..20 {
        let report = prune(&open(store).unwrap());
        sum.deleted_packs += report.deleted_packs;
        if report.plan == 0 {
            return sum;
        }
    }
    panic!("prune never came to an end: {sum:?}");
}

/// What a killed mover stored and no segment names, the next one has stored again. That is waste, and no damage of the index.
#[test]
fn copies_that_no_segment_names_do_not_stop_prune() {
    let (store, _) = small_packs();
    let volume = noise(1, 6 << 20);
    let killed = FaultStore::new(store.clone(), |_, request| {
        let is_segment = request.operation == Operation::Create && request.name.starts_with("idx/");
        is_segment.then_some(Fault::DeadFrom)
    });
    back_up(&Repository::open(killed, &password()).unwrap(), "db", run_id(1), &volume, None).unwrap_err();
    let again = back_up(&open(&store).unwrap(), "db", run_id(1), &volume, None).unwrap();
    let report = prune(&open(&store).unwrap());
    assert!(report.deleted_bytes > 5 << 20 && report.copied_bytes == 0, "{report:?}");
    assert!(restore(&open(&store).unwrap(), again.snapshot()).unwrap() == volume);
}

/// What is lost of a snapshot may lie in packs that a killed mover left. That is no fault of the index, and prune heals it.
#[test]
fn what_was_lost_is_healed_by_what_a_killed_mover_left() {
    let (store, repository) = small_packs();
    let volume = noise(1, 6 << 20);
    let old = committed(&repository, "db", 1, &volume);
    for name in names(&store).into_iter().filter(|name| name.starts_with("data/")) {
        block_on(store.delete(&name)).unwrap();
    }
    open(&store).unwrap().repair_packs(false, Timestamp::UNIX_EPOCH, &mut |_| {}).unwrap();
    let killed = FaultStore::new(store.clone(), |_, request| {
        let is_segment = request.operation == Operation::Create && request.name.starts_with("idx/");
        is_segment.then_some(Fault::DeadFrom)
    });
    back_up(&Repository::open(killed, &password()).unwrap(), "db", run_id(2), &volume, None).unwrap_err();
    back_up(&open(&store).unwrap(), "db", run_id(2), &noise(2, 1 << 20), None).unwrap();
    assert!(restore(&open(&store).unwrap(), &old).is_err());
    let report = prune(&open(&store).unwrap());
    assert!(report.copied_bytes > 5 << 20, "{report:?}");
    assert!(restore(&open(&store).unwrap(), &old).unwrap() == volume);
    sound(&open(&store).unwrap());
}

/// Two movers of one run: one commits, its snapshot is forgotten and pruned, and only then the other one comes to its commit.
#[test]
fn a_mover_whose_run_was_forgotten_meanwhile_is_told_so() {
    let (store, repository) = small_packs();
    let source = repository.source_id(&pvc("db"));
    let late = repository.begin_backup(source, run_id(1), None, BackupOptions::default()).unwrap();
    let snapshot = committed(&open(&store).unwrap(), "db", 1, &noise(1, 1 << 20));
    forget(&open(&store).unwrap(), &snapshot);
    prune(&open(&store).unwrap());
    let content = late.volume_writer(4096, None).finish().unwrap();
    assert_eq!(class(late.commit(draft(pvc("db"), content))), Class::Forgotten);
    prune(&open(&store).unwrap());
    assert!(!names(&store).iter().any(|name| name.starts_with("snap/")), "what it made goes");
}

/// Packs and index segments that are sealed with secrets from before the newest rotation.
fn sealed_before(store: &Arc<dyn Store>, epoch: u32) -> Vec<String> {
    let is_old = |name: &str, body: &[u8]| match name.split_once('/').map(|(first, _)| first) {
        Some("data" | "meta") => PackFooter::decode(body).unwrap().epoch < epoch,
        Some("idx") => SegmentFooter::decode(body).unwrap().epoch < epoch,
        _ => false,
    };
    objects(store).into_iter().filter(|(name, body)| is_old(name, body)).map(|(name, _)| name).collect()
}

#[test]
fn after_a_rotation_everything_can_be_sealed_anew_in_parts() {
    let (store, repository) = small_packs();
    let (first, second) = (noise(1, 6 << 20), noise(2, 1 << 20));
    let old = committed(&repository, "db", 1, &first);
    repository.change_keys(&KeyChange { rotate: true, ..KeyChange::default() }).unwrap();
    let fresh = open(&store).unwrap();
    let new = committed(&fresh, "db", 2, &second);
    let before = sealed_before(&store, 2).len();
    assert!(before > 3);
    assert_eq!(prune(&fresh).plan, 0, "a rotation alone is no reason to copy");
    let policy = PrunePolicy { reseal: true, max_copy_bytes: Some(3 << 20), ..all().policy };
    let options = PruneOptions { policy, ..all() };
    let report = fresh.prune(&options, &mut |_| {}).unwrap();
    assert!(report.copied_bytes > 0 && report.copied_bytes <= 3 << 20, "{report:?}");
    let some = sealed_before(&store, 2).len();
    assert!(some > 0 && some < before, "{some} of {before}");
    for _ in 0..4 {
        fresh.prune(&options, &mut |_| {}).unwrap();
    }
    assert_eq!(sealed_before(&store, 2), [""; 0]);
    for (snapshot, volume) in [(old, first), (new, second)] {
        for repository in [&open(&store).unwrap(), &fresh] {
            assert!(restore(repository, &snapshot).unwrap() == volume);
        }
    }
    sound(&fresh);
}
