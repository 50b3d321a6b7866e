//! Checkpoints: what maintenance saw at a time, so that a store that hides what was there is found out.

use crate::{FormatError, ids::Digest, json, session::CommitKey};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Most snapshots that a checkpoint lists.
pub const CHECKPOINT_SNAPSHOTS_MAX: usize = 150_000;
/// Most earlier checkpoints that a checkpoint names.
pub const CHECKPOINTS_BEFORE_MAX: usize = 1000;

/// `ckpt/<n>`: the state of a repository, signed by maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// Its number, from 1.
    pub number: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// The checkpoints before it, the newest first.
    pub before: Vec<EarlierCheckpoint>,
    /// The keyset revision in force.
    pub keyset_revision: u32,
    /// The newest plan that has its result; 0: none.
    pub plan: u64,
    /// Every snapshot that was not forgotten.
    pub snapshots: Vec<SeenSnapshot>,
}

/// A checkpoint, as a later one names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EarlierCheckpoint {
    /// Its number.
    pub number: u64,
    /// BLAKE3 of its object.
    pub digest: Digest,
}

/// A snapshot, as a checkpoint names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeenSnapshot {
    /// Where its record stands.
    pub key: CommitKey,
    /// BLAKE3 of the record's object.
    pub digest: Digest,
}

impl Checkpoint {
    /// The bytes of the record.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        json::encode("checkpoint", self)
    }

    /// Reads an opened record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let checkpoint: Self = json::decode("checkpoint", bytes)?;
        json::limit("snapshots of a checkpoint", checkpoint.snapshots.len(), CHECKPOINT_SNAPSHOTS_MAX)?;
        json::limit("checkpoints before one", checkpoint.before.len(), CHECKPOINTS_BEFORE_MAX)?;
        Ok(checkpoint)
    }
}
