//! How many bytes of two files differ, wherever in the files they are.

use crate::{RepoError, Repository};
use longshore_format::{
    NodeRef, Run,
    node::Node,
    tree::{EntryContent, INDEX_DEPTH_MAX},
};
use std::{collections::HashMap, hash::Hash};

/// Nodes of one file that are compared chunk by chunk, some 32 MiB of memory. Files that differ in more (32 GiB at least)
/// are compared node by node: then a node that differs counts whole.
const NODES_COMPARED_MAX: usize = 512;

/// A level of a file's map, cut down to what the other file does not have.
struct Level {
    /// Levels of nodes below; 0 if `chunks` are meant.
    height: usize,
    nodes: Vec<NodeRef>,
    chunks: Vec<([u8; 32], u32)>,
}

/// Bytes of data that a file holds, without holes; 0 for what is no file.
pub(super) fn data_bytes(repository: &Repository, content: &EntryContent) -> Result<u64, RepoError> {
    Ok(difference(repository, content, &EntryContent::None)?[0])
}

/// Bytes of data that only the first file holds, and that only the second one holds.
pub(super) fn difference(
    repository: &Repository,
    before: &EntryContent,
    after: &EntryContent,
) -> Result<[u64; 2], RepoError> {
    let small = |content: &EntryContent| match content {
        EntryContent::Inline(bytes) => bytes.len() as u64,
        _ => 0,
    };
    let mut levels = [Level::top(repository, before)?, Level::top(repository, after)?];
    loop {
        let [first, second] = &mut levels;
        let height = first.height.max(second.height);
        if first.height == second.height {
            drop_common(&mut first.nodes, &mut second.nodes, |node| node.id);
            drop_common(&mut first.chunks, &mut second.chunks, |chunk| *chunk);
        }
        if height == 0 {
            break;
        }
        let stream = height == 1 && first.nodes.len().max(second.nodes.len()) > NODES_COMPARED_MAX;
        for level in &mut levels {
            if level.height == height {
                if stream { level.sum(repository)? } else { level.go_down(repository)? }
            }
        }
    }
    let chunks = levels.map(|level| level.chunks.iter().map(|(_, length)| u64::from(*length)).sum::<u64>());
    Ok([chunks[0] + small(before), chunks[1] + small(after)])
}

impl Level {
    fn top(repository: &Repository, content: &EntryContent) -> Result<Self, RepoError> {
        Ok(match content {
            EntryContent::Runs(runs) => Self { height: 0, nodes: Vec::new(), chunks: chunks_of(runs) },
            EntryContent::File(node) => {
                Self { height: height(repository, node)?, nodes: vec![*node], chunks: Vec::new() }
            }
            _ => Self { height: 0, nodes: Vec::new(), chunks: Vec::new() },
        })
    }

    fn go_down(&mut self, repository: &Repository) -> Result<(), RepoError> {
        for node in std::mem::take(&mut self.nodes) {
            match (repository.read_node(&node)?, self.height) {
                (Node::FileIndex(index), height) if height > 1 => {
                    self.nodes.extend(index.parts.iter().map(|part| part.node));
                }
                (Node::FileRuns(file), 1) => self.chunks.extend(chunks_of(&file.runs)),
                _ => return Err(wrong(&node)),
            }
        }
        self.height -= 1;
        Ok(())
    }

    /// Replaces all nodes by the sums of their chunks, which nothing is then compared with.
    fn sum(&mut self, repository: &Repository) -> Result<(), RepoError> {
        for node in std::mem::take(&mut self.nodes) {
            let Node::FileRuns(file) = repository.read_node(&node)? else { return Err(wrong(&node)) };
            let mut left: u64 = chunks_of(&file.runs).iter().map(|(_, length)| u64::from(*length)).sum();
            while left > 0 {
                let part = u32::try_from(left).unwrap_or(u32::MAX);
                self.chunks.push((node.id.0, part));
                left -= u64::from(part);
            }
        }
        self.height = 0;
        Ok(())
    }
}

fn chunks_of(runs: &[Run]) -> Vec<([u8; 32], u32)> {
    let chunk = |run: &Run| match run {
        Run::Chunk(chunk) => Some((chunk.id.0, chunk.length_bytes)),
        Run::Hole { .. } => None,
    };
    runs.iter().filter_map(chunk).collect()
}

/// Levels of nodes from this one down; all leaves lie equally deep.
fn height(repository: &Repository, node: &NodeRef) -> Result<usize, RepoError> {
    let (mut next, mut height) = (*node, 1);
    while height <= INDEX_DEPTH_MAX {
        match repository.read_node(&next)? {
            Node::FileRuns(_) => return Ok(height),
            Node::FileIndex(index) => match index.parts.first() {
                Some(part) => (next, height) = (part.node, height + 1),
                None => return Err(wrong(&next)),
            },
            _ => return Err(wrong(&next)),
        }
    }
    Err(wrong(node))
}

/// Takes out of both lists what both have, each as often as both have it.
fn drop_common<T, K: Eq + Hash>(first: &mut Vec<T>, second: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let mut counts: HashMap<K, usize> = HashMap::new();
    first.iter().for_each(|item| *counts.entry(key(item)).or_default() += 1);
    let mut common: HashMap<K, usize> = HashMap::new();
    second.retain(|item| match counts.get_mut(&key(item)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            *common.entry(key(item)).or_default() += 1;
            false
        }
        _ => true,
    });
    first.retain(|item| match common.get_mut(&key(item)) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    });
}

fn wrong(node: &NodeRef) -> RepoError {
    RepoError::WrongContent { object: format!("node {}", node.id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_have_goes_as_often_as_both_have_it() {
        let (mut first, mut second) = (vec![1, 2, 2, 3, 3, 3], vec![2, 3, 3, 4, 1]);
        drop_common(&mut first, &mut second, |item| *item);
        assert_eq!((first, second), (vec![2, 3], vec![4]));
    }
}
