//! What a file system knows about a file beside its bytes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Statx, StatxTimestamp};

use super::Xattr;

/// What an entry of a directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A unix socket's name.
    Socket,
    /// A character device node.
    CharacterDevice,
    /// A block device node.
    BlockDevice,
}

/// A point in time as file systems keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds within the second, 0 to 999,999,999.
    pub nanoseconds: u32,
}

/// Status of one file, as `statx` reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// What it is.
    pub kind: Kind,
    /// The twelve permission bits: read, write, execute, set-uid, set-gid, sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes; meaningful for regular files.
    pub size: u64,
    /// Bytes that the file system allocated; less than `size` in a sparse file.
    pub allocated_bytes: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last change of content or status.
    pub ctime: Timestamp,
    /// Number of the inode.
    pub inode: u64,
    /// Number of the device that holds the inode.
    pub device: u64,
    /// Number of names.
    pub links: u64,
    /// Major and minor number of a device node.
    pub device_node: (u32, u32),
}

/// One name in a directory, complete but for a file's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, any bytes but `/` and NUL.
    pub name: Vec<u8>,
    /// Its status.
    pub metadata: Metadata,
    /// Where a symbolic link points.
    pub link_target: Option<Vec<u8>>,
    /// Extended attributes, sorted by name; POSIX ACLs and file capabilities are among them.
    pub xattrs: Vec<Xattr>,
}

impl Metadata {
    pub(crate) fn from_statx(status: &Statx) -> Self {
        Self {
            kind: Kind::from_mode(u32::from(status.stx_mode)),
            mode: u32::from(status.stx_mode) & 0o7777,
            uid: status.stx_uid,
            gid: status.stx_gid,
            size: status.stx_size,
            allocated_bytes: status.stx_blocks.saturating_mul(512),
            atime: Timestamp::from(&status.stx_atime),
            mtime: Timestamp::from(&status.stx_mtime),
            ctime: Timestamp::from(&status.stx_ctime),
            inode: status.stx_ino,
            device: rustix::fs::makedev(status.stx_dev_major, status.stx_dev_minor),
            links: u64::from(status.stx_nlink),
            device_node: (status.stx_rdev_major, status.stx_rdev_minor),
        }
    }

    /// True when both describe the same inode with the same content: nothing was written between the two looks.
    pub fn is_same_content(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.inode == other.inode
            && self.device == other.device
            && self.size == other.size
            && self.mtime == other.mtime
            && self.ctime == other.ctime
    }
}

impl Kind {
    fn from_mode(mode: u32) -> Self {
        match FileType::from_raw_mode(mode) {
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Symlink,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice => Self::CharacterDevice,
            FileType::BlockDevice => Self::BlockDevice,
            FileType::RegularFile | FileType::Unknown => Self::File,
        }
    }
}

impl From<&StatxTimestamp> for Timestamp {
    fn from(time: &StatxTimestamp) -> Self {
        Self { seconds: time.tv_sec, nanoseconds: time.tv_nsec }
    }
}

/// Joins a folder's path and a path within it that may hold any bytes.
pub fn display_path(root: &Path, inside: &[u8]) -> PathBuf {
    if inside.is_empty() { root.into() } else { root.join(OsStr::from_bytes(inside)) }
}
