//! A directory as a sequence that is read no further than somebody looks.

use crate::{RepoError, Repository};
use longshore_format::{
    NodeId, NodeRef,
    node::Node,
    tree::{Entry, INDEX_DEPTH_MAX},
};
use std::{cmp::Ordering, collections::HashMap};

/// The next thing of a directory.
#[derive(Debug)]
pub(super) enum Head<'c> {
    /// A part that has not been read.
    Part(&'c Part),
    /// An entry.
    Entry(&'c Entry),
}

/// A node of a directory that has not been read.
#[derive(Debug)]
pub(super) struct Part {
    node: NodeRef,
    /// The first name under it; none for the root, which begins before every name.
    first_name: Option<Vec<u8>>,
    /// Levels of nodes below it.
    height: usize,
}

impl Part {
    pub(super) fn id(&self) -> NodeId {
        self.node.id
    }

    /// Whether a name lies before everything under the part.
    pub(super) fn is_after(&self, name: &[u8]) -> bool {
        self.first_name.as_deref().is_some_and(|first| name < first)
    }

    /// Which of two parts is to be read first, so that equal parts further on meet each other: the one that begins earlier,
    /// and of two that begin together the higher one.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        self.first_name.cmp(&other.first_name).then(other.height.cmp(&self.height))
    }
}

#[derive(Debug)]
enum Item {
    Part(Part),
    Entry(Box<Entry>),
}

/// Goes through a directory in the order of names; parts may be skipped unread.
#[derive(Debug)]
pub(super) struct Cursor<'r> {
    repository: &'r Repository,
    /// What comes next is last.
    items: Vec<Item>,
    /// Nodes that were read to find out the height of the directory.
    ready: HashMap<NodeId, Node>,
    last_name: Option<Vec<u8>>,
}

impl<'r> Cursor<'r> {
    pub(super) fn open(repository: &'r Repository, directory: NodeRef) -> Result<Self, RepoError> {
        let mut cursor = Self { repository, items: Vec::new(), ready: HashMap::new(), last_name: None };
        // All leaves lie equally deep, so the first path tells the height.
        let (mut next, mut height) = (directory, 0);
        loop {
            let node = repository.read_node(&next)?;
            let first = match &node {
                Node::DirectoryIndex(index) => index.parts.first().map(|part| part.node),
                _ => None,
            };
            cursor.ready.insert(next.id, node);
            match first {
                Some(first) if height < INDEX_DEPTH_MAX => (next, height) = (first, height + 1),
                Some(_) => return Err(wrong(&directory)),
                None => break,
            }
        }
        cursor.items.push(Item::Part(Part { node: directory, first_name: None, height }));
        Ok(cursor)
    }

    pub(super) fn head(&self) -> Option<Head<'_>> {
        self.items.last().map(|item| match item {
            Item::Part(part) => Head::Part(part),
            Item::Entry(entry) => Head::Entry(entry),
        })
    }

    /// Leaves the head out.
    pub(super) fn skip(&mut self) {
        self.items.pop();
    }

    /// Takes the head, if it is an entry.
    pub(super) fn take_entry(&mut self) -> Option<Entry> {
        match self.items.pop()? {
            Item::Entry(entry) => Some(*entry),
            part => {
                self.items.push(part);
                None
            }
        }
    }

    /// Reads the head, if it is a part: what is in it takes its place.
    pub(super) fn expand(&mut self) -> Result<(), RepoError> {
        let part = match self.items.pop() {
            Some(Item::Part(part)) => part,
            Some(entry) => {
                self.items.push(entry);
                return Ok(());
            }
            None => return Ok(()),
        };
        let node = match self.ready.remove(&part.node.id) {
            Some(node) => node,
            None => self.repository.read_node(&part.node)?,
        };
        match (node, part.height) {
            (Node::Directory(directory), 0) => {
                let (first, last) = (directory.entries.first(), directory.entries.last());
                if let (Some(first), Some(last)) = (first, last) {
                    // Within a node names ascend; across nodes it is checked here.
                    if first.name.is_empty()
                        || self.last_name.as_ref().is_some_and(|last| *last >= first.name)
                    {
                        return Err(wrong(&part.node));
                    }
                    self.last_name = Some(last.name.clone());
                }
                let entries = directory.entries.into_iter().rev();
                self.items.extend(entries.map(|entry| Item::Entry(Box::new(entry))));
            }
            (Node::DirectoryIndex(index), height) if height > 0 => {
                self.items.extend(index.parts.into_iter().rev().map(|child| {
                    let first_name = Some(child.first_name);
                    Item::Part(Part { node: child.node, first_name, height: height - 1 })
                }));
            }
            _ => return Err(wrong(&part.node)),
        }
        Ok(())
    }
}

fn wrong(node: &NodeRef) -> RepoError {
    RepoError::WrongContent { object: format!("node {}", node.id) }
}
