use thiserror::Error;

/// What a caller can do about a [`CryptoError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The password or key opens no slot, or no slot any more.
    WrongPassword,
    /// The bytes are not authentic.
    Corrupt,
    /// The bytes need a newer version.
    Unsupported,
    /// The keys may read and add, but not do what maintenance does.
    NoAuthority,
    /// The keyset was replaced after it was read; it must be read again.
    Stale,
    /// The machine refused (memory, randomness).
    Machine,
}

/// Why a cryptographic operation failed. No variant carries secret or plaintext bytes.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// The password does not open the key slot, or the slot was tampered with; the two cannot be told apart.
    #[error("the password does not open the key slot")]
    WrongPassword,
    /// The slot opens, but the keyset is not sealed to it any more.
    #[error("this key was removed from the repository")]
    SlotRemoved,
    /// A key that was written down is not one.
    #[error("this is not a valid {what}: {why}")]
    Key {
        /// What it looks like.
        what: &'static str,
        /// What is wrong. Never part of the key.
        why: &'static str,
    },
    /// Sealed bytes did not open: changed, moved, or of another repository.
    #[error("{what} is not authentic")]
    NotAuthentic {
        /// What was being opened.
        what: &'static str,
    },
    /// Bytes that only maintenance may write do not carry its signature.
    #[error("{what} is not signed by the repository's maintenance")]
    NotSigned {
        /// What was being opened.
        what: &'static str,
    },
    /// Something that only maintenance may write was to be written with the keys of a mover.
    #[error("the key in use is a mover's; a {what} needs a key with role maintenance")]
    NoAuthority {
        /// What was to be written.
        what: &'static str,
    },
    /// The keyset has no secret for this epoch.
    #[error("the keyset has no epoch {epoch}")]
    UnknownEpoch {
        /// The epoch that the object names.
        epoch: u32,
    },
    /// The object was sealed with keys that are newer than the keyset in memory.
    #[error("the repository's keys were rotated after they were read: epoch {epoch} is newer")]
    NewerEpoch {
        /// The epoch that the object names.
        epoch: u32,
    },
    /// The keys were rotated as often as the format allows.
    #[error("the keys of this repository cannot be rotated again: copy it to a new one")]
    TooManyEpochs,
    /// The keyset's bytes make no sense although they were authentic.
    #[error("the keyset is malformed")]
    Keyset {
        /// What is wrong.
        #[source]
        source: longshore_format::FormatError,
    },
    /// The password could not be stretched: parameters out of bounds, or not enough memory.
    #[error("the key derivation failed: {reason}")]
    KeyDerivation {
        /// The library's reason; it names parameters only.
        reason: String,
    },
    /// The system's random generator failed.
    #[error("the system gave no random bytes")]
    Random,
    /// Sealing failed: the plaintext is beyond the cipher's limit.
    #[error("sealing failed")]
    Seal,
}

impl CryptoError {
    /// The closed class of this error.
    pub fn class(&self) -> Class {
        match self {
            Self::WrongPassword | Self::SlotRemoved | Self::Key { .. } => Class::WrongPassword,
            Self::Keyset { source } if source.class() == longshore_format::Class::Unsupported => {
                Class::Unsupported
            }
            Self::NotAuthentic { .. }
            | Self::NotSigned { .. }
            | Self::UnknownEpoch { .. }
            | Self::Keyset { .. } => Class::Corrupt,
            Self::NoAuthority { .. } => Class::NoAuthority,
            Self::NewerEpoch { .. } => Class::Stale,
            Self::TooManyEpochs | Self::KeyDerivation { .. } | Self::Random | Self::Seal => Class::Machine,
        }
    }
}
