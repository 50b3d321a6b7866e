use std::error::Error as StdError;
use thiserror::Error;

/// What failed. The closed set behind reasons in conditions, exit codes and metric labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// The object is not there.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The bucket, container or folder is not there.
    BucketMissing,
    /// The credentials are valid, but not for this.
    AccessDenied,
    /// The credentials are wrong, expired or missing.
    BadCredentials,
    /// The endpoint cannot be reached: name, connection or route.
    Unreachable,
    /// The endpoint's certificate is not trusted.
    CertificateUntrusted,
    /// The store asks for less (503, 429), is failing (5xx), or the connection broke: try again.
    Transient,
    /// The store is full, or a quota is.
    Full,
    /// The object is not as long as it should be.
    Corrupt,
    /// Anything else; trying again does not help.
    Permanent,
}

impl Class {
    /// Whether the same request may succeed later without anybody changing anything.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Transient | Self::Unreachable)
    }

    /// A stable word for reasons and labels.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::BucketMissing => "BucketMissing",
            Self::AccessDenied => "AccessDenied",
            Self::BadCredentials => "BadCredentials",
            Self::Unreachable => "Unreachable",
            Self::CertificateUntrusted => "CertificateUntrusted",
            Self::Transient => "Transient",
            Self::Full => "Full",
            Self::Corrupt => "Corrupt",
            Self::Permanent => "Permanent",
        }
    }
}

/// What was asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Creating an object.
    Create,
    /// Reading an object or a part of it.
    Read,
    /// Asking for an object's length and time.
    Info,
    /// Deleting an object.
    Delete,
    /// Listing.
    List,
    /// Asking for versions and locks of a bucket or an object, or changing them.
    Protection,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Create => "creating",
            Self::Read => "reading",
            Self::Info => "looking for",
            Self::Delete => "deleting",
            Self::List => "listing",
            Self::Protection => "asking for or changing the lock of",
        })
    }
}

/// A failed request.
#[derive(Debug, Error)]
#[error("{operation} {name:?} in the store failed: {}", class.as_str())]
pub struct StoreError {
    class: Class,
    operation: Operation,
    name: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl StoreError {
    /// An error of a known class.
    pub fn new(class: Class, operation: Operation, name: &str) -> Self {
        Self { class, operation, name: name.to_owned(), source: None }
    }

    /// The same error with its cause.
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The closed class of this error.
    pub fn class(&self) -> Class {
        self.class
    }

    /// What was asked.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// The object, or the prefix of a listing.
    pub fn name(&self) -> &str {
        &self.name
    }
}
