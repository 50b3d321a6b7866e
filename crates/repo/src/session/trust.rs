//! What of a parent may be taken over without reading it again.
//!
//! A parent is a root, so all that it names is stored. It may be damaged all the same; what damage reports name is then
//! taken over only if the index knows another copy. Everything else is stored again, which mends the parent too.

use super::BackupSession;
use crate::{RepoError, Repository, walk};
use longshore_format::{ChunkRef, Location, NodeRef, Run, names::PackKind, node::Node, tree::EntryContent};

impl Repository {
    /// Whether what a hint says of an id may be believed by a writer.
    pub(crate) fn trusts(
        &self,
        kind: PackKind,
        id: &[u8; 32],
        location: Location,
    ) -> Result<bool, RepoError> {
        Ok(!self.doubts(id, location) || self.index.find(kind, id)?.is_some())
    }

    /// Whether damage reports speak against what a hint says of an id.
    pub(crate) fn doubts(&self, id: &[u8; 32], location: Location) -> bool {
        let quarantine = self.index.quarantine();
        !quarantine.is_empty()
            && match location {
                Location::Stored(place) => quarantine.doubts(place.pack, id),
                Location::Open { .. } => false,
                // No hint: only the index can say.
                Location::Unknown => true,
            }
    }
}

impl BackupSession<'_> {
    /// Whether a chunk of the parent is still there, as far as is known: if not, its bytes must be put again.
    pub fn trusts(&self, chunk: &ChunkRef) -> Result<bool, RepoError> {
        self.repository.trusts(PackKind::Data, &chunk.id.0, chunk.location)
    }

    /// Whether everything of a file of the parent is still there, as far as is known: if not, it must be read again.
    pub fn trusts_file(&self, content: &EntryContent) -> Result<bool, RepoError> {
        if self.repository.index.quarantine().is_empty() {
            return Ok(true);
        }
        match content {
            EntryContent::Runs(runs) => self.trusts_runs(runs),
            EntryContent::File(node) => self.trusts_node(node),
            _ => Ok(true),
        }
    }

    /// Whether a node and everything under it is still there.
    pub(crate) fn trusts_node(&self, node: &NodeRef) -> Result<bool, RepoError> {
        if self.repository.index.quarantine().is_empty() {
            return Ok(true);
        }
        let mut waiting = vec![*node];
        while let Some(next) = waiting.pop() {
            if !self.repository.trusts(PackKind::Meta, &next.id.0, next.location)? {
                return Ok(false);
            }
            let node = match self.repository.read_node(&next) {
                Ok(node) => node,
                Err(error) if error.class().is_transient() => return Err(error),
                Err(_) => return Ok(false),
            };
            let runs: &[Run] = match &node {
                Node::VolumeLeaf(leaf) => &leaf.runs,
                Node::FileRuns(file) => &file.runs,
                _ => &[],
            };
            if !self.trusts_runs(runs)? {
                return Ok(false);
            }
            waiting.extend(walk::children(&node));
        }
        Ok(true)
    }

    fn trusts_runs(&self, runs: &[Run]) -> Result<bool, RepoError> {
        for run in runs {
            if let Run::Chunk(chunk) = run
                && !self.trusts(chunk)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
