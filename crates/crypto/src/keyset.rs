use crate::{
    CryptoError, NewSlot, OpenedSlot, SecretKey,
    aead::SealKey,
    maintenance::{Authority, MaintenanceKey, keyset_message},
    random_bytes,
    recipient::WrapContext,
};
use longshore_format::{
    FormatError, RepositoryId, SlotId,
    bytes::{Put, Reader},
    keyset::{EPOCHS_MAX, KeysetEntry, KeysetRevision, MAINTENANCE_BYTES, Role, SLOTS_MAX, SlotEntry},
};
use zeroize::Zeroizing;

const VERSION: u16 = 1;

/// All secrets of a repository: a root that decides ids and cuts for ever, epochs that seal, and, unless it is a mover's,
/// the key that signs what only maintenance may write. Also the list of the slots that the next revision is sealed to.
#[derive(Clone, Debug)]
pub struct Keyset {
    pub(crate) root: SecretKey,
    /// Epoch numbers ascending; the last one seals.
    pub(crate) epochs: Vec<(u32, SecretKey)>,
    /// First epochs ascending; the first is that of the first epoch.
    pub(crate) authorities: Vec<Authority>,
    /// The private half of the last authority.
    pub(crate) maintenance: Option<MaintenanceKey>,
    slots: Vec<SlotEntry>,
}

impl Keyset {
    /// A keyset of fresh random secrets with one epoch and no slot.
    pub fn generate() -> Result<Self, CryptoError> {
        let maintenance = MaintenanceKey::generate()?;
        Ok(Self::first(SecretKey::random()?, SecretKey::random()?, maintenance))
    }

    fn first(root: SecretKey, epoch: SecretKey, maintenance: MaintenanceKey) -> Self {
        let authorities = vec![Authority { first_epoch: 1, public: maintenance.public() }];
        Self {
            root,
            epochs: vec![(1, epoch)],
            authorities,
            maintenance: Some(maintenance),
            slots: Vec::new(),
        }
    }

    /// A keyset of chosen secrets, for golden files. Never for a real repository.
    #[doc(hidden)]
    pub fn for_tests(root: [u8; 32], epoch: [u8; 32]) -> Self {
        Self::first(SecretKey(root), SecretKey(epoch), MaintenanceKey(SecretKey([4; 32])))
    }

    /// What of the keyset a mover gets: everything but the key that signs.
    pub fn to_mover(&self) -> Self {
        Self { maintenance: None, ..self.clone() }
    }

    /// Whether it holds the key that signs.
    pub fn can_maintain(&self) -> bool {
        self.maintenance.is_some()
    }

    /// The epoch that new objects are sealed with.
    pub fn newest_epoch(&self) -> u32 {
        self.epochs.last().map_or(0, |(number, _)| *number)
    }

    /// The public half of the key that signs.
    pub fn authority(&self) -> [u8; 32] {
        self.authorities.last().map_or([0; 32], |authority| authority.public)
    }

    /// The first epoch of that key.
    pub fn authority_epoch(&self) -> u32 {
        self.authorities.last().map_or(0, |authority| authority.first_epoch)
    }

    /// The slots that open it, oldest first.
    pub fn slots(&self) -> &[SlotEntry] {
        &self.slots
    }

    /// Adds a slot. `revision` is the revision that will be sealed.
    pub fn add_slot(&mut self, slot: &NewSlot, role: Role, label: &str, revision: u32) {
        self.slots.push(SlotEntry {
            id: slot.id,
            kind: slot.kind,
            role,
            added: revision,
            public: slot.public,
            object: slot.object.as_ref().map_or([0; 32], |object| *blake3::hash(&object.encode()).as_bytes()),
            label: label.to_owned(),
        });
    }

    /// Removes a slot. Whoever held it keeps what he has read, until [`Self::rotate`].
    pub fn remove_slot(&mut self, id: SlotId) {
        self.slots.retain(|slot| slot.id != id);
    }

    /// A new epoch and a new maintenance key. The old ones still open and verify what they made.
    pub fn rotate(&mut self) -> Result<(), CryptoError> {
        if self.epochs.len() >= EPOCHS_MAX {
            return Err(CryptoError::TooManyEpochs);
        }
        let epoch = self.newest_epoch() + 1;
        let maintenance = MaintenanceKey::generate()?;
        self.epochs.push((epoch, SecretKey::random()?));
        self.authorities.push(Authority { first_epoch: epoch, public: maintenance.public() });
        self.maintenance = Some(maintenance);
        Ok(())
    }

    /// Seals the keyset as a revision to all its slots. `signer` is the keyset of the revision before, or this one for the
    /// first revision.
    pub fn seal(
        &self,
        repository: RepositoryId,
        revision: u32,
        previous: [u8; 32],
        signer: &Self,
    ) -> Result<KeysetRevision, CryptoError> {
        let without = CryptoError::NoAuthority { what: "keyset" };
        let (Some(own), Some(signer)) = (&self.maintenance, &signer.maintenance) else { return Err(without) };
        // The members' content key, then maintenance's: random for each revision, so a removed slot cannot open the next.
        let content: Zeroizing<[u8; 64]> = Zeroizing::new(random_bytes()?);
        let entries = self
            .slots
            .iter()
            .map(|slot| wrap(repository, revision, slot, &content))
            .collect::<Result<_, _>>()?;
        let mut sealed = KeysetRevision {
            repository,
            revision,
            previous,
            authority: self.authority(),
            entries,
            members: Vec::new(),
            maintenance: [0; MAINTENANCE_BYTES],
            signature: [0; 64],
        };
        let head = sealed.head();
        let (members, maintenance) = content_keys(&content)?;
        let mut plain = self.encode();
        members.seal(0, &head, &mut plain, 0)?;
        sealed.members = std::mem::take(&mut *plain);
        let mut seed = Zeroizing::new(Vec::with_capacity(MAINTENANCE_BYTES));
        seed.extend_from_slice(&own.0.0);
        maintenance.seal(0, &head, &mut seed, 0)?;
        sealed.maintenance.copy_from_slice(&seed);
        sealed.signature = signer.sign(&keyset_message(&sealed));
        Ok(sealed)
    }

    /// Opens a revision whose signature was checked ([`crate::KeysetChain`]).
    pub fn open(revision: &KeysetRevision, slot: &OpenedSlot) -> Result<Self, CryptoError> {
        let own = revision.entries.iter().find(|entry| entry.slot == slot.id);
        let own = own.ok_or(CryptoError::SlotRemoved)?;
        let context = WrapContext {
            repository: revision.repository,
            revision: revision.revision,
            slot: slot.id,
            role: own.role,
        };
        let opened = context.unwrap(&slot.private, &own.ephemeral, &own.wrapped)?;
        let mut content = Zeroizing::new([0; 64]);
        content[..opened.len().min(64)].copy_from_slice(&opened[..opened.len().min(64)]);
        let (members, maintenance) = content_keys(&content)?;
        let head = revision.head();
        let mut bytes = Zeroizing::new(revision.members.clone());
        let plain = members.open("keyset", 0, &head, &mut bytes)?;
        let mut keyset = Self::decode(plain).map_err(|source| CryptoError::Keyset { source })?;
        if own.role == Role::Maintenance {
            let mut seed = Zeroizing::new(revision.maintenance);
            let plain = maintenance.open("keyset", 0, &head, seed.as_mut_slice())?;
            let mut seed = [0; 32];
            seed.copy_from_slice(plain);
            keyset.maintenance = Some(MaintenanceKey(SecretKey(seed)));
        }
        keyset.require_consistent(revision)?;
        Ok(keyset)
    }

    /// Maintenance signed it, so this only fails if maintenance itself is broken; it must not go unnoticed then.
    fn require_consistent(&self, revision: &KeysetRevision) -> Result<(), CryptoError> {
        let listed = self.slots.iter().map(|slot| (slot.id, slot.kind, slot.role));
        let sealed_to = revision.entries.iter().map(|entry| (entry.slot, entry.kind, entry.role));
        let key_fits = self.maintenance.as_ref().is_none_or(|key| key.public() == revision.authority);
        if listed.eq(sealed_to) && self.authority() == revision.authority && key_fits {
            Ok(())
        } else {
            Err(CryptoError::NotAuthentic { what: "keyset" })
        }
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Reserved in full, so that growing leaves no copy of a secret behind.
        let lists = (self.epochs.len() + self.authorities.len()) * 36 + self.slots.len() * 152;
        let mut out = Zeroizing::new(Vec::with_capacity(128 + lists));
        out.put_u16(VERSION);
        out.put(&self.root.0);
        out.put_u32(self.epochs.len() as u32);
        for (number, secret) in &self.epochs {
            out.put_u32(*number);
            out.put(&secret.0);
        }
        out.put_u32(self.authorities.len() as u32);
        for authority in &self.authorities {
            out.put_u32(authority.first_epoch);
            out.put(&authority.public);
        }
        out.put_u32(self.slots.len() as u32);
        self.slots.iter().for_each(|slot| slot.encode(&mut out));
        out
    }

    /// Reads an opened keyset. Public for fuzzing alone.
    #[doc(hidden)]
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new("keyset", bytes);
        reader.version(VERSION)?;
        let root = SecretKey(reader.array()?);
        let epochs = read_ascending(&mut reader, SecretKey)?;
        let authorities = read_ascending(&mut reader, |public| public)?;
        let authorities: Vec<_> =
            authorities.into_iter().map(|(first_epoch, public)| Authority { first_epoch, public }).collect();
        if authorities.first().map(|authority| authority.first_epoch)
            != epochs.first().map(|(number, _)| *number)
        {
            return Err(reader.invalid("an epoch without authority"));
        }
        let count = reader.count(SLOTS_MAX, 87)?;
        let slots = (0..count).map(|_| SlotEntry::read(&mut reader)).collect::<Result<_, _>>()?;
        reader.finish()?;
        Ok(Self { root, epochs, authorities, maintenance: None, slots })
    }
}

fn wrap(
    repository: RepositoryId,
    revision: u32,
    slot: &SlotEntry,
    content: &[u8; 64],
) -> Result<KeysetEntry, CryptoError> {
    let context = WrapContext { repository, revision, slot: slot.id, role: slot.role };
    let share = match slot.role {
        Role::Mover => &content[..32],
        Role::Maintenance => &content[..],
    };
    let (ephemeral, wrapped) = context.wrap(&slot.public, share)?;
    Ok(KeysetEntry { slot: slot.id, kind: slot.kind, role: slot.role, ephemeral, wrapped })
}

fn content_keys(content: &[u8; 64]) -> Result<(SealKey, SealKey), CryptoError> {
    let key = |half: &[u8]| {
        let mut key = SecretKey([0; 32]);
        key.0.copy_from_slice(half);
        SealKey::new(&key)
    };
    Ok((key(&content[..32])?, key(&content[32..])?))
}

/// A list of numbers, ascending and not empty, each with 32 bytes.
fn read_ascending<T>(
    reader: &mut Reader<'_>,
    make: impl Fn([u8; 32]) -> T,
) -> Result<Vec<(u32, T)>, FormatError> {
    let count = reader.count(EPOCHS_MAX, 36)?;
    let mut out: Vec<(u32, T)> = Vec::with_capacity(count);
    for _ in 0..count {
        let number = reader.u32()?;
        if out.last().is_some_and(|(last, _)| *last >= number) {
            return Err(reader.invalid("epochs out of order"));
        }
        out.push((number, make(reader.array()?)));
    }
    if out.is_empty() { Err(reader.invalid("no epoch")) } else { Ok(out) }
}
