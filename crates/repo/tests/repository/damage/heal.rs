//! The road from a damaged pack to a sound repository, step by step.

use super::{
    SOURCES, check, comes_back, delete, flip, named, prune_all, repair_packs, scene, snapshot, with,
};
use crate::support::{
    back_up, block_on, class, draft, noise, objects, open, password, pvc, restore, run_id, small_packs,
    split, store_of,
};
use jiff::Timestamp;
use longshore_format::pack::{FOOTER_BYTES, PackFooter};
use longshore_repo::{
    BackupOptions, Class, Credential, KeyChange, KeyHolder, Loss, PruneOptions, Repository, Role, Secret,
    store::Store,
};
use longshore_testkit::{Fault, FaultStore};
use std::{sync::Arc, time::Duration};

/// Breaks one frame in the middle of a data pack of the first volume.
fn broken() -> (super::Scene, Arc<dyn Store>, String) {
    let scene = scene();
    let largest = scene.of_first("data/").into_iter().max_by_key(|name| scene.objects[name].len());
    let pack = largest.unwrap();
    let body = &scene.objects[&pack];
    let store = with(&scene.objects, &pack, Some(flip(body, body.len() / 2)));
    (scene, store, pack)
}

#[test]
fn a_damaged_pack_is_reported_its_good_frames_are_saved_and_the_snapshot_is_named() {
    let (scene, store, pack) = broken();
    let before = check(&store, true);
    assert_eq!(named(&before)[0], pack);
    assert_eq!(before.losses.len(), 1, "{:?}", before.losses);
    let losses = &before.losses[0];
    assert_eq!((losses.snapshot.id(), losses.count), (run_id(1), 1));
    assert!(matches!(losses.first[0], Loss::Range { length_bytes: 1.., .. }));
    let dry = open(&store).unwrap().repair_packs(true, Timestamp::UNIX_EPOCH, &mut |_| {}).unwrap();
    assert!(!objects(&store).keys().any(|name| name.starts_with("bad/")), "a dry run writes nothing");
    assert_eq!((dry.damaged.len(), dry.losses.len()), (1, 1));
    let repair = repair_packs(&store);
    assert_eq!(repair.damaged.len(), 1);
    let damaged = &repair.damaged[0];
    assert_eq!((damaged.object.as_str(), damaged.lost.len()), (pack.as_str(), 1));
    assert!(damaged.frames > 3 && repair.saved_bytes > 300_000, "{repair:?}");
    assert_eq!(repair.losses, before.losses);
    // A report makes the structural check see what only reading found before.
    let after = check(&store, false);
    assert_eq!((after.quarantined_packs, after.losses.len()), (1, 1));
    assert!(comes_back(&store, 2, &scene.volumes[1]) && !comes_back(&store, 1, &scene.volumes[0]));
    assert_eq!(repair_packs(&store).saved_bytes, 0, "a second repair saves nothing again");
}

/// The frames of a pack are named by the index too: one flipped bit in its trailer costs nothing.
#[test]
fn a_pack_whose_trailer_is_damaged_is_saved_by_what_the_index_says() {
    let (scene, _, pack) = broken();
    let body = &scene.objects[&pack];
    let footer = PackFooter::decode(body).unwrap();
    let store = with(&scene.objects, &pack, Some(flip(body, footer.trailer_offset_bytes as usize + 5)));
    let repair = repair_packs(&store);
    let damaged = &repair.damaged[0];
    assert_eq!(
        (damaged.object.as_str(), &damaged.lost[..], &repair.losses[..]),
        (pack.as_str(), &[][..], &[][..])
    );
    assert!(damaged.frames > 3 && repair.saved_bytes > 500_000, "{repair:?}");
    assert_eq!(repair_packs(&store).saved_bytes, 0, "a second repair saves nothing again");
    assert_eq!(check(&store, true).problems, []);
    let pruned = prune_all(&store);
    assert!(pruned.spared_packs == 0 && !objects(&store).contains_key(&pack), "{pruned:?}");
    for (run, volume) in [(1, &scene.volumes[0]), (2, &scene.volumes[1])] {
        assert!(comes_back(&store, run, volume));
    }
}

#[test]
fn the_next_backup_heals_the_old_snapshot_and_prune_removes_the_pack() {
    let (scene, store, pack) = broken();
    repair_packs(&store);
    let repository = open(&store).unwrap();
    let parent = snapshot(&repository, 1);
    let healed = back_up(&repository, SOURCES[0], run_id(3), &scene.volumes[0], Some(&parent)).unwrap();
    assert_eq!(
        healed.snapshot().record.stats.new_chunks,
        1,
        "what was lost is stored again, and nothing else"
    );
    assert!(restore(&open(&store).unwrap(), healed.snapshot()).unwrap() == scene.volumes[0]);
    assert!(comes_back(&store, 1, &scene.volumes[0]), "the old snapshot finds the new copy by its id");
    assert_eq!(check(&store, true).problems, [], "what is quarantined and not needed is no problem");
    let pruned = prune_all(&store);
    assert!(pruned.deleted_packs >= 1 && pruned.spared_packs == 0, "{pruned:?}");
    let left = objects(&store);
    assert!(!left.contains_key(&pack) && !left.keys().any(|name| name.starts_with("bad/")));
    assert_eq!(check(&store, true).problems, []);
    for run in [1, 3] {
        assert!(comes_back(&store, run, &scene.volumes[0]));
    }
    assert!(comes_back(&store, 2, &scene.volumes[1]));
}

/// Nothing of a damaged pack may be lost by pruning it: not its good frames, and not the pack while a snapshot needs more.
#[test]
fn prune_spares_a_damaged_pack_that_is_still_needed_and_loses_no_good_frame() {
    let (scene, store, pack) = broken();
    let lost = check(&store, true).losses;
    repair_packs(&store);
    let pruned = prune_all(&store);
    assert_eq!(pruned.spared_packs, 1, "{pruned:?}");
    let left = objects(&store);
    assert!(left.contains_key(&pack) && left.keys().any(|name| name.starts_with("bad/")));
    assert_eq!(check(&store, false).losses, lost, "no more is lost than was");
    assert!(comes_back(&store, 2, &scene.volumes[1]));
    let repository = open(&store).unwrap();
    back_up(&repository, SOURCES[0], run_id(3), &scene.volumes[0], None).unwrap();
    assert!(comes_back(&store, 1, &scene.volumes[0]), "healed after the prune as well");
    let pruned = prune_all(&store);
    assert_eq!(pruned.spared_packs, 0, "{pruned:?}");
    assert!(!objects(&store).contains_key(&pack));
    assert_eq!(check(&store, true).problems, []);
}

/// Without a report: prune alone copies the good frames of a pack that it empties, and leaves the rest where it is.
#[test]
fn a_missing_pack_is_reported_and_healed_by_the_next_backup() {
    for kind in ["data/", "meta/"] {
        let scene = scene();
        let pack = scene.of_first(kind).remove(0);
        let store = with(&scene.objects, &pack, None);
        let repair = repair_packs(&store);
        assert_eq!(repair.damaged.len(), 1, "{kind}");
        assert!(repair.damaged[0].object == pack && !repair.damaged[0].lost.is_empty(), "{repair:?}");
        assert_eq!(repair.losses.len(), 1, "{kind}");
        let repository = open(&store).unwrap();
        let parent = snapshot(&repository, 1);
        // As a mover does: what of the parent's map cannot be read is no help.
        let parent = (kind == "data/").then_some(&parent);
        back_up(&repository, SOURCES[0], run_id(3), &scene.volumes[0], parent).unwrap();
        for run in [1, 3] {
            assert!(comes_back(&store, run, &scene.volumes[0]), "{kind} {run}");
        }
        assert_eq!(check(&store, true).problems, [], "{kind}");
        prune_all(&store);
        assert_eq!(check(&store, true).problems, [], "{kind}");
        assert_eq!(prune_all(&store).plan, 0, "a report of what is gone makes no work for ever");
        assert!(comes_back(&store, 1, &scene.volumes[0]) && comes_back(&store, 2, &scene.volumes[1]));
    }
}

/// A flipped bit in the epoch of a footer or head is damage, and no rotation.
#[test]
fn an_epoch_that_does_not_exist_is_damage() {
    for (prefix, bit) in [("data/", 1), ("data/", 8), ("meta/", 24), ("idx/", 9), ("snap/", 1)] {
        let scene = scene();
        let name = scene.of_first(prefix).remove(0);
        let mut body = scene.objects[&name].to_vec();
        // The epoch stands at byte 8 of a record's head, and of the footer that ends everything else.
        let head = if prefix == "snap/" { 0 } else { body.len() - FOOTER_BYTES };
        body[head + 8 + bit / 8] ^= 1 << (bit % 8);
        let store = with(&scene.objects, &name, Some(body.into()));
        let report = check(&store, true);
        assert!(named(&report).contains(&name), "{name}: {:?}", report.problems);
        assert!(comes_back(&store, 2, &scene.volumes[1]), "{name}");
        let damaged = repair_packs(&store).damaged;
        assert_eq!(damaged.len(), usize::from(prefix == "data/" || prefix == "meta/"), "{name}");
    }
}

/// A plan that waits for a session has condemned packs that the session's snapshot needs by now. One of them is gone.
#[test]
fn a_missing_pack_that_was_condemned_is_missed_all_the_same() {
    let (store, repository) = small_packs();
    let volume = noise(1, 400_000);
    let old = back_up(&repository, "db", run_id(1), &volume, None).unwrap();
    let source = repository.source_id(&pvc("copy"));
    let session = repository.begin_backup(source, run_id(2), None, BackupOptions::default()).unwrap();
    let writer = session.volume_writer(volume.len() as u64, None);
    let runs = split(&session, &volume);
    repository.forget(old.snapshot(), "test", Timestamp::UNIX_EPOCH).unwrap();
    let impatient = PruneOptions { patience: Duration::ZERO, ..PruneOptions::default() };
    let pruned = open(&store).unwrap().prune(&impatient, &mut |_| {}).unwrap();
    assert_eq!((pruned.plan, pruned.waiting_sessions), (1, 1));
    writer.put_span(0, &runs).unwrap();
    let content = writer.finish().unwrap();
    session.commit(draft(pvc("copy"), content)).unwrap();
    let pack = objects(&store).into_keys().find(|name| name.starts_with("data/")).unwrap();
    delete(&store, &pack);
    let repair = repair_packs(&store);
    assert_eq!(repair.losses.iter().map(|lost| lost.snapshot.id()).collect::<Vec<_>>(), [run_id(2)]);
    let repository = open(&store).unwrap();
    let parent = snapshot(&repository, 2);
    back_up(&repository, "copy", run_id(3), &volume, Some(&parent)).unwrap();
    for run in [2, 3] {
        assert!(comes_back(&store, run, &volume), "{run}");
    }
}

/// Its nodes are still read by their hints. The index, made again from trailers, does not know the pack.
#[test]
fn a_pack_of_nodes_of_which_nothing_is_known_stays_as_long_as_hints_name_it() {
    let scene = scene();
    let pack = scene.of_first("meta/").remove(0);
    let body = &scene.objects[&pack];
    let trailer = PackFooter::decode(body).unwrap().trailer_offset_bytes as usize;
    let store = with(&scene.objects, &pack, Some(flip(body, trailer + 5)));
    scene.objects.keys().filter(|name| name.starts_with("idx/")).for_each(|name| delete(&store, name));
    open(&store).unwrap().rebuild_index().unwrap();
    assert_eq!(repair_packs(&store).damaged[0].frames, 0, "nothing says what it held");
    assert!(comes_back(&store, 1, &scene.volumes[0]));
    prune_all(&store);
    assert!(objects(&store).contains_key(&pack) && comes_back(&store, 1, &scene.volumes[0]));
    let repository = open(&store).unwrap();
    repository.forget(&snapshot(&repository, 1), "test", Timestamp::UNIX_EPOCH).unwrap();
    prune_all(&store);
    assert!(!objects(&store).contains_key(&pack), "no hint names it any more");
}

/// What a killed mover left, with a trailer that cannot be read: nothing says what it held, so it goes when nothing is missed.
#[test]
fn a_pack_of_which_nothing_is_known_goes_when_snapshots_miss_nothing() {
    let (scene, store, pack) = broken();
    let stray = "data/ab/".to_owned() + &"ab".repeat(32);
    let put = |store: &Arc<dyn Store>| {
        block_on(store.create(&stray, scene.objects[&pack].slice(..50_000))).unwrap();
        let repair = repair_packs(store);
        assert!(repair.damaged.iter().any(|damaged| damaged.object == stray && damaged.frames == 0));
    };
    put(&store);
    assert!(
        prune_all(&store).spared_packs > 0 && objects(&store).contains_key(&stray),
        "a snapshot misses something"
    );
    let sound = store_of(&scene.objects);
    put(&sound);
    assert_eq!(prune_all(&sound).spared_packs, 0);
    let left = objects(&sound);
    assert!(!left.contains_key(&stray) && !left.keys().any(|name| name.starts_with("bad/")));
    assert_eq!(check(&sound, true).problems, []);
}

#[test]
fn a_repair_killed_at_any_request_loses_no_more_and_can_be_repeated() {
    let (scene, store, _) = broken();
    let (damaged, lost) = (objects(&store), check(&store, true).losses);
    for number in 0.. {
        let store = store_of(&damaged);
        let dying = FaultStore::new(store.clone(), move |at, _| (at == number).then_some(Fault::DeadAfter));
        let is_whole = Repository::open(dying, &password())
            .and_then(|opened| opened.repair_packs(false, Timestamp::UNIX_EPOCH, &mut |_| {}))
            .is_ok();
        assert_eq!(repair_packs(&store).losses, lost, "killed at {number}");
        assert!(comes_back(&store, 2, &scene.volumes[1]), "killed at {number}");
        if is_whole {
            assert!(number > 20, "{number} requests");
            return;
        }
    }
}

/// A span that is kept from the parent, without reading it, is kept only if nothing of it is lost.
#[test]
fn a_span_with_something_lost_is_not_kept_from_the_parent() {
    let (_, store, _) = broken();
    let keep = |repository: &Repository, run| {
        let parent = snapshot(repository, run);
        let reader = repository.open_volume(&parent).unwrap();
        let session = repository
            .begin_backup(parent.key.source, run_id(9), Some(&parent), BackupOptions::default())
            .unwrap();
        let kept = session.volume_writer(3 << 20, Some(&reader)).keep_span(0).unwrap();
        session.abandon().unwrap();
        kept
    };
    assert!(keep(&open(&store).unwrap(), 1), "nobody knows yet");
    repair_packs(&store);
    let repository = open(&store).unwrap();
    assert!(!keep(&repository, 1));
    assert!(keep(&repository, 2));
}

/// The copy that a reader tries first may be bad, and the second too.
#[test]
fn a_reader_tries_every_copy() {
    let (store, repository) = small_packs();
    let volume = noise(5, 400_000);
    let mut packs: Vec<Vec<String>> = Vec::new();
    for number in 1..=3 {
        // Each from a process that does not know the index, as when they race.
        let before = objects(&store);
        let mut without = before.clone();
        without.retain(|name, _| !name.starts_with("idx/"));
        let racing = store_of(&without);
        back_up(&open(&racing).unwrap(), SOURCES[0], run_id(number), &volume, None).unwrap();
        for (name, body) in objects(&racing) {
            if !before.contains_key(&name) {
                block_on(store.create(&name, body)).unwrap();
            }
        }
        let new = objects(&store)
            .into_keys()
            .filter(|name| name.starts_with("data/") && !before.contains_key(name));
        packs.push(new.collect());
    }
    drop(repository);
    for number in [0, 2] {
        packs[number].iter().for_each(|name| delete(&store, name));
    }
    for run in 1..=3 {
        assert!(comes_back(&store, run, &volume), "run {run}");
    }
}

#[test]
fn only_maintenance_may_repair_and_its_report_alone_counts() {
    let (scene, store, pack) = broken();
    let mover = Secret::from("mover");
    let add = longshore_repo::AddedKey {
        holder: KeyHolder::Credential(Credential::from(&mover)),
        role: Role::Mover,
        label: String::new(),
        cost: crate::support::COST,
    };
    open(&store).unwrap().change_keys(&KeyChange { add: Some(add), remove: None, rotate: false }).unwrap();
    let by_mover = Repository::open(store.clone(), &mover).unwrap();
    assert_eq!(class(by_mover.repair_packs(false, Timestamp::UNIX_EPOCH, &mut |_| {})), Class::NoAuthority);
    assert_eq!(by_mover.repair_packs(true, Timestamp::UNIX_EPOCH, &mut |_| {}).unwrap().damaged.len(), 1);
    // What a stranger puts at a report's name quarantines nothing, and does not keep maintenance from reporting.
    let sound = scene.of_first("data/").into_iter().find(|name| *name != pack).unwrap();
    for name in [&sound, &pack] {
        let report = format!("bad/{}", name.rsplit('/').next().unwrap());
        let record = scene.objects[&scene.of_first("snap/")[0]].clone();
        block_on(store.create(&report, record)).unwrap();
    }
    let report = check(&store, false);
    assert_eq!((report.quarantined_packs, named(&report).len()), (0, 2), "{:?}", report.problems);
    repair_packs(&store);
    assert_eq!(check(&store, false).quarantined_packs, 1);
}
