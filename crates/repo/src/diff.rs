//! What differs between two snapshots, found by reading only what differs.
//!
//! Equal content has equal node ids, so the walk goes down both sides side by side and skips whatever is the same node.
//! Its cost is that of the differences and of the paths to them, whatever the size of the snapshots.

mod cursor;
mod files;
mod tree;
mod volume;

use crate::{RepoError, Repository, Snapshot};
use longshore_format::{
    snapshot::Content,
    tree::{Entry, EntryKind},
};
use std::ops::ControlFlow;

/// How an entry of a tree differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryChange {
    /// Only the later snapshot has it.
    Added,
    /// Only the earlier snapshot has it.
    Removed,
    /// It is another kind of thing now.
    Type,
    /// The bytes of a file, the target of a link or the number of a device changed; perhaps attributes too.
    Content,
    /// Only attributes changed: owner, group, mode, time of change, extended attributes, number of links.
    Metadata,
}

/// An entry of a tree that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct EntryDifference {
    /// The path from the root, beginning with `/`; the root itself is `/`.
    pub path: Vec<u8>,
    /// How it differs.
    pub change: EntryChange,
    /// What it was; none if it was added.
    pub before: Option<Entry>,
    /// What it is; none if it was removed.
    pub after: Option<Entry>,
    /// Bytes of data that only the later file holds.
    pub added_bytes: u64,
    /// Bytes of data that only the earlier file held.
    pub removed_bytes: u64,
}

/// What a range of a volume holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RangeContent {
    /// Zeros that are stored nowhere.
    Hole,
    /// Chunks.
    Data,
}

/// A range of a volume in which the snapshots differ. Ranges come in address order and never touch one of the same kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeDifference {
    /// Where it begins.
    pub offset_bytes: u64,
    /// How long it is.
    pub length_bytes: u64,
    /// What it held.
    pub before: RangeContent,
    /// What it holds.
    pub after: RangeContent,
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// Of a tree.
    Entry(Box<EntryDifference>),
    /// Of a volume.
    Range(RangeDifference),
}

/// Entries by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntryCounts {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Everything else.
    pub others: u64,
}

impl EntryCounts {
    fn count(&mut self, kind: EntryKind) {
        match kind {
            EntryKind::File => self.files += 1,
            EntryKind::Directory => self.directories += 1,
            _ => self.others += 1,
        }
    }
}

/// All differences in figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiffTotals {
    /// Entries that only the later tree has.
    pub added: EntryCounts,
    /// Entries that only the earlier tree has.
    pub removed: EntryCounts,
    /// Entries whose content changed.
    pub changed: EntryCounts,
    /// Entries that are of another kind now.
    pub types: u64,
    /// Entries of which only attributes changed.
    pub metadata: u64,
    /// Ranges of a volume that differ.
    pub ranges: u64,
    /// Bytes of these ranges.
    pub range_bytes: u64,
    /// Bytes of data that only the later snapshot holds at their place (volumes) or in their file (trees).
    pub added_bytes: u64,
    /// Bytes of data that only the earlier snapshot held.
    pub removed_bytes: u64,
}

/// Receives differences, and may stop the walk.
pub type EachDifference<'a> = dyn FnMut(Difference) -> ControlFlow<()> + 'a;

impl Repository {
    /// Calls `each` with every difference between two snapshots of the same kind, in the order of paths or addresses: what
    /// was done to `before` to come to `after`. Returns the sums of what was handed out.
    ///
    /// Stored content is compared: a file or range whose bytes are the same but lie in other chunks counts as changed. Of
    /// volumes the length of `after` is compared; what was beyond the end of `before` counts as a hole.
    ///
    /// # Errors
    /// [`RepoError::WrongKind`] if one is a volume and the other a tree; [`crate::Class::Forgotten`]; what reading nodes fails with.
    pub fn diff(
        &self,
        before: &Snapshot,
        after: &Snapshot,
        each: &mut EachDifference<'_>,
    ) -> Result<DiffTotals, RepoError> {
        let _reading = (self.begin_reading(before)?, self.begin_reading(after)?);
        match (&before.record.content, &after.record.content) {
            (Content::Volume { .. }, Content::Volume { .. }) => {
                volume::diff(self, &before.record.content, &after.record.content, each)
            }
            (Content::Tree { .. }, Content::Tree { .. }) => {
                tree::diff(self, &self.open_tree(before)?.root()?, &self.open_tree(after)?.root()?, each)
            }
            (Content::Volume { .. }, Content::Tree { .. }) => {
                Err(RepoError::WrongKind { found: "file tree", wanted: "volume" })
            }
            (Content::Tree { .. }, Content::Volume { .. }) => {
                Err(RepoError::WrongKind { found: "volume", wanted: "file tree" })
            }
        }
    }
}
