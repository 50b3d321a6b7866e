//! Walking the nodes under snapshots, each once, many at a time.

use crate::{
    RepoError, Repository,
    parallel::{AT_ONCE, Frontier, SharedSet},
};
use longshore_format::{Location, NodeId, NodeRef, node::Node, tree::EntryContent};

/// Nodes that a walk has met: 32 bytes each.
pub(crate) type SeenNodes = SharedSet<NodeId>;

/// What a walk does with what it meets.
pub(crate) trait Visitor: Sync {
    /// A node that was read and is authentic.
    fn node(&self, node: &NodeRef);
    /// A chunk that a node names; once for each naming.
    fn chunk(&self, id: &[u8; 32], location: Location);
    /// A node that cannot be read. An error ends the walk.
    fn broken(&self, node: &NodeRef, error: RepoError) -> Result<(), RepoError>;
}

impl Repository {
    /// Visits everything under `roots` that `seen` has not met.
    pub(crate) fn walk(
        &self,
        roots: Vec<NodeRef>,
        seen: &SeenNodes,
        visitor: &impl Visitor,
    ) -> Result<(), RepoError> {
        let roots = roots.into_iter().filter(|root| seen.insert(root.id)).collect();
        Frontier::visit(roots, AT_ONCE, |next: NodeRef| {
            let node = match self.read_node(&next) {
                Ok(node) => node,
                Err(error) => return visitor.broken(&next, error).map(|()| Vec::new()),
            };
            visitor.node(&next);
            chunks(&node).for_each(|(id, location)| visitor.chunk(&id, location));
            Ok(children(&node).filter(|child| seen.insert(child.id)).collect())
        })
    }
}

/// The nodes that a node names.
pub(crate) fn children(node: &Node) -> impl Iterator<Item = NodeRef> + '_ {
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

/// The chunks that a node names.
pub(crate) fn chunks(node: &Node) -> impl Iterator<Item = ([u8; 32], Location)> {
    let child_nodes: std::collections::HashSet<[u8; 32]> = children(node).map(|child| child.id.0).collect();
    node.references().into_iter().filter(move |(id, _)| !child_nodes.contains(id))
}
