//! A folder as a store: durable (fsync before an object appears), private (0700/0600), without half-written objects, and
//! without ever following a symbolic link below its root.
//!
//! Written here instead of taken from `object_store`, whose local backend makes files as the umask says. How files are
//! made, found and removed stands in `files.rs`.

mod files;

use crate::{Class, ObjectInfo, Operation, Store, StoreError, StoreKind};
use async_trait::async_trait;
use bytes::Bytes;
use files::Root;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use std::{
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom},
    path::PathBuf,
    sync::Arc,
};

/// Objects as files under a folder.
///
/// # Network file systems
/// A create is a file under another name that is linked into place. If a server's answer to the link is lost and the
/// client asks again, the second answer says that the name is taken; whose file it is decides then. Listings of other
/// machines may be stale until this one changes the folder itself: see [`crate::probe`] and [`StoreKind::SharedFolder`].
#[derive(Debug)]
pub struct FolderStore {
    root: Arc<Root>,
}

impl FolderStore {
    /// A store of the files under `root`, which is made by the first `create` if it is missing. The root itself may be a
    /// symbolic link; below it none is followed.
    pub fn new(root: PathBuf) -> Self {
        Self { root: Arc::new(Root::new(root)) }
    }

    /// Runs blocking file work off the async threads.
    async fn run<T: Send + 'static>(
        &self,
        operation: Operation,
        name: &str,
        work: impl FnOnce(&Root, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        if !name.split('/').all(files::is_part) {
            return Err(StoreError::new(Class::Permanent, operation, name).caused_by("not an object name"));
        }
        let (root, owned) = (self.root.clone(), name.to_owned());
        let result = tokio::task::spawn_blocking(move || work(&root, &owned)).await;
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
        self.run(Operation::Create, name, move |root, name| root.create(name, &body)).await
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        self.run(Operation::Read, name, move |root, name| {
            let (mut file, metadata) = root.open(name)?;
            let length = metadata.len();
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
        self.run(Operation::Read, name, move |root, name| {
            let (mut file, metadata) = root.open(name)?;
            if offset_bytes.checked_add(length_bytes).is_none_or(|end| end > metadata.len()) {
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
        self.run(Operation::Read, name, move |root, name| {
            let (mut file, metadata) = root.open(name)?;
            let take = metadata.len().min(length_bytes);
            file.seek(SeekFrom::Start(metadata.len() - take))?;
            let mut out = vec![0u8; take as usize];
            file.read_exact(&mut out)?;
            Ok(Bytes::from(out))
        })
        .await
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        self.run(Operation::Info, name, |root, name| root.info(name)).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.run(Operation::Delete, name, |root, name| root.delete(name)).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        let prefix = prefix.to_owned();
        let whole = async move {
            let folder = prefix.strip_suffix('/').unwrap_or(&prefix);
            // The root has no name of its own.
            let all = if folder.is_empty() {
                let root = self.root.clone();
                let failed = |class, error: Box<dyn std::error::Error + Send + Sync>| {
                    StoreError::new(class, Operation::List, "").caused_by(error)
                };
                match tokio::task::spawn_blocking(move || root.list("")).await {
                    Ok(result) => result.map_err(|error| failed(classify(&error), error.into())),
                    Err(error) => Err(failed(Class::Permanent, error.into())),
                }
            } else {
                self.run(Operation::List, folder, |root, folder| root.list(folder)).await
            };
            Ok::<_, StoreError>(futures::stream::iter(all?.into_iter().map(Ok)))
        };
        futures::stream::once(whole).try_flatten().boxed()
    }

    async fn kind(&self) -> Result<StoreKind, StoreError> {
        let root = self.root.clone();
        let failed = |class| StoreError::new(class, Operation::Info, "");
        match tokio::task::spawn_blocking(move || root.is_local()).await {
            Ok(Ok(true)) => Ok(StoreKind::Folder),
            Ok(Ok(false)) => Ok(StoreKind::SharedFolder),
            Ok(Err(error)) => Err(failed(classify(&error)).caused_by(error)),
            Err(error) => Err(failed(Class::Permanent).caused_by(error)),
        }
    }

    fn describe(&self) -> String {
        self.root.path().display().to_string()
    }
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
