//! The last snapshot's tree, read in step with the walk.

use longshore_repo::{self as stored, Entries, TreeReader};

/// A directory of the last snapshot, read forward by name.
pub(super) struct ParentCursor<'p> {
    reader: &'p TreeReader<'p>,
    entries: Option<Entries<'p>>,
    next: Option<stored::Entry>,
}

impl<'p> ParentCursor<'p> {
    /// The directory that `node` names.
    pub(super) fn open(reader: &'p TreeReader<'p>, node: &longshore_repo::NodeRef) -> Self {
        let mut cursor = Self { reader, entries: Some(reader.directory(node)), next: None };
        cursor.advance();
        cursor
    }

    /// The entry of that name, if the last snapshot had one. Names must be asked for in ascending order.
    pub(super) fn find(&mut self, name: &[u8]) -> Option<stored::Entry> {
        while self.next.as_ref().is_some_and(|entry| entry.name.as_slice() < name) {
            self.advance();
        }
        if self.next.as_ref().is_none_or(|entry| entry.name != name) {
            return None;
        }
        let found = self.next.take();
        self.advance();
        found
    }

    /// The subdirectory that `entry` names.
    pub(super) fn enter(&self, entry: &stored::Entry) -> Option<Self> {
        match &entry.content {
            stored::EntryContent::Directory(node) => Some(Self::open(self.reader, node)),
            _ => None,
        }
    }

    /// What cannot be read of the last snapshot is as if it had not been there: the files are read again, and the damage is mended.
    fn advance(&mut self) {
        self.next = match self.entries.as_mut().and_then(Iterator::next) {
            None => None,
            Some(Ok(entry)) => Some(entry),
            Some(Err(error)) => {
                tracing::warn!(error = %longshore_job::chain(&error), "the last snapshot cannot be read; files are read again");
                self.entries = None;
                None
            }
        };
    }
}
