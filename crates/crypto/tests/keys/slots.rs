use longshore_crypto::{Class, Keyset, Purpose, RepositoryKeys, Secret};
use longshore_format::{
    RepositoryId,
    slot::{KdfCost, KeySlot},
};

const CHEAP: KdfCost = KdfCost { memory_kib: 64, passes: 1, lanes: 1 };
const REPOSITORY: RepositoryId = RepositoryId([1; 16]);

fn password() -> Secret {
    Secret::from("correct horse")
}

/// Two keysets are the same if they seal the same.
fn fingerprint(keyset: Keyset) -> [u8; 32] {
    let keys = RepositoryKeys::new(REPOSITORY, keyset).unwrap();
    let (_, commitment) = keys.object_key(Purpose::Index, keys.newest_epoch(), &[0; 32]).unwrap();
    *blake3::hash(&[commitment, keys.chunk_id(b"").0].concat()).as_bytes()
}

#[test]
fn a_slot_opens_with_its_password_alone() {
    let keyset = Keyset::generate().unwrap();
    let slot = keyset.wrap(REPOSITORY, &password(), CHEAP).unwrap();
    let slot = KeySlot::decode(&slot.encode()).unwrap();
    assert_eq!(fingerprint(Keyset::unwrap(&slot, &password()).unwrap()), fingerprint(keyset));
    for wrong in ["", "Correct horse", "correct horse\n"] {
        assert_eq!(Keyset::unwrap(&slot, &Secret::from(wrong)).unwrap_err().class(), Class::WrongPassword);
    }
}

#[test]
fn a_slot_is_bound_to_its_repository_id_and_every_other_field() {
    let slot = Keyset::generate().unwrap().wrap(REPOSITORY, &password(), CHEAP).unwrap();
    let bytes = slot.encode();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        if let Ok(slot) = KeySlot::decode(&damaged) {
            assert!(Keyset::unwrap(&slot, &password()).is_err(), "byte {at}");
        }
    }
}

#[test]
fn two_slots_of_one_keyset_share_nothing() {
    let keyset = Keyset::generate().unwrap();
    let [one, two] = [(); 2].map(|()| keyset.wrap(REPOSITORY, &password(), CHEAP).unwrap());
    assert!(one.salt != two.salt && one.id != two.id && one.wrapped != two.wrapped);
    assert_ne!(fingerprint(Keyset::generate().unwrap()), fingerprint(keyset));
}

#[test]
fn the_standard_cost_works_and_is_within_the_limit() {
    let slot = Keyset::generate().unwrap().wrap(REPOSITORY, &password(), KdfCost::STANDARD).unwrap();
    assert!(Keyset::unwrap(&KeySlot::decode(&slot.encode()).unwrap(), &password()).is_ok());
}

#[test]
fn nothing_debugged_shows_a_secret() {
    let keyset = Keyset::for_tests([0xab; 32], [0xcd; 32]);
    let text =
        format!("{keyset:?} {:?} {:?}", password(), RepositoryKeys::new(REPOSITORY, keyset.clone()).unwrap());
    for needle in ["171", "205", "ab, ab", "correct", "99, 111"] {
        assert!(!text.contains(needle), "{text}");
    }
}
