//! Identifiers: one type per kind of thing.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// A text that is not an identifier of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {kind}")]
pub struct IdError {
    kind: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $length:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $length]);

        impl $name {
            /// The bytes of the id.
            pub fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let mut out = [0u8; $length];
                hex::decode_to_slice(text, &mut out).map_err(|_| IdError { kind: $kind })?;
                if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
                    return Err(IdError { kind: $kind });
                }
                Ok(Self(out))
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(&self.to_string())
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

id!(
    /// The identity of a repository: 16 random bytes, bound into every sealed byte of it.
    RepositoryId, 16, "repository id"
);
id!(
    /// Keyed BLAKE3 of a chunk's plaintext.
    ChunkId, 32, "chunk id"
);
id!(
    /// Keyed BLAKE3 of the canonical part of a node.
    NodeId, 32, "node id"
);
id!(
    /// What stands in a frame: the id of a chunk or of a node, whichever the pack's kind says.
    FrameId, 32, "id of a chunk or node"
);
id!(
    /// BLAKE3 of all bytes of a pack; also its object name.
    PackId, 32, "pack id"
);
id!(
    /// BLAKE3 of all bytes of an index segment; also its object name.
    SegmentId, 32, "index segment id"
);
id!(
    /// BLAKE3 of all bytes of an object that has another name.
    Digest, 32, "digest"
);
id!(
    /// The name of a key slot: 16 random bytes.
    SlotId, 16, "key slot id"
);
id!(
    /// One process that reads or writes a repository: 16 random bytes. Packs name the session that wrote them.
    SessionId, 16, "session id"
);
id!(
    /// Keyed hash of what is backed up (cluster, namespace and PVC; or host and path).
    SourceId, 16, "source id"
);

/// The run that made a snapshot: the UID of the VSB or other run. It is also the snapshot's public id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub uuid::Uuid);

impl RunId {
    /// A run that nobody named.
    pub fn random(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}
impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RunId({self})")
    }
}
impl FromStr for RunId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        uuid::Uuid::try_parse(text).map(Self).map_err(|_| IdError { kind: "run id" })
    }
}
