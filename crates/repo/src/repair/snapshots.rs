//! Snapshots of which something is lost, written again without it.

use crate::{
    BackupOptions, BackupSession, Committed, Content, Losses, RepoError, Repository, Snapshot, SnapshotDraft,
    WrittenContent,
    check::{CheckReport, packs::PackTable},
    losses::{Presence, lenient},
    tree::{DirectoryWriter, LenientEntries},
};
use longshore_format::{
    NodeRef, Run, RunId,
    tree::{Entry, EntryContent},
};

/// The label of a repaired snapshot: the run whose snapshot it was made from.
const REPAIRED_FROM: &str = "longshore/repaired-from";
/// The label of a repaired snapshot: how many files or ranges it leaves out.
const LOST: &str = "longshore/lost";

impl Repository {
    /// Writes a snapshot again without what is lost of it: files that are not whole are left out, lost ranges of a volume
    /// become zeros. The new snapshot is marked incomplete and says by labels what it was made from. The old one stays.
    ///
    /// # Errors
    /// [`crate::Class::NoAuthority`] if the key that opened the repository is a mover's; [`crate::Class::Corrupt`] if
    /// nothing of the snapshot can be read.
    pub fn repair_snapshot(&self, losses: &Losses, run: RunId) -> Result<Snapshot, RepoError> {
        if !self.can_maintain() {
            return Err(RepoError::NoAuthority);
        }
        let old = &losses.snapshot;
        // The old snapshot as parent: prune keeps what it needs until the new one is committed.
        let session = self.begin_backup(old.key.source, run, Some(old), BackupOptions::default())?;
        let mut packs = PackTable::list(self, &mut CheckReport::default())?;
        let mut presence = Presence::new(self, &mut packs);
        let content = match old.record.content {
            Content::Volume { size_bytes, .. } => {
                self.rewrite_volume(&session, old, size_bytes, &mut presence)?
            }
            Content::Tree { root, .. } => rewrite_tree(&session, root.into(), &mut presence)?,
        };
        let record = old.record.clone();
        let mut labels = record.labels;
        labels.insert(REPAIRED_FROM.to_owned(), record.run.to_string());
        labels.insert(LOST.to_owned(), losses.count.to_string());
        let draft = SnapshotDraft {
            source: record.source,
            started_at: record.started_at,
            finished_at: record.finished_at,
            data_at: record.data_at,
            content,
            parent: record.parent,
            incomplete: true,
            stats: record.stats,
            kubernetes: record.kubernetes,
            labels,
        };
        match session.commit(draft)? {
            Committed::New(snapshot) | Committed::AlreadyCommitted(snapshot) => Ok(snapshot),
        }
    }

    fn rewrite_volume(
        &self,
        session: &BackupSession<'_>,
        old: &Snapshot,
        size_bytes: u64,
        presence: &mut Presence<'_>,
    ) -> Result<WrittenContent, RepoError> {
        let reader = self.open_volume(old)?;
        let writer = session.volume_writer(size_bytes, None);
        for span in 0..reader.span_count() {
            // A span that is never put is a hole: so is one whose map is lost.
            let Some(Some(mut runs)) = lenient(reader.span(span))? else { continue };
            for run in &mut runs {
                if let Run::Chunk(chunk) = run
                    && !presence.has_chunk(chunk)?
                {
                    *run = Run::Hole { length_bytes: run.length_bytes() };
                }
            }
            writer.put_span(span, &runs)?;
        }
        writer.finish()
    }
}

/// A directory that is being written again.
struct Open<'s, 'r> {
    entry: Entry,
    entries: LenientEntries<'r>,
    writer: DirectoryWriter<'s, 'r>,
}

fn rewrite_tree(
    session: &BackupSession<'_>,
    root: NodeRef,
    presence: &mut Presence<'_>,
) -> Result<WrittenContent, RepoError> {
    let repository = session.repository();
    let root = repository.read_node(&root).and_then(|node| match node {
        longshore_format::node::Node::Directory(mut directory) => directory
            .entries
            .pop()
            .ok_or_else(|| RepoError::WrongContent { object: format!("node {}", root.id) }),
        _ => Err(RepoError::WrongContent { object: format!("node {}", root.id) }),
    })?;
    let open = |entry: Entry, node: NodeRef| Open {
        entry,
        entries: LenientEntries::new(repository, node),
        writer: session.directory(),
    };
    let EntryContent::Directory(node) = root.content else {
        return Err(RepoError::WrongContent { object: "the root of a tree".to_owned() });
    };
    let mut size_bytes = 0;
    // Deep trees are no reason to recurse.
    let mut stack = vec![open(root, node)];
    while let Some(top) = stack.last_mut() {
        match top.entries.next() {
            Some(next) => {
                let Some(entry) = lenient(next)? else { continue };
                if let EntryContent::Directory(node) = entry.content {
                    stack.push(open(entry, node));
                } else if presence.has_content(&entry.content)? {
                    size_bytes += entry.size_bytes;
                    top.writer.push(entry)?;
                }
            }
            None => {
                let Some(done) = stack.pop() else { break };
                let content = EntryContent::Directory(done.writer.finish()?);
                let entry = Entry { content, ..done.entry };
                match stack.last_mut() {
                    Some(above) => above.writer.push(entry)?,
                    None => return session.finish_tree(entry, size_bytes),
                }
            }
        }
    }
    Err(RepoError::WrongContent { object: "the root of a tree".to_owned() })
}
