//! The signatures of maintenance: Ed25519, one implementation whichever AEAD library is chosen.
//!
//! Who holds a repository's keys can seal anything; what leads to deletion is believed only with such a signature.

use crate::{CryptoError, SecretKey, random_bytes};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use longshore_format::{RepositoryId, keyset::KeysetRevision, sealed::RecordKind};

/// Domain of the signatures of records.
const RECORD: &[u8] = b"longshore/1/signed record";

/// Domain of the signatures of keyset revisions.
const KEYSET: &[u8] = b"longshore/1/signed keyset";

/// From which epoch on records must be signed with which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authority {
    pub(crate) first_epoch: u32,
    pub(crate) public: [u8; 32],
}

/// The private half of a maintenance key.
#[derive(Clone, Debug)]
pub(crate) struct MaintenanceKey(pub(crate) SecretKey);

impl MaintenanceKey {
    pub(crate) fn generate() -> Result<Self, CryptoError> {
        Ok(Self(SecretKey(random_bytes()?)))
    }

    pub(crate) fn public(&self) -> [u8; 32] {
        SigningKey::from_bytes(&self.0.0).verifying_key().to_bytes()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        SigningKey::from_bytes(&self.0.0).sign(message).to_bytes()
    }
}

/// Whether a signature is of the key and the message. Strict: small-order keys and malleable signatures are refused.
pub(crate) fn verify(
    what: &'static str,
    public: &[u8; 32],
    message: &[u8],
    signature: &[u8; 64],
) -> Result<(), CryptoError> {
    VerifyingKey::from_bytes(public)
        .and_then(|key| key.verify_strict(message, &Signature::from_bytes(signature)))
        .map_err(|_| CryptoError::NotSigned { what })
}

/// What is signed of a record: all that it is bound to, and its plaintext by hash, so that a large plan is not copied.
pub(crate) fn record_message(
    repository: RepositoryId,
    kind: RecordKind,
    name: &str,
    plain: &[u8],
) -> Vec<u8> {
    let mut out = RECORD.to_vec();
    out.extend_from_slice(&repository.0);
    out.push(kind.code());
    out.extend_from_slice(&(name.len() as u32).to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(blake3::hash(plain).as_bytes());
    out
}

/// What is signed of a keyset revision: all of it. Its repository and its number are in it.
pub(crate) fn keyset_message(revision: &KeysetRevision) -> Vec<u8> {
    [KEYSET, &revision.signed_bytes()].concat()
}
