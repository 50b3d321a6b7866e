use super::{Bucket, errors::failed};
use crate::{Operation, StoreError};
use aws_sdk_s3::primitives::DateTime;
use jiff::Timestamp;

/// A version of an object, or the marker that hides all before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The object's name, relative to the repository's root.
    pub name: String,
    /// The version's own name.
    pub id: String,
    /// When it was made, by the store's clock.
    pub modified_at: Timestamp,
    /// Its length; 0 for a marker.
    pub size_bytes: u64,
    /// Whether it is what a reader of the name meets.
    pub is_latest: bool,
    /// Whether it hides the versions before it: somebody deleted the object.
    pub is_marker: bool,
}

impl Bucket {
    /// All versions of all objects under a prefix, by name, and those of one name newest first.
    pub async fn versions(&self, prefix: &str) -> Result<Vec<Version>, StoreError> {
        let mut out = Vec::new();
        let (mut key, mut version) = (None, None);
        loop {
            let request = self.client.list_object_versions().bucket(&self.name).prefix(self.key(prefix));
            let page = request.set_key_marker(key).set_version_id_marker(version).send().await;
            let page = page.map_err(|error| failed(Operation::List, prefix, error))?;
            out.extend(page.versions().iter().filter_map(|found| {
                let place = (found.key()?, found.version_id()?, found.last_modified()?);
                let size_bytes = u64::try_from(found.size()?).ok()?;
                self.version(place, size_bytes, found.is_latest()?, false)
            }));
            out.extend(page.delete_markers().iter().filter_map(|found| {
                let place = (found.key()?, found.version_id()?, found.last_modified()?);
                self.version(place, 0, found.is_latest()?, true)
            }));
            if page.is_truncated() != Some(true) {
                break;
            }
            key = page.next_key_marker().map(str::to_owned);
            version = page.next_version_id_marker().map(str::to_owned);
        }
        // Stable: S3 lists versions of one name newest first, and one second may have several.
        out.sort_by(|one, two| {
            (&one.name, !one.is_latest, -one.modified_at.as_nanosecond()).cmp(&(
                &two.name,
                !two.is_latest,
                -two.modified_at.as_nanosecond(),
            ))
        });
        Ok(out)
    }

    fn version(
        &self,
        (key, id, modified_at): (&str, &str, &DateTime),
        size_bytes: u64,
        is_latest: bool,
        is_marker: bool,
    ) -> Option<Version> {
        let modified_at = Timestamp::from_nanosecond(modified_at.as_nanos()).ok()?;
        let name = key.strip_prefix(&self.prefix)?.to_owned();
        Some(Version { name, id: id.to_owned(), modified_at, size_bytes, is_latest, is_marker })
    }

    /// Deletes one version for good, or takes a marker away, which shows what it hid. [`crate::Class::AccessDenied`] if the
    /// version is locked.
    pub async fn delete_version(&self, name: &str, id: &str) -> Result<(), StoreError> {
        let request = self.client.delete_object().bucket(&self.name).key(self.key(name)).version_id(id);
        request.send().await.map(drop).map_err(|error| failed(Operation::Delete, name, error))
    }

    /// Makes an older version the newest by copying it within the store.
    pub async fn copy_version(&self, name: &str, id: &str) -> Result<(), StoreError> {
        let key = self.key(name);
        // Names hold nothing that a URL would need escaped; the prefix is the user's.
        let source = format!("{}/{}?versionId={id}", self.name, escape(&key));
        let request = self.client.copy_object().bucket(&self.name).key(key).copy_source(source);
        request.send().await.map(drop).map_err(|error| failed(Operation::Create, name, error))
    }
}

fn escape(key: &str) -> String {
    let mut out = String::new();
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte.into())
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
