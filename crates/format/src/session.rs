//! What sessions say of themselves under `sess/`: that they exist, what they build on, how far they are, that they are over.
//!
//! Prune reads these records, and a session that goes on where a killed one of the same run stopped. The protocol
//! stands in `docs/concurrency.md`.

use crate::{
    FormatError, PackId, RunId, SourceId, json, names::PackKind, names::SnapshotKey, snapshot::RecordNode,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Most packs that one `seen` record can list. A session that used more does not acknowledge, and prune waits for its end.
pub const SEEN_PACKS_MAX: usize = 10_000;
/// Most spans in one `progress` record.
pub const PROGRESS_SPANS_MAX: usize = 4_096;

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SessionKind {
    /// Writes, and ends in a commit.
    Backup,
    /// Reads one snapshot.
    Restore,
    /// Reads everything: prune deletes nothing while it goes on.
    Check,
}

/// `open`: the session exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionOpen {
    /// What it does.
    pub kind: SessionKind,
    /// Where a backup will commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitKey>,
    /// When it began, by the clock of its machine; for people only.
    pub opened_at: Timestamp,
    /// Name and version of its software.
    pub software: String,
}

/// A [`SnapshotKey`] as it stands in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommitKey {
    /// What is backed up.
    pub source: SourceId,
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub attempt: u32,
}

impl From<SnapshotKey> for CommitKey {
    fn from(key: SnapshotKey) -> Self {
        Self { source: key.source, run: key.run, attempt: key.attempt }
    }
}

impl From<CommitKey> for SnapshotKey {
    fn from(key: CommitKey) -> Self {
        Self { source: key.source, run: key.run, attempt: key.attempt }
    }
}

/// `ready`: what the session builds on or reads is a root from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionReady {
    /// The highest plan that it has seen, 0 if there is none.
    pub plan: u64,
    /// The parent of a backup, the target of a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<CommitKey>,
}

/// `seen/<plan>`: the session uses nothing of what this plan condemns any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionSeen {
    /// The plan.
    pub plan: u64,
    /// Condemned packs that it may have used before.
    pub packs: PackList,
}

/// `progress/<n>`: spans of a volume that are finished, durable and indexed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionProgress {
    /// The size of the volume.
    pub size_bytes: u64,
    /// The spans, in any order.
    pub spans: Vec<FinishedSpan>,
}

/// A span of a volume that needs not be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FinishedSpan {
    /// Its number.
    pub span: u64,
    /// Bytes of it that are no hole.
    pub data_bytes: u64,
    /// Its leaf; none if it is all hole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<RecordNode>,
}

/// `end`: the session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionEnd {
    /// Whether it came to what it was for.
    pub done: bool,
}

/// Packs by kind.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PackList {
    /// Packs of chunks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<PackId>,
    /// Packs of nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub meta: Vec<PackId>,
}

impl PackList {
    /// Adds a pack.
    pub fn push(&mut self, kind: PackKind, pack: PackId) {
        match kind {
            PackKind::Data => self.data.push(pack),
            PackKind::Meta => self.meta.push(pack),
        }
    }

    /// All packs, data first.
    pub fn iter(&self) -> impl Iterator<Item = (PackKind, PackId)> + '_ {
        let data = self.data.iter().map(|pack| (PackKind::Data, *pack));
        data.chain(self.meta.iter().map(|pack| (PackKind::Meta, *pack)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.data.len() + self.meta.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.data.is_empty() && self.meta.is_empty()
    }
}

json::record!(SessionOpen, "session");
json::record!(SessionReady, "session's start");
json::record!(SessionEnd, "session's end");

impl SessionSeen {
    /// The bytes of the record.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        json::encode("acknowledgement of a plan", self)
    }

    /// Reads an opened record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let seen: Self = json::decode("acknowledgement of a plan", bytes)?;
        json::limit("packs of an acknowledgement", seen.packs.len(), SEEN_PACKS_MAX)?;
        Ok(seen)
    }
}

impl SessionProgress {
    /// The bytes of the record.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        json::encode("progress", self)
    }

    /// Reads an opened record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let progress: Self = json::decode("progress", bytes)?;
        json::limit("spans of a progress record", progress.spans.len(), PROGRESS_SPANS_MAX)?;
        Ok(progress)
    }
}
