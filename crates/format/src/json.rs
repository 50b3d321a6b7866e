//! Small records are JSON inside their seal. Unknown fields are ignored, so that later minor additions stay readable.

use crate::FormatError;
use serde::{Serialize, de::DeserializeOwned};

pub(crate) fn encode<T: Serialize>(what: &'static str, record: &T) -> Result<Vec<u8>, FormatError> {
    serde_json::to_vec(record).map_err(|source| FormatError::Json { what, source })
}

pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, FormatError> {
    serde_json::from_slice(bytes).map_err(|source| FormatError::Json { what, source })
}

pub(crate) fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), FormatError> {
    if found > limit {
        return Err(FormatError::Limit { what, found: found as u64, limit: limit as u64 });
    }
    Ok(())
}

/// `encode` and `decode` of a record without limits of its own.
macro_rules! record {
    ($name:ident, $what:literal) => {
        impl $name {
            /// The bytes of the record.
            pub fn encode(&self) -> Result<Vec<u8>, $crate::FormatError> {
                $crate::json::encode($what, self)
            }

            /// Reads an opened record.
            pub fn decode(bytes: &[u8]) -> Result<Self, $crate::FormatError> {
                $crate::json::decode($what, bytes)
            }
        }
    };
}
pub(crate) use record;
