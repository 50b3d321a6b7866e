//! What can end a pipeline, and the word for it.

use longshore_job::Reason;
use longshore_repo::RepoError;
use longshore_volume::{Class, VolumeError};

/// The end of a pipeline that did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MoverError {
    /// The repository or its store failed.
    #[error(transparent)]
    Repository(#[from] RepoError),
    /// The repository that is copied from, or its store, failed.
    #[error("the repository that is copied from")]
    CopySource(#[source] RepoError),
    /// The source could not be read.
    #[error("the source cannot be read")]
    Source(#[source] VolumeError),
    /// The target could not be written.
    #[error("the target cannot be written")]
    Target(#[source] VolumeError),
    /// Some files of a source could not be read, where all are wanted.
    #[error("{count} file(s) could not be read; first: {}", first.join("; "))]
    Unreadable {
        /// How many.
        count: u64,
        /// The first few, each with its cause.
        first: Vec<String>,
    },
    /// Some files of a target could not be written.
    #[error("{count} file(s) could not be restored; first: {}", first.join("; "))]
    Unwritable {
        /// How many.
        count: u64,
        /// The first few, each with its cause.
        first: Vec<String>,
        /// True when the target ran full.
        full: bool,
    },
    /// The snapshot holds the other kind of content.
    #[error("the snapshot holds a {holds}, the target is for a {wanted}")]
    OtherKind {
        /// What it holds: `volume` or `file tree`.
        holds: &'static str,
        /// What was wanted.
        wanted: &'static str,
    },
    /// The snapshot's own records contradict each other.
    #[error("the snapshot is damaged: {what}")]
    Damaged {
        /// The contradiction.
        what: String,
    },
    /// Somebody asked the pipeline to stop.
    #[error("stopped on request")]
    Cancelled,
    /// A thread of the pipeline panicked.
    #[error("a worker of the pipeline broke; this is an error in Longshore")]
    Broken,
}

impl MoverError {
    /// The word for users, from the closed list.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Repository(error) | Self::CopySource(error) => repository_reason(error),
            Self::Source(_) | Self::Unreadable { .. } => Reason::SourceUnreadable,
            Self::Target(VolumeError::TooSmall { .. }) => Reason::VolumeTooSmall,
            Self::Target(error) if error.class() == Class::Full => Reason::VolumeTooSmall,
            Self::Unwritable { full: true, .. } => Reason::VolumeTooSmall,
            Self::Target(_) | Self::Unwritable { .. } => Reason::TargetUnwritable,
            Self::OtherKind { .. } => Reason::VolumeModeMismatch,
            Self::Damaged { .. } => Reason::RepositoryDamaged,
            Self::Cancelled => Reason::Interrupted,
            Self::Broken => Reason::Internal,
        }
    }
}

fn repository_reason(error: &RepoError) -> Reason {
    use longshore_repo::{Class as Repo, store::Class as Store};
    match error.class() {
        Repo::Store(Store::BucketMissing) => Reason::BucketNotFound,
        Repo::Store(Store::AccessDenied) => Reason::AccessDenied,
        Repo::Store(Store::BadCredentials) => Reason::CredentialsInvalid,
        Repo::Store(Store::Unreachable) => Reason::EndpointUnreachable,
        Repo::Store(Store::CertificateUntrusted) => Reason::TLSUntrusted,
        Repo::Store(Store::Full) => Reason::StoreFull,
        Repo::Store(Store::Transient) => Reason::StoreUnavailable,
        Repo::Store(Store::Corrupt | Store::NotFound) | Repo::Corrupt => Reason::RepositoryDamaged,
        Repo::WrongPassword => Reason::WrongKey,
        Repo::KeysRotated => Reason::KeysRotated,
        Repo::NoAuthority => Reason::NoAuthority,
        Repo::NoRepository => Reason::RepositoryNotFound,
        Repo::StoreUnsuitable => Reason::StoreUnsuitable,
        Repo::NotEmpty | Repo::AlreadyInitialised | Repo::Unsupported => Reason::RepositoryForeign,
        Repo::SnapshotNotFound | Repo::Forgotten => Reason::RestorePointNotFound,
        Repo::RolledBack => Reason::RepositoryRolledBack,
        Repo::Fenced => Reason::Interrupted,
        _ if matches!(error, RepoError::WrongKind { .. }) => Reason::VolumeModeMismatch,
        Repo::Store(Store::AlreadyExists | Store::Permanent)
        | Repo::Misuse
        | Repo::Machine
        | Repo::KeySlot => Reason::Internal,
    }
}
