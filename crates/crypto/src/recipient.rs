//! X25519 pairs, and secrets that are sealed to their public halves.

use crate::{CryptoError, SecretKey, aead::SealKey, kdf, random_bytes};
use longshore_format::{RepositoryId, SlotId, keyset::Role};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// The private half of a pair.
#[derive(Clone, Debug)]
pub(crate) struct PrivateKey(pub(crate) SecretKey);

impl PrivateKey {
    pub(crate) fn generate() -> Result<Self, CryptoError> {
        Ok(Self(SecretKey(random_bytes()?)))
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        PublicKey::from(&StaticSecret::from(self.0.0)).to_bytes()
    }

    /// The secret that this half shares with another's public half. Public halves of small order, with which everybody
    /// shares the same secret, are refused.
    pub(crate) fn shared(&self, public: &[u8; 32]) -> Option<SecretKey> {
        let shared = StaticSecret::from(self.0.0).diffie_hellman(&PublicKey::from(*public));
        shared.was_contributory().then(|| SecretKey(shared.to_bytes()))
    }
}

/// What a wrap is for: it opens for nothing else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WrapContext {
    pub(crate) repository: RepositoryId,
    pub(crate) revision: u32,
    pub(crate) slot: SlotId,
    pub(crate) role: Role,
}

impl WrapContext {
    /// The key that only the two halves can compute. It is used once, since `ephemeral` is.
    fn key(
        &self,
        shared: &SecretKey,
        ephemeral: &[u8; 32],
        public: &[u8; 32],
    ) -> Result<SealKey, CryptoError> {
        let (revision, role) = (self.revision.to_le_bytes(), [self.role.code()]);
        let purpose: [&[u8]; 5] =
            [b"longshore/1/keyset/wrap", &self.repository.0, &revision, &self.slot.0, &role];
        SealKey::new(&kdf::subkey(&shared.0, &[*ephemeral, *public].concat(), &purpose))
    }

    /// Seals a secret to a public half; the result opens with the ephemeral public half that is returned with it.
    pub(crate) fn wrap(&self, public: &[u8; 32], secret: &[u8]) -> Result<([u8; 32], Vec<u8>), CryptoError> {
        let pair = PrivateKey::generate()?;
        let shared = pair.shared(public).ok_or(CryptoError::NotAuthentic { what: "public key" })?;
        let ephemeral = pair.public();
        // Reserved in full, so that growing leaves no copy of the secret behind.
        let mut out = Vec::with_capacity(secret.len() + 16);
        out.extend_from_slice(secret);
        self.key(&shared, &ephemeral, public)?.seal(0, &[], &mut out, 0)?;
        Ok((ephemeral, out))
    }

    /// Opens what was sealed to `private`'s public half.
    pub(crate) fn unwrap(
        &self,
        private: &PrivateKey,
        ephemeral: &[u8; 32],
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        const WHAT: &str = "keyset entry";
        let shared = private.shared(ephemeral).ok_or(CryptoError::NotAuthentic { what: WHAT })?;
        let mut out = Zeroizing::new(wrapped.to_vec());
        let length = self.key(&shared, ephemeral, &private.public())?.open(WHAT, 0, &[], &mut out)?.len();
        out.truncate(length);
        Ok(out)
    }
}
