//! Making, finding and removing files below one folder. Blocking.
//!
//! Every step goes from an open folder to the next by name, with `O_NOFOLLOW`: whoever can put a symbolic link into the
//! folder cannot lead a write, a read or a delete out of it.

use super::ObjectInfo;
use jiff::Timestamp;
use rand::Rng as _;
use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat},
    io::Errno,
};
use std::{
    collections::HashMap,
    fs::{DirBuilder, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    },
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// A temporary file of a process that was killed is removed once it is older than any create can be.
const LEAVINGS_AGE_SECONDS: i64 = 24 * 3600;

/// How often a create goes back to its start because its folder vanished: each time somebody else just deleted the last
/// object there.
const ATTEMPTS: u32 = 64;

/// Folders that are remembered as durable; a bound on memory, not on folders.
const REMEMBERED_MAX: usize = 4096;

/// File systems of this machine alone, by their magic numbers (statfs(2)): ext2 to ext4, XFS, Btrfs, tmpfs, overlayfs, ZFS,
/// F2FS, bcachefs. What is not among them counts as shared, which only costs speed.
const LOCAL_FILE_SYSTEMS: [i64; 8] =
    [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, 0xf2f5_2010, 0xca45_1a4e];

/// Whether a text may be a part of an object's name: what starts with a dot belongs to this module.
pub(super) fn is_part(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !part.is_empty() && !part.starts_with('.') && part.bytes().all(plain)
}

/// The folder of a store.
#[derive(Debug)]
pub(super) struct Root {
    path: PathBuf,
    /// Folders whose names are known to be durable, with the inode that they had.
    durable: Mutex<HashMap<String, u64>>,
}

impl Root {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, durable: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts a whole, durable file under a free name.
    pub(super) fn create(&self, name: &str, body: &[u8]) -> io::Result<()> {
        let (folder, file) = split(name);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let result = self.make_folders(folder).and_then(|folder| put(&folder, file, body));
            match result {
                Err(error) if error.kind() == ErrorKind::NotFound && attempt < ATTEMPTS => {}
                result => return result,
            }
        }
    }

    /// Opens a file to read it.
    pub(super) fn open(&self, name: &str) -> io::Result<(File, Metadata)> {
        let (folder, file) = split(name);
        open_file(&self.folder(folder)?, file)
    }

    pub(super) fn info(&self, name: &str) -> io::Result<ObjectInfo> {
        let (_, metadata) = self.open(name)?;
        let modified_at = Timestamp::try_from(metadata.modified()?).map_err(io::Error::other)?;
        Ok(ObjectInfo { name: name.to_owned(), size_bytes: metadata.len(), modified_at })
    }

    /// Takes a name away, durably, and then the folders that are empty now.
    pub(super) fn delete(&self, name: &str) -> io::Result<()> {
        let (path, file) = split(name);
        let removed = self.folder(path).and_then(|folder| {
            open_file(&folder, file)?;
            rustix::fs::unlinkat(&folder, file, AtFlags::empty())?;
            folder.sync_all()
        });
        match removed {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            result => result?,
        }
        let mut empty = path;
        while !empty.is_empty() {
            let (above, folder) = split(empty);
            // In use, gone already, or not ours to remove: all the same here, the object is gone.
            let Ok(parent) = self.folder(above) else { break };
            if rustix::fs::unlinkat(parent, folder, AtFlags::REMOVEDIR).is_err() {
                break;
            }
            empty = above;
        }
        Ok(())
    }

    /// All files under a folder, which is named without a slash at its end; the root is the empty name.
    pub(super) fn list(&self, folder: &str) -> io::Result<Vec<ObjectInfo>> {
        let mut out = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(path) = folders.pop() {
            let folder = match self.folder(&path) {
                // Nothing there, or deleted since its parent was read.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                folder => folder?,
            };
            let prefix = if path.is_empty() { path } else { path + "/" };
            list_one(&folder, &prefix, &mut out, &mut folders)?;
        }
        Ok(out)
    }

    /// Whether only this machine can change the folder. It must exist.
    pub(super) fn is_local(&self) -> io::Result<bool> {
        let system = rustix::fs::fstatfs(&self.folder("")?)?;
        // The width of the field differs between architectures.
        #[allow(clippy::unnecessary_cast)]
        Ok(LOCAL_FILE_SYSTEMS.contains(&(system.f_type as i64)))
    }

    /// Opens a folder below the root, or the root.
    fn folder(&self, path: &str) -> io::Result<File> {
        let mut folder = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::DIRECTORY.bits().cast_signed())
            .open(&self.path)?;
        for part in parts(path) {
            folder = enter(&folder, part)?;
        }
        Ok(folder)
    }

    /// Opens a folder, which is made with all above it if it is missing: private, and with durable names.
    fn make_folders(&self, path: &str) -> io::Result<File> {
        make_root(&self.path)?;
        let mut folder = self.folder("")?;
        let mut name = String::new();
        for part in parts(path) {
            match rustix::fs::mkdirat(&folder, part, Mode::RWXU) {
                Err(Errno::EXIST) => {}
                result => result?,
            }
            name = if name.is_empty() { part.to_owned() } else { format!("{name}/{part}") };
            let inner = enter(&folder, part)?;
            // Whoever made it may not have come to this yet, or may be dead.
            let inode = inner.metadata()?.ino();
            if self.lock().get(&name) != Some(&inode) {
                folder.sync_all()?;
                self.remember(&name, inode);
            }
            folder = inner;
        }
        Ok(folder)
    }

    fn remember(&self, name: &str, inode: u64) {
        let mut durable = self.lock();
        if durable.len() >= REMEMBERED_MAX {
            durable.clear();
        }
        durable.insert(name.to_owned(), inode);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, u64>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Folder and last part of a name.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("", name))
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty())
}

/// Makes the root and what is missing above it, private, and makes their names durable.
fn make_root(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new("/"));
    make_root(parent)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            File::open(parent)?.sync_all()
        }
    }
}

fn enter(folder: &File, part: &str) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(folder, part, flags, Mode::empty()) {
        Ok(folder) => Ok(folder.into()),
        Err(Errno::NOTDIR | Errno::LOOP) => Err(foreign(part)),
        Err(error) => Err(error.into()),
    }
}

fn open_file(folder: &File, name: &str) -> io::Result<(File, Metadata)> {
    // Not blocking: a pipe in place of a file would be waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file: File = match rustix::fs::openat(folder, name, flags, Mode::empty()) {
        Ok(file) => file.into(),
        Err(Errno::LOOP | Errno::NXIO) => return Err(foreign(name)),
        Err(error) => return Err(error.into()),
    };
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(ErrorKind::NotFound.into());
    }
    if metadata.is_file() { Ok((file, metadata)) } else { Err(foreign(name)) }
}

/// Nothing that Longshore made: following or skipping it would read elsewhere, or call something absent that is not.
fn foreign(name: &str) -> io::Error {
    io::Error::other(format!("{name} is neither a file nor a folder of the store (a symbolic link?)"))
}

/// Writes a file without a name and links it into place: the link fails if the name is taken, never shows half an object,
/// and a process that is killed leaves nothing. Where there are no nameless files, one with a name of its own serves.
fn put(folder: &File, name: &str, body: &[u8]) -> io::Result<()> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let nameless = match rustix::fs::openat(folder, ".", flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Some(File::from(file)),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => None,
        // So says ext4 of a folder that is being removed.
        Err(Errno::PERM) if folder.metadata()?.nlink() == 0 => return Err(ErrorKind::NotFound.into()),
        Err(error) => return Err(error.into()),
    };
    let path = nameless.as_ref().map(|file| format!("/proc/self/fd/{}", file.as_raw_fd()));
    match (nameless, path) {
        (Some(mut file), Some(path)) if Path::new(&path).exists() => {
            file.write_all(body)?;
            file.sync_all()?;
            rustix::fs::linkat(CWD, &path, folder, name, AtFlags::SYMLINK_FOLLOW)?;
        }
        _ => put_by_name(folder, name, body)?,
    }
    folder.sync_all()
}

/// As [`put`], by way of a file with a name.
fn put_by_name(folder: &File, name: &str, body: &[u8]) -> io::Result<()> {
    // Random, because process ids are the same in every container that shares the folder.
    let temporary = format!(".{:032x}.tmp", rand::rng().random::<u128>());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::openat(folder, &*temporary, flags, Mode::RUSR | Mode::WUSR)?);
    let linked = file.write_all(body).and_then(|()| file.sync_all()).and_then(|()| {
        match rustix::fs::linkat(folder, &*temporary, folder, name, AtFlags::empty()) {
            // A server may have done it and its answer was lost: then the name is our own file's.
            Err(Errno::EXIST) if is_same(folder, name, &file)? => Ok(()),
            result => Ok(result?),
        }
    });
    let removed = rustix::fs::unlinkat(folder, &*temporary, AtFlags::empty());
    linked?;
    removed?;
    remove_leavings(folder, file.metadata()?.mtime())
}

fn is_same(folder: &File, name: &str, file: &File) -> io::Result<bool> {
    let found = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let ours = rustix::fs::fstat(file)?;
    Ok((found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino))
}

/// Removes temporary files that killed processes left, by the folder's own clock.
fn remove_leavings(folder: &File, now_seconds: i64) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let bytes = name.to_bytes();
        if !bytes.starts_with(b".") || !bytes.ends_with(b".tmp") {
            continue;
        }
        let status = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
        if status.is_ok_and(|status| now_seconds - modified_seconds(&status) > LEAVINGS_AGE_SECONDS) {
            // Another process may be faster.
            let _ = rustix::fs::unlinkat(folder, name, AtFlags::empty());
        }
    }
    Ok(())
}

/// Adds the files of one folder to `out` and its folders to `folders`.
fn list_one(
    folder: &File,
    prefix: &str,
    out: &mut Vec<ObjectInfo>,
    folders: &mut Vec<String>,
) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        // Temporary files, `lost+found` and the like are no objects.
        let Some(name) = entry.file_name().to_str().ok().filter(|name| is_part(name)) else { continue };
        let status = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            // Deleted since the folder was read.
            Err(Errno::NOENT) => continue,
            status => status?,
        };
        let name = format!("{prefix}{name}");
        match FileType::from_raw_mode(status.st_mode) {
            FileType::Directory => folders.push(name),
            FileType::RegularFile => {
                let nanoseconds = i32::try_from(status.st_mtime_nsec).map_err(io::Error::other)?;
                let modified_at =
                    Timestamp::new(modified_seconds(&status), nanoseconds).map_err(io::Error::other)?;
                out.push(ObjectInfo { name, size_bytes: status.st_size.cast_unsigned(), modified_at });
            }
            _ => return Err(foreign(&name)),
        }
    }
    Ok(())
}

/// The width of the field differs between architectures.
#[allow(clippy::unnecessary_cast)]
fn modified_seconds(status: &Stat) -> i64 {
    status.st_mtime as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, time::SystemTime};

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// The way of file systems without nameless files, NFS among them.
    #[test]
    fn a_file_with_a_name_serves_as_well() {
        let place = tempfile::tempdir().unwrap();
        let folder = File::open(place.path()).unwrap();
        put_by_name(&folder, "a", b"first").unwrap();
        assert_eq!(put_by_name(&folder, "a", b"second").unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(place.path().join("a")).unwrap(), b"first");
        assert_eq!(names(place.path()), ["a"]);
    }

    #[test]
    fn leavings_go_a_day_later_and_not_before() {
        let place = tempfile::tempdir().unwrap();
        let folder = File::open(place.path()).unwrap();
        let day = std::time::Duration::from_secs(24 * 3600);
        for (name, age) in
            [(".old.tmp", day * 2), (".young.tmp", day / 2), (".other", day * 9), ("b.tmp", day * 9)]
        {
            let file = File::create(place.path().join(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        }
        put_by_name(&folder, "a", b"x").unwrap();
        assert_eq!(names(place.path()), [".other", ".young.tmp", "a", "b.tmp"]);
    }

    /// A link whose answer was lost is asked for again and refused: then the name is our own file's.
    #[test]
    fn our_own_file_is_known_under_its_new_name() {
        let place = tempfile::tempdir().unwrap();
        let folder = File::open(place.path()).unwrap();
        for name in ["ours", "theirs"] {
            fs::write(place.path().join(name), b"x").unwrap();
        }
        fs::hard_link(place.path().join("ours"), place.path().join("linked")).unwrap();
        let file = File::open(place.path().join("ours")).unwrap();
        assert!(is_same(&folder, "linked", &file).unwrap());
        assert!(!is_same(&folder, "theirs", &file).unwrap());
    }
}
