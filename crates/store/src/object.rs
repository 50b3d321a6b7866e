//! [`Store`] over any `object_store` backend.

use crate::{Class, ObjectInfo, Operation, Store, StoreError, StoreKind, classify::classify};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use jiff::Timestamp;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, path::Path,
};
use std::sync::Arc;

/// A backend of `object_store`, rooted at a prefix.
#[derive(Debug)]
pub struct ObjectStoreAdapter {
    inner: Arc<dyn ObjectStore>,
    prefix: String,
    description: String,
}

impl ObjectStoreAdapter {
    /// A store of all objects of `inner` under `prefix` (without slashes at its ends; may be empty).
    pub fn new(inner: Arc<dyn ObjectStore>, prefix: &str, description: String) -> Self {
        let prefix = prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Self { inner, prefix, description }
    }

    fn path(&self, operation: Operation, name: &str) -> Result<Path, StoreError> {
        Path::parse(format!("{}{name}", self.prefix))
            .map_err(|source| StoreError::new(Class::Permanent, operation, name).caused_by(source))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for ObjectStoreAdapter {
    async fn create(&self, name: &str, body: Bytes) -> Result<(), StoreError> {
        let path = self.path(Operation::Create, name)?;
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let Err(source) = self.inner.put_opts(&path, PutPayload::from_bytes(body), options).await else {
            return Ok(());
        };
        let error = failed(Operation::Create, name, source);
        if error.class() == Class::AlreadyExists {
            // S3 answers 409 also while another create on the name is still undecided; then nothing may be there yet.
            match self.inner.head(&path).await {
                Err(Error::NotFound { .. }) => {
                    return Err(StoreError::new(Class::Transient, Operation::Create, name).caused_by(error));
                }
                Ok(_) | Err(_) => return Err(error),
            }
        }
        Err(error)
    }

    async fn get(&self, name: &str, limit_bytes: u64) -> Result<Bytes, StoreError> {
        let path = self.path(Operation::Read, name)?;
        let result = self.inner.get(&path).await.map_err(|source| failed(Operation::Read, name, source))?;
        if result.meta.size > limit_bytes {
            return Err(StoreError::new(Class::Corrupt, Operation::Read, name)
                .caused_by(format!("{} bytes, at most {limit_bytes} expected", result.meta.size)));
        }
        result.bytes().await.map_err(|source| failed(Operation::Read, name, source))
    }

    async fn get_range(&self, name: &str, offset_bytes: u64, length_bytes: u64) -> Result<Bytes, StoreError> {
        let short = |found: u64| {
            StoreError::new(Class::Corrupt, Operation::Read, name)
                .caused_by(format!("{found} bytes at {offset_bytes}, {length_bytes} expected"))
        };
        let end = offset_bytes.checked_add(length_bytes).ok_or_else(|| short(0))?;
        if length_bytes == 0 {
            return Ok(Bytes::new());
        }
        let path = self.path(Operation::Read, name)?;
        let options =
            GetOptions { range: Some(GetRange::Bounded(offset_bytes..end)), ..GetOptions::default() };
        let result = self.inner.get_opts(&path, options).await;
        let result = result.map_err(|source| failed(Operation::Read, name, source))?;
        let bytes = result.bytes().await.map_err(|source| failed(Operation::Read, name, source))?;
        if bytes.len() as u64 == length_bytes { Ok(bytes) } else { Err(short(bytes.len() as u64)) }
    }

    async fn get_tail(&self, name: &str, length_bytes: u64) -> Result<Bytes, StoreError> {
        let path = self.path(Operation::Read, name)?;
        let options = GetOptions { range: Some(GetRange::Suffix(length_bytes)), ..GetOptions::default() };
        let result = match self.inner.get_opts(&path, options).await {
            // Azure knows no such range. Objects never change, so the length still holds when the end is read.
            Err(Error::NotSupported { .. }) => {
                let size = self.info(name).await?.size_bytes;
                let length = length_bytes.min(size);
                return self.get_range(name, size - length, length).await;
            }
            result => result.map_err(|source| failed(Operation::Read, name, source))?,
        };
        let bytes = result.bytes().await.map_err(|source| failed(Operation::Read, name, source))?;
        if bytes.len() as u64 > length_bytes {
            return Err(
                StoreError::new(Class::Corrupt, Operation::Read, name).caused_by("more bytes than asked for")
            );
        }
        Ok(bytes)
    }

    async fn info(&self, name: &str) -> Result<ObjectInfo, StoreError> {
        let path = self.path(Operation::Info, name)?;
        let meta = self.inner.head(&path).await.map_err(|source| failed(Operation::Info, name, source))?;
        info(Operation::Info, name, &meta)
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path(Operation::Delete, name)?;
        match self.inner.delete(&path).await.map_err(|source| failed(Operation::Delete, name, source)) {
            // S3 does not say it, Google and Azure do.
            Err(error) if error.class() == Class::NotFound => Ok(()),
            result => result,
        }
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<ObjectInfo, StoreError>> {
        let full = format!("{}{prefix}", self.prefix);
        let wanted = prefix.to_owned();
        let path = (!full.is_empty()).then(|| Path::from(full));
        let stream = self.inner.list(path.as_ref());
        stream
            .filter_map(move |item| {
                let item = match item {
                    Ok(meta) => meta.location.as_ref().strip_prefix(&self.prefix).and_then(|name| {
                        name.starts_with(&wanted).then(|| info(Operation::List, name, &meta))
                    }),
                    Err(source) => Some(Err(failed(Operation::List, &wanted, source))),
                };
                futures::future::ready(item)
            })
            .boxed()
    }

    async fn kind(&self) -> Result<StoreKind, StoreError> {
        Ok(StoreKind::Objects)
    }

    fn describe(&self) -> String {
        self.description.clone()
    }
}

fn info(operation: Operation, name: &str, meta: &ObjectMeta) -> Result<ObjectInfo, StoreError> {
    let at = meta.last_modified;
    let modified_at = Timestamp::new(at.timestamp(), at.timestamp_subsec_nanos().min(999_999_999) as i32)
        .map_err(|source| StoreError::new(Class::Corrupt, operation, name).caused_by(source))?;
    Ok(ObjectInfo { name: name.to_owned(), size_bytes: meta.size, modified_at })
}

fn failed(operation: Operation, name: &str, source: Error) -> StoreError {
    StoreError::new(classify(&source), operation, name).caused_by(source)
}
