//! Pipelines over a repository in memory: what random data cannot break.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod copy;
mod resume;
mod tree;
mod volume;

use longshore_repo::{
    BackupOptions, KdfCost, Repository, RunId, Secret, Snapshot, SnapshotDraft, SnapshotStats,
    SourceIdentity, WrittenContent, store::memory,
};

/// A new repository that costs no time to open.
pub fn repository() -> Repository {
    let cost = KdfCost { memory_kib: 8, passes: 1, lanes: 1 };
    Repository::init(memory(), &Secret::from("password"), cost).unwrap()
}

/// Runs `store` in a session and commits what it returns.
pub fn commit(
    repository: &Repository,
    store: impl FnOnce(&longshore_repo::BackupSession<'_>) -> WrittenContent,
) -> Snapshot {
    let source = SourceIdentity::Path { host: "test".into(), path: "/volume".into() };
    let run = RunId(uuid::Uuid::now_v7());
    let session =
        repository.begin_backup(repository.source_id(&source), run, None, BackupOptions::default()).unwrap();
    let content = store(&session);
    let now = jiff::Timestamp::now();
    let draft = SnapshotDraft {
        source,
        started_at: now,
        finished_at: now,
        data_at: None,
        content,
        parent: None,
        incomplete: false,
        stats: SnapshotStats::default(),
        kubernetes: None,
        labels: std::collections::BTreeMap::new(),
    };
    session.commit(draft).unwrap().snapshot().clone()
}

/// Bytes that do not compress and are the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
