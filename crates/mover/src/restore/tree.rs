//! A file tree back into a folder.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Sender, bounded};
use longshore_job::Stage;
use longshore_repo::{self as stored, NodeRef, RepoError, Repository, TreeReader};
use longshore_volume::{Kind, TreeTarget};

use super::directory::OpenDirectory;
use super::file::{FileJob, FileWorker};
use super::{Counters, RestoreTotals};
use crate::entry::to_volume;
use crate::failures::Failures;
use crate::workers::fetcher_count;
use crate::{Control, MoverError};

/// Files of one batch: enough that files of one pack are fetched together, few enough that all can be open.
const BATCH_FILES: usize = 128;
const BATCH_BYTES: u64 = 64 << 20;

/// How to restore a tree.
#[derive(Clone, Copy, Debug, Default)]
pub struct TreeRestoreOptions {
    /// Remove what the target holds beside the snapshot's files; `lost+found` in its root stays.
    pub delete_others: bool,
}

/// Writes the tree of `source` into `target` and returns when all of it is durable. A file that exists already is compared, and
/// only what differs is fetched and written.
///
/// # Errors
/// [`MoverError::Unwritable`] with the first few files that failed, after all others are restored;
/// [`MoverError::Repository`], [`MoverError::Damaged`], [`MoverError::Cancelled`].
pub fn restore_tree(
    repository: &Repository,
    source: &TreeReader<'_>,
    target: &TreeTarget,
    options: TreeRestoreOptions,
    control: &Control,
) -> Result<RestoreTotals, MoverError> {
    control.set_stage(Stage::Transferring);
    let failures = Failures::default();
    let counters = Counters::default();
    let (batches, work) = bounded(fetcher_count());
    let mut walk = Walk {
        source,
        target,
        options,
        control,
        failures: &failures,
        batches,
        batch: Vec::new(),
        batch_bytes: 0,
        links: HashMap::new(),
        totals: RestoreTotals::default(),
    };
    let worker = FileWorker { repository, reader: source, control, failures: &failures, counters: &counters };
    let broken = Mutex::new(None);
    let walked = std::thread::scope(|scope| {
        for _ in 0..fetcher_count() {
            let work = work.clone();
            let (worker, broken) = (&worker, &broken);
            scope.spawn(move || {
                if let Err(error) = worker.run(&work) {
                    broken.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            });
        }
        drop(work);
        let walked = walk.run();
        let totals = walk.totals;
        drop(walk);
        walked.map(|()| totals)
    });
    if let Some(error) = broken.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut totals = walked?;
    control.set_stage(Stage::Finishing);
    target.sync().map_err(MoverError::Target)?;
    let report = failures.report();
    if report.count > 0 {
        return Err(MoverError::Unwritable { count: report.count, first: report.first, full: report.full });
    }
    totals.written_bytes = counters.written_bytes.into_inner();
    totals.fetched_bytes = counters.fetched_bytes.into_inner();
    Ok(totals)
}

struct Walk<'a> {
    source: &'a TreeReader<'a>,
    target: &'a TreeTarget,
    options: TreeRestoreOptions,
    control: &'a Control,
    failures: &'a Failures,
    batches: Sender<Vec<FileJob<'a>>>,
    batch: Vec<FileJob<'a>>,
    batch_bytes: u64,
    /// Path of the first name of each file with several.
    links: HashMap<u64, Vec<u8>>,
    totals: RestoreTotals,
}

struct Frame<'a> {
    directory: Arc<OpenDirectory<'a>>,
    entries: Box<dyn Iterator<Item = Result<stored::Entry, RepoError>> + 'a>,
    /// Names that were here before and have not been met in the snapshot.
    others: Option<longshore_volume::NameList>,
    met: Vec<Vec<u8>>,
}

impl<'a> Walk<'a> {
    fn run(&mut self) -> Result<(), MoverError> {
        let root = self.source.root()?;
        let stored::EntryContent::Directory(node) = &root.content else {
            return Err(MoverError::Damaged { what: "the root of the tree is no directory".into() });
        };
        let directory = OpenDirectory::new(self.target.root(), to_volume(&root), self.failures, None);
        let mut stack = vec![self.frame(directory, node)?];
        while let Some(frame) = stack.last_mut() {
            self.control.check()?;
            let Some(entry) = frame.entries.next() else {
                if let Some(frame) = stack.pop() {
                    self.delete_others(&frame, stack.is_empty());
                }
                continue;
            };
            let entry = entry?;
            if frame.others.is_some() {
                frame.met.push(entry.name.clone());
            }
            let above = Arc::clone(&frame.directory);
            if let Some(next) = self.entry(&above, entry)? {
                stack.push(next);
            }
        }
        self.send()
    }

    fn frame(&self, directory: Arc<OpenDirectory<'a>>, node: &NodeRef) -> Result<Frame<'a>, MoverError> {
        let others = match self.options.delete_others {
            true => Some(directory.target.names().map_err(MoverError::Target)?),
            false => None,
        };
        Ok(Frame { directory, entries: Box::new(self.source.directory(node)), others, met: Vec::new() })
    }

    fn delete_others(&self, frame: &Frame<'a>, is_root: bool) {
        let Some(others) = &frame.others else { return };
        for name in others.iter() {
            let keep = frame.met.binary_search_by(|met| met.as_slice().cmp(name)).is_ok();
            if keep || (is_root && name == b"lost+found") {
                continue;
            }
            if let Err(error) = frame.directory.target.remove(name) {
                self.failures.add(&error);
            }
        }
    }

    /// Makes one entry; a directory's frame is the next to walk.
    fn entry(
        &mut self,
        above: &Arc<OpenDirectory<'a>>,
        entry: stored::Entry,
    ) -> Result<Option<Frame<'a>>, MoverError> {
        let shown = to_volume(&entry);
        if shown.metadata.kind == Kind::Directory {
            let stored::EntryContent::Directory(node) = &entry.content else {
                return Err(MoverError::Damaged { what: "a directory without entries".into() });
            };
            return match above.target.enter(&entry.name) {
                Ok(target) => {
                    let directory = OpenDirectory::new(target, shown, self.failures, Some(Arc::clone(above)));
                    self.frame(directory, node).map(Some)
                }
                Err(error) => {
                    self.failures.add(&error);
                    Ok(None)
                }
            };
        }
        if shown.metadata.kind == Kind::File {
            self.totals.files += 1;
            self.totals.size_bytes += entry.size_bytes;
            self.control.add_total(entry.size_bytes);
        }
        if entry.hard_link_group != 0 {
            if let Some(first) = self.links.get(&entry.hard_link_group) {
                if let Err(error) = self.target.hard_link(first, &above.target, &entry.name) {
                    self.failures.add(&error);
                }
                self.control.add_done(if shown.metadata.kind == Kind::File { entry.size_bytes } else { 0 });
                return Ok(None);
            }
            self.links.insert(entry.hard_link_group, above.target.path_of(&entry.name));
        }
        if shown.metadata.kind != Kind::File {
            let made = above.target.make_special(&shown).and_then(|()| above.target.finish(&shown));
            if let Err(error) = made {
                self.failures.add(&error);
            }
            return Ok(None);
        }
        self.file(above, shown, entry.content)?;
        Ok(None)
    }

    fn file(
        &mut self,
        above: &Arc<OpenDirectory<'a>>,
        entry: longshore_volume::Entry,
        content: stored::EntryContent,
    ) -> Result<(), MoverError> {
        match above.target.file(&entry.name, entry.metadata.size) {
            Err(error) => self.failures.add(&error),
            Ok(target) => {
                self.batch_bytes += entry.metadata.size;
                self.batch.push(FileJob { directory: Arc::clone(above), entry, content, target });
            }
        }
        if self.batch.len() >= BATCH_FILES || self.batch_bytes >= BATCH_BYTES {
            return self.send();
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), MoverError> {
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        // Workers hang up only after an error, which is reported in place of this one.
        self.batches.send(batch).map_err(|_| MoverError::Broken)
    }
}
