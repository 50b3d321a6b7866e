//! What the operator must remember and Velero's status has no field for.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// Note: when it was accepted.
pub const ACCEPTED: &str = "longshore.dev/accepted-at";
/// Note: when all was there that the mover needs. Taken away while others' movers keep it from starting: that says nothing of this one.
pub const PREPARED: &str = "longshore.dev/prepared-at";
/// Note: when it was told to end.
pub const CANCELING: &str = "longshore.dev/canceling-at";
/// Note: the Secret of its repository, which it keeps whatever becomes of the Repository.
pub use crate::names::REPOSITORY_SECRET as SECRET;
/// Note: the volume that holds the restored data.
pub const VOLUME: &str = "longshore.dev/restored-volume";
/// Note: when the data was on that volume.
pub const RESTORED: &str = "longshore.dev/restored-at";
/// Note: how often the mover was started again because its result was lost.
pub const RESTARTS: &str = "longshore.dev/mover-restarts";

const NOTES: &[&str] = &[ACCEPTED, PREPARED, CANCELING, SECRET, VOLUME, RESTORED, RESTARTS];

/// Annotations of a DataUpload or DataDownload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes(pub(super) BTreeMap<&'static str, String>);

impl Notes {
    /// Reads the notes of an object.
    pub fn read(metadata: &ObjectMeta) -> Self {
        let annotations = metadata.annotations.as_ref();
        let note = |key: &&'static str| Some((*key, annotations?.get(*key)?.clone()));
        Self(NOTES.iter().filter_map(note).collect())
    }

    /// A note.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A note that is a time.
    pub fn time(&self, key: &str) -> Option<Timestamp> {
        self.text(key)?.parse().ok()
    }

    /// Writes a note.
    pub fn set(&mut self, key: &'static str, text: impl Into<String>) {
        self.0.insert(key, text.into());
    }

    /// Takes a note away.
    pub fn remove(&mut self, key: &str) {
        self.0.remove(key);
    }

    /// Notes the time, unless it was noted before.
    pub fn set_time(&mut self, key: &'static str, now: Timestamp) {
        if self.time(key).is_none() {
            self.set(key, now.to_string());
        }
    }
}
