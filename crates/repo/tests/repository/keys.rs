//! Who may open a repository, as what, and until when.

use crate::support::{
    COST, back_up, class, new_repository, noise, objects, open, password, restore, run_id, store_of,
};
use bytes::Bytes;
use longshore_repo::{
    AddedKey, CheckOptions, Class, Credential, KeyChange, KeyHolder, RepoError, Repository, Role, Secret,
    SlotKind, StrongKey, Unlock,
    store::{Operation, RetryPolicy, RetryStore, Store, memory},
};
use longshore_testkit::{Fault, FaultStore};
use std::sync::Arc;

const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

fn secret(text: &str) -> Credential {
    Credential::from(&Secret::from(text))
}

fn added(credential: Credential, role: Role) -> AddedKey {
    AddedKey { holder: KeyHolder::Credential(credential), role, label: "test".into(), cost: COST }
}

fn add(credential: &Credential, role: Role) -> KeyChange {
    KeyChange { add: Some(added(credential.clone(), role)), ..KeyChange::default() }
}

fn rotate() -> KeyChange {
    KeyChange { rotate: true, ..KeyChange::default() }
}

fn open_as(store: &Arc<dyn Store>, credential: &Credential) -> Result<Repository, RepoError> {
    Repository::open(store.clone(), credential.clone())
}

fn slot_of(repository: &Repository) -> longshore_repo::SlotId {
    repository.keys().unwrap().resolve("current").unwrap()
}

fn remove(repository: &Repository, slot: longshore_repo::SlotId) -> Result<(), RepoError> {
    repository.change_keys(&KeyChange { remove: Some(slot), ..KeyChange::default() }).map(|_| ())
}

#[test]
fn every_kind_of_key_opens_the_repository_as_what_it_was_given_for() {
    let (store, repository) = new_repository();
    let volume = noise(1, 300_000);
    let snapshot = back_up(&repository, "db", run_id(1), &volume, None).unwrap().snapshot().clone();
    let strong = || StrongKey::generate().unwrap();
    for (number, (credential, role)) in [
        (secret("another password"), Role::Mover),
        (Credential::KeyFile(strong()), Role::Mover),
        (Credential::KeyFile(strong()), Role::Maintenance),
        (Credential::RecoveryKey(strong()), Role::Maintenance),
    ]
    .into_iter()
    .enumerate()
    {
        let changed = repository.change_keys(&add(&credential, role)).unwrap();
        assert_eq!((changed.revision, changed.epoch), (repository.keys().unwrap().revision, 1));
        let opened = open_as(&store, &credential).unwrap();
        assert_eq!(changed.added, Some(slot_of(&opened)));
        assert_eq!(opened.can_maintain(), role == Role::Maintenance);
        assert!(restore(&opened, &snapshot).unwrap() == volume);
        back_up(&opened, "db", run_id(10 + number as u128), &volume, None).unwrap();
        let another = opened.change_keys(&add(&secret("x"), Role::Mover)).map(|changed| changed.added);
        match role {
            Role::Mover => assert_eq!(class(another), Class::NoAuthority),
            Role::Maintenance => remove(&opened, another.unwrap().unwrap()).unwrap(),
        }
    }
    assert!(open(&store).unwrap().check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap().is_sound());
}

#[test]
fn a_recipient_opens_it_if_he_knows_whom_to_trust() {
    let (store, repository) = new_repository();
    let recipient = longshore_repo::Recipient::parse(RECIPIENT).unwrap();
    let holder = KeyHolder::Recipient(recipient);
    let change = KeyChange {
        add: Some(AddedKey { holder, role: Role::Maintenance, label: String::new(), cost: COST }),
        ..KeyChange::default()
    };
    let line = repository.change_keys(&change).unwrap().anchor_line;
    assert_eq!(class(repository.change_keys(&change)), Class::KeySlot, "once is enough");
    let identity = |line: &str| Credential::parse(format!("{line}\n{IDENTITY}\n").into_bytes()).unwrap();
    let opened = open_as(&store, &identity(&line)).unwrap();
    assert!(opened.can_maintain());
    // The line that he is told with the failure is the one that he was told at first, on an honest store.
    let untold = open_as(&store, &identity("")).unwrap_err();
    assert_eq!(untold.class(), Class::WrongPassword);
    assert!(untold.to_string().ends_with(&line), "{untold}");
    opened.change_keys(&rotate()).unwrap();
    assert!(open_as(&store, &identity(&line)).unwrap().can_maintain(), "the line outlives rotations");
    // Somebody else's repository in its place is refused.
    let other = memory();
    let own = Repository::init(other.clone(), &password(), COST).unwrap();
    own.change_keys(&change).unwrap();
    assert_eq!(class(open_as(&other, &identity(&line))), Class::WrongPassword);
}

#[test]
fn a_repository_can_be_made_with_any_credential() {
    for credential in
        [Credential::KeyFile(StrongKey::generate().unwrap()), Credential::parse(IDENTITY.into()).unwrap()]
    {
        let store = memory();
        let made = Repository::init(store.clone(), credential.clone(), COST).unwrap();
        let keys = made.keys().unwrap();
        assert_eq!((keys.keys.len(), keys.keys[0].role), (1, Role::Maintenance));
        let credential = match credential.kind() {
            SlotKind::Recipient => {
                Credential::parse(format!("{}\n{IDENTITY}", keys.anchor_line).into()).unwrap()
            }
            _ => credential,
        };
        // The anchor of that line is the revision that is there, and what comes after it is found by it.
        made.change_keys(&rotate()).unwrap();
        assert_eq!(open_as(&store, &credential).map(|opened| opened.id()).unwrap(), made.id());
    }
}

#[test]
fn a_removed_key_opens_nothing_and_the_last_of_maintenance_stays() {
    let (store, repository) = new_repository();
    let (mover, admin) = (secret("mover"), secret("admin"));
    repository.change_keys(&add(&mover, Role::Mover)).unwrap();
    let first = slot_of(&repository);
    assert_eq!(class(remove(&repository, first)), Class::KeySlot, "a mover's key cannot take its place");
    repository.change_keys(&add(&admin, Role::Maintenance)).unwrap();
    let mover_slot = slot_of(&open_as(&store, &mover).unwrap());
    remove(&repository, mover_slot).unwrap();
    assert!(
        !objects(&store).keys().any(|name| name.ends_with(&mover_slot.to_string())),
        "its object is gone"
    );
    assert_eq!(class(open_as(&store, &mover)), Class::WrongPassword);
    assert_eq!(class(remove(&repository, mover_slot)), Class::KeySlot, "it is gone");
    remove(&repository, first).unwrap();
    assert_eq!(class(open(&store)), Class::WrongPassword);
    // Who has it open still reads what he had, and changes nothing any more.
    assert_eq!(class(repository.change_keys(&rotate())), Class::WrongPassword);
    let admin = open_as(&store, &admin).unwrap();
    assert_eq!(admin.keys().unwrap().keys.len(), 1);
    assert_eq!(class(remove(&admin, slot_of(&admin))), Class::KeySlot);
}

#[test]
fn a_password_is_changed_in_one_step() {
    let (store, repository) = new_repository();
    let new = secret("new");
    let change = KeyChange { remove: Some(slot_of(&repository)), ..add(&new, Role::Maintenance) };
    let before = objects(&store).len();
    let changed = repository.change_keys(&change).unwrap();
    assert_eq!(
        (changed.revision, objects(&store).len()),
        (2, before + 1),
        "a slot for a slot, and a revision"
    );
    assert_eq!(class(open(&store)), Class::WrongPassword);
    assert!(open_as(&store, &new).unwrap().can_maintain());
}

#[test]
fn after_a_rotation_old_and_new_snapshots_restore_and_old_keys_go_on() {
    let (store, repository) = new_repository();
    let (old, new) = (noise(1, 200_000), noise(2, 200_000));
    back_up(&repository, "db", run_id(1), &old, None).unwrap();
    let changed = repository.change_keys(&rotate()).unwrap();
    assert_eq!(changed.epoch, 2);
    // Opened before the rotation: it goes on with the keys that it has.
    back_up(&repository, "db", run_id(2), &new, None).unwrap();
    let fresh = open(&store).unwrap();
    back_up(&fresh, "db", run_id(3), &[&new[..], &old].concat(), None).unwrap();
    for (run, volume) in [(1, &old), (2, &new), (3, &[&new[..], &old].concat())] {
        let snapshot = fresh.resolve(&run_id(run).to_string()).unwrap();
        assert!(restore(&fresh, &snapshot).unwrap() == *volume, "{run}");
    }
    // What it cannot read it names, and another attempt helps.
    let failure = repository.resolve(&run_id(3).to_string()).unwrap_err();
    assert!(failure.class() == Class::KeysRotated && failure.class().is_transient(), "{failure}");
    assert!(fresh.check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap().is_sound());
}

#[test]
fn racing_changes_are_all_made_one_after_the_other() {
    let (store, repository) = new_repository();
    let all: Vec<Credential> = (0..6).map(|_| Credential::KeyFile(StrongKey::generate().unwrap())).collect();
    std::thread::scope(|scope| {
        for credential in &all {
            scope.spawn(|| repository.change_keys(&add(credential, Role::Mover)).unwrap());
        }
        scope.spawn(|| repository.change_keys(&rotate()).unwrap());
    });
    let keys = open(&store).unwrap().keys().unwrap();
    assert_eq!((keys.revision, keys.epoch, keys.keys.len(), keys.ignored.len()), (8, 2, 7, 0));
    assert!(all.iter().all(|credential| open_as(&store, credential).is_ok()));
}

/// Each alone may go, both may not.
#[test]
fn racing_removals_leave_somebody_in_charge() {
    for _ in 0..5 {
        let (store, repository) = new_repository();
        let other = secret("other");
        repository.change_keys(&add(&other, Role::Maintenance)).unwrap();
        let opened = [open(&store).unwrap(), open_as(&store, &other).unwrap()];
        let removed: Vec<bool> = std::thread::scope(|scope| {
            let handles = opened.each_ref().map(|own| scope.spawn(|| remove(own, slot_of(own)).is_ok()));
            handles.into_iter().map(|handle| handle.join().unwrap()).collect()
        });
        assert_eq!(removed.iter().filter(|done| **done).count(), 1);
        let left =
            [open(&store), open_as(&store, &other)].into_iter().filter_map(Result::ok).collect::<Vec<_>>();
        assert!(left.len() == 1 && left[0].can_maintain());
    }
}

#[test]
fn a_change_killed_at_any_request_is_made_or_not_made_and_can_be_repeated() {
    let new = secret("new");
    for number in 0.. {
        let (store, repository) = new_repository();
        let slot = slot_of(&repository);
        let change = KeyChange { remove: Some(slot), rotate: true, ..add(&new, Role::Maintenance) };
        let faults = FaultStore::new(store.clone(), move |at, _| (at == number).then_some(Fault::DeadAfter));
        let done =
            Repository::open(faults.clone(), &password()).and_then(|opened| opened.change_keys(&change));
        let opened = match (open(&store), open_as(&store, &new)) {
            (Ok(old), Err(error)) if error.class() == Class::WrongPassword && done.is_err() => {
                old.change_keys(&change).unwrap();
                open_as(&store, &new).unwrap()
            }
            (Err(error), Ok(new)) if error.class() == Class::WrongPassword => new,
            (old, new) => panic!("request {number}: {old:?} {new:?}"),
        };
        back_up(&opened, "db", run_id(1), &noise(1, 10_000), None).unwrap();
        opened.change_keys(&rotate()).unwrap();
        assert!(
            open_as(&store, &new).unwrap().check(&CheckOptions::default(), &mut |_| {}).unwrap().is_sound()
        );
        if faults.requests().len() as u64 <= number {
            return;
        }
    }
}

/// The answer to a create is lost and the request repeated: then the object that stands there is our own.
#[test]
fn a_create_that_has_to_be_repeated_makes_no_second_revision() {
    let (store, _) = new_repository();
    let lost = Fault::FailAfter(longshore_repo::store::Class::Transient);
    let faults = FaultStore::new(store.clone(), move |_, request| {
        (request.operation == Operation::Create && request.name.ends_with('2')).then_some(lost)
    });
    // Once lost, the repetition meets what stands there.
    let repository =
        Repository::open(Arc::new(RetryStore::new(faults, RetryPolicy::STANDARD)), &password()).unwrap();
    let changed = repository.change_keys(&rotate()).unwrap();
    assert_eq!((changed.revision, changed.epoch), (2, 2));
    assert_eq!(open(&store).unwrap().keys().unwrap().revision, 2);
}

#[test]
fn a_password_is_tried_on_passwords_only_and_the_newest_first() {
    let (store, repository) = new_repository();
    for text in ["one", "two", "three"] {
        repository.change_keys(&add(&secret(text), Role::Mover)).unwrap();
    }
    repository.change_keys(&add(&Credential::KeyFile(StrongKey::generate().unwrap()), Role::Mover)).unwrap();
    let tried = |unlock: Unlock| {
        let recording = FaultStore::recording(store.clone());
        let opened = Repository::open(recording.clone(), unlock);
        let slots = recording.requests().iter().filter(|request| request.name.starts_with("keys/")).count();
        (opened.is_ok(), slots)
    };
    assert_eq!(tried(secret("three").into()), (true, 1));
    assert_eq!(tried(secret("one").into()), (true, 3));
    assert_eq!(tried((&password()).into()), (true, 4));
    assert_eq!(tried(secret("wrong").into()), (false, 4));
    let slot = slot_of(&open_as(&store, &secret("one")).unwrap()).to_string();
    let chosen = |text: &str| Unlock { credential: secret(text), slot: Some(slot[..8].to_owned()) };
    assert_eq!(tried(chosen("one")), (true, 1));
    assert_eq!(tried(chosen("three")), (false, 1));
    // What was removed is not tried any more.
    remove(&repository, slot.parse().unwrap()).unwrap();
    assert_eq!(tried(secret("wrong").into()), (false, 3));
}

#[test]
fn labels_and_numbers_of_keys_have_their_limits() {
    let (_, repository) = new_repository();
    for label in ["a\nb", "\u{1b}[31m", &"x".repeat(65)] {
        let mut change = add(&secret("x"), Role::Mover);
        change.add.as_mut().unwrap().label = label.into();
        assert_eq!(class(repository.change_keys(&change)), Class::KeySlot);
    }
    for number in 0..31 {
        repository.change_keys(&add(&secret(&number.to_string()), Role::Mover)).unwrap();
    }
    assert_eq!(class(repository.change_keys(&add(&secret("one too many"), Role::Mover))), Class::KeySlot);
    let keys = repository.keys().unwrap();
    assert_eq!(class(keys.resolve("")), Class::KeySlot);
    assert_eq!(class(keys.resolve("xyz")), Class::KeySlot);
    let id = keys.keys[5].slot;
    assert_eq!(keys.resolve(&id.to_string().to_uppercase()[..10]).unwrap(), id);
}

/// What is damaged is found before its owner needs it, whoever looks.
#[test]
fn check_finds_damage_to_keys_that_it_does_not_use() {
    let (store, repository) = new_repository();
    let mover = secret("mover");
    repository.change_keys(&add(&mover, Role::Mover)).unwrap();
    repository.change_keys(&rotate()).unwrap();
    let good = objects(&store);
    let own = slot_of(&open_as(&store, &mover).unwrap()).to_string();
    let keys =
        |name: &&String| (name.starts_with("keys/") && !name.ends_with(&own)) || name.starts_with("keyset/");
    for name in good.keys().filter(keys) {
        for damage in [None, Some(Bytes::new()), Some(flipped(&good[name]))] {
            let mut damaged = good.clone();
            match damage {
                Some(body) => damaged.insert(name.clone(), body),
                None => damaged.remove(name),
            };
            // A revision that the mover needs is missed on opening already.
            let Ok(opened) = open_as(&store_of(&damaged), &mover) else { continue };
            let report = opened.check(&CheckOptions::default(), &mut |_| {}).unwrap();
            let named = report.problems.iter().any(|problem| name.starts_with(&problem.object));
            // A store that hides the newest revision shows the state before; see the threat model.
            let hidden = name.ends_with("00000003") && !damaged.contains_key(name);
            assert!(named || hidden, "{name}: {:?}", report.problems);
        }
    }
}

fn flipped(body: &Bytes) -> Bytes {
    let mut body = body.to_vec();
    let at = body.len() / 2;
    body[at] ^= 1;
    body.into()
}
