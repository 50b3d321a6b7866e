use crate::{
    CryptoError, Secret, SecretKey,
    aead::SealKey,
    kdf,
    maintenance::{Authority, MaintenanceKey},
    random_bytes,
};
use longshore_format::{
    FormatError, RepositoryId, SlotId,
    bytes::{Put, Reader},
    slot::{KdfCost, KeySlot},
};
use zeroize::Zeroizing;

const VERSION: u16 = 1;
const EPOCHS_MAX: usize = 1024;

/// All secrets of a repository: a root that decides ids and cuts for ever, epochs that seal, and, unless it is a mover's,
/// the key that signs what only maintenance may write.
#[derive(Clone, Debug)]
pub struct Keyset {
    pub(crate) root: SecretKey,
    /// Epoch numbers ascending; the last one seals.
    pub(crate) epochs: Vec<(u32, SecretKey)>,
    /// First epochs ascending; the first is the first of all epochs.
    pub(crate) authorities: Vec<Authority>,
    /// The private half of the last authority.
    pub(crate) maintenance: Option<MaintenanceKey>,
}

impl Keyset {
    /// A keyset of fresh random secrets with one epoch.
    pub fn generate() -> Result<Self, CryptoError> {
        let maintenance = MaintenanceKey::generate()?;
        Ok(Self::first(SecretKey::random()?, SecretKey::random()?, maintenance))
    }

    fn first(root: SecretKey, epoch: SecretKey, maintenance: MaintenanceKey) -> Self {
        let authorities = vec![Authority { first_epoch: 1, public: maintenance.public() }];
        Self { root, epochs: vec![(1, epoch)], authorities, maintenance: Some(maintenance) }
    }

    /// What of the keyset a mover gets: everything but the key that signs.
    pub fn to_mover(&self) -> Self {
        Self { maintenance: None, ..self.clone() }
    }

    /// A keyset of chosen secrets, for golden files. Never for a real repository.
    #[doc(hidden)]
    pub fn for_tests(root: [u8; 32], epoch: [u8; 32]) -> Self {
        Self::first(SecretKey(root), SecretKey(epoch), MaintenanceKey(SecretKey([4; 32])))
    }

    /// Wraps the keyset with a password for one repository.
    pub fn wrap(
        &self,
        repository: RepositoryId,
        password: &Secret,
        cost: KdfCost,
    ) -> Result<KeySlot, CryptoError> {
        let mut slot = KeySlot {
            repository,
            id: SlotId(random_bytes()?),
            cost,
            salt: random_bytes()?,
            commitment: [0; 32],
            wrapped: Vec::new(),
        };
        let (key, commitment) = slot_keys(&slot, password)?;
        slot.commitment = commitment;
        let mut plain = self.encode();
        SealKey::new(&key)?.seal(0, &slot.head(), &mut plain, 0)?;
        slot.wrapped = std::mem::take(&mut *plain);
        Ok(slot)
    }

    /// Opens a slot. A wrong password and a tampered slot give the same error.
    pub fn unwrap(slot: &KeySlot, password: &Secret) -> Result<Self, CryptoError> {
        let (key, commitment) = slot_keys(slot, password)?;
        if commitment != slot.commitment {
            return Err(CryptoError::WrongPassword);
        }
        let mut sealed = Zeroizing::new(slot.wrapped.clone());
        let plain = SealKey::new(&key)?
            .open("key slot", 0, &slot.head(), &mut sealed)
            .map_err(|_| CryptoError::WrongPassword)?;
        Self::decode(plain).map_err(|source| CryptoError::Keyset { source })
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        // Reserved in full, so that growing leaves no copy of a secret behind.
        let mut out =
            Zeroizing::new(Vec::with_capacity(128 + (self.epochs.len() + self.authorities.len()) * 36));
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
        out.put_u8(self.maintenance.is_some().into());
        if let Some(key) = &self.maintenance {
            out.put(&key.0.0);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut reader = Reader::new("keyset", bytes);
        reader.version(VERSION)?;
        let root = SecretKey(reader.array()?);
        let count = reader.count(EPOCHS_MAX, 36)?;
        let mut epochs: Vec<(u32, SecretKey)> = Vec::with_capacity(count);
        for _ in 0..count {
            let number = reader.u32()?;
            if epochs.last().is_some_and(|(last, _)| *last >= number) {
                return Err(reader.invalid("epochs out of order"));
            }
            epochs.push((number, SecretKey(reader.array()?)));
        }
        if epochs.is_empty() {
            return Err(reader.invalid("no epoch"));
        }
        let count = reader.count(EPOCHS_MAX, 36)?;
        let mut authorities: Vec<Authority> = Vec::with_capacity(count);
        for _ in 0..count {
            let authority = Authority { first_epoch: reader.u32()?, public: reader.array()? };
            if authorities.last().is_some_and(|last| last.first_epoch >= authority.first_epoch) {
                return Err(reader.invalid("authorities out of order"));
            }
            authorities.push(authority);
        }
        let maintenance = match reader.u8()? {
            0 => None,
            _ => Some(MaintenanceKey(SecretKey(reader.array()?))),
        };
        reader.finish()?;
        Ok(Self { root, epochs, authorities, maintenance })
    }
}

fn slot_keys(slot: &KeySlot, password: &Secret) -> Result<(SecretKey, [u8; 32]), CryptoError> {
    let stretched = kdf::stretch(password, &slot.salt, slot.cost)?;
    let key = kdf::subkey(&stretched.0, &slot.repository.0, &[b"longshore/1/slot/key"]);
    let commitment = kdf::subkey(&stretched.0, &slot.repository.0, &[b"longshore/1/slot/commitment"]);
    Ok((key, commitment.0))
}
