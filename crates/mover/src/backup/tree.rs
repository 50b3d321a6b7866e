//! A file tree into the repository.

use std::collections::{HashMap, HashSet};

use crossbeam_channel::{Receiver, bounded};
use longshore_job::Stage;
use longshore_repo::splitter::FileSplitter;
use longshore_repo::{self as stored, BackupSession, TreeReader, WrittenContent};
use longshore_volume::{Entry, Timestamp, Tree, VolumeError};

use super::file::{Content, FileWorker};
use super::parent::ParentCursor;
use super::walk::{Event, Segments, Walk};
use crate::entry::{LinkGroups, keep_access_time, to_stored};
use crate::failures::Failures;
use crate::workers::worker_count;
use crate::{Control, MoverError, Report};

/// Names that may be on their way between the walk and the directory being written.
const EVENTS_AHEAD: usize = 512;

/// How to back up a tree.
#[derive(Default)]
pub struct TreeBackupOptions<'a> {
    /// The last snapshot of the same source: files that did not change since are not read.
    pub parent: Option<TreeParent<'a>>,
}

/// The last snapshot of a source.
pub struct TreeParent<'a> {
    /// Its tree.
    pub reader: &'a TreeReader<'a>,
    /// When its backup began to read; only files whose status changed before that may be skipped.
    pub began: Timestamp,
}

/// A stored tree, not yet named by a snapshot.
#[derive(Debug)]
pub struct TreeBackup {
    /// The tree, for the snapshot's draft.
    pub content: WrittenContent,
    /// Figures.
    pub totals: TreeTotals,
    /// Files that could not be read; the tree holds all others.
    pub failures: Report,
}

/// Figures of a stored tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeTotals {
    /// Sum of the files' sizes.
    pub size_bytes: u64,
    /// Bytes that had to be read.
    pub read_bytes: u64,
    /// Bytes of `size_bytes` that need no room: in holes, or counted again under a further name.
    pub hole_bytes: u64,
    /// Names of regular files.
    pub files: u64,
    /// Files taken over from the last snapshot.
    pub unchanged_files: u64,
    /// Directories, the root included.
    pub directories: u64,
    /// Links, pipes, sockets and nodes.
    pub specials: u64,
}

/// Stores everything below `tree`'s root in `session`. Files that cannot be read, or change while they are read, are left out
/// and reported: the caller decides whether the rest is worth a snapshot.
///
/// # Errors
/// [`MoverError::Repository`] when storing fails, [`MoverError::Cancelled`] on request.
pub fn backup_tree(
    session: &BackupSession<'_>,
    splitter: &FileSplitter,
    tree: &Tree,
    options: &TreeBackupOptions<'_>,
    control: &Control,
) -> Result<TreeBackup, MoverError> {
    control.set_stage(Stage::Transferring);
    let failures = Failures::default();
    let (events, found) = bounded(EVENTS_AHEAD);
    let (jobs, work) = bounded(EVENTS_AHEAD);
    let walk = Walk {
        session,
        control,
        failures: &failures,
        events,
        jobs,
        links: LinkGroups::default(),
        seen_groups: HashSet::new(),
        parent_began: options.parent.as_ref().map(|parent| parent.began),
    };
    let last_root = options.parent.as_ref().and_then(|parent| parent.reader.root().ok());
    let mut root = tree.root_entry().clone();
    if let Some(last) = &last_root {
        keep_access_time(&mut root, last);
    }
    let parent = options.parent.as_ref().zip(last_root.as_ref());
    let parent = parent.and_then(|(parent, root)| root_cursor(parent.reader, root));
    let mut writer = Writer {
        session,
        failures: &failures,
        control,
        root_device: tree.root_entry().metadata.device,
        groups: HashMap::new(),
        totals: TreeTotals::default(),
    };
    let content = std::thread::scope(|scope| {
        scope.spawn(move || walk.run(tree.root(), &root, parent).is_ok());
        for _ in 0..worker_count() {
            let work = work.clone();
            scope.spawn(move || FileWorker::new(session, splitter, control).run(&work));
        }
        drop(work);
        writer.run(found)
    })?;
    control.check()?;
    Ok(TreeBackup { content, totals: writer.totals, failures: failures.report() })
}

fn root_cursor<'p>(reader: &'p TreeReader<'p>, root: &stored::Entry) -> Option<ParentCursor<'p>> {
    match &root.content {
        stored::EntryContent::Directory(node) => Some(ParentCursor::open(reader, node)),
        _ => None,
    }
}

/// Writes directories from the walk's events.
struct Writer<'a> {
    session: &'a BackupSession<'a>,
    failures: &'a Failures,
    control: &'a Control,
    root_device: u64,
    groups: HashMap<u64, stored::EntryContent>,
    totals: TreeTotals,
}

impl Writer<'_> {
    fn run(&mut self, events: Receiver<Event>) -> Result<WrittenContent, MoverError> {
        let session = self.session;
        let mut open = Vec::new();
        for event in events {
            self.control.check()?;
            self.control.raise_transferred(self.session.stats().stored_bytes);
            let entry = match event {
                Event::Enter(entry) => {
                    self.totals.directories += 1;
                    open.push((entry, session.directory()));
                    continue;
                }
                Event::Leave => {
                    let Some((entry, directory)) = open.pop() else { break };
                    let content = stored::EntryContent::Directory(directory.finish()?);
                    let entry = to_stored(&entry, self.root_device, 0, content);
                    if open.is_empty() {
                        return Ok(session.finish_tree(entry, self.totals.size_bytes)?);
                    }
                    Some(entry)
                }
                other => self.entry(other)?,
            };
            if let (Some(entry), Some((_, directory))) = (entry, open.last_mut()) {
                directory.push(entry)?;
            }
        }
        // The walk hung up before the root was complete.
        self.control.check()?;
        Err(MoverError::Broken)
    }

    fn entry(&mut self, event: Event) -> Result<Option<stored::Entry>, MoverError> {
        let (entry, group, content) = match event {
            Event::Enter(_) | Event::Leave => return Ok(None),
            Event::Special { entry, group } => {
                self.totals.specials += 1;
                let content = match entry.link_target.clone() {
                    Some(target) => stored::EntryContent::Symlink(target),
                    None => stored::EntryContent::None,
                };
                return Ok(Some(to_stored(&entry, self.root_device, group, content)));
            }
            Event::Unchanged { entry, group, content } => {
                self.totals.unchanged_files += 1;
                self.control.add_done(entry.metadata.size);
                (entry, group, content)
            }
            Event::Linked { entry, group } => {
                self.control.add_done(entry.metadata.size);
                match self.groups.get(&group).cloned() {
                    Some(content) => (entry, group, content),
                    // Its first name failed and was reported.
                    None => return Ok(None),
                }
            }
            Event::File { entry, group, reader, segments } => {
                let content = self.file(&entry, segments)?;
                let unchanged = reader.map_or(Ok(()), |reader| reader.check_unchanged());
                match (content, unchanged) {
                    (Some(content), Ok(())) => (entry, group, content),
                    (Some(_), Err(error)) => return Ok(self.failed(&error)),
                    (None, _) => return Ok(None),
                }
            }
        };
        let name = String::from_utf8_lossy(&entry.name);
        tracing::trace!(%name, bytes = entry.metadata.size, "a file is stored");
        self.totals.files += 1;
        self.totals.size_bytes += entry.metadata.size;
        self.control.add_file();
        let is_further_name = group != 0 && self.groups.contains_key(&group);
        let room = if is_further_name { 0 } else { entry.metadata.allocated_bytes };
        self.totals.hole_bytes += entry.metadata.size.saturating_sub(room);
        if group != 0 {
            self.groups.entry(group).or_insert_with(|| content.clone());
        }
        Ok(Some(to_stored(&entry, self.root_device, group, content)))
    }

    /// Puts a file's content together from its segments; `None` when it could not be read, which is then reported.
    fn file(
        &mut self,
        entry: &Entry,
        segments: Segments,
    ) -> Result<Option<stored::EntryContent>, MoverError> {
        let mut file = self.session.file();
        for segment in segments {
            match segment.recv().unwrap_or(Err(MoverError::Broken)) {
                Ok(Content::Inline(bytes)) if bytes.is_empty() => {
                    return Ok(Some(stored::EntryContent::None));
                }
                Ok(Content::Inline(bytes)) => {
                    self.totals.read_bytes += bytes.len() as u64;
                    return Ok(Some(stored::EntryContent::Inline(bytes)));
                }
                Ok(Content::Runs(runs)) => {
                    for run in runs {
                        if let longshore_repo::Run::Chunk(chunk) = run {
                            self.totals.read_bytes += u64::from(chunk.length_bytes);
                        }
                        file.push(run)?;
                    }
                }
                Err(MoverError::Source(error)) => return Ok(self.failed(&error)),
                Err(error) => return Err(error),
            }
        }
        debug_assert!(entry.metadata.size > 0, "an empty file is inline");
        Ok(Some(file.finish()?))
    }

    fn failed<T>(&self, error: &VolumeError) -> Option<T> {
        self.failures.add(error);
        None
    }
}
