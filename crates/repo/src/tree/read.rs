use crate::{RepoError, Repository, Snapshot};
use longshore_format::{
    NodeRef, Run,
    node::Node,
    snapshot::Content,
    tree::{Entry, EntryContent, INDEX_DEPTH_MAX},
};

/// Reads the file tree of a snapshot.
#[derive(Debug)]
pub struct TreeReader<'r> {
    repository: &'r Repository,
    root: NodeRef,
}

impl Repository {
    /// Opens the file tree that a snapshot holds.
    pub fn open_tree(&self, snapshot: &Snapshot) -> Result<TreeReader<'_>, RepoError> {
        match &snapshot.record.content {
            Content::Tree { root, .. } => Ok(TreeReader { repository: self, root: (*root).into() }),
            Content::Volume { .. } => Err(RepoError::WrongKind { found: "volume", wanted: "file tree" }),
        }
    }
}

impl<'r> TreeReader<'r> {
    /// The entry of the root directory; its name is empty.
    pub fn root(&self) -> Result<Entry, RepoError> {
        let wrong = || RepoError::WrongContent { object: format!("node {}", self.root.id) };
        match self.repository.read_node(&self.root)? {
            Node::Directory(mut directory) if directory.entries.len() == 1 => {
                directory.entries.pop().ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }

    /// The entries of a directory, sorted by name, read as they are asked for.
    pub fn directory(&self, node: &NodeRef) -> Entries<'r> {
        Entries {
            nodes: NodeWalk::new(self.repository, *node),
            current: Vec::new().into_iter(),
            last_name: None,
        }
    }

    /// The runs of a file, read as they are asked for. Inline and empty files have none.
    pub fn file_runs(&self, content: &EntryContent) -> FileRuns<'r> {
        let (runs, node) = match content {
            EntryContent::Runs(runs) => (runs.clone(), None),
            EntryContent::File(node) => (Vec::new(), Some(*node)),
            _ => (Vec::new(), None),
        };
        FileRuns { nodes: node.map(|node| NodeWalk::new(self.repository, node)), current: runs.into_iter() }
    }
}

/// The entries under a node of which parts may be damaged: an error stands for entries that are lost, and others may
/// come after it.
pub(crate) struct LenientEntries<'r> {
    repository: &'r Repository,
    stack: Vec<std::vec::IntoIter<NodeRef>>,
    current: std::vec::IntoIter<Entry>,
}

impl<'r> LenientEntries<'r> {
    pub(crate) fn new(repository: &'r Repository, node: NodeRef) -> Self {
        Self { repository, stack: vec![vec![node].into_iter()], current: Vec::new().into_iter() }
    }
}

impl Iterator for LenientEntries<'_> {
    type Item = Result<Entry, RepoError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.current.next() {
                return Some(Ok(entry));
            }
            let next = loop {
                match self.stack.last_mut()?.next() {
                    Some(node) => break node,
                    None => self.stack.pop(),
                };
            };
            match self.repository.read_node(&next) {
                Ok(Node::Directory(directory)) => self.current = directory.entries.into_iter(),
                Ok(Node::DirectoryIndex(index)) if self.stack.len() < INDEX_DEPTH_MAX => {
                    let parts: Vec<NodeRef> = index.parts.into_iter().map(|part| part.node).collect();
                    self.stack.push(parts.into_iter());
                }
                Ok(_) => return Some(Err(wrong_node(&next))),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// Walks the leaves under a node in order.
#[derive(Debug)]
struct NodeWalk<'r> {
    repository: &'r Repository,
    stack: Vec<std::vec::IntoIter<NodeRef>>,
}

impl<'r> NodeWalk<'r> {
    fn new(repository: &'r Repository, node: NodeRef) -> Self {
        Self { repository, stack: vec![vec![node].into_iter()] }
    }

    /// The next leaf, or `None` at the end. After an error the walk is over.
    fn next_leaf(&mut self) -> Option<Result<(NodeRef, Node), RepoError>> {
        loop {
            let next = loop {
                match self.stack.last_mut()?.next() {
                    Some(node) => break node,
                    None => self.stack.pop(),
                };
            };
            let children: Vec<NodeRef> = match self.repository.read_node(&next) {
                Ok(Node::DirectoryIndex(index)) => index.parts.into_iter().map(|part| part.node).collect(),
                Ok(Node::FileIndex(index)) => index.parts.into_iter().map(|part| part.node).collect(),
                Ok(leaf) => return Some(Ok((next, leaf))),
                Err(error) => {
                    self.stack.clear();
                    return Some(Err(error));
                }
            };
            if self.stack.len() >= INDEX_DEPTH_MAX {
                self.stack.clear();
                return Some(Err(wrong_node(&next)));
            }
            self.stack.push(children.into_iter());
        }
    }
}

fn wrong_node(node: &NodeRef) -> RepoError {
    RepoError::WrongContent { object: format!("node {}", node.id) }
}

/// The entries of a directory.
#[derive(Debug)]
pub struct Entries<'r> {
    nodes: NodeWalk<'r>,
    current: std::vec::IntoIter<Entry>,
    last_name: Option<Vec<u8>>,
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, RepoError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.current.next() {
                return Some(Ok(entry));
            }
            match self.nodes.next_leaf()? {
                Ok((node, Node::Directory(directory))) => {
                    // Within a node names ascend; across nodes it is checked here, so that no name comes twice.
                    let names = (directory.entries.first(), directory.entries.last());
                    if let (Some(first), Some(last)) = names {
                        if first.name.is_empty()
                            || self.last_name.as_ref().is_some_and(|last| *last >= first.name)
                        {
                            self.nodes.stack.clear();
                            return Some(Err(wrong_node(&node)));
                        }
                        self.last_name = Some(last.name.clone());
                    }
                    self.current = directory.entries.into_iter();
                }
                Ok((node, _)) => {
                    self.nodes.stack.clear();
                    return Some(Err(wrong_node(&node)));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The runs of a file.
#[derive(Debug)]
pub struct FileRuns<'r> {
    nodes: Option<NodeWalk<'r>>,
    current: std::vec::IntoIter<Run>,
}

impl Iterator for FileRuns<'_> {
    type Item = Result<Run, RepoError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(run) = self.current.next() {
                return Some(Ok(run));
            }
            match self.nodes.as_mut()?.next_leaf()? {
                Ok((_, Node::FileRuns(file))) => self.current = file.runs.into_iter(),
                Ok((node, _)) => {
                    self.nodes = None;
                    return Some(Err(wrong_node(&node)));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
