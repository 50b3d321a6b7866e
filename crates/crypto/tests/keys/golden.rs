use crate::{
    keys, keysets,
    slots::{CHEAP, REPOSITORY, password},
};
use longshore_crypto::{
    Anchor, Class, Credential, Keyset, KeysetChain, NewSlot, OpenedSlot, Purpose, RepositoryKeys,
};
use longshore_format::{RepositoryId, keyset::Role, names::PackKind, sealed::RecordKind, slot::KeySlot};
use longshore_splitter::ChunkSizes;
use std::{fmt::Write as _, fs, path::PathBuf};

const KEY_FILE: &str = "lskey1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnzs23v9ccrydpk8qarc0syx0key";
const RECOVERY_KEY: &str = "LSRE-C1YQ-SJYG-EYY5-NZW2-PF9G-4JCT-FW9U-CRZV-3NXS-6NVD-EC8Y-ARK0-PA8C-LSCU-VRJ0";
const IDENTITY: &str = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/v1")
}

fn parse(text: &str) -> Credential {
    Credential::parse(text.as_bytes().to_vec()).unwrap()
}

/// A slot of each kind and two revisions, the second after a rotation, as they were once written. They hold random bytes, so
/// they are only ever read; set `LONGSHORE_WRITE_GOLDEN=1` to write them if they are missing.
#[test]
fn the_first_slots_and_keysets_ever_written_still_open() {
    let folder = folder().join("keyset");
    if !folder.exists() && std::env::var_os("LONGSHORE_WRITE_GOLDEN").is_some() {
        write_keyset(&folder);
    }
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let text = |name: &str| String::from_utf8(read(name)).unwrap();
    let open = |slot: OpenedSlot| {
        let mut chain = KeysetChain::new(REPOSITORY, slot.anchor());
        chain.follow(1, &read("revision-1")).unwrap();
        let newest = chain.follow(2, &read("revision-2")).unwrap();
        Keyset::open(&newest, &slot).unwrap()
    };
    let of_object = |name: &str, credential: &Credential| {
        open(OpenedSlot::open(&KeySlot::decode(&read(name)).unwrap(), credential).unwrap())
    };
    let Credential::Identity(identity) = parse(&text("identity")) else { panic!() };
    for (keyset, can_maintain) in [
        (of_object("password", &password("correct horse")), true),
        (of_object("key-file", &parse(KEY_FILE)), false),
        (of_object("recovery-key", &parse(RECOVERY_KEY)), true),
        (open(OpenedSlot::of_identity(REPOSITORY, &identity).unwrap()), false),
    ] {
        assert_eq!(hex::encode(keysets::fingerprint(&keyset)), text("fingerprint"));
        assert_eq!(keyset.can_maintain(), can_maintain);
        assert_eq!((keyset.newest_epoch(), keyset.slots().len()), (2, 4));
    }
}

fn write_keyset(folder: &std::path::Path) {
    let mut keyset = Keyset::generate().unwrap();
    let anchor = Anchor { revision: 0, authority: keyset.authority() };
    let identity = format!("{}\n{IDENTITY}\n", anchor.line(REPOSITORY));
    fs::create_dir_all(folder).unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.join(name), bytes).unwrap();
    write("identity", identity.as_bytes());
    for (name, credential, role) in [
        ("password", password("correct horse"), Role::Maintenance),
        ("key-file", parse(KEY_FILE), Role::Mover),
        ("recovery-key", parse(RECOVERY_KEY), Role::Maintenance),
        ("identity", parse(&identity), Role::Mover),
    ] {
        let slot = NewSlot::for_credential(REPOSITORY, anchor, &credential, CHEAP).unwrap();
        keyset.add_slot(&slot, role, name, 1);
        if let Some(object) = slot.object {
            write(name, &object.encode());
        }
    }
    let first = keyset.seal(REPOSITORY, 1, [0; 32], &keyset).unwrap().encode();
    let mut next = keyset.clone();
    next.rotate().unwrap();
    let second = next.seal(REPOSITORY, 2, *blake3::hash(&first).as_bytes(), &keyset).unwrap();
    write("revision-1", &first);
    write("revision-2", &second.encode());
    write("fingerprint", hex::encode(keysets::fingerprint(&next)).as_bytes());
}

/// Sealed with every purpose, and all keyed values, as text. Set `LONGSHORE_WRITE_GOLDEN=1` to write a missing file.
#[test]
fn every_keyed_value_is_as_it_always_was() {
    let keys = keys();
    let mut text = String::new();
    let mut line = |name: &str, value: String| writeln!(text, "{name} {value}").unwrap();
    line("chunk-id", keys.chunk_id(b"plain").to_string());
    line("node-id", keys.node_id(b"plain").to_string());
    line("source-id", keys.source_id(&["pvc", "cluster", "shop", "db"]).to_string());
    line("name-value", keys.name_value(b"name").to_string());
    for (name, purpose) in purposes() {
        let (key, commitment) = keys.object_key(purpose, 1, &[4; 32]).unwrap();
        let mut sealed = b"a piece of some length".to_vec();
        key.seal(7, b"bound to", &mut sealed, 0).unwrap();
        line(&format!("seal-{name}"), format!("{} {}", hex::encode(commitment), hex::encode(sealed)));
    }
    for kind in [RecordKind::Config, RecordKind::Forget] {
        let signature = keys.sign_record(kind, "a/name", b"plain").unwrap();
        keys.verify_record(kind, "a/name", b"plain", 1, &signature).unwrap();
        line(&format!("sign-{}", kind.as_str()), hex::encode(signature));
    }
    let noise = noise(1 << 20);
    let pieces = keys.volume_splitter(ChunkSizes::STANDARD).split_span(&noise);
    line(
        "volume-cuts",
        pieces.iter().map(|piece| piece.length_bytes.to_string()).collect::<Vec<_>>().join(","),
    );
    let files = keys.file_splitter(ChunkSizes::STANDARD);
    let mut at = 0;
    let mut cuts = Vec::new();
    while let Some(length) = files.next_chunk(&noise[at..], at == 0, true) {
        cuts.push(length.to_string());
        at += length;
    }
    line("file-cuts", cuts.join(","));
    let path = folder().join("keyed-values.txt");
    if !path.exists() && std::env::var_os("LONGSHORE_WRITE_GOLDEN").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(text, fs::read_to_string(&path).unwrap(), "old repositories would no longer be readable");
}

fn purposes() -> Vec<(&'static str, Purpose)> {
    let mut all = vec![
        ("data", Purpose::Pack(PackKind::Data)),
        ("meta", Purpose::Pack(PackKind::Meta)),
        ("index", Purpose::Index),
    ];
    all.extend(RecordKind::ALL.map(|kind| (kind.as_str(), Purpose::Record(kind))));
    all
}

fn noise(length: usize) -> Vec<u8> {
    let mut out = vec![0u8; length];
    blake3::Hasher::new().finalize_xof().fill(&mut out);
    out
}

#[test]
fn what_was_sealed_opens_only_where_it_belongs() {
    let keys = keys();
    let (key, commitment) = keys.object_key(Purpose::Index, 1, &[4; 32]).unwrap();
    let mut sealed = b"prefix".to_vec();
    sealed.extend_from_slice(b"plain");
    key.seal(7, b"bound", &mut sealed, 6).unwrap();
    let sealed = &sealed[6..];
    let open = |key: &longshore_crypto::SealKey, ordinal, bound: &[u8], bytes: &[u8]| {
        key.open("test", ordinal, bound, &mut bytes.to_vec()).map(|plain| plain.to_vec())
    };
    assert_eq!(open(&key, 7, b"bound", sealed).unwrap(), b"plain");
    assert_eq!(open(&key, 8, b"bound", sealed).unwrap_err().class(), Class::Corrupt);
    assert!(open(&key, 7, b"bounds", sealed).is_err());
    for at in 0..sealed.len() {
        let mut damaged = sealed.to_vec();
        damaged[at] ^= 1;
        assert!(open(&key, 7, b"bound", &damaged).is_err(), "byte {at}");
        assert!(open(&key, 7, b"bound", &sealed[..at]).is_err(), "{at} bytes");
    }
    for (_, purpose) in purposes().into_iter().filter(|(_, purpose)| *purpose != Purpose::Index) {
        let (other, other_commitment) = keys.object_key(purpose, 1, &[4; 32]).unwrap();
        assert!(open(&other, 7, b"bound", sealed).is_err());
        assert_ne!(commitment, other_commitment);
    }
    let other = RepositoryKeys::new(RepositoryId([9; 16]), Keyset::for_tests([2; 32], [3; 32])).unwrap();
    assert!(open(&other.object_key(Purpose::Index, 1, &[4; 32]).unwrap().0, 7, b"bound", sealed).is_err());
    assert!(keys.open_object_key("test", Purpose::Index, 1, &[4; 32], &commitment).is_ok());
    assert!(keys.open_object_key("test", Purpose::Index, 1, &[4; 32], &[0; 32]).is_err());
    assert!(keys.open_object_key("test", Purpose::Index, 2, &[4; 32], &commitment).is_err());
}

#[test]
fn ids_and_cuts_depend_on_the_key() {
    let other = RepositoryKeys::new(RepositoryId([1; 16]), Keyset::for_tests([9; 32], [3; 32])).unwrap();
    assert_ne!(keys().chunk_id(b"x"), other.chunk_id(b"x"));
    assert_ne!(keys().chunk_id(b"x").0, keys().node_id(b"x").0);
    assert_ne!(keys().source_id(&["a", "bc"]), keys().source_id(&["ab", "c"]));
    let noise = noise(4 << 20);
    let split = |keys: &RepositoryKeys| keys.volume_splitter(ChunkSizes::STANDARD).split_span(&noise);
    assert_ne!(split(&keys()), split(&other));
}
