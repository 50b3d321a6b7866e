//! Walking a tree by descriptors, never following a link.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, StatxFlags, open, openat, readlinkat, statx};
use rustix::io::Errno;

use super::{Entry, FileReader, Kind, Metadata, NameList, display_path, xattr};
use crate::VolumeError;

/// How to walk.
#[derive(Clone, Copy, Debug)]
pub struct TreeOptions {
    /// Do not enter directories on another file system; they are kept as empty directories.
    pub one_file_system: bool,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self { one_file_system: true }
    }
}

/// A file tree opened for a backup.
pub struct Tree {
    shared: Arc<Shared>,
    root: Arc<Directory>,
    entry: Entry,
}

struct Shared {
    path: PathBuf,
    device: u64,
    options: TreeOptions,
}

/// One open directory of a tree.
pub struct Directory {
    shared: Arc<Shared>,
    fd: OwnedFd,
    path: Vec<u8>,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Tree {
    /// Opens the folder at `path`; a link there is followed, no other one is.
    pub fn open(path: &Path, options: TreeOptions) -> Result<Self, VolumeError> {
        let fd = open(path, DIRECTORY, Mode::empty()).map_err(VolumeError::open(path))?;
        let status =
            statx(&fd, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map_err(VolumeError::stat(path))?;
        let metadata = Metadata::from_statx(&status);
        let xattrs = xattr::read_all(&xattr::pinned_path(&fd, b""), path)?;
        let shared = Arc::new(Shared { path: path.into(), device: metadata.device, options });
        let root = Arc::new(Directory { shared: Arc::clone(&shared), fd, path: Vec::new() });
        let entry = Entry { name: Vec::new(), metadata, link_target: None, xattrs };
        Ok(Self { shared, root, entry })
    }

    /// The root directory.
    pub fn root(&self) -> Arc<Directory> {
        Arc::clone(&self.root)
    }

    /// Status and attributes of the root itself; its name is empty.
    pub fn root_entry(&self) -> &Entry {
        &self.entry
    }

    /// The path it was opened at.
    pub fn path(&self) -> &Path {
        &self.shared.path
    }
}

impl Directory {
    /// Path within the tree, pieces joined by `/`; empty for the root.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// Path of `name` in this directory, within the tree.
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

    fn shown_self(&self) -> PathBuf {
        display_path(&self.shared.path, &self.path)
    }

    /// All names, sorted by bytes. The empty `lost+found` that every ext file system has in its root is left out: it is not
    /// the user's, and a fresh target has its own.
    pub fn names(&self) -> Result<NameList, VolumeError> {
        let mut names = NameList::default();
        let mut listing = Dir::read_from(&self.fd).map_err(VolumeError::list(self.shown_self()))?;
        while let Some(entry) = listing.read() {
            let entry = entry.map_err(VolumeError::list(self.shown_self()))?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." || self.is_empty_lost_and_found(name) {
                continue;
            }
            if !names.push(name) {
                return Err(VolumeError::list(self.shown_self())(Errno::TOOBIG));
            }
        }
        names.sort();
        Ok(names)
    }

    fn is_empty_lost_and_found(&self, name: &[u8]) -> bool {
        if name != b"lost+found" || !self.path.is_empty() {
            return false;
        }
        let Ok(status) = statx(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS) else {
            return false;
        };
        let metadata = Metadata::from_statx(&status);
        if metadata.kind != Kind::Directory || metadata.uid != 0 || metadata.mode != 0o700 {
            return false;
        }
        let Ok(inner) = openat(&self.fd, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty()) else {
            return false;
        };
        let Ok(mut listing) = Dir::new(inner) else { return false };
        std::iter::from_fn(|| listing.read())
            .all(|entry| entry.is_ok_and(|entry| matches!(entry.file_name().to_bytes(), b"." | b"..")))
    }

    /// Status, link target and attributes of one name.
    pub fn entry(&self, name: &[u8]) -> Result<Entry, VolumeError> {
        let status = statx(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)
            .map_err(VolumeError::stat(self.shown(name)))?;
        let metadata = Metadata::from_statx(&status);
        let link_target = match metadata.kind {
            Kind::Symlink => Some(
                readlinkat(&self.fd, name, Vec::new())
                    .map_err(VolumeError::read_link(self.shown(name)))?
                    .into_bytes(),
            ),
            _ => None,
        };
        let xattrs = xattr::read_all(&xattr::pinned_path(&self.fd, name), &self.shown(name))?;
        Ok(Entry { name: name.to_vec(), metadata, link_target, xattrs })
    }

    /// Opens the subdirectory that `entry` describes; `None` when it lies on another file system and the walk stays on one.
    pub fn enter(&self, entry: &Entry) -> Result<Option<Arc<Self>>, VolumeError> {
        if self.shared.options.one_file_system && entry.metadata.device != self.shared.device {
            return Ok(None);
        }
        let fd = self.open_quietly(&entry.name, DIRECTORY | OFlags::NOFOLLOW)?;
        let path = self.path_of(&entry.name);
        Ok(Some(Arc::new(Self { shared: Arc::clone(&self.shared), fd, path })))
    }

    /// Opens the regular file that `entry` describes; [`VolumeError::Changed`] when the name means another file by now.
    pub fn open_file(&self, entry: &Entry) -> Result<FileReader, VolumeError> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file: File = self.open_quietly(&entry.name, flags)?.into();
        let path = self.shown(&entry.name);
        let status = statx(&file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
            .map_err(VolumeError::stat(&path))?;
        let metadata = Metadata::from_statx(&status);
        if !metadata.is_same_content(&entry.metadata) {
            return Err(VolumeError::Changed { path });
        }
        Ok(FileReader { path, file, metadata })
    }

    /// Opens without touching the access time where the kernel lets us.
    fn open_quietly(&self, name: &[u8], flags: OFlags) -> Result<OwnedFd, VolumeError> {
        let opened = match openat(&self.fd, name, flags | OFlags::NOATIME, Mode::empty()) {
            Err(Errno::PERM) => openat(&self.fd, name, flags, Mode::empty()),
            done => done,
        };
        opened.map_err(VolumeError::open(self.shown(name)))
    }
}
