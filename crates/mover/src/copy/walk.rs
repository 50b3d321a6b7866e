//! The tree of the source as a sequence of entries, beside the base in both repositories.

use std::iter::Peekable;

use longshore_repo::{Entries, Entry, EntryContent, NodeRef, Repository, Run, Snapshot, TreeReader};

use super::base::Base;
use crate::MoverError;

/// What comes next of the tree.
pub(super) enum Event {
    /// A directory begins; what follows is in it.
    Enter(Box<Entry>),
    /// The directory that began last is over.
    Leave,
    /// An entry whose content is that of the target already.
    Ready(Box<Entry>),
    /// A file whose chunks are to be copied; and what it was in the base, in source and target.
    File(Box<Entry>, Option<Box<(EntryContent, EntryContent)>>),
}

/// Walks the tree: each directory before what is in it.
pub(super) struct Walk<'a> {
    trees: Trees<'a>,
    root: Option<Box<Entry>>,
    levels: Vec<Level<'a>>,
}

/// The trees that are walked beside each other.
struct Trees<'a> {
    source: TreeReader<'a>,
    base: Option<(TreeReader<'a>, TreeReader<'a>)>,
}

struct Level<'a> {
    entries: Entries<'a>,
    /// The same directory of the base, in source and target.
    base: Option<(Peekable<Entries<'a>>, Entries<'a>)>,
}

impl<'a> Walk<'a> {
    pub(super) fn begin(
        source: &'a Repository,
        snapshot: &Snapshot,
        target: &'a Repository,
        base: Option<&Base>,
    ) -> Result<Self, MoverError> {
        let base = match base {
            Some(base) => Some((
                source.open_tree(&base.source).map_err(MoverError::CopySource)?,
                target.open_tree(&base.target)?,
            )),
            None => None,
        };
        let source = source.open_tree(snapshot).map_err(MoverError::CopySource)?;
        let root = Some(Box::new(source.root().map_err(MoverError::CopySource)?));
        Ok(Self { trees: Trees { source, base }, root, levels: Vec::new() })
    }

    /// The reader of the source's tree.
    pub(super) fn source(&self) -> &TreeReader<'a> {
        &self.trees.source
    }

    /// The reader of the base's tree in the source and in the target.
    pub(super) fn base(&self) -> Option<&(TreeReader<'a>, TreeReader<'a>)> {
        self.trees.base.as_ref()
    }

    /// The next event; none after the root was left.
    pub(super) fn next(&mut self) -> Result<Option<Event>, MoverError> {
        if let Some(root) = self.root.take() {
            let base = match &self.trees.base {
                Some((source, target)) => {
                    Some((source.root().map_err(MoverError::CopySource)?, target.root()?))
                }
                None => None,
            };
            return Ok(Some(self.event(root, base)));
        }
        let Some(level) = self.levels.last_mut() else { return Ok(None) };
        match level.entries.next() {
            Some(entry) => {
                let entry = Box::new(entry.map_err(MoverError::CopySource)?);
                let base = level.base_of(&entry.name)?;
                Ok(Some(self.event(entry, base)))
            }
            None => {
                self.levels.pop();
                Ok(Some(Event::Leave))
            }
        }
    }

    fn event(&mut self, mut entry: Box<Entry>, base: Option<(Entry, Entry)>) -> Event {
        let base = base.map(|(source, target)| (source.content, target.content));
        match (&entry.content, base) {
            (content, Some((source, target))) if is_same(content, &source) && is_like(content, &target) => {
                entry.content = target;
                Event::Ready(entry)
            }
            (EntryContent::Directory(node), base) => {
                let node = *node;
                let base = match base {
                    Some((EntryContent::Directory(source), EntryContent::Directory(target))) => {
                        Some((source, target))
                    }
                    _ => None,
                };
                self.enter(&node, base);
                Event::Enter(entry)
            }
            (EntryContent::Runs(_) | EntryContent::File(_), base) => Event::File(entry, base.map(Box::new)),
            (EntryContent::None | EntryContent::Inline(_) | EntryContent::Symlink(_), _) => {
                Event::Ready(entry)
            }
        }
    }

    fn enter(&mut self, node: &NodeRef, base: Option<(NodeRef, NodeRef)>) {
        let base = match (base, &self.trees.base) {
            (Some((source, target)), Some((sources, targets))) => {
                Some((sources.directory(&source).peekable(), targets.directory(&target)))
            }
            _ => None,
        };
        self.levels.push(Level { entries: self.trees.source.directory(node), base });
    }
}

impl Level<'_> {
    /// The entry of this name in the base, as source and target have it.
    fn base_of(&mut self, name: &[u8]) -> Result<Option<(Entry, Entry)>, MoverError> {
        while let Some((source, target)) = &mut self.base {
            match source.peek() {
                None => return Ok(None),
                Some(Ok(next)) if next.name.as_slice() > name => return Ok(None),
                Some(_) => {}
            }
            let (next, partner) = (source.next().transpose().map_err(MoverError::CopySource)?, target.next());
            let (Some(next), Some(partner)) = (next, partner.transpose()?) else { break };
            if next.name != partner.name {
                break;
            }
            if next.name == name {
                return Ok(Some((next, partner)));
            }
        }
        // Where the two do not go together they are no base.
        self.base = None;
        Ok(None)
    }
}

/// Whether two contents of the source are the same.
fn is_same(one: &EntryContent, other: &EntryContent) -> bool {
    match (one, other) {
        (EntryContent::Runs(one), EntryContent::Runs(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|runs| match runs {
                    (Run::Chunk(one), Run::Chunk(other)) => {
                        (one.id, one.length_bytes) == (other.id, other.length_bytes)
                    }
                    (one, other) => one == other,
                })
        }
        (EntryContent::File(one), EntryContent::File(other))
        | (EntryContent::Directory(one), EntryContent::Directory(other)) => one.id == other.id,
        _ => false,
    }
}

/// Whether the target's content can stand for the source's. Cut otherwise, a file may have runs on one side and a node on the
/// other.
fn is_like(source: &EntryContent, target: &EntryContent) -> bool {
    let is_file = |content: &EntryContent| matches!(content, EntryContent::Runs(_) | EntryContent::File(_));
    let is_directory = |content: &EntryContent| matches!(content, EntryContent::Directory(_));
    (is_file(source) && is_file(target)) || (is_directory(source) && is_directory(target))
}
