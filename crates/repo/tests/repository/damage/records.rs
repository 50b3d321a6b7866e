//! Damaged records, and snapshots that are written again without what is lost.

use super::{
    SOURCES, check, comes_back, delete, flip, prune_all, repair_packs, replace, scene, snapshot, with,
};
use crate::support::{back_up, class, noise, objects, open, pvc, restore, run_id, small_packs};
use jiff::Timestamp;
use longshore_repo::{
    BackupOptions, Class, Entry, EntryContent, EntryKind, Loss, PruneOptions, Repository, Run, Time,
};

#[test]
fn a_damaged_record_is_named_the_others_are_listed_and_prune_waits_for_a_word() {
    let scene = scene();
    let record = scene.of_first("snap/").remove(0);
    let store = with(&scene.objects, &record, Some(flip(&scene.objects[&record], 100)));
    let repository = open(&store).unwrap();
    let list = repository.list_snapshots().unwrap();
    assert_eq!((list.snapshots.len(), list.damaged.len()), (1, 1));
    assert_eq!(list.damaged[0].object, record);
    assert_eq!(class(repository.resolve("latest")), Class::Corrupt, "it may be the newest");
    assert!(comes_back(&store, 2, &scene.volumes[1]));
    let before = objects(&store);
    let prune = |repository: &Repository| repository.prune(&PruneOptions::default(), &mut |_| {});
    let error = prune(&repository).unwrap_err();
    assert!(error.to_string().contains(&record), "{error}");
    assert_eq!(objects(&store).len(), before.len(), "nothing was deleted");
    // By name, knowing what that means.
    let damaged = repository.resolve_damaged(&run_id(1).to_string()).unwrap().unwrap();
    repository.forget_key(damaged.key, "by name", Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(repository.list_snapshots().unwrap().damaged, []);
    assert_eq!(repository.resolve("latest").unwrap().id(), run_id(2));
    assert!(prune_all(&store).deleted_packs > 0);
    assert!(!objects(&store).contains_key(&record));
    assert_eq!(check(&store, true).problems, []);
    assert!(comes_back(&store, 2, &scene.volumes[1]));
}

/// A run has one snapshot: what is unreadable at another attempt of it can only have been a fence.
#[test]
fn a_damaged_fence_beside_its_runs_snapshot_harms_nothing() {
    let scene = scene();
    let record = scene.of_first("snap/").remove(0);
    let stray = record.replace("/0001", "/0002");
    let store = with(&scene.objects, &stray, Some(flip(&scene.objects[&record], 100)));
    assert_eq!(open(&store).unwrap().list_snapshots().unwrap().damaged, []);
    assert!(check(&store, false).problems.iter().any(|problem| problem.object == stray));
    prune_all(&store);
    assert!(comes_back(&store, 1, &scene.volumes[0]));
}

#[test]
fn a_damaged_tombstone_forgets_nothing_and_forgetting_again_mends_it() {
    let scene = scene();
    let store = crate::support::store_of(&scene.objects);
    let repository = open(&store).unwrap();
    let first = snapshot(&repository, 1);
    repository.forget(&first, "test", Timestamp::UNIX_EPOCH).unwrap();
    let tombstone = objects(&store).into_keys().find(|name| name.starts_with("forget/")).unwrap();
    let body = objects(&store)[&tombstone].clone();
    replace(&store, &tombstone, flip(&body, 90));
    let list = repository.list_snapshots().unwrap();
    assert_eq!((list.snapshots.len(), list.damaged.len()), (2, 1));
    assert!(repository.prune(&PruneOptions::default(), &mut |_| {}).is_err());
    repository.forget(&first, "test", Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(repository.snapshots().unwrap().len(), 1);
    prune_all(&store);
    assert_eq!(check(&store, true).problems, []);
}

#[test]
fn a_volume_is_written_again_with_zeros_where_it_is_lost() {
    let scene = scene();
    let pack = scene.of_first("data/").remove(0);
    let body = &scene.objects[&pack];
    let store = with(&scene.objects, &pack, Some(flip(body, body.len() / 2)));
    repair_packs(&store);
    let repository = open(&store).unwrap();
    let losses = repository.losses(repository.snapshots().unwrap()).unwrap();
    assert_eq!(losses.len(), 1);
    let repaired = repository.repair_snapshot(&losses[0], run_id(7)).unwrap();
    assert!(repaired.record.incomplete);
    assert_eq!(repaired.record.labels["longshore/repaired-from"], run_id(1).to_string());
    let mut expected = scene.volumes[0].clone();
    let Loss::Range { offset_bytes, length_bytes } = losses[0].first[0] else { panic!("{losses:?}") };
    expected[offset_bytes as usize..(offset_bytes + length_bytes) as usize].fill(0);
    assert!(restore(&open(&store).unwrap(), &repaired).unwrap() == expected);
    assert_eq!(snapshot(&repository, 1).key, losses[0].snapshot.key, "the old one stays");
    assert_eq!(class(restore(&repository, &losses[0].snapshot)), Class::Corrupt);
    repository.forget(&losses[0].snapshot, "repaired", Timestamp::UNIX_EPOCH).unwrap();
    assert_eq!(prune_all(&store).spared_packs, 0);
    assert_eq!(check(&store, true).problems, []);
    assert!(restore(&open(&store).unwrap(), &repaired).unwrap() == expected);
    assert!(comes_back(&store, 2, &scene.volumes[1]));
}

/// When a node is lost nobody knows what was under it: prune must not go on as if it had been nothing.
#[test]
fn prune_deletes_nothing_while_a_node_is_lost_and_goes_on_after_the_repair() {
    let scene = scene();
    let pack = scene.of_first("meta/").remove(0);
    let store = with(&scene.objects, &pack, None);
    let repository = open(&store).unwrap();
    assert!(repository.prune(&PruneOptions::default(), &mut |_| {}).is_err());
    repair_packs(&store);
    assert!(open(&store).unwrap().prune(&PruneOptions::default(), &mut |_| {}).is_err());
    let repository = open(&store).unwrap();
    let losses = repository.losses(repository.snapshots().unwrap()).unwrap();
    assert_eq!(losses[0].lost_bytes, 3 << 20);
    repository.forget(&losses[0].snapshot, "lost", Timestamp::UNIX_EPOCH).unwrap();
    prune_all(&store);
    assert_eq!(check(&store, true).problems, []);
    assert!(comes_back(&store, 2, &scene.volumes[1]));
}

fn entry(name: &str, kind: EntryKind, size_bytes: u64, content: EntryContent) -> Entry {
    let time = Time { seconds: 0, nanoseconds: 0 };
    Entry {
        name: name.into(),
        kind,
        mode: 0o644,
        uid: 0,
        gid: 0,
        size_bytes,
        modified: time,
        changed: time,
        accessed: None,
        inode: 1,
        device: 1,
        links: 1,
        device_node: 0,
        hard_link_group: 0,
        xattrs: Vec::new(),
        content,
    }
}

#[test]
fn a_tree_is_written_again_without_the_files_that_are_lost() {
    let (store, repository) = small_packs();
    let source = repository.source_id(&pvc("tree"));
    let session = repository.begin_backup(source, run_id(1), None, BackupOptions::default()).unwrap();
    let mut folder = session.directory();
    for number in 0..8 {
        let bytes = noise(number, 300_000);
        let mut file = session.file();
        file.push(Run::Chunk(session.put_chunk(&bytes, None).unwrap())).unwrap();
        folder
            .push(entry(&format!("file {number}"), EntryKind::File, 300_000, file.finish().unwrap()))
            .unwrap();
    }
    let folder = EntryContent::Directory(folder.finish().unwrap());
    let mut top = session.directory();
    top.push(entry("folder", EntryKind::Directory, 0, folder)).unwrap();
    let top = EntryContent::Directory(top.finish().unwrap());
    let content = session.finish_tree(entry("", EntryKind::Directory, 0, top), 2_400_000).unwrap();
    session.commit(crate::support::draft(pvc("tree"), content)).unwrap();
    let pack = objects(&store).into_keys().find(|name| name.starts_with("data/")).unwrap();
    delete(&store, &pack);
    let repair = repair_packs(&store);
    let repository = open(&store).unwrap();
    let losses = repository.losses(repository.snapshots().unwrap()).unwrap().remove(0);
    assert_eq!(losses.count, repair.damaged[0].lost.len() as u64);
    let lost: Vec<Vec<u8>> = losses
        .first
        .iter()
        .map(|loss| match loss {
            Loss::File(path) => path.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(lost[0].starts_with(b"folder/file "), "{losses:?}");
    let repaired = repository.repair_snapshot(&losses, run_id(2)).unwrap();
    let tree = repository.open_tree(&repaired).unwrap();
    let only = |content: &EntryContent| match content {
        EntryContent::Directory(node) => tree.directory(node).map(Result::unwrap).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let kept = only(&only(&tree.root().unwrap().content)[0].content);
    assert_eq!(kept.len() + lost.len(), 8);
    assert_eq!(repaired.record.content.size_bytes(), 300_000 * kept.len() as u64);
    assert_eq!(repository.losses(vec![repaired]).unwrap(), []);
    let _ = back_up(&repository, SOURCES[0], run_id(3), &noise(50, 100_000), None).unwrap();
}
