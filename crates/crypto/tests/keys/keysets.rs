use crate::slots::{CHEAP, REPOSITORY, password};
use longshore_crypto::{
    Anchor, Class, Credential, CryptoError, Keyset, KeysetChain, NewSlot, OpenedSlot, Purpose,
    RepositoryKeys, StrongKey,
};
use longshore_format::{
    RepositoryId, SlotId,
    keyset::{KeysetRevision, Role},
    sealed::RecordKind,
};

/// Two keysets are the same to a member if they seal and hash the same.
pub fn fingerprint(keyset: &Keyset) -> [u8; 32] {
    let keys = RepositoryKeys::new(REPOSITORY, keyset.clone()).unwrap();
    let (_, commitment) = keys.object_key(Purpose::Index, keys.newest_epoch(), &[0; 32]).unwrap();
    *blake3::hash(&[commitment, keys.chunk_id(b"").0].concat()).as_bytes()
}

/// A repository's keys as an honest administrator changes them.
struct World {
    keyset: Keyset,
    first: Anchor,
    chain: KeysetChain,
    objects: Vec<Vec<u8>>,
}

impl World {
    /// With a slot of maintenance and one of a mover.
    fn new() -> (Self, OpenedSlot, OpenedSlot) {
        let mut keyset = Keyset::generate().unwrap();
        let first = Anchor { revision: 0, authority: keyset.authority() };
        let [admin, mover] = ["admin", "mover"].map(|name| slot(first, name));
        keyset.add_slot(&admin, Role::Maintenance, "admin", 1);
        keyset.add_slot(&mover, Role::Mover, "mover", 1);
        let mut world = Self {
            keyset: keyset.clone(),
            first,
            chain: KeysetChain::new(REPOSITORY, first),
            objects: vec![],
        };
        world.publish(keyset);
        let opened = |slot: NewSlot| slot.opened().unwrap().clone();
        (world, opened(admin), opened(mover))
    }

    fn seal(&self, next: &Keyset) -> KeysetRevision {
        let number = self.objects.len() as u32 + 1;
        next.seal(REPOSITORY, number, self.chain.last(), &self.keyset).unwrap()
    }

    fn publish(&mut self, next: Keyset) {
        let bytes = self.seal(&next).encode();
        self.chain.follow(self.objects.len() as u32 + 1, &bytes).unwrap();
        self.objects.push(bytes);
        self.keyset = next;
    }

    fn change(&mut self, change: impl FnOnce(&mut Keyset, u32)) {
        let mut next = self.keyset.clone();
        change(&mut next, self.objects.len() as u32 + 1);
        self.publish(next);
    }

    fn rotate(&mut self) {
        self.change(|keyset, _| keyset.rotate().unwrap());
    }

    fn newest(&self) -> KeysetRevision {
        KeysetRevision::decode(self.objects.last().unwrap()).unwrap()
    }

    /// Whether somebody who trusts the first authority takes `bytes` for the next revision.
    fn accepts(&self, bytes: &[u8]) -> bool {
        self.chain.clone().follow(self.objects.len() as u32 + 1, bytes).is_ok()
    }
}

fn slot(anchor: Anchor, name: &str) -> NewSlot {
    NewSlot::for_credential(REPOSITORY, anchor, &password(name), CHEAP).unwrap()
}

#[test]
fn a_mover_gets_all_secrets_but_the_one_that_signs() {
    let (world, admin, mover) = World::new();
    let [admin, mover] = [admin, mover].map(|slot| Keyset::open(&world.newest(), &slot).unwrap());
    for opened in [&admin, &mover] {
        assert_eq!(fingerprint(opened), fingerprint(&world.keyset));
        assert_eq!(opened.slots(), world.keyset.slots());
        assert_eq!(opened.authority(), world.keyset.authority());
    }
    assert!(admin.can_maintain() && !mover.can_maintain());
    let refused = mover.seal(REPOSITORY, 2, [0; 32], &mover).unwrap_err();
    assert_eq!(refused.class(), Class::NoAuthority);
    assert_eq!(mover.seal(REPOSITORY, 2, [0; 32], &admin).unwrap_err().class(), Class::NoAuthority);
    let keys = RepositoryKeys::new(REPOSITORY, mover).unwrap();
    for kind in [RecordKind::Forget, RecordKind::Plan, RecordKind::Config] {
        assert_eq!(keys.sign_record(kind, "name", b"").unwrap_err().class(), Class::NoAuthority);
    }
}

#[test]
fn slots_open_what_is_sealed_to_them_and_nothing_after_their_removal() {
    let (mut world, admin, mover) = World::new();
    let id = mover.id();
    let before = world.newest();
    world.change(|keyset, _| keyset.remove_slot(id));
    assert!(Keyset::open(&world.newest(), &admin).is_ok());
    let refused = Keyset::open(&world.newest(), &mover).unwrap_err();
    assert!(matches!(refused, CryptoError::SlotRemoved) && refused.class() == Class::WrongPassword);
    // What a thief copied in time he keeps: only rotating makes it worthless for what comes.
    assert_eq!(fingerprint(&Keyset::open(&before, &mover).unwrap()), fingerprint(&world.keyset));
    world.rotate();
    assert_ne!(fingerprint(&Keyset::open(&before, &mover).unwrap()), fingerprint(&world.keyset));
    let stranger = slot(world.first, "stranger");
    assert!(Keyset::open(&world.newest(), stranger.opened().unwrap()).is_err());
}

#[test]
fn an_entry_cannot_be_passed_on_to_another_slot_or_role() {
    let (world, admin, mover) = World::new();
    let good = world.newest();
    let mut swapped = good.clone();
    let (one, two) = swapped.entries.split_at_mut(1);
    std::mem::swap(&mut one[0].ephemeral, &mut two[0].ephemeral);
    let mut promoted = good.clone();
    promoted.entries[1].role = Role::Maintenance;
    promoted.entries[1].wrapped = good.entries[0].wrapped.clone();
    let mut renamed = good.clone();
    (renamed.entries[0].slot, renamed.entries[1].slot) = (good.entries[1].slot, good.entries[0].slot);
    for wrong in [swapped, promoted, renamed] {
        assert!(!world.accepts(&wrong.encode()));
        let mut all = World::new().0.chain;
        assert!(all.follow(2, &wrong.encode()).is_err());
        // The signature aside, the wraps themselves are bound to slot and role.
        let opens = [&admin, &mover].iter().filter(|slot| Keyset::open(&wrong, slot).is_ok()).count();
        assert!(opens <= 1);
    }
}

#[test]
fn only_the_maintenance_key_in_force_makes_a_revision() {
    let (mut world, _, mover) = World::new();
    world.rotate();
    let held_before = world.keyset.clone();
    // A store, or a thief with nothing but a mover's slot, signs with a key of his own.
    let mut own = Keyset::generate().unwrap();
    own.add_slot(&slot(world.first, "thief"), Role::Maintenance, "", 3);
    let forged = own.seal(REPOSITORY, 3, world.chain.last(), &own).unwrap();
    assert!(!world.accepts(&forged.encode()));
    let mut unsigned = world.seal(&world.keyset);
    unsigned.signature = [0; 64];
    assert!(!world.accepts(&unsigned.encode()));
    // The mover knows the members' content key: he can wrap it for a slot of his own, and cannot sign the result.
    let mut added = world.seal(&world.keyset);
    let mut entry = added.entries[1].clone();
    assert_eq!(entry.slot, mover.id());
    entry.slot = SlotId([9; 16]);
    added.entries.push(entry);
    assert!(!world.accepts(&added.encode()));
    // A maintenance key that was stolen and then replaced.
    assert!(world.accepts(&world.seal(&held_before).encode()));
    world.rotate();
    let number = world.objects.len() as u32 + 1;
    let stale = held_before.seal(REPOSITORY, number, world.chain.last(), &held_before).unwrap();
    assert!(!world.accepts(&stale.encode()));
}

#[test]
fn every_byte_of_a_revision_is_signed() {
    let (world, ..) = World::new();
    let good = world.seal(&world.keyset).encode();
    assert!(world.accepts(&good));
    for at in 0..good.len() {
        let mut damaged = good.clone();
        damaged[at] ^= 1;
        assert!(!world.accepts(&damaged), "byte {at}");
        assert!(!world.accepts(&good[..at]), "{at} bytes");
    }
    assert!(!world.accepts(&[&good[..], b"x"].concat()));
}

#[test]
fn a_revision_counts_only_at_its_own_place() {
    let (mut world, ..) = World::new();
    world.rotate();
    world.rotate();
    let [first, second, third] = [0, 1, 2].map(|at| world.objects[at].clone());
    let from_first = || KeysetChain::new(REPOSITORY, world.first);
    let mut chain = from_first();
    chain.follow(1, &first).unwrap();
    for (number, bytes) in [(1, &first), (2, &first), (2, &third), (3, &second), (4, &third)] {
        assert!(chain.clone().follow(number, bytes).is_err(), "{number}");
    }
    chain.follow(2, &second).unwrap();
    assert!(chain.clone().follow(2, &second).is_err(), "once is enough");
    chain.follow(3, &third).unwrap();
    // A slot that was made later does not go back before its time.
    let anchor = chain.anchor();
    for (number, bytes) in [(1, &first), (2, &second), (3, &third)] {
        assert!(KeysetChain::new(REPOSITORY, anchor).follow(number, bytes).is_err());
    }
    assert!(KeysetChain::new(RepositoryId([2; 16]), world.first).follow(1, &first).is_err());
    let other = Anchor { authority: [7; 32], ..world.first };
    assert!(KeysetChain::new(REPOSITORY, other).follow(1, &first).is_err());
}

#[test]
fn a_lost_revision_costs_the_link_but_not_the_keys() {
    let (mut world, _, mover) = World::new();
    world.change(|keyset, number| keyset.add_slot(&slot(world_anchor(), "a"), Role::Mover, "a", number));
    world.change(|keyset, number| keyset.add_slot(&slot(world_anchor(), "b"), Role::Mover, "b", number));
    let mut chain = KeysetChain::new(REPOSITORY, world.first);
    chain.follow(1, &world.objects[0]).unwrap();
    assert!(chain.follow(2, b"rot").is_err());
    let third = chain.follow(3, &world.objects[2]).unwrap();
    assert_eq!(Keyset::open(&third, &mover).unwrap().slots().len(), 4);
    // With the link's other end at hand it has to fit.
    let unlinked = world.keyset.seal(REPOSITORY, 4, [7; 32], &world.keyset).unwrap();
    assert!(!world.accepts(&unlinked.encode()));
}

fn world_anchor() -> Anchor {
    Anchor { revision: 1, authority: [0; 32] }
}

#[test]
fn after_a_rotation_old_records_are_read_and_old_keys_write_none() {
    let (mut world, ..) = World::new();
    let old = RepositoryKeys::new(REPOSITORY, world.keyset.clone()).unwrap();
    world.rotate();
    let new = RepositoryKeys::new(REPOSITORY, world.keyset.clone()).unwrap();
    assert_eq!((old.newest_epoch(), new.newest_epoch(), new.authority_epoch()), (1, 2, 2));
    let (kind, name) = (RecordKind::Forget, "forget/x");
    let by_old = old.sign_record(kind, name, b"x").unwrap();
    let by_new = new.sign_record(kind, name, b"x").unwrap();
    new.verify_record(kind, name, b"x", 1, &by_old).unwrap();
    new.verify_record(kind, name, b"x", 2, &by_new).unwrap();
    assert!(new.verify_record(kind, name, b"x", 2, &by_old).is_err(), "the old key is over");
    assert!(new.verify_record(kind, name, b"x", 1, &by_new).is_err());
    // What the old epoch sealed still opens; what the new one seals is beyond the old keyset, and known to be so.
    let (_, commitment) = old.object_key(Purpose::Index, 1, &[4; 32]).unwrap();
    assert!(new.open_object_key("test", Purpose::Index, 1, &[4; 32], &commitment).is_ok());
    assert_eq!(old.object_key(Purpose::Index, 2, &[4; 32]).unwrap_err().class(), Class::Stale);
    assert_eq!(new.object_key(Purpose::Index, 0, &[4; 32]).unwrap_err().class(), Class::Corrupt);
    assert_eq!(old.chunk_id(b"x"), new.chunk_id(b"x"), "ids outlive rotations");
}

#[test]
fn rotating_needs_authority_over_the_next_revision_too() {
    let (world, _, mover) = World::new();
    let mut mover = Keyset::open(&world.newest(), &mover).unwrap();
    // Anybody can make himself a new key pair; what counts is the signature of the one before.
    mover.rotate().unwrap();
    let forged = mover.seal(REPOSITORY, 2, world.chain.last(), &mover).unwrap();
    assert!(!world.accepts(&forged.encode()));
}

#[test]
fn all_kinds_of_slots_share_one_revision() {
    let (mut world, ..) = World::new();
    let anchor = world.chain.anchor();
    let identity = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33";
    let file = format!("{}\n{identity}\n", anchor.line(REPOSITORY));
    let Credential::Identity(identity) = Credential::parse(file.into_bytes()).unwrap() else { panic!() };
    let strong = || StrongKey::generate().unwrap();
    let slots = [Credential::KeyFile(strong()), Credential::RecoveryKey(strong())]
        .map(|credential| NewSlot::for_credential(REPOSITORY, anchor, &credential, CHEAP).unwrap());
    let recipient = NewSlot::for_recipient(REPOSITORY, identity.recipient());
    world.change(|keyset, number| {
        slots.iter().for_each(|slot| keyset.add_slot(slot, Role::Maintenance, "", number));
        keyset.add_slot(&recipient, Role::Mover, "", number);
    });
    for slot in slots.iter().map(|slot| slot.opened().unwrap().clone()) {
        assert!(Keyset::open(&world.newest(), &slot).unwrap().can_maintain());
    }
    let opened = OpenedSlot::of_identity(REPOSITORY, &identity).unwrap();
    assert!(!Keyset::open(&world.newest(), &opened).unwrap().can_maintain());
}
