//! Opening and making key slots.

use crate::{
    Anchor, Credential, CryptoError, Identity, Recipient, SecretKey, aead::SealKey, kdf, random_bytes,
    recipient::PrivateKey,
};
use longshore_format::{
    RepositoryId, SlotId,
    bytes::{Put, Reader},
    slot::{Derivation, KdfCost, KeySlot, SLOT_SEALED_BYTES, SlotKind},
};
use zeroize::Zeroizing;

/// A slot that was opened: it opens the keyset revisions that are sealed to it, and says which ones to trust.
#[derive(Clone, Debug)]
pub struct OpenedSlot {
    pub(crate) id: SlotId,
    pub(crate) private: PrivateKey,
    pub(crate) anchor: Anchor,
}

impl OpenedSlot {
    /// Opens a slot object. A wrong secret and a slot that was tampered with give the same error.
    pub fn open(slot: &KeySlot, credential: &Credential) -> Result<Self, CryptoError> {
        let (key, commitment) = slot_keys(slot, credential)?;
        if commitment != slot.commitment {
            return Err(CryptoError::WrongPassword);
        }
        let mut sealed = Zeroizing::new(slot.sealed);
        let plain = SealKey::new(&key)?
            .open("key slot", 0, &slot.head(), sealed.as_mut_slice())
            .map_err(|_| CryptoError::WrongPassword)?;
        let malformed = |source| CryptoError::Keyset { source };
        let mut reader = Reader::new("key slot", plain);
        let private = PrivateKey(SecretKey(reader.array().map_err(malformed)?));
        let anchor = Anchor {
            revision: reader.u32().map_err(malformed)?,
            authority: reader.array().map_err(malformed)?,
        };
        reader.finish().map_err(malformed)?;
        Ok(Self { id: slot.id, private, anchor })
    }

    /// The slot of a recipient, who brings his private half himself. `None` without an anchor for the repository.
    pub fn of_identity(repository: RepositoryId, identity: &Identity) -> Option<Self> {
        let anchor = identity.anchor(repository)?;
        let id = recipient_slot(repository, identity.recipient());
        Some(Self { id, private: identity.private.clone(), anchor })
    }

    /// The slot.
    pub fn id(&self) -> SlotId {
        self.id
    }

    /// Whom it trusts.
    pub fn anchor(&self) -> Anchor {
        self.anchor
    }
}

/// A slot to be added to a keyset.
#[derive(Clone, Debug)]
pub struct NewSlot {
    /// The slot.
    pub id: SlotId,
    /// What it opens with.
    pub kind: SlotKind,
    /// The public half.
    pub public: [u8; 32],
    /// The object that keeps the private half; recipients have none.
    pub object: Option<KeySlot>,
    opened: Option<OpenedSlot>,
}

impl NewSlot {
    /// A slot that opens with a password, key file, recovery key or identity. Passwords are stretched at `cost`.
    pub fn for_credential(
        repository: RepositoryId,
        anchor: Anchor,
        credential: &Credential,
        cost: KdfCost,
    ) -> Result<Self, CryptoError> {
        let derivation = match credential {
            Credential::Password(_) => Derivation::Password(cost),
            Credential::KeyFile(_) => Derivation::KeyFile,
            Credential::RecoveryKey(_) => Derivation::RecoveryKey,
            Credential::Identity(identity) => {
                let slot = Self::for_recipient(repository, identity.recipient());
                let opened = OpenedSlot { id: slot.id, private: identity.private.clone(), anchor };
                return Ok(Self { opened: Some(opened), ..slot });
            }
        };
        let mut slot = KeySlot {
            derivation,
            repository,
            id: SlotId(random_bytes()?),
            salt: random_bytes()?,
            commitment: [0; 32],
            sealed: [0; SLOT_SEALED_BYTES],
        };
        let (key, commitment) = slot_keys(&slot, credential)?;
        slot.commitment = commitment;
        let private = PrivateKey::generate()?;
        let mut plain = Zeroizing::new(Vec::with_capacity(SLOT_SEALED_BYTES));
        plain.put(&private.0.0);
        plain.put_u32(anchor.revision);
        plain.put(&anchor.authority);
        SealKey::new(&key)?.seal(0, &slot.head(), &mut plain, 0)?;
        slot.sealed.copy_from_slice(&plain);
        let opened = OpenedSlot { id: slot.id, private, anchor };
        let (id, kind, public) = (slot.id, derivation.kind(), opened.private.public());
        Ok(Self { id, kind, public, object: Some(slot), opened: Some(opened) })
    }

    /// The slot of a recipient. Its id follows from his public half, so that he finds it.
    pub fn for_recipient(repository: RepositoryId, recipient: Recipient) -> Self {
        let id = recipient_slot(repository, recipient);
        Self { id, kind: SlotKind::Recipient, public: recipient.0, object: None, opened: None }
    }

    /// The slot as its owner would open it; `None` if only he can.
    pub fn opened(&self) -> Option<&OpenedSlot> {
        self.opened.as_ref()
    }
}

/// The id of a recipient's slot.
pub(crate) fn recipient_slot(repository: RepositoryId, recipient: Recipient) -> SlotId {
    let hash = blake3::derive_key("longshore/1/recipient slot", &[&repository.0[..], &recipient.0].concat());
    let mut out = [0; 16];
    out.copy_from_slice(&hash[..16]);
    SlotId(out)
}

fn slot_keys(slot: &KeySlot, credential: &Credential) -> Result<(SecretKey, [u8; 32]), CryptoError> {
    let secret = match (slot.derivation, credential) {
        (Derivation::Password(cost), Credential::Password(password)) => {
            kdf::stretch(password, &slot.salt, cost)?
        }
        (Derivation::KeyFile, Credential::KeyFile(key))
        | (Derivation::RecoveryKey, Credential::RecoveryKey(key)) => {
            kdf::subkey(&key.0.0, &slot.salt, &[b"longshore/1/slot/secret"])
        }
        _ => return Err(CryptoError::WrongPassword),
    };
    let key = kdf::subkey(&secret.0, &slot.repository.0, &[b"longshore/1/slot/key"]);
    let commitment = kdf::subkey(&secret.0, &slot.repository.0, &[b"longshore/1/slot/commitment"]);
    Ok((key, commitment.0))
}
