//! The walk over a tree: one thread that looks at every name in order and hands files to the workers.
//!
//! The walk is what orders everything: its events come in the order of names, and each file's event carries the place where
//! its content will arrive. So files are read in any order by any number of workers, and directories are still written in theirs.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};
use longshore_repo::{self as stored, BackupSession};
use longshore_volume::{Directory, Entry, FileReader, Kind, Timestamp, VolumeError};

use super::file::{Content, Job, SEGMENT_BYTES, Segment};
use super::parent::ParentCursor;
use crate::entry::{LinkGroups, is_unchanged, keep_access_time};
use crate::failures::Failures;
use crate::{Control, MoverError};

/// What the walk found, in the order of names.
pub(super) enum Event {
    /// A directory begins; its entries follow.
    Enter(Box<Entry>),
    /// The directory that began last is complete.
    Leave,
    /// A link, pipe, socket or node.
    Special { entry: Box<Entry>, group: u64 },
    /// A file whose content is that of the last snapshot.
    Unchanged { entry: Box<Entry>, group: u64, content: stored::EntryContent },
    /// A further name of a file that came before.
    Linked { entry: Box<Entry>, group: u64 },
    /// A file; the content of its segments arrives in order.
    File { entry: Box<Entry>, group: u64, reader: Option<Arc<FileReader>>, segments: Segments },
}

/// The segments of a file: a small file has one; those of a large file are handed out while they are being read.
pub(super) type Segments = Receiver<Receiver<Result<Content, MoverError>>>;

/// Segments of one file that may be under way at once.
const SEGMENTS_AHEAD: usize = 8;

/// The thread's own state.
pub(super) struct Walk<'a> {
    pub(super) session: &'a BackupSession<'a>,
    pub(super) control: &'a Control,
    pub(super) failures: &'a Failures,
    pub(super) events: Sender<Event>,
    pub(super) jobs: Sender<Job>,
    pub(super) links: LinkGroups,
    pub(super) seen_groups: std::collections::HashSet<u64>,
    pub(super) parent_began: Option<Timestamp>,
}

/// The walk ends early when the other side hung up or the pipeline was cancelled.
pub(super) struct Stopped;

impl From<MoverError> for Stopped {
    fn from(_: MoverError) -> Self {
        Self
    }
}

impl<T> From<crossbeam_channel::SendError<T>> for Stopped {
    fn from(_: crossbeam_channel::SendError<T>) -> Self {
        Self
    }
}

struct Frame<'p> {
    directory: Arc<Directory>,
    names: longshore_volume::NameList,
    position: usize,
    parent: Option<ParentCursor<'p>>,
}

impl Walk<'_> {
    /// Walks everything below `root`. The stack is on the heap: trees may be deeper than a thread's stack.
    pub(super) fn run<'p>(
        mut self,
        root: Arc<Directory>,
        entry: &Entry,
        parent: Option<ParentCursor<'p>>,
    ) -> Result<(), Stopped> {
        self.events.send(Event::Enter(Box::new(entry.clone())))?;
        let mut stack: Vec<Frame<'p>> = self.frame(root, parent).into_iter().collect();
        if stack.is_empty() {
            self.events.send(Event::Leave)?;
        }
        while let Some(frame) = stack.last_mut() {
            self.control.check()?;
            let Some(name) = frame.names.get(frame.position) else {
                stack.pop();
                self.events.send(Event::Leave)?;
                continue;
            };
            let entry = frame.directory.entry(name);
            frame.position += 1;
            let mut entry = match entry {
                Ok(entry) => Box::new(entry),
                Err(error) => {
                    self.failures.add(&error);
                    continue;
                }
            };
            let last = frame.parent.as_mut().and_then(|parent| parent.find(&entry.name));
            if let Some(last) = &last {
                keep_access_time(&mut entry, last);
            }
            if entry.metadata.kind == Kind::Directory {
                let inner = self.enter(&frame.directory, entry)?;
                let cursor =
                    last.and_then(|last| frame.parent.as_ref().and_then(|parent| parent.enter(&last)));
                match inner.and_then(|directory| self.frame(directory, cursor)) {
                    Some(next) => stack.push(next),
                    None => self.events.send(Event::Leave)?,
                }
            } else {
                let directory = Arc::clone(&frame.directory);
                self.leaf(&directory, entry, last)?;
            }
        }
        Ok(())
    }

    fn enter(&self, from: &Directory, entry: Box<Entry>) -> Result<Option<Arc<Directory>>, Stopped> {
        let opened = from.enter(&entry);
        self.events.send(Event::Enter(entry))?;
        Ok(opened.unwrap_or_else(|error| self.failed(&error)))
    }

    fn frame<'p>(&self, directory: Arc<Directory>, parent: Option<ParentCursor<'p>>) -> Option<Frame<'p>> {
        match directory.names() {
            Ok(names) => Some(Frame { directory, names, position: 0, parent }),
            Err(error) => self.failed(&error),
        }
    }

    fn failed<T>(&self, error: &VolumeError) -> Option<T> {
        self.failures.add(error);
        None
    }

    fn leaf(
        &mut self,
        directory: &Arc<Directory>,
        entry: Box<Entry>,
        last: Option<stored::Entry>,
    ) -> Result<(), Stopped> {
        let group = self.links.group_of(&entry.metadata);
        if entry.metadata.kind != Kind::File {
            return Ok(self.events.send(Event::Special { entry, group })?);
        }
        self.control.add_total(entry.metadata.size);
        if group != 0 && !self.seen_groups.insert(group) {
            return Ok(self.events.send(Event::Linked { entry, group })?);
        }
        if let (Some(last), Some(began)) = (last, self.parent_began)
            && is_unchanged(&entry, &last, began)
            // A failure is met again by whoever puts the file.
            && self.session.trusts_file(&last.content).unwrap_or(false)
        {
            return Ok(self.events.send(Event::Unchanged { entry, group, content: last.content })?);
        }
        self.file(directory, entry, group)
    }

    fn file(&mut self, directory: &Arc<Directory>, entry: Box<Entry>, group: u64) -> Result<(), Stopped> {
        let size = entry.metadata.size;
        let (offer, segments) = bounded(SEGMENTS_AHEAD);
        if size <= SEGMENT_BYTES {
            let (result, content) = bounded(1);
            offer.send(content)?;
            let segment = Segment::Whole { directory: Arc::clone(directory), entry: entry.clone() };
            self.jobs.send(Job { segment, result })?;
            return Ok(self.events.send(Event::File { entry, group, reader: None, segments })?);
        }
        let reader = match directory.open_file(&entry) {
            Ok(reader) => Arc::new(reader),
            Err(error) => {
                self.failures.add(&error);
                return Ok(());
            }
        };
        self.events.send(Event::File { entry, group, reader: Some(Arc::clone(&reader)), segments })?;
        let mut start = 0;
        while start < size {
            let end = size.min(start + SEGMENT_BYTES);
            let (result, content) = bounded(1);
            // The reader of a failed file hangs up; the rest of that file is then not wanted.
            if offer.send(content).is_err() {
                return self.control.check().map_err(Stopped::from);
            }
            self.jobs.send(Job {
                segment: Segment::Part { reader: Arc::clone(&reader), range: start..end },
                result,
            })?;
            start = end;
        }
        Ok(())
    }
}
