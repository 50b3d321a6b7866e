//! What somebody who writes to the bucket, and holds a mover's keys or a maintenance key that was replaced, cannot do.

use crate::support::{COST, class, new_repository, objects, open, password, store_of};
use bytes::Bytes;
use longshore_crypto::{
    Anchor, Credential, Keyset, KeysetChain, NewSlot, OpenedSlot, Purpose, RepositoryKeys, random_bytes,
};
use longshore_format::{
    config::RepositoryConfig,
    keyset::KeysetRevision,
    names,
    sealed::{EnvelopeHead, RecordKind},
    slot::KeySlot,
};
use longshore_repo::{
    AddedKey, Class, KeyChange, KeyHolder, RepoError, Repository, RepositoryId, Role, Secret, SlotId,
    store::Store,
};
use std::{collections::BTreeMap, sync::Arc};

type Objects = BTreeMap<String, Bytes>;

fn mover() -> Credential {
    Credential::from(&Secret::from("mover"))
}

/// A repository with a mover's key, all of whose objects lie before the attacker.
fn world() -> (RepositoryId, Repository, Objects) {
    let (store, repository) = new_repository();
    let holder = KeyHolder::Credential(mover());
    let add = AddedKey { holder, role: Role::Mover, label: "mover".into(), cost: COST };
    repository.change_keys(&KeyChange { add: Some(add), ..KeyChange::default() }).unwrap();
    (repository.id(), repository, objects(&store))
}

/// What somebody who has `credential` reads.
fn stolen(id: RepositoryId, all: &Objects, credential: &Credential) -> (OpenedSlot, Keyset, KeysetRevision) {
    let slot = all
        .iter()
        .filter(|(name, _)| name.starts_with("keys/"))
        .find_map(|(_, body)| OpenedSlot::open(&KeySlot::decode(body).unwrap(), credential).ok())
        .unwrap();
    let prefix = names::keyset_revisions(id);
    let mut chain = KeysetChain::new(id, slot.anchor());
    let revisions = all.iter().filter_map(|(name, body)| Some((names::parse_revision(&prefix, name)?, body)));
    let newest = revisions.filter_map(|(number, body)| chain.follow(number, body).ok()).last().unwrap();
    (slot.clone(), Keyset::open(&newest, &slot).unwrap(), newest)
}

fn with(all: &Objects, name: String, body: Vec<u8>) -> Arc<dyn Store> {
    let mut all = all.clone();
    all.insert(name, body.into());
    store_of(&all)
}

fn as_mover(store: &Arc<dyn Store>) -> Result<Repository, RepoError> {
    Repository::open(store.clone(), mover())
}

/// A record as a mover seals it by hand, with what he likes in place of the signature.
fn by_hand(keys: &RepositoryKeys, kind: RecordKind, name: &str, inside: &[u8]) -> Vec<u8> {
    let (epoch, salt) = (keys.newest_epoch(), random_bytes().unwrap());
    let (key, commitment) = keys.object_key(Purpose::Record(kind), epoch, &salt).unwrap();
    let head = EnvelopeHead { kind, epoch, salt, commitment }.encode();
    let bound = [keys.repository().as_bytes().as_slice(), &head, name.as_bytes()].concat();
    let mut out = [&head[..], inside].concat();
    key.seal(0, &bound, &mut out, head.len()).unwrap();
    out
}

fn config(level: i32) -> Vec<u8> {
    let config = RepositoryConfig {
        compression_level: level,
        ..RepositoryConfig::decode(include_bytes!("../../../format/testdata/v1/config.json")).unwrap()
    };
    config.encode().unwrap()
}

#[test]
fn a_configuration_that_maintenance_did_not_sign_is_refused() {
    let (id, _, all) = world();
    let (_, keyset, _) = stolen(id, &all, &mover());
    let keys = RepositoryKeys::new(id, keyset).unwrap();
    let name = names::config(id, 2);
    // With a maintenance key of his own, of this repository or of another.
    let own = RepositoryKeys::new(id, Keyset::generate().unwrap()).unwrap();
    let foreign = own.sign_record(RecordKind::Config, &name, &config(9)).unwrap();
    // The good one's signature under another name.
    for inside in [config(9), [&[0; 64][..], &config(9)].concat(), [&foreign[..], &config(9)].concat()] {
        let store = with(&all, name.clone(), by_hand(&keys, RecordKind::Config, &name, &inside));
        assert_eq!(class(open(&store)), Class::Corrupt);
        assert_eq!(class(as_mover(&store)), Class::Corrupt);
    }
    let replayed = with(&all, name, all[&names::config(id, 1)].to_vec());
    assert_eq!(class(open(&replayed)), Class::Corrupt, "an old one does not become a new one");
}

/// Opens as before, says that something is wrong, and can be changed all the same.
fn assert_ignored(store: &Arc<dyn Store>, name: &str) {
    for repository in [open(store).unwrap(), as_mover(store).unwrap()] {
        let keys = repository.keys().unwrap();
        assert_eq!((keys.revision, keys.ignored), (2, vec![name.to_owned()]));
        assert!(!repository.check(&Default::default(), &mut |_| {}).unwrap().is_sound());
    }
    let repository = open(store).unwrap();
    repository.change_keys(&KeyChange { rotate: true, ..KeyChange::default() }).unwrap();
    assert_eq!(as_mover(store).unwrap().keys().unwrap().epoch, 2);
}

#[test]
fn keyset_revisions_of_a_thief_are_passed_over() {
    let (id, _, all) = world();
    let (slot, keyset, newest) = stolen(id, &all, &mover());
    let name = names::keyset(id, 3);
    let previous = *blake3::hash(&newest.encode()).as_bytes();
    let thief = |number| {
        NewSlot::for_credential(id, Anchor { revision: number, authority: [0; 32] }, &mover(), COST).unwrap()
    };
    // All his own, but for the same slots.
    let mut own = keyset.clone();
    own.rotate().unwrap();
    own.add_slot(&thief(3), Role::Maintenance, "thief", 3);
    let own = own.seal(id, 3, previous, &own).unwrap();
    // The good one, with a slot more in the clear; with roles or slots exchanged; unsigned; replayed.
    let renumbered = KeysetRevision { revision: 3, previous, ..newest.clone() };
    let mut more = renumbered.clone();
    more.entries
        .push(longshore_format::keyset::KeysetEntry { slot: SlotId([9; 16]), ..more.entries[1].clone() });
    let mut swapped = renumbered.clone();
    swapped.entries.reverse();
    let unsigned = KeysetRevision { signature: [0; 64], ..renumbered.clone() };
    assert!(renumbered.entries.iter().any(|entry| entry.slot == slot.id()));
    for forged in [own, more, swapped, unsigned, renumbered, newest] {
        assert_ignored(&with(&all, name.clone(), forged.encode()), &name);
    }
    let last = names::keyset(id, 99_999_999);
    assert_ignored(&with(&all, last.clone(), b"junk".to_vec()), &last);
}

#[test]
fn who_held_a_maintenance_key_that_was_replaced_changes_nothing_any_more() {
    let (id, repository, before) = world();
    let (_, old, _) = stolen(id, &before, &Credential::from(&password()));
    assert!(old.can_maintain());
    let store = store_of(&before);
    open(&store).unwrap().change_keys(&KeyChange { rotate: true, ..KeyChange::default() }).unwrap();
    let all = objects(&store);
    let newest = KeysetRevision::decode(&all[&names::keyset(id, 3)]).unwrap();
    let forged = old.seal(id, 4, *blake3::hash(&newest.encode()).as_bytes(), &old).unwrap();
    let forged = with(&all, names::keyset(id, 4), forged.encode());
    let keys = as_mover(&forged).unwrap().keys().unwrap();
    assert_eq!((keys.revision, keys.epoch, keys.ignored.len()), (3, 2, 1));
    // He signs and seals a configuration in the old epoch. It is above the one in force, and is not taken.
    let keys = RepositoryKeys::new(id, old).unwrap();
    let name = names::config(id, 3);
    let signature = keys.sign_record(RecordKind::Config, &name, &config(9)).unwrap();
    let body = by_hand(&keys, RecordKind::Config, &name, &[&signature[..], &config(9)].concat());
    let taken =
        open(&with(&before, names::config(id, 2), body.clone())).map(|opened| opened.config().clone());
    assert_eq!(class(taken), Class::Corrupt, "it is bound to its name");
    let forged = with(&all, name, body);
    assert_eq!(open(&forged).unwrap().config(), repository.config());
    // Before the rotation the same would have been maintenance's own doing.
    let name = names::config(id, 2);
    let signature = keys.sign_record(RecordKind::Config, &name, &config(9)).unwrap();
    let body = by_hand(&keys, RecordKind::Config, &name, &[&signature[..], &config(9)].concat());
    assert_eq!(open(&with(&before, name, body)).unwrap().config().compression_level, 9);
}

#[test]
fn slots_in_each_others_place_are_refused() {
    let (id, repository, all) = world();
    let keys = repository.keys().unwrap().keys;
    let [one, two] = &keys.iter().map(|key| names::key_slot(id, key.slot)).collect::<Vec<_>>()[..] else {
        panic!()
    };
    let mut swapped = all.clone();
    swapped.insert(one.clone(), all[two].clone());
    swapped.insert(two.clone(), all[one].clone());
    let store = store_of(&swapped);
    assert!(open(&store).is_err() && as_mover(&store).is_err());
    // A slot of the thief's own, whose password he tells: it opens, and nothing is sealed to it.
    let thief =
        NewSlot::for_credential(id, Anchor { revision: 2, authority: [1; 32] }, &mover(), COST).unwrap();
    let object = KeySlot { id: one.rsplit('/').next().unwrap().parse().unwrap(), ..thief.object.unwrap() };
    assert!(open(&with(&all, one.clone(), object.encode())).is_err());
}

/// A store that hides the newest revision takes the repository's keys back to the one before: who has a key of then, and
/// is removed, gets in again, as far as that store goes. Keys that were made later do not follow.
#[test]
fn a_store_that_hides_the_newest_revision_only_fools_older_keys() {
    let (id, repository, before) = world();
    let newer = Credential::from(&Secret::from("newer"));
    let store = store_of(&before);
    let opened = open(&store).unwrap();
    let slot = repository.keys().unwrap().keys[1].slot;
    let add = AddedKey {
        holder: KeyHolder::Credential(newer.clone()),
        role: Role::Mover,
        label: String::new(),
        cost: COST,
    };
    opened.change_keys(&KeyChange { add: Some(add), remove: Some(slot), rotate: true }).unwrap();
    assert_eq!(class(as_mover(&store)), Class::WrongPassword);
    let mut hidden = objects(&store);
    hidden.remove(&names::keyset(id, 3)).unwrap();
    hidden.remove(&names::config(id, 2)).unwrap();
    assert_eq!(class(as_mover(&store_of(&hidden))), Class::WrongPassword, "his slot is deleted");
    // This store has kept it.
    let name = names::key_slot(id, slot);
    hidden.insert(name.clone(), before[&name].clone());
    assert_eq!(as_mover(&store_of(&hidden)).unwrap().keys().unwrap().epoch, 1);
    assert_eq!(class(Repository::open(store_of(&hidden), newer)), Class::WrongPassword);
}
