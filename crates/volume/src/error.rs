//! What can go wrong with a volume, one variant per failed operation.

use std::io;
use std::path::PathBuf;

/// What a caller can do about an error; a closed set shared in spirit by all crates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The same call may succeed later.
    Transient,
    /// The named thing does not exist.
    NotFound,
    /// The target is used by someone else, or something is in the way.
    Conflict,
    /// The kernel refused for lack of permission.
    Denied,
    /// The target has no room.
    Full,
    /// The bytes on the medium cannot be read or are not what they claim to be.
    Corrupt,
    /// Trying again does not help.
    Permanent,
}

macro_rules! volume_errors {
    ($($(#[$doc:meta])* $name:ident $make:ident => $text:literal),* $(,)?) => {
        /// A failed operation on a volume, with the path it failed on.
        #[derive(Debug, thiserror::Error)]
        #[non_exhaustive]
        pub enum VolumeError {
            $($(#[$doc])* #[error($text, path.display())]
            $name {
                /// The path the operation was about.
                path: PathBuf,
                /// What the kernel said.
                #[source]
                source: io::Error,
            },)*
            /// Reading or setting one extended attribute failed.
            #[error("cannot {} extended attribute {name} of {}", if *setting { "set" } else { "read" }, path.display())]
            Xattr {
                /// The file that carries the attribute.
                path: PathBuf,
                /// The attribute's name.
                name: String,
                /// True when it was to be written.
                setting: bool,
                /// What the kernel said.
                #[source]
                source: io::Error,
            },
            /// The target cannot hold the snapshot.
            #[error("{} is too small: {needed_bytes} bytes are needed, it has {found_bytes}", path.display())]
            TooSmall {
                /// The target.
                path: PathBuf,
                /// Size of the snapshot.
                needed_bytes: u64,
                /// Size of the target.
                found_bytes: u64,
            },
            /// The path is neither a block device nor a regular file.
            #[error("{} is neither a block device nor a regular file", path.display())]
            NotAVolume {
                /// The path.
                path: PathBuf,
            },
            /// The source changed while it was read.
            #[error("{} changed while it was read", path.display())]
            Changed {
                /// The path.
                path: PathBuf,
            },
            /// A name in a snapshot that could leave the target.
            #[error("the snapshot holds a name that no file can have: {}", path.display())]
            HostileName {
                /// The name.
                path: PathBuf,
            },
        }

        impl VolumeError {
            fn source_error(&self) -> Option<&io::Error> {
                match self {
                    $(Self::$name { source, .. } => Some(source),)*
                    Self::Xattr { source, .. } => Some(source),
                    _ => None,
                }
            }

            $(pub(crate) fn $make(path: impl Into<PathBuf>) -> impl FnOnce(rustix::io::Errno) -> Self {
                let path = path.into();
                move |errno| Self::$name { path, source: errno.into() }
            })*
        }
    };
}

volume_errors! {
    /// Opening failed.
    Open open => "cannot open {}",
    /// Reading file status failed.
    Stat stat => "cannot read the status of {}",
    /// Reading bytes failed.
    Read read => "cannot read {}",
    /// Writing bytes failed.
    Write write => "cannot write {}",
    /// Turning a range into zeros failed.
    Zero zero => "cannot zero a range of {}",
    /// Making bytes durable failed.
    Sync sync => "cannot sync {}",
    /// Setting a file's length failed.
    Resize resize => "cannot set the size of {}",
    /// Listing a directory failed.
    List list => "cannot list {}",
    /// Reading a symbolic link failed.
    ReadLink read_link => "cannot read the link {}",
    /// Listing extended attributes failed.
    ListXattrs list_xattrs => "cannot list the extended attributes of {}",
    /// Creating a file, directory, link or node failed.
    Create create => "cannot create {}",
    /// Removing what is in the way failed.
    Remove remove => "cannot remove {}",
    /// Setting owner and group failed.
    SetOwner set_owner => "cannot set the owner of {}",
    /// Setting permissions failed.
    SetMode set_mode => "cannot set the mode of {}",
    /// Setting times failed.
    SetTimes set_times => "cannot set the times of {}",
}

impl VolumeError {
    /// The class of this error; decides about retries, exit codes and reasons.
    pub fn class(&self) -> Class {
        match self {
            Self::TooSmall { .. } => Class::Full,
            Self::Changed { .. } => Class::Conflict,
            Self::NotAVolume { .. } => Class::Permanent,
            Self::HostileName { .. } => Class::Corrupt,
            _ => self.source_error().map_or(Class::Permanent, class_of),
        }
    }

    /// True when the target was refused because something else has it mounted or open.
    pub fn is_in_use(&self) -> bool {
        self.source_error().is_some_and(|error| error.kind() == io::ErrorKind::ResourceBusy)
    }
}

fn class_of(error: &io::Error) -> Class {
    match error.kind() {
        io::ErrorKind::NotFound => Class::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Class::Denied,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Class::Full
        }
        io::ErrorKind::ResourceBusy | io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty => {
            Class::Conflict
        }
        io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Class::Transient,
        _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Class::Corrupt,
        _ => Class::Permanent,
    }
}
