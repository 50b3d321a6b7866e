//! What can go wrong in the driver, and which gRPC code tells the caller so.

use std::path::PathBuf;
use std::process::ExitStatus;

use tonic::{Code, Status};

/// A failed operation of the driver. [`DriverError::class`] is the gRPC code that the CSI specification asks for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// A required field of the request is empty.
    #[error("{field} is required")]
    MissingField {
        /// Name of the field in csi.proto.
        field: &'static str,
    },
    /// The request asks for an access mode or type that this driver does not offer.
    #[error("volume capability not supported: {reason}")]
    UnsupportedCapability {
        /// What is not supported.
        reason: String,
    },
    /// A StorageClass, snapshot class or attributes class parameter that the driver does not know.
    #[error("unknown parameter {name}")]
    UnknownParameter {
        /// Key of the parameter.
        name: String,
    },
    /// The capability is switched off, or the call is not implemented at all.
    #[error("{capability} is not offered by this driver")]
    NotOffered {
        /// What was asked for.
        capability: &'static str,
    },
    /// There is no such volume.
    #[error("volume {id} does not exist")]
    VolumeNotFound {
        /// The id as the caller wrote it.
        id: String,
    },
    /// There is no such snapshot.
    #[error("snapshot {id} does not exist")]
    SnapshotNotFound {
        /// The id as the caller wrote it.
        id: String,
    },
    /// The name belongs to a volume or snapshot that was made with other settings.
    #[error("{name} exists with a different {difference}")]
    NameTaken {
        /// The name in the request.
        name: String,
        /// What differs.
        difference: &'static str,
    },
    /// The size cannot be offered.
    #[error("{wanted} bytes cannot be offered: {limit}")]
    SizeOutOfRange {
        /// Bytes asked for, rounded up.
        wanted: u64,
        /// The limit that forbids it.
        limit: String,
    },
    /// The volume is mounted or held open somewhere.
    #[error("volume {id} is in use at {place}")]
    VolumeInUse {
        /// The volume.
        id: String,
        /// A mount point or device that holds it.
        place: PathBuf,
    },
    /// The driver was started to refuse deletion of volumes that have snapshots.
    #[error("volume {id} has {count} snapshots")]
    VolumeHasSnapshots {
        /// The volume.
        id: String,
        /// How many snapshots of it exist.
        count: usize,
    },
    /// NodePublishVolume before NodeStageVolume.
    #[error("volume {id} is not staged")]
    NotStaged {
        /// The volume.
        id: String,
    },
    /// The volume is staged or published at this path in a way that the request contradicts.
    #[error("volume {id} is already at {path} with a different {difference}")]
    UsedDifferently {
        /// The volume.
        id: String,
        /// Staging or target path.
        path: PathBuf,
        /// What differs.
        difference: &'static str,
    },
    /// Something else is mounted where the volume should go.
    #[error("{path} is taken by another mount")]
    PathTaken {
        /// Staging or target path.
        path: PathBuf,
    },
    /// The volume is not at the path that the request names.
    #[error("volume {id} is not at {path}")]
    NotAtPath {
        /// The volume.
        id: String,
        /// Path in the request.
        path: PathBuf,
    },
    /// The volume holds something other than the file system asked for.
    #[error("volume {id} holds {found}, not {wanted}")]
    WrongFilesystem {
        /// The volume.
        id: String,
        /// What `blkid` says it holds.
        found: String,
        /// What the request asks for.
        wanted: String,
    },
    /// The kernel does not let this process grow a mounted file system.
    #[error(
        "the kernel refuses to grow the file system at {path} while it is mounted; staging the volume anew grows it"
    )]
    GrowRefused {
        /// Where it is mounted.
        path: PathBuf,
    },
    /// A page token that this driver did not give out.
    #[error("{token} is not a token of this driver")]
    InvalidToken {
        /// Token in the request.
        token: String,
    },
    /// The faults file asked for this error.
    #[error("fault injected into {method}")]
    Injected {
        /// The method.
        method: &'static str,
        /// The code that the faults file names.
        code: Code,
    },
    /// A JSON file (record or faults) does not hold what it should.
    #[error("cannot understand {path}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// An operation on a file, device or mount failed.
    #[error("cannot {operation} {path}")]
    Io {
        /// Verb.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A helper program reported failure.
    #[error("{program} failed ({status}): {output}")]
    Command {
        /// The program with its arguments.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed.
        output: String,
    },
    /// The state folder has no mounted pool that can reflink.
    #[error("{path} is not a mounted pool; run `longshore-lab-csi pool up`")]
    PoolMissing {
        /// Where the pool should be mounted.
        path: PathBuf,
    },
    /// The thread that ran the call panicked.
    #[error("the call's worker died")]
    WorkerDied {
        /// Why.
        #[source]
        source: tokio::task::JoinError,
    },
}

impl DriverError {
    /// The gRPC code of this failure, as the CSI specification lists them per call.
    pub fn class(&self) -> Code {
        match self {
            Self::MissingField { .. }
            | Self::UnsupportedCapability { .. }
            | Self::UnknownParameter { .. } => Code::InvalidArgument,
            Self::NotOffered { .. } => Code::Unimplemented,
            Self::VolumeNotFound { .. } | Self::SnapshotNotFound { .. } | Self::NotAtPath { .. } => {
                Code::NotFound
            }
            Self::NameTaken { .. } | Self::UsedDifferently { .. } => Code::AlreadyExists,
            Self::SizeOutOfRange { .. } => Code::OutOfRange,
            Self::VolumeInUse { .. }
            | Self::VolumeHasSnapshots { .. }
            | Self::NotStaged { .. }
            | Self::PathTaken { .. }
            | Self::WrongFilesystem { .. }
            | Self::GrowRefused { .. } => Code::FailedPrecondition,
            Self::InvalidToken { .. } => Code::Aborted,
            Self::Injected { code, .. } => *code,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                Code::ResourceExhausted
            }
            Self::PoolMissing { .. } => Code::Unavailable,
            Self::Parse { .. } | Self::Io { .. } | Self::Command { .. } | Self::WorkerDied { .. } => {
                Code::Internal
            }
        }
    }

    /// For `map_err`: `operation` on `path` failed.
    pub fn io<E: Into<std::io::Error>>(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Io { operation, path, source: source.into() }
    }

    /// The message with all its causes, in one line.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}

impl From<DriverError> for Status {
    fn from(error: DriverError) -> Self {
        Self::new(error.class(), error.chain())
    }
}
