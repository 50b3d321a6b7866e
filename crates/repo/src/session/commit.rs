//! The one place where a snapshot comes into being: packs, then index, then record.

use super::BackupSession;
use crate::{
    RepoError, Snapshot, record,
    snapshots::{self, AtKey},
};
use jiff::Timestamp;
use longshore_format::{
    FORMAT_VERSION, NodeRef, RunId,
    names::{self, SnapshotKey},
    sealed::RecordKind,
    snapshot::{Content, KubernetesVolume, RecordNode, SnapshotRecord, SnapshotStats, SourceIdentity},
};
use longshore_store::Class as StoreClass;
use std::collections::BTreeMap;

/// What a session wrote, as its writers hand it out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WrittenContent {
    /// From a `VolumeWriter`.
    Volume {
        /// The exact size of the volume.
        size_bytes: u64,
        /// The root of its map; none if it is all hole.
        root: Option<NodeRef>,
    },
    /// From a `TreeWriter`.
    Tree {
        /// Sum of the sizes of its files.
        size_bytes: u64,
        /// The node that holds the root entry.
        root: NodeRef,
    },
}

/// A snapshot record but for what the session knows itself.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotDraft {
    /// What was backed up; must be what the session was begun for.
    pub source: SourceIdentity,
    /// When the backup started.
    pub started_at: Timestamp,
    /// When the last byte was put.
    pub finished_at: Timestamp,
    /// When the VolumeSnapshot was taken.
    pub data_at: Option<Timestamp>,
    /// What was written.
    pub content: WrittenContent,
    /// The snapshot it was compared with.
    pub parent: Option<RunId>,
    /// Some files could not be read.
    pub incomplete: bool,
    /// The caller's counts; the session sets those of chunks and stored bytes.
    pub stats: SnapshotStats,
    /// What Kubernetes knew.
    pub kubernetes: Option<KubernetesVolume>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Committed {
    /// This session made the snapshot.
    New(Snapshot),
    /// Another mover of the same run was first; this is its snapshot.
    AlreadyCommitted(Snapshot),
}

impl Committed {
    /// The run's one snapshot.
    pub fn snapshot(&self) -> &Snapshot {
        match self {
            Self::New(snapshot) | Self::AlreadyCommitted(snapshot) => snapshot,
        }
    }
}

impl BackupSession<'_> {
    /// Makes everything durable and then, in one conditional create, the snapshot.
    ///
    /// # Errors
    /// [`crate::Class::Forgotten`] if another mover of the run had committed, and that snapshot was forgotten meanwhile.
    pub fn commit(self, draft: SnapshotDraft) -> Result<Committed, RepoError> {
        if self.repository.source_id(&draft.source) != self.key.source {
            return Err(RepoError::Misuse {
                rule: "a session commits a snapshot of the source it was begun for",
            });
        }
        self.checkpoint()?;
        let key = self.key;
        let record = self.record(key, draft);
        let name = names::snapshot(&key);
        let plain = record.encode().map_err(RepoError::format(&name))?;
        let sealed = record::seal(&self.repository.keys, RecordKind::Snapshot, &name, &plain)?;
        let committed = match self.repository.io.create(&name, sealed) {
            Ok(()) => Committed::New(Snapshot { key, record }),
            // The key of an attempt is one key, which is what makes racing movers of one run commit once.
            Err(RepoError::Store { source }) if source.class() == StoreClass::AlreadyExists => {
                match snapshots::read_key(self.repository, key)? {
                    AtKey::Snapshot(snapshot) if snapshot.record == record => Committed::New(*snapshot),
                    AtKey::Snapshot(snapshot) => Committed::AlreadyCommitted(*snapshot),
                    AtKey::Fence => return Err(RepoError::Fenced),
                }
            }
            Err(error) => return Err(error),
        };
        // Another mover's record may have stood here, been forgotten, and gone with a prune: then the key was free again, and
        // what was just made is no snapshot. The tombstone came before all that, and never goes.
        if self.repository.is_forgotten(key.source, key.run)? {
            return Err(RepoError::Forgotten { run: key.run.to_string() });
        }
        let already = matches!(committed, Committed::AlreadyCommitted(_));
        tracing::info!(object = name, already, "the snapshot is committed");
        if let Err(error) = self.registration.end(true) {
            // The record says it as well.
            tracing::warn!(error = %crate::error::chain(&error), "the end of the session could not be noted");
        }
        Ok(committed)
    }

    fn record(&self, key: SnapshotKey, draft: SnapshotDraft) -> SnapshotRecord {
        let now = self.stats();
        let node =
            |node: NodeRef| RecordNode { id: node.id, place: self.durable_place(self.node_location(&node)) };
        SnapshotRecord {
            format: FORMAT_VERSION,
            run: key.run,
            attempt: key.attempt,
            source: draft.source,
            started_at: draft.started_at,
            finished_at: draft.finished_at,
            data_at: draft.data_at,
            content: match draft.content {
                WrittenContent::Volume { size_bytes, root } => {
                    Content::Volume { size_bytes, root: root.map(node) }
                }
                WrittenContent::Tree { size_bytes, root } => Content::Tree { size_bytes, root: node(root) },
            },
            parent: draft.parent,
            incomplete: draft.incomplete,
            stats: SnapshotStats {
                new_bytes: now.new_bytes,
                stored_bytes: now.stored_bytes,
                chunks: now.chunks,
                new_chunks: now.new_chunks,
                ..draft.stats
            },
            kubernetes: draft.kubernetes,
            labels: draft.labels,
            software: crate::SOFTWARE.to_owned(),
        }
    }
}
