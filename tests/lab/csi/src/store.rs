//! The state folder: records, images, locks. See [`Store`].

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::io::FdFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::DriverError;
use crate::record::{Publications, Record};
use crate::{pool, record};

/// How many files serve as locks of volumes. Two volumes may share one; they then wait for each other, no more.
const VOLUME_LOCKS: u64 = 64;

/// Extension of a record that is being written.
const UNFINISHED: &str = "unfinished";

/// The state folder. Several drivers, in several processes, may use one at a time.
///
/// | path | what |
/// |---|---|
/// | `volumes/ID.json`, `snapshots/ID.json` | one record each, replaced atomically |
/// | `pool/volumes/ID.img`, `pool/snapshots/ID.img` | the images, on the reflink file system |
/// | `nodes/NODE/ID.json` | where a node publishes a volume |
/// | `locks/` | `all`: lists of volumes and snapshots; `00`…: the image and mounts of a volume |
///
/// The lock of a volume is taken before the lock of the lists, never after.
#[derive(Debug, Clone)]
pub struct Store {
    state: PathBuf,
}

/// A held lock; released when dropped. If the process is killed, it is released when the helper programs that it started have
/// ended too: they inherit the open file, so that a `mount` in its last moments cannot surprise the next holder.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone would leave the lock with helpers that other calls have just started. The descriptor is ours, so
        // unlocking cannot fail; if it did, closing follows.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

impl Store {
    /// Opens the state folder; its pool must be up. Folders that are missing are made.
    pub fn open(state: &Path) -> Result<Self, DriverError> {
        let missing = || DriverError::PoolMissing { path: pool::mount_point(state) };
        let state = state.canonicalize().map_err(|_| missing())?;
        if !pool::is_up(&state)? {
            return Err(missing());
        }
        let point = pool::mount_point(&state);
        for folder in [record::Volume::FOLDER, record::Snapshot::FOLDER] {
            for parent in [&state, &point] {
                create_folder(&parent.join(folder))?;
            }
        }
        create_folder(&state.join("locks"))?;
        Ok(Self { state })
    }

    /// The folder itself.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Where the image of a record is.
    pub fn image<R: Record>(&self, id: &str) -> PathBuf {
        self.images::<R>().join(format!("{id}.img"))
    }

    /// The folder with all images of a kind.
    pub fn images<R: Record>(&self) -> PathBuf {
        pool::mount_point(&self.state).join(R::FOLDER)
    }

    /// Waits for the lock on the lists of volumes and snapshots: no other driver creates or deletes meanwhile.
    pub fn lock(&self) -> Result<Lock, DriverError> {
        self.lock_file("all")
    }

    /// Waits for the lock on one volume's image, devices and mounts.
    pub fn lock_volume(&self, id: &str) -> Result<Lock, DriverError> {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        self.lock_file(&format!("{:02}", hasher.finish() % VOLUME_LOCKS))
    }

    fn lock_file(&self, name: &str) -> Result<Lock, DriverError> {
        let path = self.state.join("locks").join(name);
        let file =
            File::options().create(true).append(true).open(&path).map_err(DriverError::io("open", &path))?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&file, FlockOperation::LockExclusive))
            .map_err(DriverError::io("lock", &path))?;
        rustix::io::fcntl_setfd(&file, FdFlags::empty())
            .map_err(DriverError::io("let helpers inherit", &path))?;
        Ok(Lock { file })
    }

    /// The record with this handle. A string that is no handle has none.
    pub fn get<R: Record>(&self, id: &str) -> Result<Option<R>, DriverError> {
        if R::is_id(id) { read(&self.record::<R>(id)) } else { Ok(None) }
    }

    /// All records of a kind, by handle, so oldest first.
    pub fn list<R: Record>(&self) -> Result<Vec<R>, DriverError> {
        let folder = self.state.join(R::FOLDER);
        let mut records = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(DriverError::io("list", &folder))? {
            let entry = entry.map_err(DriverError::io("list", &folder))?;
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            // Deleted between the listing and the reading: then it is not there.
            records.extend(self.get::<R>(id)?);
        }
        records.sort_by(|left: &R, right: &R| left.id().cmp(right.id()));
        Ok(records)
    }

    /// The record with this name.
    pub fn find<R: Record>(&self, name: &str) -> Result<Option<R>, DriverError> {
        Ok(self.list::<R>()?.into_iter().find(|record| record.name() == name))
    }

    /// Writes a record; from now on it survives a crash. The caller holds the lock of the lists.
    pub fn put<R: Record>(&self, record: &R) -> Result<(), DriverError> {
        write(&self.record::<R>(record.id()), record)
    }

    /// Removes a record; from now on it is gone even after a crash. The caller holds the lock of the lists.
    pub fn remove<R: Record>(&self, id: &str) -> Result<(), DriverError> {
        remove(&self.record::<R>(id))
    }

    /// Removes records whose writing a crash cut off. The caller holds the lock of the lists.
    pub fn remove_unfinished<R: Record>(&self) -> Result<(), DriverError> {
        let folder = self.state.join(R::FOLDER);
        for entry in std::fs::read_dir(&folder).map_err(DriverError::io("list", &folder))? {
            let path = entry.map_err(DriverError::io("list", &folder))?.path();
            if path.extension().is_some_and(|extension| extension == UNFINISHED) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    fn record<R: Record>(&self, id: &str) -> PathBuf {
        self.state.join(R::FOLDER).join(format!("{id}.json"))
    }

    /// Where a node publishes a volume. The caller holds the volume's lock.
    pub fn publications(&self, node: &str, volume: &str) -> Result<Publications, DriverError> {
        Ok(read(&self.publications_file(node, volume))?.unwrap_or_default())
    }

    /// Writes where a node publishes a volume. The caller holds the volume's lock.
    pub fn put_publications(
        &self,
        node: &str,
        volume: &str,
        publications: &Publications,
    ) -> Result<(), DriverError> {
        let path = self.publications_file(node, volume);
        if publications.targets.is_empty() {
            return remove(&path);
        }
        create_folder(&self.state.join("nodes").join(node))?;
        write(&path, publications)
    }

    fn publications_file(&self, node: &str, volume: &str) -> PathBuf {
        self.state.join("nodes").join(node).join(format!("{volume}.json"))
    }
}

/// Makes the entries of a folder durable.
pub fn sync_folder(folder: &Path) -> Result<(), DriverError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(DriverError::io("write out", folder))
}

fn create_folder(folder: &Path) -> Result<(), DriverError> {
    std::fs::create_dir_all(folder).map_err(DriverError::io("create", folder))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, DriverError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| DriverError::Parse { path: path.to_owned(), source }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(DriverError::io("read", path)(error)),
    }
}

/// Replaces `path` so that a reader, or a process after a crash, finds the old content or the new, whole.
fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), DriverError> {
    let bytes = serde_json::to_vec_pretty(value)
        .map_err(|source| DriverError::Parse { path: path.to_owned(), source })?;
    // Two threads may write at once, but never the same record: its lock is held.
    let unfinished = path.with_extension(UNFINISHED);
    let mut file = File::create(&unfinished).map_err(DriverError::io("create", &unfinished))?;
    file.write_all(&bytes).map_err(DriverError::io("write", &unfinished))?;
    file.sync_all().map_err(DriverError::io("write out", &unfinished))?;
    std::fs::rename(&unfinished, path).map_err(DriverError::io("replace", path))?;
    path.parent().map_or(Ok(()), sync_folder)
}

fn remove(path: &Path) -> Result<(), DriverError> {
    match std::fs::remove_file(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_folder),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(DriverError::io("remove", path)(error)),
    }
}
