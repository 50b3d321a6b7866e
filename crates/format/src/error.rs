use thiserror::Error;

/// What a caller can do about a [`FormatError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The bytes are not what they should be.
    Corrupt,
    /// The bytes are of a newer version than this build knows.
    Unsupported,
}

/// Why bytes could not be read as what they should be.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The input ended inside a field.
    #[error("{what} ends early: {need} bytes needed, {have} left")]
    Truncated {
        /// The structure being read.
        what: &'static str,
        /// Bytes that the field needs.
        need: usize,
        /// Bytes that were left.
        have: usize,
    },
    /// The first bytes are not this structure's.
    #[error("{what} does not begin with its magic bytes")]
    Magic {
        /// The structure being read.
        what: &'static str,
    },
    /// The version is newer than this build.
    #[error("{what} has version {found}, this build reads up to {supported}")]
    Version {
        /// The structure being read.
        what: &'static str,
        /// The version found.
        found: u16,
        /// The newest version that can be read.
        supported: u16,
    },
    /// Something that a newer version, or a build with more features, understands.
    #[error("{what} needs {feature}, which this build does not know")]
    Unsupported {
        /// The structure being read.
        what: &'static str,
        /// What is not known.
        feature: &'static str,
    },
    /// A count or length is above its limit.
    #[error("{what} is {found}, above the limit of {limit}")]
    Limit {
        /// The field.
        what: &'static str,
        /// The value found.
        found: u64,
        /// The largest value allowed.
        limit: u64,
    },
    /// A value contradicts the format.
    #[error("{what} is invalid: {why}")]
    Invalid {
        /// The structure being read.
        what: &'static str,
        /// The rule that it breaks.
        why: &'static str,
    },
    /// A sealed record is not the JSON that it should be.
    #[error("{what} is not valid JSON for its kind")]
    Json {
        /// The record.
        what: &'static str,
        /// The parser's reason.
        #[source]
        source: serde_json::Error,
    },
}

impl FormatError {
    /// The closed class of this error.
    pub fn class(&self) -> Class {
        match self {
            Self::Version { .. } | Self::Unsupported { .. } => Class::Unsupported,
            _ => Class::Corrupt,
        }
    }
}
