//! Key hierarchy, authenticated encryption, key derivation, keyed ids and secret types of a repository.
//!
//! Owns every secret and every use of one: nothing outside this crate sees key bytes. AES-256-GCM comes from aws-lc-rs,
//! or from the `aes-gcm` crate with feature `portable`; both produce the same bytes. Must not know: stores, files, clocks.
//! Signatures
//! and key agreement (Ed25519, X25519) have one implementation. First type to read: [`Keyset`], then [`RepositoryKeys`].

mod aead;
mod chain;
mod credential;
mod cut;
mod error;
mod kdf;
mod keys;
mod keyset;
mod maintenance;
mod recipient;
mod secret;
mod slot;

pub use aead::SealKey;
pub use chain::KeysetChain;
pub use credential::{Anchor, Credential, Identity, Recipient, StrongKey};
pub use error::{Class, CryptoError};
pub use keys::{Purpose, RepositoryKeys};
pub use keyset::Keyset;
pub use secret::{Secret, SecretKey, random_bytes};
pub use slot::{NewSlot, OpenedSlot};
