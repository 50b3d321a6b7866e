use super::{
    CheckProgress, CheckReport,
    packs::{Found, PackTable},
};
use crate::{RepoError, Repository, snapshots};
use longshore_format::{
    Location, NodeId, NodeRef,
    names::{self, PackKind},
    node::Node,
    tree::EntryContent,
};
use std::collections::HashSet;

/// What has been walked already, so that what snapshots share is walked once: 32 bytes for each distinct node.
#[derive(Default)]
struct Seen {
    nodes: HashSet<NodeId>,
}

impl Repository {
    pub(super) fn check_snapshots(
        &self,
        packs: &mut PackTable,
        report: &mut CheckReport,
        progress: &mut dyn FnMut(CheckProgress),
    ) -> Result<(), RepoError> {
        let objects = self.io.list(names::SNAPSHOTS)?;
        let total = objects.len() as u64;
        let mut seen = Seen::default();
        for (done, object) in objects.iter().enumerate() {
            progress(CheckProgress::Snapshots { done: done as u64, total });
            let Some(key) = names::parse_snapshot(&object.name) else {
                report.problem(object.name.clone(), "not the name of a snapshot record");
                continue;
            };
            match snapshots::read(self, key) {
                Ok(snapshot) => {
                    report.snapshots += 1;
                    if let Some(root) = snapshot.record.content.root() {
                        self.walk(root, &object.name, &mut seen, packs, report)?;
                    }
                }
                Err(error) => report.damage(&object.name, error)?,
            }
        }
        progress(CheckProgress::Snapshots { done: total, total });
        Ok(())
    }

    fn walk(
        &self,
        root: NodeRef,
        snapshot: &str,
        seen: &mut Seen,
        packs: &mut PackTable,
        report: &mut CheckReport,
    ) -> Result<(), RepoError> {
        let mut stack = vec![root];
        while let Some(next) = stack.pop() {
            if !seen.nodes.insert(next.id) {
                continue;
            }
            let node = match self.read_node(&next) {
                Ok(node) => node,
                Err(error) => {
                    report.damage(&format!("node {} of {snapshot}", next.id), error)?;
                    continue;
                }
            };
            report.nodes += 1;
            stack.extend(children(&node));
            let child_nodes: HashSet<[u8; 32]> = children(&node).map(|child| child.id.0).collect();
            for (id, location) in node.references() {
                if child_nodes.contains(&id) {
                    continue;
                }
                match self.find_chunk(&id, location, packs, report)? {
                    Found::New => report.chunks += 1,
                    Found::Again => {}
                    Found::No => {
                        let chunk = longshore_format::ChunkId(id);
                        let object = format!("chunk {chunk} of {snapshot}");
                        report.problem(object, "it is in no pack that can be read");
                    }
                }
            }
        }
        Ok(())
    }

    fn find_chunk(
        &self,
        id: &[u8; 32],
        location: Location,
        packs: &mut PackTable,
        report: &mut CheckReport,
    ) -> Result<Found, RepoError> {
        let hinted = match location {
            Location::Stored(place) => Some(place),
            Location::Unknown | Location::Open { .. } => None,
        };
        if let Some(place) = hinted {
            let found = packs.find(self, PackKind::Data, id, &place, report)?;
            if found != Found::No {
                return Ok(found);
            }
        }
        match self.index.find_anywhere(PackKind::Data, id, hinted) {
            Ok(Some(place)) => packs.find(self, PackKind::Data, id, &place, report),
            Ok(None) => Ok(Found::No),
            // A damaged index was reported when it was read whole; here it only means that it does not help.
            Err(error) if error.class().is_transient() => Err(error),
            Err(_) => Ok(Found::No),
        }
    }
}

fn children(node: &Node) -> impl Iterator<Item = NodeRef> + '_ {
    let nodes: Vec<NodeRef> = match node {
        Node::VolumeInterior(interior) => interior.children.iter().map(|child| child.node).collect(),
        Node::DirectoryIndex(index) => index.parts.iter().map(|part| part.node).collect(),
        Node::FileIndex(index) => index.parts.iter().map(|part| part.node).collect(),
        Node::Directory(directory) => {
            let entries = directory.entries.iter();
            entries
                .filter_map(|entry| match &entry.content {
                    EntryContent::Directory(node) | EntryContent::File(node) => Some(*node),
                    _ => None,
                })
                .collect()
        }
        Node::VolumeLeaf(_) | Node::FileRuns(_) => Vec::new(),
    };
    nodes.into_iter()
}
