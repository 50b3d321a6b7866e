//! Invariant 4: a hostile or rotten store can deny, never forge, swap or reorder.

use crate::support::{COST, back_up, noise, objects, open, password, restore, run_id, small_packs, store_of};
use bytes::Bytes;
use longshore_repo::{
    AddedKey, CheckOptions, Credential, KeyChange, KeyHolder, RepoError, Repository, Role, Secret,
    store::Store,
};
use longshore_testkit::{Fault, FaultStore};
use std::{collections::BTreeMap, sync::Arc};

struct Fixture {
    objects: BTreeMap<String, Bytes>,
    volumes: Vec<Vec<u8>>,
}

fn fixture() -> Fixture {
    let (store, repository) = small_packs();
    let mut volumes = vec![noise(1, 2 << 20)];
    volumes[0].extend(b"text that compresses well ".repeat(3000));
    volumes.push([&volumes[0][..1 << 20], &noise(2, 1 << 20)].concat());
    for (number, volume) in volumes.iter().enumerate() {
        back_up(&repository, "db", run_id(1 + number as u128), volume, None).unwrap();
    }
    // More of every kind: another key, a second epoch.
    let credential = Credential::from(&Secret::from("another"));
    let holder = KeyHolder::Credential(credential);
    let add = Some(AddedKey { holder, role: Role::Mover, label: String::new(), cost: COST });
    repository.change_keys(&KeyChange { add, remove: None, rotate: true }).unwrap();
    Fixture { objects: objects(&store), volumes }
}

/// Restores every run that should be there: right bytes or an error, nothing else. True if all came back.
fn right_or_refused(store: Arc<dyn Store>, fixture: &Fixture, what: &str) -> bool {
    let Ok(repository) = Repository::open(store, &password()) else { return false };
    let mut all = true;
    for (number, volume) in fixture.volumes.iter().enumerate() {
        let restored = repository
            .resolve(&run_id(1 + number as u128).to_string())
            .and_then(|snapshot| restore(&repository, &snapshot));
        match restored {
            Ok(bytes) => assert!(bytes == *volume, "{what}: wrong bytes were restored"),
            Err(_) => all = false,
        }
    }
    all
}

fn check_finds(store: Arc<dyn Store>) -> bool {
    let check = || -> Result<bool, RepoError> {
        let repository = Repository::open(store, &password())?;
        Ok(!repository.check(&CheckOptions { read_data: true }, &mut |_| {})?.is_sound())
    };
    check().unwrap_or(true)
}

fn with(fixture: &Fixture, name: &str, body: Option<Vec<u8>>) -> Arc<dyn Store> {
    let mut objects = fixture.objects.clone();
    match body {
        Some(body) => objects.insert(name.to_owned(), body.into()),
        None => objects.remove(name),
    };
    store_of(&objects)
}

#[test]
fn a_flipped_bit_in_any_object_is_found_and_never_restored() {
    let fixture = fixture();
    for (name, body) in &fixture.objects {
        // Every kind of field: the first bytes, the last, and places all over.
        let places =
            (0..12).chain((1..20).map(|part| body.len() * part / 20)).chain(body.len() - 12..body.len());
        for at in places.filter(|at| *at < body.len()) {
            let mut damaged = body.to_vec();
            damaged[at] ^= 1 << (at % 8);
            let what = format!("bit flipped at {at} of {} in {name}", body.len());
            right_or_refused(with(&fixture, name, Some(damaged.clone())), &fixture, &what);
            assert!(check_finds(with(&fixture, name, Some(damaged))), "check overlooks a {what}");
        }
    }
}

#[test]
fn truncated_lengthened_and_missing_objects_are_found() {
    let fixture = fixture();
    for (name, body) in &fixture.objects {
        for damaged in [
            vec![],
            body[..body.len() - 1].to_vec(),
            body[..body.len() / 2].to_vec(),
            [&body[..], b"x"].concat(),
        ] {
            let what = format!("{name} of {} bytes instead of {}", damaged.len(), body.len());
            right_or_refused(with(&fixture, name, Some(damaged.clone())), &fixture, &what);
            assert!(check_finds(with(&fixture, name, Some(damaged))), "check overlooks {what}");
        }
        right_or_refused(with(&fixture, name, None), &fixture, name);
    }
}

#[test]
fn objects_in_each_others_place_are_refused() {
    let fixture = fixture();
    let names: Vec<&String> = fixture.objects.keys().collect();
    for name in &names {
        for other in names.iter().filter(|other| *other != name) {
            let body = fixture.objects[*other].to_vec();
            let what = format!("{other} in place of {name}");
            right_or_refused(with(&fixture, name, Some(body)), &fixture, &what);
        }
    }
}

/// The same password, another repository: not one object of it is taken.
#[test]
fn objects_of_another_repository_are_refused() {
    let fixture = fixture();
    let other = self::fixture();
    let class = |name: &str| name.split('/').next().unwrap_or_default().to_owned();
    for (name, body) in &other.objects {
        for own in fixture.objects.keys().filter(|own| class(own) == class(name)) {
            let came_back = right_or_refused(
                with(&fixture, own, Some(body.to_vec())),
                &fixture,
                &format!("{name} for {own}"),
            );
            // What a restore does not need it does not miss; a check does.
            let found = check_finds(with(&fixture, own, Some(body.to_vec())));
            assert!(!came_back || found, "a foreign {name} was taken for {own}");
        }
    }
}

/// A snapshot record under another run's name must not answer for that run.
#[test]
fn a_replayed_record_is_refused() {
    let fixture = fixture();
    let records: Vec<&String> = fixture.objects.keys().filter(|name| name.starts_with("snap/")).collect();
    let store = with(&fixture, records[1], Some(fixture.objects[records[0]].to_vec()));
    let repository = open(&store).unwrap();
    assert!(repository.resolve(&run_id(2).to_string()).is_err());
}

#[test]
fn losing_the_whole_index_loses_no_restore() {
    let fixture = fixture();
    let mut objects = fixture.objects.clone();
    objects.retain(|name, _| !name.starts_with("idx/"));
    assert!(right_or_refused(store_of(&objects), &fixture, "no index"));
}

#[test]
fn answers_with_damage_on_the_way_are_refused() {
    let fixture = fixture();
    for fault in [Fault::FlipBit(12_345), Fault::ShortRead] {
        for number in 0..60 {
            let store =
                FaultStore::new(store_of(&fixture.objects), move |at, _| (at == number).then_some(fault));
            right_or_refused(store, &fixture, &format!("{fault:?} at request {number}"));
        }
    }
}

/// Nothing of the content, of names or of labels can be read in any object.
#[test]
fn known_text_stands_in_no_object() {
    let (store, repository) = small_packs();
    back_up(&repository, "very-secret-pvc", run_id(1), &b"very secret content ".repeat(10_000), None)
        .unwrap();
    for (name, body) in objects(&store) {
        for needle in [&b"very secret"[..], b"very-secret-pvc", b"shop", b"sizeBytes"] {
            let found = body.windows(needle.len()).any(|window| window == needle);
            assert!(!found && !name.contains("very-secret"), "{name}");
        }
    }
}
