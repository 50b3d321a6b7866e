//! The roles of config/policies on a real MinIO: each can do its work, and nothing of the others'.

use crate::support::{COST, back_up, block_on, class, noise, password, restore, run_id};
use bytes::Bytes;
use longshore_repo::{
    AddedKey, CheckOptions, Class, Credential, KeyChange, KeyHolder, PruneOptions, PrunePolicy, Repository,
    RepositorySettings, Role, Secret, StrongKey,
    store::{Class as StoreClass, Store, open},
};
use longshore_testkit::minio::Minio;
use serde_json::Value;
use std::{path::PathBuf, sync::Arc, time::Duration};

const ROLES: [&str; 4] = ["mover", "restore", "maintenance", "keys"];
/// One name in each place.
const PLACES: [&str; 16] = [
    "repo", "keys/x", "keyset/x", "config/x", "probe/x", "data/x", "meta/x", "idx/0/x", "idx/1/x", "snap/x",
    "sess/x", "gc/x", "forget/x", "bad/x", "ckpt/x", "reserve",
];

fn policy(kind: &str, role: &str) -> Value {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../config/policies/{kind}/{role}.json"));
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(&text.replace("BUCKET", "bucket").replace("PREFIX", "p")).unwrap()
}

fn store(minio: &Minio, role: &str) -> Arc<dyn Store> {
    let settings = block_on(minio.settings_of_role(&policy("minio", role).to_string())).unwrap();
    open("s3://bucket/p", &settings).unwrap().0
}

/// The places where a role may create, read and delete.
fn rights(store: &Arc<dyn Store>, root: &Arc<dyn Store>) -> [Vec<&'static str>; 3] {
    let allowed = |what: &dyn Fn(&str) -> Result<(), StoreClass>| -> Vec<&'static str> {
        let is_allowed = |place: &&str| match what(place) {
            Ok(()) => true,
            Err(StoreClass::AccessDenied) => false,
            Err(other) => panic!("{place}: {other:?}"),
        };
        PLACES.into_iter().filter(is_allowed).collect()
    };
    let create = |store: &Arc<dyn Store>, place: &str| {
        block_on(store.create(place, Bytes::from_static(b"x"))).map_err(|error| error.class())
    };
    let created = allowed(&|place| create(store, place));
    for place in PLACES.iter().filter(|place| !created.contains(place)) {
        create(root, place).unwrap();
    }
    let read = allowed(&|place| block_on(store.get(place, 10)).map(|_| ()).map_err(|error| error.class()));
    let deleted = allowed(&|place| block_on(store.delete(place)).map_err(|error| error.class()));
    for place in PLACES {
        block_on(root.delete(place)).unwrap();
    }
    [created, read, deleted]
}

fn except(places: &[&'static str]) -> Vec<&'static str> {
    PLACES.into_iter().filter(|place| !places.contains(place)).collect()
}

#[test]
fn no_role_may_do_more_than_its_work() {
    let minio = Minio::start(false).unwrap();
    let root = open("s3://bucket/p", &minio.settings()).unwrap().0;
    let of = |role: &str| rights(&store(&minio, role), &root);
    let [created, read, deleted] = of("mover");
    assert_eq!(created, ["data/x", "meta/x", "idx/0/x", "snap/x", "sess/x"]);
    assert_eq!((read, deleted), (except(&["data/x", "probe/x", "reserve"]), vec![]));
    let [created, read, deleted] = of("restore");
    assert_eq!((created, read, deleted), (vec!["sess/x"], except(&[]), vec![]));
    let secrets = ["repo", "keys/x", "keyset/x", "config/x", "probe/x"];
    let [created, read, deleted] = of("maintenance");
    assert_eq!((created, read), (except(&secrets), except(&[])));
    assert_eq!(deleted, except(&[&secrets[..], &["forget/x"]].concat()));
    let [created, read, deleted] = of("keys");
    assert_eq!(created, [&secrets[..], &["reserve"]].concat());
    assert_eq!((read, deleted), (secrets.to_vec(), vec!["keys/x", "probe/x"]));
}

#[test]
fn each_role_does_its_work_with_its_own_policy_and_key() {
    let minio = Minio::start(false).unwrap();
    // Short: the backup that is refused below leaves a session that is not over.
    let settings =
        RepositorySettings { silence_limit_seconds: 3, reader_grace_seconds: 0, ..Default::default() };
    let owner = Repository::init_with(store(&minio, "keys"), &password(), COST, settings).unwrap();
    let mover = Credential::KeyFile(StrongKey::generate().unwrap());
    let add = |credential: &Credential, role| {
        let holder = KeyHolder::Credential(credential.clone());
        AddedKey { holder, role, label: String::new(), cost: COST }
    };
    let change = KeyChange { add: Some(add(&mover, Role::Mover)), ..KeyChange::default() };
    owner.change_keys(&change).unwrap();
    // A mover backs up twice, the second time against the first.
    let (old, mut new) = (noise(1, 5 << 20), noise(1, 5 << 20));
    new[1 << 20..2 << 20].copy_from_slice(&noise(2, 1 << 20));
    let backup = Repository::open(store(&minio, "mover"), mover.clone()).unwrap();
    let first = back_up(&backup, "db", run_id(1), &old, None).unwrap().snapshot().clone();
    let second = back_up(&backup, "db", run_id(2), &new, Some(&first)).unwrap().snapshot().clone();
    assert!(second.record.stats.new_bytes < 2 << 20, "it finds what is there without reading data");
    assert!(restore(&backup, &second).is_err(), "it cannot read data back");
    // With all rights of his key he forgets nothing, and with all rights of the bucket's maintenance neither.
    for role in ["mover", "maintenance"] {
        let thief = Repository::open(store(&minio, role), mover.clone()).unwrap();
        let forgotten = thief.forget(&first, "thief", jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(class(forgotten), Class::NoAuthority, "{role}");
    }
    // Restore.
    let reader = Repository::open(store(&minio, "restore"), mover.clone()).unwrap();
    assert!(restore(&reader, &first).unwrap() == old && restore(&reader, &second).unwrap() == new);
    assert!(back_up(&reader, "db", run_id(3), &noise(3, 100_000), None).is_err());
    // Forget and prune.
    let janitor = Repository::open(store(&minio, "maintenance"), &password()).unwrap();
    janitor.forget(&first, "test", jiff::Timestamp::UNIX_EPOCH).unwrap();
    let policy = PrunePolicy { max_unused_percent: 0, ..PrunePolicy::default() };
    let options = PruneOptions { policy, patience: Duration::from_secs(60) };
    let report = janitor.prune(&options, &mut |_| {}).unwrap();
    assert!(report.deleted_bytes > 1 << 20, "{report:?}");
    assert!(
        restore(&Repository::open(store(&minio, "restore"), mover.clone()).unwrap(), &second).unwrap() == new
    );
    let another = add(&Credential::from(&Secret::from("x")), Role::Mover);
    let change = KeyChange { add: Some(another), ..KeyChange::default() };
    assert_eq!(class(janitor.change_keys(&change)), Class::Store(StoreClass::AccessDenied));
    // Keys change, and the mover goes on.
    Repository::open(store(&minio, "keys"), &password())
        .unwrap()
        .change_keys(&KeyChange { rotate: true, ..KeyChange::default() })
        .unwrap();
    let backup = Repository::open(store(&minio, "mover"), mover.clone()).unwrap();
    back_up(&backup, "db", run_id(4), &new, Some(&second)).unwrap();
    let reader = Repository::open(store(&minio, "restore"), mover).unwrap();
    assert!(reader.check(&CheckOptions { read_data: true }, &mut |_| {}).unwrap().is_sound());
}

/// The documents for AWS say the same, and demand that nothing is overwritten.
#[test]
fn the_documents_for_aws_differ_in_one_condition() {
    for role in ROLES {
        let (aws, minio) = (policy("aws", role), policy("minio", role));
        let mut expected = minio.clone();
        for statement in expected["Statement"].as_array_mut().unwrap() {
            if statement["Action"][0] == "s3:PutObject" {
                statement["Condition"] = serde_json::json!({"Null": {"s3:if-none-match": "false"}});
            }
        }
        assert_eq!(aws, expected, "{role}");
        assert!(minio.to_string().len() <= 2048, "MinIO takes no larger session policy");
    }
}
