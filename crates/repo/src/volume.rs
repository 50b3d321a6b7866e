//! Writing and reading the map of a volume.

use crate::{BackupSession, RepoError, Repository, Snapshot, WrittenContent};
use longshore_format::{
    NodeId, NodeRef, Run,
    map::{
        BLOCK_BYTES, Profile, RADIX, VolumeChild, VolumeInterior, VolumeLeaf, height, span_count,
        span_length_bytes,
    },
    node::Node,
    snapshot::Content,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

/// Interior nodes kept by a reader: one path of the highest map, twice.
const NODES_KEPT_MAX: usize = 8;

/// Puts together the map of a volume, span by span, in any order and from any thread.
#[derive(Debug)]
pub struct VolumeWriter<'s, 'r> {
    session: &'s BackupSession<'r>,
    size_bytes: u64,
    parent: Option<&'s VolumeReader<'s>>,
    spans: Mutex<BTreeMap<u64, VolumeChild>>,
}

impl<'r> BackupSession<'r> {
    /// Begins the map of a volume. With a parent, spans that did not change take over its nodes without a lookup.
    pub fn volume_writer<'s>(
        &'s self,
        size_bytes: u64,
        parent: Option<&'s VolumeReader<'s>>,
    ) -> VolumeWriter<'s, 'r> {
        VolumeWriter { session: self, size_bytes, parent, spans: Mutex::default() }
    }
}

impl VolumeWriter<'_, '_> {
    /// Sets the runs of a span of 64 MiB (the last may be shorter, filled up to 4 KiB). A span never set is a hole.
    /// Runs must cover the span exactly; neighbouring holes are joined.
    pub fn put_span(&self, index: u64, runs: &[Run]) -> Result<(), RepoError> {
        let runs = joined(runs);
        let length: u64 = runs.iter().map(Run::length_bytes).sum();
        let aligned =
            runs.iter().all(|run| run.length_bytes() > 0 && run.length_bytes().is_multiple_of(BLOCK_BYTES));
        if length != span_length_bytes(self.size_bytes, index) || !aligned {
            return Err(RepoError::Misuse { rule: "runs cover their span in multiples of 4 KiB" });
        }
        let data_bytes = runs.iter().filter(|run| matches!(run, Run::Chunk(_))).map(Run::length_bytes).sum();
        if data_bytes == 0 {
            return self.session.span_finished(self.size_bytes, index, 0, None);
        }
        let near = match self.parent {
            Some(parent) => parent.leaf(index)?,
            None => None,
        };
        let leaf = Node::VolumeLeaf(VolumeLeaf { profile: Profile::A4k, runs });
        let node = self.session.put_node(&leaf, near.as_ref())?;
        let child = VolumeChild { slot: (index % RADIX) as u8, data_bytes, node };
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).insert(index, child);
        self.session.span_finished(self.size_bytes, index, data_bytes, Some(node))
    }

    /// Takes over the spans that an earlier process of this run has finished, and returns their numbers: they need not be
    /// read again. Only for a source that cannot have changed since.
    pub fn resume(&self) -> Result<BTreeSet<u64>, RepoError> {
        let mut finished = self.session.finished_spans(self.size_bytes)?;
        for span in finished.clone().into_values() {
            let Some(leaf) = span.leaf else { continue };
            if !self.session.trusts_node(&leaf.into())? {
                finished.remove(&span.span);
            }
        }
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        for span in finished.values() {
            if let Some(leaf) = span.leaf {
                let slot = (span.span % RADIX) as u8;
                let child = VolumeChild { slot, data_bytes: span.data_bytes, node: leaf.into() };
                spans.insert(span.span, child);
            }
        }
        Ok(finished.into_keys().collect())
    }

    /// Takes a span over from the parent as it is, without reading it. False if something of it is known to be damaged:
    /// then it must be put again, which mends the parent too.
    pub fn keep_span(&self, index: u64) -> Result<bool, RepoError> {
        let parent = self.parent.ok_or(RepoError::Misuse { rule: "a span is kept from a parent" })?;
        if span_length_bytes(parent.size_bytes, index) != span_length_bytes(self.size_bytes, index) {
            return Err(RepoError::Misuse { rule: "a kept span has the length that it had" });
        }
        if let Some(child) = parent.child(index)? {
            if !self.session.trusts_node(&child.node)? {
                return Ok(false);
            }
            self.spans.lock().unwrap_or_else(PoisonError::into_inner).insert(index, child);
        }
        Ok(true)
    }

    /// Writes the interior nodes.
    pub fn finish(self) -> Result<WrittenContent, RepoError> {
        let mut children = self.spans.into_inner().unwrap_or_else(PoisonError::into_inner);
        for level in 1..=height(self.size_bytes) {
            let mut above: BTreeMap<u64, Vec<VolumeChild>> = BTreeMap::new();
            for (index, child) in children {
                above.entry(index / RADIX).or_default().push(child);
            }
            children = BTreeMap::new();
            for (index, some) in above {
                let data_bytes = some.iter().map(|child| child.data_bytes).sum();
                let node = Node::VolumeInterior(VolumeInterior { level, children: some });
                let node = self.session.put_node(&node, None)?;
                children.insert(index, VolumeChild { slot: (index % RADIX) as u8, data_bytes, node });
            }
        }
        let root = children.into_values().next().map(|child| child.node);
        Ok(WrittenContent::Volume { size_bytes: self.size_bytes, root })
    }
}

/// Reads the map of a volume. Shared by any number of threads.
#[derive(Debug)]
pub struct VolumeReader<'r> {
    repository: &'r Repository,
    size_bytes: u64,
    root: Option<NodeRef>,
    nodes: Mutex<Vec<((u8, u64), VolumeInterior)>>,
}

impl Repository {
    /// Opens the volume that a snapshot holds.
    pub fn open_volume(&self, snapshot: &Snapshot) -> Result<VolumeReader<'_>, RepoError> {
        match &snapshot.record.content {
            Content::Volume { size_bytes, root } => Ok(VolumeReader {
                repository: self,
                size_bytes: *size_bytes,
                root: root.map(NodeRef::from),
                nodes: Mutex::default(),
            }),
            Content::Tree { .. } => Err(RepoError::WrongKind { found: "file tree", wanted: "volume" }),
        }
    }
}

impl VolumeReader<'_> {
    /// The exact size of the volume.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// How many spans it has.
    pub fn span_count(&self) -> u64 {
        span_count(self.size_bytes)
    }

    /// The runs of a span; none if all of it is a hole. They cover the span exactly.
    pub fn span(&self, index: u64) -> Result<Option<Vec<Run>>, RepoError> {
        let Some(leaf) = self.leaf(index)? else { return Ok(None) };
        match self.repository.read_node(&leaf)? {
            Node::VolumeLeaf(node) => {
                let length: u64 = node.runs.iter().map(Run::length_bytes).sum();
                if length != span_length_bytes(self.size_bytes, index) {
                    return Err(RepoError::WrongContent { object: format!("node {}", leaf.id) });
                }
                Ok(Some(node.runs))
            }
            _ => Err(RepoError::WrongContent { object: format!("node {}", leaf.id) }),
        }
    }

    /// What tells a span from every other one: spans with the same id hold the same. None if all of it is a hole.
    pub fn span_id(&self, index: u64) -> Result<Option<NodeId>, RepoError> {
        Ok(self.leaf(index)?.map(|leaf| leaf.id))
    }

    /// The leaf of a span; none if the span is a hole or beyond the end.
    fn leaf(&self, index: u64) -> Result<Option<NodeRef>, RepoError> {
        Ok(self.child(index)?.map(|child| child.node))
    }

    fn child(&self, index: u64) -> Result<Option<VolumeChild>, RepoError> {
        let Some(root) = self.root.filter(|_| index < self.span_count()) else { return Ok(None) };
        let mut node = VolumeChild { slot: 0, data_bytes: 0, node: root };
        for level in (1..=height(self.size_bytes)).rev() {
            // The node at this level covers RADIX^level spans; its child at `index` is the slot below.
            let covers = RADIX.pow(u32::from(level));
            let slot = (index % covers / (covers / RADIX)) as u8;
            match self.interior(level, index / covers, &node.node, slot)? {
                Some(child) => node = child,
                None => return Ok(None),
            }
        }
        Ok(Some(node))
    }

    fn interior(
        &self,
        level: u8,
        number: u64,
        node: &NodeRef,
        slot: u8,
    ) -> Result<Option<VolumeChild>, RepoError> {
        let find = |interior: &VolumeInterior| {
            let found = interior.children.binary_search_by_key(&slot, |child| child.slot);
            found.ok().map(|at| interior.children[at])
        };
        {
            let nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, interior)) = nodes.iter().find(|(key, _)| *key == (level, number)) {
                return Ok(find(interior));
            }
        }
        let interior = match self.repository.read_node(node)? {
            Node::VolumeInterior(interior) if interior.level == level => interior,
            _ => return Err(RepoError::WrongContent { object: format!("node {}", node.id) }),
        };
        let child = find(&interior);
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if nodes.len() >= NODES_KEPT_MAX {
            nodes.remove(0);
        }
        nodes.push(((level, number), interior));
        Ok(child)
    }
}

fn joined(runs: &[Run]) -> Vec<Run> {
    let mut out: Vec<Run> = Vec::with_capacity(runs.len());
    for run in runs {
        match (out.last_mut(), run) {
            (Some(Run::Hole { length_bytes }), Run::Hole { length_bytes: more }) => *length_bytes += more,
            _ => out.push(*run),
        }
    }
    out
}
