//! Deriving keys: HKDF-SHA256 from strong secrets, Argon2id from passwords.

use crate::{CryptoError, Secret, SecretKey};
use argon2::{Algorithm, Argon2, Params, Version};
use hkdf::Hkdf;
use longshore_format::slot::KdfCost;
use sha2::Sha256;

/// A subkey for one purpose.
pub(crate) fn subkey(secret: &[u8; 32], salt: &[u8], purpose: &[&[u8]]) -> SecretKey {
    let mut out = SecretKey([0; 32]);
    // 32 bytes are far below HKDF's limit of 255 blocks, the only way in which expanding can fail.
    let expanded = Hkdf::<Sha256>::new(Some(salt), secret).expand_multi_info(purpose, &mut out.0);
    debug_assert!(expanded.is_ok());
    out
}

/// Stretches a password.
pub(crate) fn stretch(password: &Secret, salt: &[u8; 32], cost: KdfCost) -> Result<SecretKey, CryptoError> {
    let failed = |error: argon2::Error| CryptoError::KeyDerivation { reason: error.to_string() };
    let parameters = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(failed)?;
    let mut out = SecretKey([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters)
        .hash_password_into(password.expose(), salt, &mut out.0)
        .map_err(failed)?;
    Ok(out)
}
