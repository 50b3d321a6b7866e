//! Every kind of object, damaged in every way: what a check says, and what still comes back.

use super::{Objects, SOURCES, check, comes_back, flip, named, prune_all, repair_packs, with};
use crate::support::{COST, back_up, block_on, noise, objects, open, password, pvc, run_id, split, store_of};
use bytes::Bytes;
use jiff::Timestamp;
use longshore_repo::{
    AddedKey, BackupOptions, CheckOptions, Credential, KeyChange, KeyHolder, PruneOptions, Repository,
    RepositorySettings, Role, SPAN_BYTES, Secret,
    store::{Store, memory},
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// What a check can say of damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// It names the object, or opening fails for it.
    Named,
    /// It names something else, which is said here.
    Elsewhere(&'static str),
    /// Packs that no segment lists are counted; `repair index` lists them again.
    Unindexed,
    /// It cannot, and why.
    Not(&'static str),
}

const ROLLBACK: &str = "a state without it is one that the store was in; only an anchor tells";
const OVER: &str = "what is not there needs nothing; prune would at worst end or keep a session";

/// What a check says when an object of this name is gone.
fn when_deleted(name: &str) -> Seen {
    let starts = |prefix: &str| name.starts_with(prefix);
    match () {
        () if name == "repo" || starts("keys/") || starts("data/") => Seen::Named,
        () if starts("keyset/") || starts("config/") => Seen::Not(ROLLBACK),
        () if starts("meta/") => Seen::Named,
        () if starts("idx/1/") => Seen::Elsewhere("idx/"),
        () if starts("idx/0/") => Seen::Unindexed,
        () if name.ends_with("/result") => Seen::Unindexed,
        () if starts("bad/") => Seen::Elsewhere("data/"),
        () if starts("sess/") => Seen::Not(OVER),
        () => Seen::Not(ROLLBACK),
    }
}

/// Ways to damage an object's bytes; the word says which.
fn damages(all: &Objects, name: &str) -> Vec<(String, Bytes)> {
    let body = &all[name];
    let mut out = Vec::new();
    for part in [0, 2, 4, 7, 8] {
        let at = (body.len() * part / 8).min(body.len() - 1);
        out.push((format!("flipped at {at}"), flip(body, at)));
    }
    out.push(("truncated".to_owned(), body.slice(..body.len() / 2)));
    out.push(("one byte short".to_owned(), body.slice(..body.len() - 1)));
    out.push(("emptied".to_owned(), Bytes::new()));
    // Another of its kind: of another run, pack or revision, so also what stood elsewhere before.
    for other in all.keys().filter(|other| *other != name && kind(other) == kind(name)).take(2) {
        out.push((format!("swapped with {other}"), all[other].clone()));
    }
    out
}

/// The kind of object that stands at a name: its first part, and the last word of what has one.
fn kind(name: &str) -> String {
    let first = name.split('/').next().unwrap_or_default();
    let word = name.split('/').find(|part| {
        ["open", "ready", "beat", "progress", "seen", "end", "plan", "result", "clock"].contains(part)
    });
    match (first, word) {
        ("idx", _) => name[..5].to_owned(),
        (first, Some(word)) => format!("{first}/{word}"),
        (first, None) => first.to_owned(),
    }
}

/// A repository that holds every kind of object. Sessions are left as a kill leaves them.
struct Everything {
    objects: Objects,
    volumes: [Vec<u8>; 2],
    /// What the snapshot of run 1 needs, and that of run 2 does not.
    first: BTreeSet<String>,
    /// A pack that is damaged, reported, and not needed any more.
    quarantined: String,
}

fn forget(store: &Arc<dyn Store>, run: u128) {
    let repository = open(store).unwrap();
    let snapshot = repository.resolve(&run_id(run).to_string()).unwrap();
    repository.forget(&snapshot, "test", Timestamp::UNIX_EPOCH).unwrap();
}

fn impatient(store: &Arc<dyn Store>) {
    let options = PruneOptions { patience: Duration::ZERO, ..PruneOptions::default() };
    open(store).unwrap().prune(&options, &mut |_| {}).unwrap();
}

/// One more key, and a second epoch with its configuration.
fn another_key(repository: &Repository) {
    let holder = KeyHolder::Credential(Credential::from(&Secret::from("another")));
    let add = Some(AddedKey { holder, role: Role::Mover, label: String::new(), cost: COST });
    repository.change_keys(&KeyChange { add, remove: None, rotate: true }).unwrap();
}

fn everything() -> Everything {
    let store = memory();
    let limits =
        RepositorySettings { pack_bytes: 1 << 20, silence_limit_seconds: 2, ..RepositorySettings::default() };
    let repository = Repository::init_with(store.clone(), &password(), COST, limits).unwrap();
    another_key(&repository);
    let volumes = [noise(1, 300_000), noise(2, 300_000)];
    back_up(&open(&store).unwrap(), "old", run_id(11), &noise(10, 100_000), None).unwrap();
    back_up(&open(&store).unwrap(), "kept", run_id(13), &noise(13, 100_000), None).unwrap();
    let fresh = open(&store).unwrap();
    let source = fresh.source_id(&pvc("kept open"));
    // One that acknowledges a plan, says how far it is, gives signs of life, and is then killed.
    let often = BackupOptions { index_after_bytes: 1, ..BackupOptions::default() };
    let session = fresh.begin_backup(source, run_id(20), None, often).unwrap();
    forget(&store, 11);
    impatient(&store);
    session.look_for_tests().unwrap();
    let writer = session.volume_writer(SPAN_BYTES, None);
    let mut span = noise(20, 200_000);
    span.resize(SPAN_BYTES as usize, 0);
    writer.put_span(0, &split(&session, &span)).unwrap();
    // And one that is fenced.
    let silent = open(&store).unwrap();
    let fenced = silent.begin_backup(source, run_id(21), None, BackupOptions::default()).unwrap();
    fenced.pause_for_tests();
    std::thread::sleep(Duration::from_millis(2300));
    impatient(&store);
    let quarantined = quarantined_pack(&store);
    let before = objects(&store);
    let repository = open(&store).unwrap();
    back_up(&repository, SOURCES[0], run_id(1), &volumes[0], None).unwrap();
    let first = objects(&store).into_keys().filter(|name| !before.contains_key(name)).collect();
    back_up(&repository, SOURCES[1], run_id(2), &volumes[1], None).unwrap();
    block_on(store.create("gc/00000001/clock/0011223344556677", Bytes::new())).unwrap();
    drop((writer, fenced));
    drop(session);
    Everything { objects: objects(&store), volumes, first, quarantined }
}

/// Breaks a pack, reports it, and backs up again what it held.
fn quarantined_pack(store: &Arc<dyn Store>) -> String {
    let volume = noise(11, 300_000);
    let back_up_as = |run| {
        back_up(&open(store).unwrap(), "old", run_id(run), &volume, None).unwrap();
    };
    let before = objects(store);
    back_up_as(30);
    let mut new = objects(store).into_iter().filter(|(name, _)| !before.contains_key(name));
    let (name, body) = new.find(|(name, _)| name.starts_with("data/")).unwrap();
    super::replace(store, &name, flip(&body, 1000));
    repair_packs(store);
    back_up_as(31);
    name
}

/// Which of the two snapshots cannot come back without this object.
fn needed_by(scene: &Everything, name: &str) -> [bool; 2] {
    let decides_for_all =
        ["repo", "keyset/", "config/", "keys/"].iter().any(|prefix| name.starts_with(prefix));
    let is_content = ["data/", "meta/", "snap/"].iter().any(|prefix| name.starts_with(prefix));
    let is_of_first = scene.first.contains(name);
    [decides_for_all || (is_content && is_of_first), decides_for_all || (is_content && !is_of_first)]
}

fn rest_comes_back(scene: &Everything, store: &Arc<dyn Store>, name: &str, what: &str) {
    for (number, needs) in needed_by(scene, name).into_iter().enumerate() {
        let came = comes_back(store, number as u128 + 1, &scene.volumes[number]);
        assert!(came || needs, "{what}: run {} does not come back", number + 1);
    }
}

/// What a check says; none if the repository does not open.
fn say(store: &Arc<dyn Store>) -> Option<(Vec<String>, u64)> {
    let repository = open(store).ok()?;
    let report = repository.check(&CheckOptions { read_data: true }, &mut |_| {}).ok()?;
    Some((named(&report), report.unindexed_packs))
}

#[test]
fn every_kind_of_object_in_every_state_is_named_and_the_rest_comes_back() {
    let scene = everything();
    let kinds: BTreeSet<String> = scene.objects.keys().map(|name| kind(name)).collect();
    let expected = [
        "bad",
        "config",
        "data",
        "forget",
        "gc/clock",
        "gc/plan",
        "gc/result",
        "idx/0",
        "idx/1",
        "keys",
        "keyset",
        "meta",
        "repo",
        "sess/beat",
        "sess/end",
        "sess/open",
        "sess/progress",
        "sess/ready",
        "sess/seen",
        "snap",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    let whole = say(&store_of(&scene.objects)).unwrap();
    assert_eq!(whole.0, [""; 0]);
    for name in scene.objects.keys() {
        // A clock holds nothing and means nothing; the pack is known to be damaged, and nobody needs it.
        if kind(name) == "gc/clock" || *name == scene.quarantined {
            continue;
        }
        for (way, body) in damages(&scene.objects, name) {
            let store = with(&scene.objects, name, Some(body));
            let what = format!("{name} {way}");
            if let Some((named, _)) = say(&store) {
                let is_named = named.iter().any(|object| object.starts_with(name.as_str()));
                // A revision that is passed over may be missed by the next one's hash instead.
                let is_chain =
                    name.starts_with("keyset/") && named.iter().any(|object| object.starts_with("keyset/"));
                assert!(is_named || is_chain, "{what}: check names {named:?}");
            }
            rest_comes_back(&scene, &store, name, &what);
        }
        let store = with(&scene.objects, name, None);
        let what = format!("{name} deleted");
        match (when_deleted(name), say(&store)) {
            (Seen::Named, Some((named, _))) => {
                let id = name.rsplit('/').next().unwrap();
                let is_named = name.starts_with("data/") || name.starts_with("meta/");
                assert!(
                    !named.is_empty() && (is_named || named.iter().any(|object| object.contains(id))),
                    "{what}"
                );
            }
            (Seen::Elsewhere(prefix), Some((named, _))) => {
                assert!(named.iter().any(|object| object.starts_with(prefix)), "{what}: {named:?}");
            }
            (Seen::Unindexed, Some((_, unindexed))) => assert!(unindexed > whole.1, "{what}"),
            // Opening or the check itself has failed; or the table says why nothing is seen.
            (Seen::Not(_), _) | (_, None) => {}
        }
        rest_comes_back(&scene, &store, name, &what);
    }
}

/// For what can be repaired: the verbs of `repair`, one more backup, and a prune leave a sound repository.
#[test]
fn what_was_damaged_is_repaired_by_repair_backup_and_prune() {
    let scene = super::scene();
    for prefix in ["data/", "meta/", "idx/0/"] {
        let name = &scene.of_first(prefix)[0];
        let body = &scene.objects[name];
        let half = body.slice(..body.len() / 2);
        for damaged in [Some(flip(body, body.len() / 2)), Some(half), Some(Bytes::new()), None] {
            let what = format!("{name}: {:?} bytes", damaged.as_ref().map(Bytes::len));
            let store = with(&scene.objects, name, damaged);
            open(&store).unwrap().rebuild_index().unwrap();
            repair_packs(&store);
            for (number, volume) in scene.volumes.iter().enumerate() {
                let repository = open(&store).unwrap();
                back_up(&repository, SOURCES[number], run_id(10 + number as u128), volume, None).unwrap();
            }
            for round in 0..2 {
                let report = check(&store, true);
                if round == 1 {
                    assert_eq!(report.problems, [], "{what}");
                }
                for (number, volume) in scene.volumes.iter().enumerate() {
                    for run in [1 + number as u128, 10 + number as u128] {
                        assert!(comes_back(&store, run, volume), "{what}: run {run}, round {round}");
                    }
                }
                prune_all(&store);
            }
        }
    }
}
