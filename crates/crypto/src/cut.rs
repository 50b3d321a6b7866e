use crate::{CryptoError, SecretKey, aead::SealKey};
use aes::{
    Aes256,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use longshore_splitter::CutPrf;

/// The keyed cut function: GMAC as a universal hash of the whole block, then one AES block as PRF.
///
/// The nonce of the GMAC is fixed on purpose: its tag is only a universal hash and never leaves the process; the AES
/// block under an independent key turns it into a pseudorandom function.
pub(crate) struct KeyedCut {
    hash: SealKey,
    prf: Aes256,
}

impl KeyedCut {
    pub(crate) fn new(hash: &SecretKey, prf: &SecretKey) -> Result<Self, CryptoError> {
        Ok(Self { hash: SealKey::new(hash)?, prf: Aes256::new(&prf.0.into()) })
    }
}

impl CutPrf for KeyedCut {
    fn value(&self, block: &[u8]) -> u64 {
        let mut tag = aes::Block::from(self.hash.universal_hash(block));
        self.prf.encrypt_block(&mut tag);
        let mut low = [0u8; 8];
        low.copy_from_slice(&tag[..8]);
        u64::from_le_bytes(low)
    }
}
