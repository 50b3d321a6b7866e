//! A folder as a store: durable (fsync before an object appears), private (0700/0600), without half-written objects.
//!
//! Written here instead of taken from `object_store`, whose local backend makes files as the umask says.

use crate::{Class, ObjectInfo, Operation, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use std::{
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Objects as files under a folder.
#[derive(Debug)]
pub struct FolderStore {
    root: PathBuf,
}

/// Makes names of temporary files differ within a process.
static TEMPORARY_NUMBER: AtomicU64 = AtomicU64::new(0);

impl FolderStore {
    /// A store of the files under `root`, which is made by the first `create` if it is missing.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Runs blocking file work off the async threads.
    async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        name: &str,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let safe =
            name.split('/').all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains('\0'));
        if !safe {
            return Err(StoreError::new(Class::Permanent, operation, name).caused_by("not an object name"));
        }
        let path = self.root.join(name);
        let result = tokio::task::spawn_blocking(move || work(&path)).await;
        match result {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(StoreError::new(classify(&error), operation, name).caused_by(error)),
            Err(error) => Err(StoreError::new(Class::Permanent, operation, name).caused_by(error)),
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for FolderStore {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        let root = self.root.clone();
        self.run(Operation::Create, name, move |path| create(&root, path, &body)).await
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.run(Operation::Read, name, move |path| {
            let mut file = open(path)?;
            let length = file.metadata()?.len();
            if length > limit_bytes {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    format!("{length} bytes, at most {limit_bytes}"),
                ));
            }
            let mut out = Vec::with_capacity(length as usize);
            file.read_to_end(&mut out)?;
            Ok(Bytes::from(out))
        })
        .await
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.run(Operation::Read, name, move |path| {
            let mut file = open(path)?;
            let beyond = offset_bytes
                .checked_add(length_bytes)
                .is_none_or(|end| end > file.metadata().map_or(0, |m| m.len()));
            if beyond {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "a range beyond the end"));
            }
            file.seek(SeekFrom::Start(offset_bytes))?;
            let mut out = vec![0u8; length_bytes as usize];
            file.read_exact(&mut out)?;
            Ok(Bytes::from(out))
        })
        .await
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        self.run(Operation::Read, name, move |path| {
            let mut file = open(path)?;
            let take = file.metadata()?.len().min(length_bytes);
            file.seek(SeekFrom::End(-(take as i64)))?;
            let mut out = vec![0u8; take as usize];
            file.read_exact(&mut out)?;
            Ok(Bytes::from(out))
        })
        .await
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        let owned = name.to_owned();
        self.run(Operation::Info, name, move |path| info(owned, &open(path)?.metadata()?)).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let root = self.root.clone();
        self.run(Operation::Delete, name, move |path| delete(&root, path)).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        let prefix = prefix.to_owned();
        let root = self.root.clone();
        let whole = async move {
            let failed = |class, error: Box<dyn std::error::Error + Send + Sync>, prefix: &str| {
                StoreError::new(class, Operation::List, prefix).caused_by(error)
            };
            let at = prefix.clone();
            match tokio::task::spawn_blocking(move || list(&root, &at)).await {
                Ok(Ok(all)) => Ok(futures::stream::iter(all.into_iter().map(Ok))),
                Ok(Err(error)) => Err(failed(classify(&error), error.into(), &prefix)),
                Err(error) => Err(failed(Class::Permanent, error.into(), &prefix)),
            }
        };
        futures::stream::once(whole).try_flatten().boxed()
    }

    fn describe(&self) -> String {
        self.root.display().to_string()
    }
}

fn create(root: &Path, path: &Path, body: &[u8]) -> io::Result<()> {
    let parent = path.parent().unwrap_or(root);
    make_folders(parent)?;
    // A private temporary file, then a hard link: the link fails if the name is taken, and never shows half an object.
    let number = TEMPORARY_NUMBER.fetch_add(1, Relaxed);
    let temporary = parent.join(format!(".{}-{number}.tmp", std::process::id()));
    let written = write_temporary(&temporary, body).and_then(|()| fs::hard_link(&temporary, path));
    let removed = fs::remove_file(&temporary);
    written?;
    removed?;
    File::open(parent)?.sync_all()
}

fn write_temporary(path: &Path, body: &[u8]) -> io::Result<()> {
    let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match open() {
        // A process with our id died here earlier: its leavings have no meaning.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            open()?
        }
        file => file?,
    };
    file.write_all(body)?;
    file.sync_all()
}

/// Makes a folder and its missing parents, private, and makes their names durable.
fn make_folders(folder: &Path) -> io::Result<()> {
    if folder.as_os_str().is_empty() || folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().unwrap_or(Path::new("/"));
    make_folders(parent)?;
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            File::open(parent)?.sync_all()
        }
    }
}

/// Takes the name away, durably. Folders stay: another process may be about to put something into them.
fn delete(root: &Path, path: &Path) -> io::Result<()> {
    match open(path).and_then(|_| fs::remove_file(path)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => {
            result?;
            File::open(path.parent().unwrap_or(root))?.sync_all()
        }
    }
}

fn info(name: String, metadata: &Metadata) -> io::Result<ObjectInfo> {
    let modified_at = Timestamp::try_from(metadata.modified()?).map_err(io::Error::other)?;
    Ok(ObjectInfo { name, size_bytes: metadata.len(), modified_at })
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::from(ErrorKind::NotFound)) }
}

fn list(root: &Path, prefix: &str) -> io::Result<Vec<ObjectInfo>> {
    let mut out = Vec::new();
    let mut folders = vec![(root.join(prefix), prefix.to_owned())];
    while let Some((folder, prefix)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
            if entry.file_type()?.is_dir() {
                folders.push((entry.path(), format!("{prefix}{name}/")));
            } else {
                match entry.metadata() {
                    // Deleted since the folder was read.
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    metadata => out.push(info(format!("{prefix}{name}"), &metadata?)?),
                }
            }
        }
    }
    Ok(out)
}

fn classify(error: &io::Error) -> Class {
    match error.kind() {
        ErrorKind::NotFound => Class::NotFound,
        ErrorKind::AlreadyExists => Class::AlreadyExists,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Class::AccessDenied,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Class::Full,
        ErrorKind::UnexpectedEof => Class::Corrupt,
        ErrorKind::NotADirectory => Class::BucketMissing,
        ErrorKind::Interrupted | ErrorKind::TimedOut | ErrorKind::StaleNetworkFileHandle => Class::Transient,
        _ => Class::Permanent,
    }
}
