use super::{
    DiffTotals, Difference, EachDifference, EntryChange, EntryDifference,
    cursor::{Cursor, Head},
    files,
};
use crate::{RepoError, Repository};
use longshore_format::{
    NodeRef, Run,
    tree::{Entry, EntryContent, EntryKind},
};
use std::cmp::Ordering;

/// Walks two trees side by side from their root entries.
pub(super) fn diff(
    repository: &Repository,
    before: &Entry,
    after: &Entry,
    each: &mut EachDifference<'_>,
) -> Result<DiffTotals, RepoError> {
    let mut walk = Walk {
        repository,
        each,
        totals: DiffTotals::default(),
        path: Vec::new(),
        levels: Vec::new(),
        stopped: false,
    };
    walk.compare(before.clone(), after.clone())?;
    while !walk.stopped
        && let Some(level) = walk.levels.last_mut()
    {
        walk.path.truncate(level.path_bytes);
        match level.next()? {
            Some(Step::Removed(entry)) => walk.one_sided(entry, EntryChange::Removed)?,
            Some(Step::Added(entry)) => walk.one_sided(entry, EntryChange::Added)?,
            Some(Step::Both(before, after)) => walk.compare(*before, *after)?,
            None => {
                walk.levels.pop();
            }
        }
    }
    Ok(walk.totals)
}

struct Walk<'a, 'e> {
    repository: &'a Repository,
    each: &'a mut EachDifference<'e>,
    totals: DiffTotals,
    /// The path of the entry that is looked at.
    path: Vec<u8>,
    levels: Vec<Level<'a>>,
    stopped: bool,
}

/// A pair of directories, or one that the other side does not have.
struct Level<'a> {
    before: Option<Cursor<'a>>,
    after: Option<Cursor<'a>>,
    /// Length of the directory's own path.
    path_bytes: usize,
}

enum Step {
    Removed(Box<Entry>),
    Added(Box<Entry>),
    Both(Box<Entry>, Box<Entry>),
}

impl Level<'_> {
    /// The next name of which at least one side has an entry; equal parts are skipped.
    fn next(&mut self) -> Result<Option<Step>, RepoError> {
        let (before, after) = match (&mut self.before, &mut self.after) {
            (Some(before), Some(after)) => (before, after),
            (Some(only), None) => return Ok(next_of(only)?.map(Step::Removed)),
            (None, Some(only)) => return Ok(next_of(only)?.map(Step::Added)),
            (None, None) => return Ok(None),
        };
        loop {
            let order = match (before.head(), after.head()) {
                (None, _) => return Ok(next_of(after)?.map(Step::Added)),
                (_, None) => return Ok(next_of(before)?.map(Step::Removed)),
                (Some(Head::Part(a)), Some(Head::Part(b))) if a.id() == b.id() => {
                    before.skip();
                    after.skip();
                    continue;
                }
                (Some(Head::Part(a)), Some(Head::Part(b))) => {
                    let order = a.order(b);
                    if order.is_le() {
                        before.expand()?;
                    }
                    if order.is_ge() {
                        after.expand()?;
                    }
                    continue;
                }
                (Some(Head::Entry(entry)), Some(Head::Part(part))) if !part.is_after(&entry.name) => {
                    after.expand()?;
                    continue;
                }
                (Some(Head::Part(part)), Some(Head::Entry(entry))) if !part.is_after(&entry.name) => {
                    before.expand()?;
                    continue;
                }
                (Some(Head::Entry(_)), Some(Head::Part(_))) => Ordering::Less,
                (Some(Head::Part(_)), Some(Head::Entry(_))) => Ordering::Greater,
                (Some(Head::Entry(a)), Some(Head::Entry(b))) => a.name.cmp(&b.name),
            };
            let take = |wanted: Ordering, cursor: &mut Cursor<'_>| {
                (order == wanted || order.is_eq()).then(|| cursor.take_entry()).flatten().map(Box::new)
            };
            return Ok(match (take(Ordering::Less, before), take(Ordering::Greater, after)) {
                (Some(before), Some(after)) => Some(Step::Both(before, after)),
                (Some(before), None) => Some(Step::Removed(before)),
                (None, Some(after)) => Some(Step::Added(after)),
                (None, None) => None,
            });
        }
    }
}

fn next_of(cursor: &mut Cursor<'_>) -> Result<Option<Box<Entry>>, RepoError> {
    while matches!(cursor.head(), Some(Head::Part(_))) {
        cursor.expand()?;
    }
    Ok(cursor.take_entry().map(Box::new))
}

impl Walk<'_, '_> {
    /// An entry that one side has, and all below it.
    fn one_sided(&mut self, entry: Box<Entry>, change: EntryChange) -> Result<(), RepoError> {
        self.enter(&entry);
        let (directory, is_added) = (directory_of(&entry), change == EntryChange::Added);
        let bytes = files::data_bytes(self.repository, &entry.content)?;
        let counts = if is_added { &mut self.totals.added } else { &mut self.totals.removed };
        counts.count(entry.kind);
        let (before, after) = if is_added { (None, Some(*entry)) } else { (Some(*entry), None) };
        let (added_bytes, removed_bytes) = if is_added { (bytes, 0) } else { (0, bytes) };
        self.emit(change, before, after, [removed_bytes, added_bytes]);
        if is_added { self.descend(None, directory) } else { self.descend(directory, None) }
    }

    fn compare(&mut self, before: Entry, after: Entry) -> Result<(), RepoError> {
        self.enter(&after);
        let directories = (directory_of(&before), directory_of(&after));
        if before.kind != after.kind {
            let removed = files::data_bytes(self.repository, &before.content)?;
            let added = files::data_bytes(self.repository, &after.content)?;
            self.totals.types += 1;
            self.emit(EntryChange::Type, Some(before), Some(after), [removed, added]);
        } else if !is_same_content(&before, &after) {
            let bytes = files::difference(self.repository, &before.content, &after.content)?;
            self.totals.changed.count(after.kind);
            self.emit(EntryChange::Content, Some(before), Some(after), bytes);
        } else if !is_same_metadata(&before, &after) {
            self.totals.metadata += 1;
            self.emit(EntryChange::Metadata, Some(before), Some(after), [0, 0]);
        }
        match directories {
            (Some(before), Some(after)) if before.id == after.id => Ok(()),
            (before, after) => self.descend(before, after),
        }
    }

    fn descend(&mut self, before: Option<NodeRef>, after: Option<NodeRef>) -> Result<(), RepoError> {
        if before.is_none() && after.is_none() {
            return Ok(());
        }
        let open = |node: Option<NodeRef>| node.map(|node| Cursor::open(self.repository, node)).transpose();
        let (before, after) = (open(before)?, open(after)?);
        self.levels.push(Level { before, after, path_bytes: self.path.len() });
        Ok(())
    }

    /// Puts an entry's name behind the path of its directory.
    fn enter(&mut self, entry: &Entry) {
        if !entry.name.is_empty() {
            self.path.push(b'/');
            self.path.extend_from_slice(&entry.name);
        }
    }

    fn emit(
        &mut self,
        change: EntryChange,
        before: Option<Entry>,
        after: Option<Entry>,
        [removed_bytes, added_bytes]: [u64; 2],
    ) {
        self.totals.added_bytes += added_bytes;
        self.totals.removed_bytes += removed_bytes;
        let path = if self.path.is_empty() { b"/".to_vec() } else { self.path.clone() };
        let difference = EntryDifference { path, change, before, after, added_bytes, removed_bytes };
        self.stopped |= (self.each)(Difference::Entry(Box::new(difference))).is_break();
    }
}

fn directory_of(entry: &Entry) -> Option<NodeRef> {
    match &entry.content {
        EntryContent::Directory(node) => Some(*node),
        _ => None,
    }
}

/// Whether two entries of one kind hold the same. What is in directories is compared entry by entry.
fn is_same_content(before: &Entry, after: &Entry) -> bool {
    let same = match (&before.content, &after.content) {
        (EntryContent::Directory(_), EntryContent::Directory(_)) => true,
        (EntryContent::Runs(before), EntryContent::Runs(after)) => {
            before.len() == after.len()
                && before.iter().zip(after).all(|(before, after)| is_same_run(before, after))
        }
        (EntryContent::File(before), EntryContent::File(after)) => before.id == after.id,
        (before, after) => before == after,
    };
    let is_device = matches!(after.kind, EntryKind::BlockDevice | EntryKind::CharacterDevice);
    same && (!is_device || before.device_node == after.device_node)
}

fn is_same_run(before: &Run, after: &Run) -> bool {
    match (before, after) {
        (Run::Chunk(before), Run::Chunk(after)) => {
            before.id == after.id && before.length_bytes == after.length_bytes
        }
        (before, after) => before == after,
    }
}

/// What a restore would set. Inode numbers and times of access and of the inode's change are the source's own affair, and
/// a directory's count of links follows from what is in it.
fn is_same_metadata(before: &Entry, after: &Entry) -> bool {
    (before.mode, before.uid, before.gid, before.modified)
        == (after.mode, after.uid, after.gid, after.modified)
        && before.xattrs == after.xattrs
        && (before.kind == EntryKind::Directory || before.links == after.links)
}
