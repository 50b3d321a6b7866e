//! What of a snapshot cannot be restored any more.

use crate::{
    Content, RepoError, Repository, Snapshot,
    check::{
        CheckReport,
        packs::{Found, PackTable},
        says_damage,
    },
    tree::LenientEntries,
};
use longshore_format::{
    ChunkRef, NodeId, NodeRef, Run,
    map::SPAN_BYTES,
    node::Node,
    tree::{Entry, EntryContent},
};
use std::collections::HashSet;

/// Losses of one snapshot that are spelled out.
const LOSSES_MAX: usize = 1000;

/// A part of a snapshot that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loss {
    /// A range of a volume, in bytes.
    Range {
        /// Where it begins.
        offset_bytes: u64,
        /// How long it is.
        length_bytes: u64,
    },
    /// A file of a tree: its path from the root, without a slash before it.
    File(Vec<u8>),
    /// Entries of a folder, how many is not known.
    Folder(Vec<u8>),
}

/// All that is lost of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Losses {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// The first thousand of what is lost.
    pub first: Vec<Loss>,
    /// All of it, counted. Neighbouring ranges of a volume are one.
    pub count: u64,
    /// Bytes of a volume or of files that are lost, as far as is known.
    pub lost_bytes: u64,
}

impl Losses {
    fn new(snapshot: Snapshot) -> Self {
        Self { snapshot, first: Vec::new(), count: 0, lost_bytes: 0 }
    }

    fn add(&mut self, loss: Loss, bytes: u64) {
        self.lost_bytes += bytes;
        if let (Some(Loss::Range { offset_bytes, length_bytes }), Loss::Range { offset_bytes: from, .. }) =
            (self.first.last_mut(), &loss)
            && *offset_bytes + *length_bytes == *from
        {
            *length_bytes += bytes;
            return;
        }
        self.count += 1;
        if self.first.len() < LOSSES_MAX {
            self.first.push(loss);
        }
    }
}

/// Tells which chunks are there: by reports, trailers and the index, or by what a check has read.
pub(crate) struct Presence<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) packs: &'a mut PackTable,
    /// Nodes under which nothing is lost.
    whole: HashSet<NodeId>,
}

impl Presence<'_> {
    pub(crate) fn has_chunk(&mut self, chunk: &ChunkRef) -> Result<bool, RepoError> {
        // What is damaged was reported before; here only whether the chunk is there counts.
        let mut report = CheckReport::default();
        let found = self.packs.find_anywhere(self.repository, &chunk.id.0, chunk.location, &mut report)?;
        Ok(found != Found::No)
    }

    fn has_runs(&mut self, runs: &[Run]) -> Result<bool, RepoError> {
        for run in runs {
            if let Run::Chunk(chunk) = run
                && !self.has_chunk(chunk)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether all of a file's content is there.
    pub(crate) fn has_content(&mut self, content: &EntryContent) -> Result<bool, RepoError> {
        match content {
            EntryContent::Runs(runs) => self.has_runs(runs),
            EntryContent::File(node) => self.has_file(node),
            _ => Ok(true),
        }
    }

    fn has_file(&mut self, node: &NodeRef) -> Result<bool, RepoError> {
        let mut waiting = vec![*node];
        while let Some(next) = waiting.pop() {
            match lenient(self.repository.read_node(&next))? {
                Some(Node::FileRuns(file)) if self.has_runs(&file.runs)? => {}
                Some(Node::FileIndex(index)) => waiting.extend(index.parts.iter().map(|part| part.node)),
                _ => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// None for what is damaged; an error only if nothing was learnt.
pub(crate) fn lenient<T>(result: Result<T, RepoError>) -> Result<Option<T>, RepoError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if says_damage(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Repository {
    /// What of these snapshots is lost, as far as damage reports, trailers and the index say; no pack is read whole.
    /// Snapshots of which nothing is lost are left out.
    pub fn losses(&self, snapshots: Vec<Snapshot>) -> Result<Vec<Losses>, RepoError> {
        let _reading = self.begin_check()?;
        let mut packs = PackTable::list(self, &mut CheckReport::default())?;
        self.losses_in(snapshots, &mut packs)
    }

    pub(crate) fn losses_in(
        &self,
        snapshots: Vec<Snapshot>,
        packs: &mut PackTable,
    ) -> Result<Vec<Losses>, RepoError> {
        let mut presence = Presence::new(self, packs);
        let mut out = Vec::new();
        for snapshot in snapshots {
            let mut losses = Losses::new(snapshot);
            match losses.snapshot.record.content {
                Content::Volume { size_bytes, .. } => {
                    self.volume_losses(size_bytes, &mut presence, &mut losses)?
                }
                Content::Tree { root, .. } => self.tree_losses(root.into(), &mut presence, &mut losses)?,
            }
            if losses.count > 0 {
                out.push(losses);
            }
        }
        Ok(out)
    }

    fn volume_losses(
        &self,
        size_bytes: u64,
        presence: &mut Presence<'_>,
        losses: &mut Losses,
    ) -> Result<(), RepoError> {
        let reader = self.open_volume(&losses.snapshot)?;
        let mut lose = |offset_bytes: u64, length_bytes: u64| {
            let length_bytes = length_bytes.min(size_bytes.saturating_sub(offset_bytes));
            losses.add(Loss::Range { offset_bytes, length_bytes }, length_bytes);
        };
        for span in 0..reader.span_count() {
            let start = span * SPAN_BYTES;
            let id = match lenient(reader.span_id(span))? {
                Some(Some(id)) if presence.whole.contains(&id) => continue,
                Some(Some(id)) => id,
                Some(None) => continue,
                None => {
                    lose(start, SPAN_BYTES);
                    continue;
                }
            };
            let Some(runs) = lenient(reader.span(span))? else {
                lose(start, SPAN_BYTES);
                continue;
            };
            let (mut at, mut is_whole) = (start, true);
            for run in runs.iter().flatten() {
                if let Run::Chunk(chunk) = run
                    && !presence.has_chunk(chunk)?
                {
                    is_whole = false;
                    lose(at, run.length_bytes());
                }
                at += run.length_bytes();
            }
            if is_whole {
                presence.whole.insert(id);
            }
        }
        Ok(())
    }

    fn tree_losses(
        &self,
        root: NodeRef,
        presence: &mut Presence<'_>,
        losses: &mut Losses,
    ) -> Result<(), RepoError> {
        // Deep trees are no reason to recurse.
        let mut waiting = vec![(Vec::new(), LenientEntries::new(self, root))];
        while let Some((folder, mut entries)) = waiting.pop() {
            let Some(next) = entries.next() else { continue };
            let Some(entry) = lenient(next)? else {
                losses.add(Loss::Folder(folder.clone()), 0);
                waiting.push((folder, entries));
                continue;
            };
            let path = join(&folder, &entry);
            waiting.push((folder, entries));
            match &entry.content {
                EntryContent::Directory(node) => {
                    waiting.push((path, LenientEntries::new(self, *node)));
                }
                content if presence.has_content(content)? => {}
                _ => losses.add(Loss::File(path), entry.size_bytes),
            }
        }
        Ok(())
    }
}

impl<'a> Presence<'a> {
    pub(crate) fn new(repository: &'a Repository, packs: &'a mut PackTable) -> Self {
        Self { repository, packs, whole: HashSet::new() }
    }
}

fn join(folder: &[u8], entry: &Entry) -> Vec<u8> {
    match (folder.is_empty(), entry.name.is_empty()) {
        (true, _) | (_, true) => [folder, &entry.name].concat(),
        (false, false) => [folder, b"/", &entry.name].concat(),
    }
}
