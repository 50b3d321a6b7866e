use longshore_repo::{
    DirectoryWriter, Entry, EntryContent, EntryKind, Run, Snapshot, TreeReader, WrittenContent,
};

use super::base::Base;
use super::chunks::{Copied, Known};
use super::walk::{Event, Walk};
use super::{Task, recut};
use crate::MoverError;

/// What is looked at together, so that the chunks of many small files are fetched in few requests.
const WINDOW_EVENTS: usize = 4096;
const WINDOW_BYTES: u64 = 64 << 20;
/// Runs of a large file that are copied together.
const FILE_RUNS: usize = 512;

/// Copies a tree. Directories and files that are in the base are taken over by their node, unread.
pub(super) fn copy(
    task: &Task<'_>,
    snapshot: &Snapshot,
    base: Option<&Base>,
) -> Result<WrittenContent, MoverError> {
    let mut walk = Walk::begin(task.source, snapshot, task.target, base)?;
    let mut builder = Builder { task, open: Vec::new(), root: None };
    loop {
        task.control.check()?;
        let events = window(&mut walk)?;
        if events.is_empty() {
            break;
        }
        let chunks = if task.keeps_cuts() { small_files(task, &events)? } else { Default::default() };
        for event in events {
            builder.apply(event, &chunks, &walk)?;
        }
    }
    let root = builder.root.ok_or(MoverError::Broken)?;
    Ok(task.session.finish_tree(root, snapshot.record.content.size_bytes())?)
}

fn window(walk: &mut Walk<'_>) -> Result<Vec<Event>, MoverError> {
    let (mut events, mut bytes) = (Vec::new(), 0);
    while events.len() < WINDOW_EVENTS
        && bytes < WINDOW_BYTES
        && let Some(event) = walk.next()?
    {
        if let Event::File(entry, _) = &event
            && let EntryContent::Runs(runs) = &entry.content
        {
            bytes += runs.iter().map(Run::length_bytes).sum::<u64>();
        }
        events.push(event);
    }
    Ok(events)
}

/// Copies the chunks of all files of a window whose runs stand in their entries.
fn small_files(task: &Task<'_>, events: &[Event]) -> Result<(Known, Copied), MoverError> {
    let mut known = Known::default();
    let mut wanted: Vec<&[Run]> = Vec::new();
    for event in events {
        let Event::File(entry, base) = event else { continue };
        let EntryContent::Runs(runs) = &entry.content else { continue };
        wanted.push(runs);
        if let Some(base) = base
            && let (EntryContent::Runs(source), EntryContent::Runs(target)) = &**base
        {
            known.learn(source, target);
        }
    }
    let copied = known.copy(task, &wanted)?;
    Ok((known, copied))
}

/// Makes the directories of the target.
struct Builder<'a> {
    task: &'a Task<'a>,
    open: Vec<(Box<Entry>, DirectoryWriter<'a, 'a>)>,
    root: Option<Entry>,
}

impl Builder<'_> {
    fn apply(
        &mut self,
        event: Event,
        (known, copied): &(Known, Copied),
        walk: &Walk<'_>,
    ) -> Result<(), MoverError> {
        match event {
            Event::Enter(entry) => {
                self.open.push((entry, self.task.session.directory()));
                Ok(())
            }
            Event::Leave => {
                let (mut entry, writer) = self.open.pop().ok_or(MoverError::Broken)?;
                entry.content = EntryContent::Directory(writer.finish()?);
                self.push(*entry)
            }
            Event::Ready(entry) => {
                // Targets of links have a size too, but the size of a tree is that of its files.
                self.task.passed(if entry.kind == EntryKind::File { entry.size_bytes } else { 0 });
                self.push(*entry)
            }
            Event::File(mut entry, base) => {
                entry.content = match &entry.content {
                    content if !self.task.keeps_cuts() => recut::file(self.task, walk.source(), content)?,
                    EntryContent::Runs(runs) => file_of(self.task, known.translate(copied, runs)?)?,
                    content => large_file(self.task, walk, content, base.as_deref())?,
                };
                self.task.passed(entry.size_bytes);
                self.task.control.add_file();
                self.push(*entry)
            }
        }
    }

    fn push(&mut self, entry: Entry) -> Result<(), MoverError> {
        match self.open.last_mut() {
            Some((_, writer)) => Ok(writer.push(entry)?),
            None => {
                self.root = Some(entry);
                Ok(())
            }
        }
    }
}

fn file_of(task: &Task<'_>, runs: Vec<Run>) -> Result<EntryContent, MoverError> {
    let mut writer = task.session.file();
    for run in runs {
        writer.push(run)?;
    }
    Ok(writer.finish()?)
}

/// Copies a file whose runs have nodes of their own, some at a time.
fn large_file(
    task: &Task<'_>,
    walk: &Walk<'_>,
    content: &EntryContent,
    base: Option<&(EntryContent, EntryContent)>,
) -> Result<EntryContent, MoverError> {
    let mut known = Known::default();
    if let (Some((source, target)), Some((sources, targets))) = (base, walk.base()) {
        let mut source = sources.file_runs(source);
        let mut target = targets.file_runs(target);
        loop {
            let old = some_runs(&mut source).map_err(MoverError::CopySource)?;
            let held = some_runs(&mut target)?;
            if old.is_empty() || held.is_empty() {
                break;
            }
            known.learn(&old, &held);
        }
    }
    let mut writer = task.session.file();
    let mut runs = TreeReader::file_runs(walk.source(), content);
    loop {
        task.control.check()?;
        let some = some_runs(&mut runs).map_err(MoverError::CopySource)?;
        if some.is_empty() {
            return Ok(writer.finish()?);
        }
        let copied = known.copy(task, &[&some])?;
        for run in known.translate(&copied, &some)? {
            writer.push(run)?;
        }
    }
}

fn some_runs(runs: &mut longshore_repo::FileRuns<'_>) -> Result<Vec<Run>, longshore_repo::RepoError> {
    runs.take(FILE_RUNS).collect()
}
