//! Reports on damaged packs. What they mean to readers, writers and prune stands in `docs/concurrency.md`.

use crate::{FormatError, FrameId, PackId, json, names::PackKind, pack::FRAMES_MAX};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `bad/<pack>`: not all of the pack can be read. No writer relies on it any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DamageReport {
    /// What the pack holds.
    pub kind: PackKind,
    /// The pack.
    pub pack: PackId,
    /// Ids of the frames that cannot be relied on. None if it is not known what the pack held: then nothing in it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Vec<FrameId>>,
    /// When it was found.
    pub found_at: Timestamp,
    /// What is wrong, for people.
    pub reason: String,
    /// Name and version of the software.
    pub software: String,
}

impl DamageReport {
    /// The bytes of the record.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        json::encode("damage report", self)
    }

    /// Reads an opened record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let report: Self = json::decode("damage report", bytes)?;
        json::limit("frames in a damage report", report.lost.as_ref().map_or(0, Vec::len), FRAMES_MAX)?;
        Ok(report)
    }
}
