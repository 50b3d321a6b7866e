//! AES-256-GCM under keys that are each used for one object, with the ordinal of the sealed piece as nonce.

use longshore_format::sealed::TAG_BYTES;

use crate::{CryptoError, SecretKey};

#[cfg(not(any(feature = "aws-lc", feature = "portable")))]
compile_error!("choose feature `aws-lc` or `portable`");

#[cfg(not(feature = "portable"))]
use aws as backend;
#[cfg(feature = "portable")]
use portable as backend;

/// A key that seals the pieces of one object.
pub struct SealKey(backend::Cipher);

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(..)")
    }
}

impl SealKey {
    pub(crate) fn new(key: &SecretKey) -> Result<Self, CryptoError> {
        Ok(Self(backend::Cipher::new(&key.0)?))
    }

    /// Seals `buffer[start..]` in place and appends the tag. An ordinal must be used once per key.
    pub fn seal(
        &self,
        ordinal: u32,
        associated: &[u8],
        buffer: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), CryptoError> {
        let tag = self.0.seal(&nonce(ordinal), associated, &mut buffer[start..])?;
        buffer.extend_from_slice(&tag);
        Ok(())
    }

    /// Opens sealed bytes in place; `what` names them in the error.
    pub fn open<'a>(
        &self,
        what: &'static str,
        ordinal: u32,
        associated: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], CryptoError> {
        let length = sealed.len().checked_sub(TAG_BYTES).ok_or(CryptoError::NotAuthentic { what })?;
        let (body, tag) = sealed.split_at_mut(length);
        self.0
            .open(&nonce(ordinal), associated, body, tag)
            .map_err(|_| CryptoError::NotAuthentic { what })?;
        Ok(body)
    }

    /// The tag over `data` alone, as a universal hash of it. It must stay secret: the nonce is always the same.
    pub(crate) fn universal_hash(&self, data: &[u8]) -> [u8; TAG_BYTES] {
        // Sealing nothing cannot exceed a limit of the cipher; a zero hash would only mean other cuts, never other data.
        self.0.seal(&nonce(0), data, &mut []).unwrap_or_default()
    }
}

fn nonce(ordinal: u32) -> [u8; 12] {
    let mut nonce = [0u8; 12];
    nonce[..4].copy_from_slice(&ordinal.to_le_bytes());
    nonce
}

#[cfg(feature = "aws-lc")]
#[cfg_attr(feature = "portable", allow(dead_code))]
mod aws {
    use crate::CryptoError;
    use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

    pub(super) struct Cipher(LessSafeKey);

    impl Cipher {
        pub(super) fn new(key: &[u8; 32]) -> Result<Self, CryptoError> {
            let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| CryptoError::Seal)?;
            Ok(Self(LessSafeKey::new(key)))
        }

        pub(super) fn seal(
            &self,
            nonce: &[u8; 12],
            aad: &[u8],
            data: &mut [u8],
        ) -> Result<[u8; 16], CryptoError> {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let tag = self
                .0
                .seal_in_place_separate_tag(nonce, Aad::from(aad), data)
                .map_err(|_| CryptoError::Seal)?;
            let mut out = [0u8; 16];
            out.copy_from_slice(tag.as_ref());
            Ok(out)
        }

        pub(super) fn open(
            &self,
            nonce: &[u8; 12],
            aad: &[u8],
            data: &mut [u8],
            tag: &[u8],
        ) -> Result<(), CryptoError> {
            let nonce = Nonce::assume_unique_for_key(*nonce);
            self.0
                .open_in_place_separate_tag(nonce, Aad::from(aad), tag, data)
                .map(|_| ())
                .map_err(|_| CryptoError::NotAuthentic { what: "sealed bytes" })
        }
    }
}

#[cfg(feature = "portable")]
mod portable {
    use crate::CryptoError;
    use aes_gcm::{AeadInOut, Aes256Gcm, KeyInit, Nonce, Tag};

    pub(super) struct Cipher(Aes256Gcm);

    impl Cipher {
        pub(super) fn new(key: &[u8; 32]) -> Result<Self, CryptoError> {
            Ok(Self(Aes256Gcm::new(&(*key).into())))
        }

        pub(super) fn seal(
            &self,
            nonce: &[u8; 12],
            aad: &[u8],
            data: &mut [u8],
        ) -> Result<[u8; 16], CryptoError> {
            let tag = self
                .0
                .encrypt_inout_detached(&Nonce::from(*nonce), aad, data.into())
                .map_err(|_| CryptoError::Seal)?;
            Ok(tag.into())
        }

        pub(super) fn open(
            &self,
            nonce: &[u8; 12],
            aad: &[u8],
            data: &mut [u8],
            tag: &[u8],
        ) -> Result<(), CryptoError> {
            let not_authentic = CryptoError::NotAuthentic { what: "sealed bytes" };
            let Ok(tag) = <[u8; 16]>::try_from(tag) else { return Err(not_authentic) };
            self.0
                .decrypt_inout_detached(&Nonce::from(*nonce), aad, data.into(), &Tag::from(tag))
                .map_err(|_| not_authentic)
        }
    }
}
