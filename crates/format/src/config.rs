//! The sealed configuration: what all writers of a repository agree on.

use crate::FormatError;
use serde::{Deserialize, Serialize};

/// A revision of the configuration. Fields that this build does not know are kept out of its way, not refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryConfig {
    /// The format that writers use.
    pub format: u16,
    /// The size at which a pack is closed.
    pub pack_bytes: u32,
    /// The zstd level of chunks.
    pub compression_level: i32,
    /// Chunk sizes, least, average and largest, of volumes and files.
    pub chunk_bytes: [u32; 3],
    /// A session that gives no sign of life for so long is given up by prune.
    pub silence_limit_seconds: u32,
    /// Prune waits so long between the new index and deleting, for readers that cannot announce themselves.
    #[serde(default)]
    pub reader_grace_seconds: u32,
    /// Size of the object that maintenance deletes first when the store is full; 0: there is none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub reserve_bytes: u32,
    /// What the store was found able to do when the repository was made; the crate `store` gives it its meaning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<serde_json::Value>,
    /// The software that wrote the revision.
    pub software: String,
}

/// Left out, so that repositories without a reserve keep the bytes that they had.
fn is_zero(bytes: &u32) -> bool {
    *bytes == 0
}

impl RepositoryConfig {
    /// The bytes of the configuration.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        serde_json::to_vec(self).map_err(|source| FormatError::Json { what: "configuration", source })
    }

    /// Reads an opened configuration.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let config: Self = serde_json::from_slice(bytes)
            .map_err(|source| FormatError::Json { what: "configuration", source })?;
        if config.format > crate::FORMAT_VERSION {
            return Err(FormatError::Version {
                what: "configuration",
                found: config.format,
                supported: crate::FORMAT_VERSION,
            });
        }
        let [least, average, most] = config.chunk_bytes;
        let sizes_fit = least >= 4096 && least < average && average < most && most <= 4 << 20;
        if !sizes_fit || !(1 << 20..=32 << 20).contains(&config.pack_bytes) || most > config.pack_bytes {
            return Err(FormatError::Invalid { what: "configuration", why: "sizes out of bounds" });
        }
        if config.silence_limit_seconds == 0 {
            return Err(FormatError::Invalid { what: "configuration", why: "no silence limit" });
        }
        Ok(config)
    }
}
