use crate::{BackupSession, RepoError, WrittenContent};
use longshore_format::{
    NodeRef, Run,
    node::Node,
    tree::{
        Directory, DirectoryIndex, DirectoryPart, Entry, EntryContent, FileIndex, FilePart, FileRuns,
        RUNS_PER_ENTRY_MAX, RUNS_PER_NODE_MAX,
    },
};

/// A directory node is not cut below this size, is cut at one name in 256 above it, and is always cut at the largest.
const DIRECTORY_BYTES_MIN: usize = 16 << 10;
const DIRECTORY_BYTES_MAX: usize = 256 << 10;
/// The same for the parts of an index node, by number.
const PARTS_MIN: usize = 64;
const PARTS_MAX: usize = 1024;
/// The same for the runs or parts of a file.
const RUNS_MIN: usize = 512;
/// One name or id in this many ends a node.
const CUT_ONE_IN: u64 = 256;

impl<'r> BackupSession<'r> {
    /// Begins a directory. Subdirectories are finished before the entry that names them is pushed.
    pub fn directory(&self) -> DirectoryWriter<'_, 'r> {
        DirectoryWriter { session: self, entries: Vec::new(), bytes: 0, levels: Vec::new(), last_name: None }
    }

    /// Begins the list of a file's runs.
    pub fn file(&self) -> FileWriter<'_, 'r> {
        FileWriter { session: self, runs: Vec::new(), levels: Vec::new(), hole_bytes: 0 }
    }

    /// Finishes a tree: `root` is the entry of the root directory, with an empty name. `size_bytes`: of all files.
    pub fn finish_tree(&self, root: Entry, size_bytes: u64) -> Result<WrittenContent, RepoError> {
        if !root.name.is_empty() {
            return Err(RepoError::Misuse { rule: "the root of a tree has an empty name" });
        }
        let node = Node::Directory(Directory { entries: vec![root] });
        Ok(WrittenContent::Tree { size_bytes, root: self.put_node(&node, None)? })
    }
}

/// Puts together a directory of any size in little memory.
#[derive(Debug)]
pub struct DirectoryWriter<'s, 'r> {
    session: &'s BackupSession<'r>,
    entries: Vec<Entry>,
    bytes: usize,
    levels: Vec<Vec<DirectoryPart>>,
    last_name: Option<Vec<u8>>,
}

impl DirectoryWriter<'_, '_> {
    /// Adds an entry. Names must come in ascending order of their bytes.
    pub fn push(&mut self, entry: Entry) -> Result<(), RepoError> {
        let name = &entry.name;
        let is_name =
            !name.is_empty() && name != b"." && name != b".." && !name.iter().any(|b| matches!(b, 0 | b'/'));
        if !is_name || self.last_name.as_ref().is_some_and(|last| last >= name) {
            return Err(RepoError::Misuse { rule: "entries of a directory come sorted by valid names" });
        }
        let value = self.session.repository().keys.name_value(name);
        self.last_name = Some(name.clone());
        self.bytes += entry_bytes(&entry);
        self.entries.push(entry);
        let may_end = self.bytes >= DIRECTORY_BYTES_MIN && value.is_multiple_of(CUT_ONE_IN);
        if may_end || self.bytes >= DIRECTORY_BYTES_MAX { self.end_node() } else { Ok(()) }
    }

    /// Writes what is left and returns the directory.
    pub fn finish(mut self) -> Result<NodeRef, RepoError> {
        if self.levels.is_empty() {
            let entries = std::mem::take(&mut self.entries);
            return self.session.put_node(&Node::Directory(Directory { entries }), None);
        }
        if !self.entries.is_empty() {
            self.end_node()?;
        }
        let mut level = 0;
        loop {
            let parts = std::mem::take(&mut self.levels[level]);
            if level + 1 == self.levels.len() && parts.len() == 1 {
                return Ok(parts[0].node);
            }
            if !parts.is_empty() {
                self.end_level(level, parts)?;
            }
            level += 1;
        }
    }

    fn end_node(&mut self) -> Result<(), RepoError> {
        let entries = std::mem::take(&mut self.entries);
        self.bytes = 0;
        let first_name = entries.first().map(|entry| entry.name.clone()).unwrap_or_default();
        let node = self.session.put_node(&Node::Directory(Directory { entries }), None)?;
        self.push_part(0, DirectoryPart { first_name, node })
    }

    fn push_part(&mut self, level: usize, part: DirectoryPart) -> Result<(), RepoError> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        let value = self.session.repository().keys.name_value(&part.first_name) >> 32;
        let parts = &mut self.levels[level];
        parts.push(part);
        if (parts.len() >= PARTS_MIN && value.is_multiple_of(CUT_ONE_IN)) || parts.len() >= PARTS_MAX {
            let parts = std::mem::take(parts);
            self.end_level(level, parts)?;
        }
        Ok(())
    }

    fn end_level(&mut self, level: usize, parts: Vec<DirectoryPart>) -> Result<(), RepoError> {
        let first_name = parts.first().map(|part| part.first_name.clone()).unwrap_or_default();
        let node = self.session.put_node(&Node::DirectoryIndex(DirectoryIndex { parts }), None)?;
        self.push_part(level + 1, DirectoryPart { first_name, node })
    }
}

/// Puts together the runs of a file of any size in little memory.
#[derive(Debug)]
pub struct FileWriter<'s, 'r> {
    session: &'s BackupSession<'r>,
    runs: Vec<Run>,
    levels: Vec<Vec<FilePart>>,
    hole_bytes: u64,
}

impl FileWriter<'_, '_> {
    /// Adds a run. Neighbouring holes are joined.
    pub fn push(&mut self, run: Run) -> Result<(), RepoError> {
        match run {
            Run::Hole { length_bytes } => {
                self.hole_bytes += length_bytes;
                Ok(())
            }
            Run::Chunk(chunk) => {
                self.end_hole()?;
                let value = u64::from(chunk.id.0[0]);
                self.push_run(run, value)
            }
        }
    }

    /// Writes what is left and returns the content for the file's entry.
    pub fn finish(mut self) -> Result<EntryContent, RepoError> {
        self.end_hole()?;
        if self.levels.is_empty() && self.runs.is_empty() {
            return Ok(EntryContent::None);
        }
        if self.levels.is_empty() && self.runs.len() <= RUNS_PER_ENTRY_MAX {
            return Ok(EntryContent::Runs(self.runs));
        }
        if !self.runs.is_empty() {
            self.end_node()?;
        }
        let mut level = 0;
        loop {
            let parts = std::mem::take(&mut self.levels[level]);
            if level + 1 == self.levels.len() && parts.len() == 1 {
                return Ok(EntryContent::File(parts[0].node));
            }
            if !parts.is_empty() {
                self.end_level(level, parts)?;
            }
            level += 1;
        }
    }

    fn end_hole(&mut self) -> Result<(), RepoError> {
        match std::mem::take(&mut self.hole_bytes) {
            0 => Ok(()),
            length_bytes => self.push_run(Run::Hole { length_bytes }, 1),
        }
    }

    fn push_run(&mut self, run: Run, value: u64) -> Result<(), RepoError> {
        self.runs.push(run);
        let may_end = self.runs.len() >= RUNS_MIN && value.is_multiple_of(CUT_ONE_IN);
        if may_end || self.runs.len() >= RUNS_PER_NODE_MAX { self.end_node() } else { Ok(()) }
    }

    fn end_node(&mut self) -> Result<(), RepoError> {
        let runs = std::mem::take(&mut self.runs);
        let length_bytes = runs.iter().map(Run::length_bytes).sum();
        let node = self.session.put_node(&Node::FileRuns(FileRuns { runs }), None)?;
        self.push_part(0, FilePart { length_bytes, node })
    }

    fn push_part(&mut self, level: usize, part: FilePart) -> Result<(), RepoError> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        let value = u64::from(part.node.id.0[0]);
        let parts = &mut self.levels[level];
        parts.push(part);
        if (parts.len() >= RUNS_MIN && value.is_multiple_of(CUT_ONE_IN)) || parts.len() >= RUNS_PER_NODE_MAX {
            let parts = std::mem::take(parts);
            self.end_level(level, parts)?;
        }
        Ok(())
    }

    fn end_level(&mut self, level: usize, parts: Vec<FilePart>) -> Result<(), RepoError> {
        let length_bytes = parts.iter().map(|part| part.length_bytes).sum();
        let node = self.session.put_node(&Node::FileIndex(FileIndex { parts }), None)?;
        self.push_part(level + 1, FilePart { length_bytes, node })
    }
}

/// About the bytes that an entry takes in its node; exact where it matters, for names, attributes and content.
fn entry_bytes(entry: &Entry) -> usize {
    let xattrs: usize = entry.xattrs.iter().map(|xattr| 6 + xattr.name.len() + xattr.value.len()).sum();
    let content = match &entry.content {
        EntryContent::None => 1,
        EntryContent::Inline(bytes) | EntryContent::Symlink(bytes) => 3 + bytes.len(),
        EntryContent::Runs(runs) => 5 + runs.len() * 37,
        EntryContent::File(_) | EntryContent::Directory(_) => 33,
    };
    102 + entry.name.len() + xattrs + content
}
