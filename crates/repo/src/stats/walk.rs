use super::Usage;
use crate::{
    RepoError, Repository,
    parallel::{self, AT_ONCE},
    walk,
};
use longshore_format::{
    ChunkRef, Location, NodeId, NodeRef, PackId, Place, Run, names::PackKind, node::Node, tree::EntryContent,
};
use std::collections::HashMap;

/// What has been met of a repository while walking snapshots; what they share is walked once.
pub(super) struct Needs<'r> {
    repository: &'r Repository,
    /// All packs of the store, with a bit for each frame that was met.
    packs: HashMap<(PackKind, PackId), Vec<u64>>,
    nodes: HashMap<NodeId, Known>,
    usage: Usage,
}

/// A node that was read.
struct Known {
    /// Bytes of the chunks that it names itself, and once all below it was walked, of all below it.
    bytes: u64,
    /// The nodes that it names, until `bytes` holds theirs.
    children: Vec<NodeId>,
}

impl<'r> Needs<'r> {
    pub(super) fn new(repository: &'r Repository, packs: HashMap<(PackKind, PackId), Vec<u64>>) -> Self {
        Self { repository, packs, nodes: HashMap::new(), usage: Usage::default() }
    }

    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Walks what is new under a root. Returns the bytes of data under it, with everything that comes twice counted twice.
    pub(super) fn add(&mut self, root: NodeRef) -> Result<u64, RepoError> {
        let mut waiting = vec![root];
        while !waiting.is_empty() {
            let mut batch: Vec<NodeRef> = Vec::new();
            while batch.len() < AT_ONCE
                && let Some(node) = waiting.pop()
            {
                if !self.nodes.contains_key(&node.id) && batch.iter().all(|other| other.id != node.id) {
                    batch.push(node);
                }
            }
            let repository = self.repository;
            let read = parallel::map(&batch, AT_ONCE, |node| repository.read_node(node))?;
            for (node, read) in batch.iter().zip(&read) {
                waiting.extend(self.meet(node, read)?);
            }
        }
        Ok(self.sum(root.id))
    }

    /// Takes note of a node and its chunks; returns its children.
    fn meet(&mut self, node: &NodeRef, read: &Node) -> Result<Vec<NodeRef>, RepoError> {
        if let Some(length_bytes) = self.first_time(PackKind::Meta, &node.id.0, node.location)? {
            self.usage.nodes += 1;
            self.usage.metadata_bytes += length_bytes;
        }
        let children: Vec<NodeRef> = walk::children(read).collect();
        let mut bytes = 0;
        match read {
            Node::VolumeLeaf(leaf) => bytes += self.meet_runs(&leaf.runs)?,
            Node::FileRuns(file) => bytes += self.meet_runs(&file.runs)?,
            Node::Directory(directory) => {
                for entry in &directory.entries {
                    if let EntryContent::Runs(runs) = &entry.content {
                        bytes += self.meet_runs(runs)?;
                    }
                }
            }
            Node::VolumeInterior(_) | Node::DirectoryIndex(_) | Node::FileIndex(_) => {}
        }
        let known = Known { bytes, children: children.iter().map(|child| child.id).collect() };
        self.nodes.insert(node.id, known);
        Ok(children)
    }

    fn meet_runs(&mut self, runs: &[Run]) -> Result<u64, RepoError> {
        let mut bytes = 0;
        for run in runs {
            let Run::Chunk(ChunkRef { id, length_bytes, location }) = run else { continue };
            bytes += u64::from(*length_bytes);
            if let Some(stored_bytes) = self.first_time(PackKind::Data, &id.0, *location)? {
                self.usage.chunks += 1;
                self.usage.unique_bytes += u64::from(*length_bytes);
                self.usage.stored_bytes += stored_bytes;
            }
        }
        Ok(bytes)
    }

    /// The length of a frame, if it was not met before.
    fn first_time(
        &mut self,
        kind: PackKind,
        id: &[u8; 32],
        location: Location,
    ) -> Result<Option<u64>, RepoError> {
        let hinted = match location {
            Location::Stored(place) if self.packs.contains_key(&(kind, place.pack)) => Some(place),
            _ => None,
        };
        let place = match hinted {
            Some(place) => Some(place),
            None => self.repository.index.find_anywhere(kind, id, &[])?,
        };
        let frames = place.and_then(|place| self.packs.get_mut(&(kind, place.pack)));
        let (Some(Place { slot, length_bytes, .. }), Some(frames)) = (place, frames) else {
            self.usage.missing += 1;
            return Ok(None);
        };
        let (word, bit) = (usize::from(slot) / 64, 1u64 << (slot % 64));
        if frames.is_empty() {
            self.usage.packs += 1;
        }
        if frames.len() <= word {
            frames.resize(word + 1, 0);
        }
        let first = frames[word] & bit == 0;
        frames[word] |= bit;
        Ok(first.then_some(length_bytes.into()))
    }

    /// Bytes of data under a node. Deep trees are no reason to recurse.
    fn sum(&mut self, root: NodeId) -> u64 {
        let mut stack = vec![root];
        while let Some(id) = stack.last().copied() {
            let Some(known) = self.nodes.get_mut(&id) else {
                stack.pop();
                continue;
            };
            let children = std::mem::take(&mut known.children);
            let open: Vec<NodeId> = children.iter().filter(|child| !self.is_summed(child)).copied().collect();
            if open.is_empty() {
                let below: u64 =
                    children.iter().filter_map(|child| self.nodes.get(child)).map(|known| known.bytes).sum();
                if let Some(known) = self.nodes.get_mut(&id) {
                    known.bytes += below;
                }
                stack.pop();
            } else {
                if let Some(known) = self.nodes.get_mut(&id) {
                    known.children = children;
                }
                stack.extend(open);
            }
        }
        self.nodes.get(&root).map_or(0, |known| known.bytes)
    }

    fn is_summed(&self, id: &NodeId) -> bool {
        self.nodes.get(id).is_none_or(|known| known.children.is_empty())
    }
}
