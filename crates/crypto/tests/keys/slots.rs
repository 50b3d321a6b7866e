use longshore_crypto::{
    Anchor, Class, Credential, Identity, Keyset, NewSlot, OpenedSlot, RepositoryKeys, Secret, StrongKey,
};
use longshore_format::{
    RepositoryId,
    slot::{KdfCost, KeySlot, SlotKind},
};

pub const CHEAP: KdfCost = KdfCost { memory_kib: 64, passes: 1, lanes: 1 };
pub const REPOSITORY: RepositoryId = RepositoryId([1; 16]);
const ANCHOR: Anchor = Anchor { revision: 7, authority: [8; 32] };
const AGE: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

pub fn password(text: &str) -> Credential {
    Credential::Password(Secret::from(text))
}

fn new(credential: &Credential) -> NewSlot {
    NewSlot::for_credential(REPOSITORY, ANCHOR, credential, CHEAP).unwrap()
}

/// One credential of each kind that has a slot object, and the slot.
fn slots() -> Vec<(Credential, KeySlot)> {
    let all = [
        password("correct horse"),
        Credential::KeyFile(StrongKey::generate().unwrap()),
        Credential::RecoveryKey(StrongKey::generate().unwrap()),
    ];
    all.into_iter().map(|credential| (credential.clone(), new(&credential).object.unwrap())).collect()
}

#[test]
fn a_slot_opens_with_its_own_secret_alone() {
    let slots = slots();
    for (at, (own, slot)) in slots.iter().enumerate() {
        let slot = KeySlot::decode(&slot.encode()).unwrap();
        let opened = OpenedSlot::open(&slot, own).unwrap();
        assert_eq!((opened.id(), opened.anchor()), (slot.id, ANCHOR));
        let others =
            slots.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, (other, _))| other.clone());
        let wrong = ["", "Correct horse", "correct horse\n"].map(password).into_iter().chain(others).chain([
            Credential::KeyFile(StrongKey::generate().unwrap()),
            Credential::RecoveryKey(StrongKey::generate().unwrap()),
        ]);
        for wrong in wrong {
            assert_eq!(OpenedSlot::open(&slot, &wrong).unwrap_err().class(), Class::WrongPassword);
        }
    }
}

#[test]
fn a_slot_is_bound_to_its_repository_id_and_every_other_field() {
    for (credential, slot) in slots() {
        let bytes = slot.encode();
        for at in 0..bytes.len() {
            for bit in [1, 0x80] {
                let mut damaged = bytes.clone();
                damaged[at] ^= bit;
                if let Ok(slot) = KeySlot::decode(&damaged) {
                    assert!(OpenedSlot::open(&slot, &credential).is_err(), "byte {at}");
                }
            }
            assert!(KeySlot::decode(&bytes[..at]).is_err(), "{at} bytes");
        }
    }
}

#[test]
fn two_slots_of_one_secret_share_nothing() {
    let [one, two] = [(); 2].map(|()| new(&password("correct horse")));
    assert!(one.id != two.id && one.public != two.public);
    let [one, two] = [one, two].map(|slot| slot.object.unwrap());
    assert!(one.salt != two.salt && one.commitment != two.commitment && one.sealed != two.sealed);
}

#[test]
fn the_standard_cost_works_and_is_within_the_limit() {
    let slot = NewSlot::for_credential(REPOSITORY, ANCHOR, &password("x"), KdfCost::STANDARD).unwrap();
    let slot = KeySlot::decode(&slot.object.unwrap().encode()).unwrap();
    assert!(OpenedSlot::open(&slot, &password("x")).is_ok());
}

#[test]
fn keys_come_back_from_what_people_write_down() {
    let key = StrongKey::generate().unwrap();
    let (file, paper) = (key.key_file_text().unwrap(), key.recovery_text().unwrap());
    let [file, paper] = [file, paper].map(|text| String::from_utf8(text.expose().to_vec()).unwrap());
    let slot = new(&Credential::KeyFile(key.clone())).object.unwrap();
    let opens = |slot: &KeySlot, text: &str| {
        OpenedSlot::open(slot, &Credential::parse(text.as_bytes().to_vec()).unwrap()).is_ok()
    };
    assert!(opens(&slot, &file) && opens(&slot, file.trim()) && opens(&slot, &file.to_uppercase()));
    assert!(!opens(&slot, &paper), "a recovery key is no key file");
    let slot = new(&Credential::RecoveryKey(key)).object.unwrap();
    assert_eq!(paper.split('-').map(str::len).collect::<Vec<_>>(), [4; 16]);
    for written in [paper.clone(), paper.to_lowercase(), paper.replace('-', " "), paper.replace('-', "\n ")] {
        assert!(opens(&slot, &written), "{written}");
    }
    assert!(matches!(Credential::parse(b"pass word".to_vec()).unwrap(), Credential::Password(_)));
    assert!(matches!(Credential::parse(vec![0xff, 0xfe]).unwrap(), Credential::Password(_)));
}

/// Every wrong letter, every pair that changed places, every letter that is missing or doubled.
#[test]
fn typing_errors_in_a_recovery_key_are_found() {
    let paper = StrongKey::generate().unwrap().recovery_text().unwrap();
    let paper: Vec<u8> = paper.expose().iter().copied().filter(|byte| *byte != b'-').collect();
    let refused = |typed: &[u8]| {
        let parsed = Credential::parse(typed.to_vec());
        // An error before the mark that tells a recovery key leaves a password, which opens nothing.
        !matches!(parsed, Ok(Credential::RecoveryKey(_) | Credential::KeyFile(_)))
    };
    for at in 0..paper.len() {
        for letter in *b"QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LBIO1" {
            let mut typed = paper.clone();
            typed[at] = letter;
            assert!(typed == paper || refused(&typed));
        }
        let mut swapped = paper.clone();
        swapped.swap(at, (at + 1) % paper.len());
        assert!(swapped == paper || refused(&swapped));
        let mut missing = paper.clone();
        missing.remove(at);
        assert!(refused(&missing), "letter {at} is missing");
        let mut doubled = paper.clone();
        doubled.insert(at, paper[at]);
        assert!(refused(&doubled), "letter {at} is doubled");
    }
    let failure = Credential::parse([&paper[..], b"Q"].concat()).unwrap_err();
    assert_eq!(failure.class(), Class::WrongPassword);
    assert!(!failure.to_string().contains(std::str::from_utf8(&paper[6..]).unwrap()));
}

#[test]
fn an_age_identity_opens_only_where_its_file_says_whom_to_trust() {
    let identity = |text: String| match Credential::parse(text.into_bytes()) {
        Ok(Credential::Identity(identity)) => Ok(identity),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    let bare = identity(format!("# created: 2026-11-25\n# public key: age1\n{AGE}\n")).unwrap();
    assert!(OpenedSlot::of_identity(REPOSITORY, &bare).is_none());
    let line = ANCHOR.line(REPOSITORY);
    let trusting = identity(format!("{line}\n{}\n{AGE}\n", ANCHOR.line(RepositoryId([9; 16])))).unwrap();
    let opened = OpenedSlot::of_identity(REPOSITORY, &trusting).unwrap();
    assert_eq!(opened.anchor(), ANCHOR);
    let slot = NewSlot::for_recipient(REPOSITORY, bare.recipient());
    assert_eq!((slot.id, slot.kind, slot.object.is_none()), (opened.id(), SlotKind::Recipient, true));
    assert!(OpenedSlot::of_identity(RepositoryId([3; 16]), &trusting).is_none());
    assert!(identity(format!("{}\n{AGE}", &line[..line.len() - 1])).is_err());
    assert!(identity(AGE.replace("GFPYY", "GFPYZ")).is_err());
    assert_eq!(Identity::recipient(&bare), Identity::recipient(&trusting));
}

#[test]
fn recipients_are_those_of_age() {
    use longshore_crypto::Recipient;
    // From age's own documentation.
    let good = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    assert!(Recipient::parse(good).is_ok());
    // The pair of age's own tests.
    let secret = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
    let public = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
    let Ok(Credential::Identity(identity)) = Credential::parse(secret.into()) else { panic!() };
    assert_eq!(identity.recipient(), Recipient::parse(public).unwrap());
    // The point of order 1 shares the same secret with everybody.
    let nobody = "age1qqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqq5cu47z";
    for bad in [&good.replace("ql3z", "ql3y"), &good[..40], "age1", "", nobody] {
        assert_eq!(Recipient::parse(bad).unwrap_err().class(), Class::WrongPassword, "{bad}");
    }
}

#[test]
fn nothing_debugged_shows_a_secret() {
    let keyset = Keyset::for_tests([0xab; 32], [0xcd; 32]);
    let key = Credential::parse(AGE.as_bytes().to_vec()).unwrap();
    let slot = new(&password("correct horse"));
    let opened = OpenedSlot::open(slot.object.as_ref().unwrap(), &password("correct horse")).unwrap();
    let file = StrongKey::generate().unwrap();
    let keys = RepositoryKeys::new(REPOSITORY, keyset.clone()).unwrap();
    let text =
        format!("{keyset:?} {:?} {keys:?} {key:?} {opened:?} {file:?} {slot:?}", password("correct horse"));
    for needle in ["171, 171", "205, 205", "ab, ab", "correct", "99, 111, 114", "AGE-SECRET", "66, 66"] {
        assert!(!text.contains(needle), "{needle}: {text}");
    }
}
