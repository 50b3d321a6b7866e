//! What deletion leaves in the repository: tombstones, fences, plans and their results. The protocol stands in
//! `docs/concurrency.md`.

use crate::{
    FormatError, RunId, SegmentId, SourceId, json,
    session::{CommitKey, PackList},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Most packs that one plan condemns: 6 TiB. What is more waits for the next plan.
pub const CONDEMNED_MAX: usize = 400_000;
/// Most segments and records that a result lists.
pub const RESULT_NAMES_MAX: usize = 200_000;

/// `forget/<source>/<run>`: the run's snapshot is no root any more. Never deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tombstone {
    /// What was backed up.
    pub source: SourceId,
    /// The run.
    pub run: RunId,
    /// When it was forgotten.
    pub forgotten_at: Timestamp,
    /// Why: a policy, or by name.
    pub reason: String,
    /// Name and version of the software.
    pub software: String,
}

/// At the key of a snapshot record: this attempt can never commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fence {
    /// The key at which it stands.
    pub key: CommitKey,
    /// The plan for whose sake the attempt ended.
    pub plan: u64,
    /// When.
    pub fenced_at: Timestamp,
}

/// `gc/<n>/plan`: these packs are condemned, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Its number, from 1.
    pub number: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// The packs.
    pub condemned: PackList,
}

/// `gc/<n>/result`: the index from now on. What the plan condemns, and what this names as stale or forgotten, may be
/// deleted. Of level 0 those segments count that stand under a plan ≥ `number`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanResult {
    /// The number of its plan.
    pub number: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// The segments of level 1 that count; no others do.
    pub level_1: Vec<SegmentId>,
    /// Names of segments that count no more.
    pub stale: Vec<String>,
    /// Records of forgotten snapshots that no session needs.
    pub forgotten: Vec<CommitKey>,
}

json::record!(Tombstone, "tombstone");
json::record!(Fence, "fence");

impl Plan {
    /// The bytes of the record.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        json::encode("plan", self)
    }

    /// Reads an opened record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let plan: Self = json::decode("plan", bytes)?;
        json::limit("packs of a plan", plan.condemned.len(), CONDEMNED_MAX)?;
        Ok(plan)
    }
}

impl PlanResult {
    /// The bytes of the record.
    pub fn encode(&self) -> Result<Vec<u8>, FormatError> {
        json::encode("result of a plan", self)
    }

    /// Reads an opened record.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let result: Self = json::decode("result of a plan", bytes)?;
        let names = result.level_1.len() + result.stale.len() + result.forgotten.len();
        json::limit("names in a result", names, RESULT_NAMES_MAX)?;
        Ok(result)
    }
}
