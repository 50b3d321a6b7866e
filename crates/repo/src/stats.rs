//! What snapshots need and what the store holds, from listings, records and nodes alone: no data pack is read.

mod walk;

use crate::{RepoError, Repository, Snapshot};
use longshore_format::names::{self, PackKind};
use longshore_store::ObjectInfo;
use std::collections::HashMap;
use walk::Needs;

/// Objects of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ObjectCount {
    /// How many.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl ObjectCount {
    fn of(objects: &[ObjectInfo]) -> Self {
        let bytes = objects.iter().map(|object| object.size_bytes).sum();
        Self { objects: objects.len() as u64, bytes }
    }
}

/// What snapshots need, everything counted once. A chunk that is stored in two packs counts twice if snapshots name both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Chunks.
    pub chunks: u64,
    /// Their bytes before compression.
    pub unique_bytes: u64,
    /// The bytes that they take in packs.
    pub stored_bytes: u64,
    /// Nodes of maps and trees.
    pub nodes: u64,
    /// The bytes that these take in packs.
    pub metadata_bytes: u64,
    /// Packs, of data and metadata, in which all that lies.
    pub packs: u64,
    /// Times that a chunk or node is named that is in no pack: the repository is damaged, and a check names them.
    pub missing: u64,
}

impl Usage {
    fn since(self, earlier: Self) -> Self {
        Self {
            chunks: self.chunks - earlier.chunks,
            unique_bytes: self.unique_bytes - earlier.unique_bytes,
            stored_bytes: self.stored_bytes - earlier.stored_bytes,
            nodes: self.nodes - earlier.nodes,
            metadata_bytes: self.metadata_bytes - earlier.metadata_bytes,
            packs: self.packs - earlier.packs,
            missing: self.missing - earlier.missing,
        }
    }
}

/// What one snapshot needs.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotUsage {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Bytes of data that it names, each time it names them: its size without holes and without what stands in
    /// directories themselves.
    pub referenced_bytes: u64,
    /// What it needs that none of the snapshots before it in the list needs.
    pub added: Usage,
}

/// What snapshots need and what the store holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RepositoryStats {
    /// The snapshots that were asked for, in that order.
    pub snapshots: Vec<SnapshotUsage>,
    /// What they need together.
    pub usage: Usage,
    /// All data packs of the store, needed or not.
    pub data_packs: ObjectCount,
    /// All metadata packs of the store.
    pub meta_packs: ObjectCount,
    /// All index segments.
    pub index: ObjectCount,
    /// All objects of the repository.
    pub all: ObjectCount,
}

impl RepositoryStats {
    /// Sum of the sizes of the snapshots.
    pub fn logical_bytes(&self) -> u64 {
        self.snapshots.iter().map(|usage| usage.snapshot.record.content.size_bytes()).sum()
    }

    /// Sum of the data that the snapshots name.
    pub fn referenced_bytes(&self) -> u64 {
        self.snapshots.iter().map(|usage| usage.referenced_bytes).sum()
    }
}

impl Repository {
    /// Looks at what `snapshots` need, in their order. `progress` is told how many of them are done. Memory: some 100 bytes
    /// for each distinct node and pack, and a bit for each frame. Prune deletes nothing meanwhile.
    pub fn stats(
        &self,
        snapshots: Vec<Snapshot>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<RepositoryStats, RepoError> {
        let _reading = self.begin_check()?;
        let objects = self.io.list("")?;
        let starting = |prefix: &str| -> Vec<ObjectInfo> {
            objects.iter().filter(|object| object.name.starts_with(prefix)).cloned().collect()
        };
        let mut stats = RepositoryStats {
            data_packs: ObjectCount::of(&starting(PackKind::Data.prefix())),
            meta_packs: ObjectCount::of(&starting(PackKind::Meta.prefix())),
            index: ObjectCount::of(&starting(names::INDEX)),
            all: ObjectCount::of(&objects),
            ..RepositoryStats::default()
        };
        let packs = objects.iter().filter_map(|object| names::parse_pack(&object.name));
        let mut needs = Needs::new(self, packs.map(|pack| (pack, Vec::new())).collect::<HashMap<_, _>>());
        for snapshot in snapshots {
            let before = needs.usage();
            let referenced_bytes = match snapshot.record.content.root() {
                Some(root) => needs.add(root)?,
                None => 0,
            };
            let added = needs.usage().since(before);
            stats.snapshots.push(SnapshotUsage { snapshot, referenced_bytes, added });
            progress(stats.snapshots.len() as u64);
        }
        stats.usage = needs.usage();
        Ok(stats)
    }
}
