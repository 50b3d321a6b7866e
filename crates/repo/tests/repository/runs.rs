//! Runs: committed once, found by what a user or operator knows, resumed by what was stored.

use crate::support::{
    back_up, back_up_with, class, draft, new_repository, noise, open, pvc, restore, run_id, small_packs,
};
use longshore_repo::store::Operation;
use longshore_repo::{BackupOptions, Class, Committed, KubernetesVolume, Repository};
use longshore_testkit::{Fault, FaultStore};

#[test]
fn two_movers_of_one_run_commit_once() {
    let (store, _) = new_repository();
    let volumes = [noise(1, 1 << 20), noise(2, 1 << 20)];
    let results: Vec<Committed> = std::thread::scope(|scope| {
        let mover = |volume: &'static [u8]| {
            let store = store.clone();
            move || back_up(&open(&store).unwrap(), "db", run_id(7), volume, None).unwrap()
        };
        let handles: Vec<_> = volumes
            .iter()
            .map(|volume| scope.spawn(mover(Box::leak(volume.clone().into_boxed_slice()))))
            .collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    let new = results.iter().filter(|result| matches!(result, Committed::New(_))).count();
    assert_eq!(new, 1);
    assert_eq!(results[0].snapshot(), results[1].snapshot());
    let repository = open(&store).unwrap();
    assert_eq!(repository.snapshots().unwrap().len(), 1);
    let restored = restore(&repository, results[0].snapshot()).unwrap();
    assert!(volumes.contains(&restored), "one of the two, whole");
}

#[test]
fn a_run_that_has_committed_is_found_and_only_reported() {
    let (_, repository) = new_repository();
    let source = repository.source_id(&pvc("db"));
    assert_eq!(repository.find_run(source, run_id(1)).unwrap(), None);
    let committed = back_up(&repository, "db", run_id(1), &noise(1, 1 << 20), None).unwrap();
    assert_eq!(repository.find_run(source, run_id(1)).unwrap().as_ref(), Some(committed.snapshot()));
    assert_eq!(repository.find_run(repository.source_id(&pvc("other")), run_id(1)).unwrap(), None);
    let again = back_up(&repository, "db", run_id(1), &noise(9, 1 << 20), None).unwrap();
    assert_eq!(again, Committed::AlreadyCommitted(committed.snapshot().clone()));
}

#[test]
fn snapshots_are_found_by_id_prefix_and_latest() {
    let (_, repository) = new_repository();
    assert_eq!(class(repository.resolve("latest")), Class::SnapshotNotFound);
    let runs = [0xaaaa_0000_0000_0000_0000_0000_0000_0001u128, 0xaaab_0000_0000_0000_0000_0000_0000_0002];
    for (number, run) in runs.into_iter().enumerate() {
        let identity = pvc("db");
        let source = repository.source_id(&identity);
        let session = repository.begin_backup(source, run_id(run), None, BackupOptions::default()).unwrap();
        let content = session.volume_writer(4096, None).finish().unwrap();
        let mut draft = draft(identity, content);
        draft.finished_at = jiff::Timestamp::from_second(100 - number as i64).unwrap();
        draft.kubernetes = Some(KubernetesVolume { pvc_name: "db".into(), ..KubernetesVolume::default() });
        session.commit(draft).unwrap();
    }
    let id = |wanted: &str| repository.resolve(wanted).unwrap().id();
    assert_eq!(id("latest"), run_id(runs[0]), "the one that finished last");
    assert_eq!(id("aaab"), run_id(runs[1]));
    assert_eq!(id("AAAA0000-00"), run_id(runs[0]));
    assert_eq!(id(&run_id(runs[1]).to_string()), run_id(runs[1]));
    assert_eq!(class(repository.resolve("aaa")), Class::SnapshotNotFound);
    assert_eq!(class(repository.resolve("b")), Class::SnapshotNotFound);
    assert_eq!(class(repository.resolve("")), Class::SnapshotNotFound);
    assert_eq!(repository.snapshots().unwrap()[0].record.kubernetes.as_ref().unwrap().pvc_name, "db");
    assert_eq!(
        repository.latest_of(repository.source_id(&pvc("db"))).unwrap().unwrap().id(),
        run_id(runs[0])
    );
}

#[test]
fn an_incomplete_snapshot_is_no_parent() {
    let (_, repository) = new_repository();
    let source = repository.source_id(&pvc("db"));
    let session = repository.begin_backup(source, run_id(1), None, BackupOptions::default()).unwrap();
    let content = session.volume_writer(4096, None).finish().unwrap();
    session.commit(longshore_repo::SnapshotDraft { incomplete: true, ..draft(pvc("db"), content) }).unwrap();
    assert_eq!(repository.latest_of(source).unwrap(), None);
    assert_eq!(repository.snapshots().unwrap().len(), 1);
}

/// Invariant 8: what a killed run stored up to its last checkpoint is not uploaded again.
#[test]
fn a_killed_run_resumes_by_what_it_stored() {
    let (store, repository) = small_packs();
    drop(repository);
    let volume = noise(4, 16 << 20);
    let options = BackupOptions { index_after_bytes: 2 << 20, ..BackupOptions::default() };
    // Killed after the third index segment.
    let segments = std::sync::atomic::AtomicU64::new(0);
    let killed = FaultStore::new(store.clone(), move |_, request| {
        let is_segment = request.operation == Operation::Create && request.name.starts_with("idx/");
        let number =
            if is_segment { segments.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1 } else { 0 };
        (number == 3).then_some(Fault::DeadAfter)
    });
    let repository = Repository::open(killed, &crate::support::password()).unwrap();
    back_up_with(&repository, "db", run_id(1), &volume, None, options, 2).unwrap_err();
    drop(repository);
    let repository = open(&store).unwrap();
    let committed = back_up_with(&repository, "db", run_id(1), &volume, None, options, 2).unwrap();
    let stats = committed.snapshot().record.stats;
    assert!(stats.new_bytes <= 10 << 20, "6 of 16 MiB were findable: {stats:?}");
    assert!(restore(&repository, committed.snapshot()).unwrap() == volume);
}

#[test]
fn a_session_commits_only_its_own_source() {
    let (_, repository) = new_repository();
    let session = repository
        .begin_backup(repository.source_id(&pvc("one")), run_id(1), None, BackupOptions::default())
        .unwrap();
    let content = session.volume_writer(4096, None).finish().unwrap();
    assert_eq!(class(session.commit(draft(pvc("two"), content))), Class::Misuse);
}

#[test]
fn a_failed_upload_fails_the_session_with_its_reason() {
    let (store, repository) = small_packs();
    drop(repository);
    let full = FaultStore::new(store, |_, request| {
        let is_pack = request.operation == Operation::Create && request.name.starts_with("data/");
        is_pack.then_some(Fault::FailBefore(longshore_repo::store::Class::Full))
    });
    let repository = Repository::open(full, &crate::support::password()).unwrap();
    let failure = class(back_up(&repository, "db", run_id(1), &noise(1, 8 << 20), None));
    assert_eq!(failure, Class::Store(longshore_repo::store::Class::Full));
    assert_eq!(repository.snapshots().unwrap(), []);
}
