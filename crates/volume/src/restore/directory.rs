//! Directories of a target and all that is made in them.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, StatxFlags, Timespec, Timestamps, Uid, chmod, chownat, linkat,
    makedev, mkdirat, mknodat, open, openat, statx, symlinkat, syncfs, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::{FileTarget, OpenedFile, TargetOptions, check_name};
use crate::VolumeError;
use crate::tree::{Entry, Kind, Metadata, NameList, Timestamp, display_path, xattr};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
const PRIVATE_DIRECTORY: Mode = Mode::RWXU;

/// A folder opened as the target of a restore.
pub struct TreeTarget {
    root: Arc<TargetDirectory>,
}

struct Shared {
    path: PathBuf,
    options: TargetOptions,
}

/// One open directory of the target.
pub struct TargetDirectory {
    shared: Arc<Shared>,
    fd: OwnedFd,
    path: Vec<u8>,
}

impl TreeTarget {
    /// Opens the folder at `path`, made when it is missing (its parent must exist).
    pub fn open(path: &Path, options: TargetOptions) -> Result<Self, VolumeError> {
        match rustix::fs::mkdir(path, PRIVATE_DIRECTORY) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(VolumeError::create(path)(errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = open(path, flags, Mode::empty()).map_err(VolumeError::open(path))?;
        let shared = Arc::new(Shared { path: path.into(), options });
        Ok(Self { root: Arc::new(TargetDirectory { shared, fd, path: Vec::new() }) })
    }

    /// The root directory.
    pub fn root(&self) -> Arc<TargetDirectory> {
        Arc::clone(&self.root)
    }

    /// Bytes that the target's file system has for files, used ones included.
    pub fn size_bytes(&self) -> Result<u64, VolumeError> {
        let status =
            rustix::fs::fstatvfs(&self.root.fd).map_err(VolumeError::stat(&self.root.shared.path))?;
        Ok(status.f_blocks.saturating_mul(status.f_frsize))
    }

    /// Returns when everything in the target's file system is durable.
    pub fn sync(&self) -> Result<(), VolumeError> {
        syncfs(&self.root.fd).map_err(VolumeError::sync(&self.root.shared.path))
    }

    /// Gives `directory` a further name for the file at `first`, a path that this restore made. The way there is walked
    /// without following links.
    pub fn hard_link(
        &self,
        first: &[u8],
        directory: &TargetDirectory,
        name: &[u8],
    ) -> Result<(), VolumeError> {
        check_name(name)?;
        let mut pieces: Vec<&[u8]> = first.split(|byte| *byte == b'/').collect();
        let last = pieces.pop().unwrap_or_default();
        check_name(last)?;
        let mut parent = None;
        for piece in pieces {
            let from: &TargetDirectory = parent.as_ref().unwrap_or(&self.root);
            parent = Some(from.open_existing(piece)?);
        }
        let parent: &TargetDirectory = parent.as_ref().unwrap_or(&self.root);
        if directory.is_same_file(name, parent, last) {
            return Ok(());
        }
        directory.clear_the_way(name)?;
        linkat(&parent.fd, last, &directory.fd, name, AtFlags::empty())
            .map_err(VolumeError::create(directory.shown(name)))
    }
}

impl TargetDirectory {
    /// Path of `name` in this directory, within the target.
    pub fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path.clone();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        path
    }

    fn shown(&self, name: &[u8]) -> PathBuf {
        display_path(&self.shared.path, &self.path_of(name))
    }

    fn status(&self, name: &[u8]) -> Option<Metadata> {
        let status = statx(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS).ok()?;
        Some(Metadata::from_statx(&status))
    }

    fn is_same_file(&self, name: &[u8], other: &Self, other_name: &[u8]) -> bool {
        match (self.status(name), other.status(other_name)) {
            (Some(here), Some(there)) => (here.device, here.inode) == (there.device, there.inode),
            _ => false,
        }
    }

    fn open_existing(&self, name: &[u8]) -> Result<Self, VolumeError> {
        check_name(name)?;
        let fd =
            openat(&self.fd, name, DIRECTORY, Mode::empty()).map_err(VolumeError::open(self.shown(name)))?;
        Ok(Self { shared: Arc::clone(&self.shared), fd, path: self.path_of(name) })
    }

    /// Opens the subdirectory `name`, making it when it is missing. Anything else of that name is removed.
    pub fn enter(&self, name: &[u8]) -> Result<Arc<Self>, VolumeError> {
        check_name(name)?;
        if self.status(name).is_none_or(|status| status.kind != Kind::Directory) {
            self.clear_the_way(name)?;
            mkdirat(&self.fd, name, PRIVATE_DIRECTORY).map_err(VolumeError::create(self.shown(name)))?;
        }
        Ok(Arc::new(self.open_existing(name)?))
    }

    /// Names that are here now, sorted.
    pub fn names(&self) -> Result<NameList, VolumeError> {
        let mut names = NameList::default();
        let failed = || VolumeError::list(display_path(&self.shared.path, &self.path));
        let mut listing = Dir::read_from(&self.fd).map_err(failed())?;
        while let Some(entry) = listing.read() {
            let entry = entry.map_err(failed())?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." && !names.push(name) {
                return Err(failed()(Errno::TOOBIG));
            }
        }
        names.sort();
        Ok(names)
    }

    /// Removes `name`; a directory with everything in it.
    pub fn remove(&self, name: &[u8]) -> Result<(), VolumeError> {
        check_name(name)?;
        if self.status(name).is_some_and(|status| status.kind == Kind::Directory) {
            let inner = self.open_existing(name)?;
            for inner_name in inner.names()?.iter() {
                inner.remove(inner_name)?;
            }
        }
        self.clear_the_way(name)
    }

    /// Removes what has the name `name`, but never a directory that holds anything.
    fn clear_the_way(&self, name: &[u8]) -> Result<(), VolumeError> {
        let removed = match self.status(name) {
            None => return Ok(()),
            Some(status) if status.kind == Kind::Directory => unlinkat(&self.fd, name, AtFlags::REMOVEDIR),
            Some(_) => unlinkat(&self.fd, name, AtFlags::empty()),
        };
        match removed {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(VolumeError::remove(self.shown(name))(errno)),
        }
    }

    /// Opens the regular file `name` with length `size`. One that exists with no other name keeps its bytes; anything else of
    /// that name is removed first.
    pub fn file(&self, name: &[u8], size: u64) -> Result<OpenedFile, VolumeError> {
        check_name(name)?;
        let path = self.shown(name);
        let reusable = self.status(name).is_some_and(|status| status.kind == Kind::File && status.links == 1);
        if reusable {
            let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            if let Ok(fd) = openat(&self.fd, name, flags, Mode::empty()) {
                let target = FileTarget { path, file: fd.into(), size };
                target.set_size()?;
                return Ok(OpenedFile::Existing(target));
            }
        }
        self.clear_the_way(name)?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::CREATE | OFlags::EXCL;
        let fd =
            openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR).map_err(VolumeError::create(&path))?;
        let target = FileTarget { path, file: fd.into(), size };
        if size > 0 {
            target.set_size()?;
        }
        Ok(OpenedFile::New(target))
    }

    /// Makes a link, pipe, socket or device node; what had the name is removed.
    pub fn make_special(&self, entry: &Entry) -> Result<(), VolumeError> {
        check_name(&entry.name)?;
        let name = entry.name.as_slice();
        let path = self.shown(name);
        self.clear_the_way(name)?;
        let (major, minor) = entry.metadata.device_node;
        let node = |kind, device| mknodat(&self.fd, name, kind, Mode::RUSR | Mode::WUSR, device);
        let made = match entry.metadata.kind {
            Kind::Symlink => symlinkat(entry.link_target.as_deref().unwrap_or_default(), &self.fd, name),
            Kind::Fifo => node(FileType::Fifo, 0),
            Kind::Socket => node(FileType::Socket, 0),
            Kind::CharacterDevice => node(FileType::CharacterDevice, makedev(major, minor)),
            Kind::BlockDevice => node(FileType::BlockDevice, makedev(major, minor)),
            Kind::File | Kind::Directory => Err(Errno::INVAL),
        };
        made.map_err(VolumeError::create(path))
    }

    /// Gives `entry.name` here its owner, attributes, mode and times, in the order in which the kernel lets them stand:
    /// a change of owner clears set-uid bits and capabilities, and everything changes times.
    pub fn finish(&self, entry: &Entry) -> Result<(), VolumeError> {
        check_name(&entry.name)?;
        self.finish_named(&entry.name, entry)
    }

    /// As [`Self::finish`], for this directory itself; used for the root.
    pub fn finish_self(&self, entry: &Entry) -> Result<(), VolumeError> {
        self.finish_named(b".", entry)
    }

    fn finish_named(&self, name: &[u8], entry: &Entry) -> Result<(), VolumeError> {
        let path = self.shown(if name == b"." { b"" } else { name });
        let pinned = xattr::pinned_path(&self.fd, name);
        let metadata = &entry.metadata;
        if !self.shared.options.skip_owner {
            let (owner, group) = (Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid));
            chownat(&self.fd, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(VolumeError::set_owner(&path))?;
        }
        xattr::apply(&pinned, &path, &entry.xattrs, self.shared.options.skip_privileged_xattrs)?;
        if metadata.kind != Kind::Symlink {
            self.set_mode(name, metadata.mode).map_err(VolumeError::set_mode(&path))?;
        }
        let times =
            Timestamps { last_access: timespec(metadata.atime), last_modification: timespec(metadata.mtime) };
        utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(VolumeError::set_times(&path))
    }

    /// Sets the mode through a descriptor that cannot be a link.
    fn set_mode(&self, name: &[u8], mode: u32) -> Result<(), Errno> {
        let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let pinned = openat(&self.fd, name, flags, Mode::empty())?;
        let mut path = xattr::pinned_path(&pinned, b"");
        path.truncate(path.len() - 2);
        chmod(path.as_slice(), Mode::from_raw_mode(mode))
    }
}

fn timespec(time: Timestamp) -> Timespec {
    Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) }
}
