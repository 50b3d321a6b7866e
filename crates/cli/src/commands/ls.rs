//! `longshore ls`

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use longshore_mover::MoverError;
use longshore_repo::{Entry, EntryContent, EntryKind};
use longshore_repo::{NodeRef, TreeReader};
use serde::Serialize;

use crate::arguments::{GlobalArguments, LsArguments};
use crate::settings::Access;
use crate::{Failure, output};

/// One name as `-o json` shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EntryView {
    /// Path within the snapshot; bytes that are not UTF-8 are shown as `\xff`.
    path: String,
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    size_bytes: u64,
    modified: String,
    link_target: Option<String>,
}

#[derive(Serialize)]
struct List {
    entries: Vec<EntryView>,
}

pub fn run(global: &GlobalArguments, verb: &LsArguments) -> Result<u8, Failure> {
    let repository = Access::from(global)?.open()?;
    let snapshot = super::restore::resolve(&repository, &verb.snapshot)?;
    let tree = repository.open_tree(&snapshot).map_err(MoverError::from)?;
    let (path, entry) = find(&tree, &verb.path)?;
    let mut list = List { entries: Vec::new() };
    match directory_of(&entry) {
        Some(node) => directory(&tree, &path, &node, verb.recursive, &mut list.entries)?,
        None => list.entries.push(view(&path, &entry)),
    }
    output::print(global.output, "Entries", &list, |out| {
        for entry in &list.entries {
            let arrow = entry.link_target.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
            writeln!(
                out,
                "{}{} {:>6} {:>6} {:>14} {} {}{arrow}",
                letter(entry.kind),
                entry.mode,
                entry.uid,
                entry.gid,
                entry.size_bytes,
                entry.modified,
                entry.path
            )?;
        }
        Ok(())
    })?;
    Ok(0)
}

/// Goes down from the root, piece by piece; `..` and links are not followed.
fn find(tree: &TreeReader<'_>, path: &Path) -> Result<(Vec<u8>, Entry), Failure> {
    let mut entry = tree.root().map_err(MoverError::from)?;
    let mut shown = Vec::new();
    for piece in path.as_os_str().as_bytes().split(|byte| *byte == b'/') {
        if piece.is_empty() || piece == b"." {
            continue;
        }
        let missing = || Failure::not_found(format!("{} is not in the snapshot", path.display()));
        let node = directory_of(&entry).ok_or_else(missing)?;
        let mut next = None;
        for candidate in tree.directory(&node) {
            let candidate = candidate.map_err(MoverError::from)?;
            if candidate.name == piece {
                next = Some(candidate);
                break;
            }
        }
        entry = next.ok_or_else(missing)?;
        shown.push(b'/');
        shown.extend_from_slice(piece);
    }
    Ok((shown, entry))
}

fn directory_of(entry: &Entry) -> Option<NodeRef> {
    match &entry.content {
        EntryContent::Directory(node) => Some(*node),
        _ => None,
    }
}

fn directory(
    tree: &TreeReader<'_>,
    path: &[u8],
    node: &NodeRef,
    recursive: bool,
    entries: &mut Vec<EntryView>,
) -> Result<(), Failure> {
    for entry in tree.directory(node) {
        let entry = entry.map_err(MoverError::from)?;
        let mut inner = path.to_vec();
        inner.push(b'/');
        inner.extend_from_slice(&entry.name);
        entries.push(view(&inner, &entry));
        if let (true, Some(node)) = (recursive, directory_of(&entry)) {
            directory(tree, &inner, &node, recursive, entries)?;
        }
    }
    Ok(())
}

fn view(path: &[u8], entry: &Entry) -> EntryView {
    let modified = jiff::Timestamp::new(entry.modified.seconds, entry.modified.nanoseconds as i32)
        .map_or_else(|_| entry.modified.seconds.to_string(), |time| time.to_string());
    EntryView {
        path: text(path),
        kind: kind_word(entry.kind),
        mode: format!("{:04o}", entry.mode),
        uid: entry.uid,
        gid: entry.gid,
        size_bytes: entry.size_bytes,
        modified,
        link_target: match &entry.content {
            EntryContent::Symlink(target) => Some(text(target)),
            _ => None,
        },
    }
}

/// The word for a kind of entry.
pub(super) fn kind_word(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Symlink => "symlink",
        EntryKind::BlockDevice => "blockDevice",
        EntryKind::CharacterDevice => "characterDevice",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
    }
}

/// UTF-8 as it is, other bytes and control characters escaped: a name must not drive the reader's terminal.
pub(super) fn text(bytes: &[u8]) -> String {
    let mut shown = String::new();
    for piece in bytes.utf8_chunks() {
        for character in piece.valid().chars() {
            if character.is_control() || character == '\\' {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        for byte in piece.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

fn letter(kind: &str) -> char {
    match kind {
        "directory" => 'd',
        "symlink" => 'l',
        "blockDevice" => 'b',
        "characterDevice" => 'c',
        "fifo" => 'p',
        "socket" => 's',
        _ => '-',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_drive_a_terminal() {
        assert_eq!(text("plain \u{e4}".as_bytes()), "plain \u{e4}");
        assert_eq!(text(b"a\x1b[2Jb\xff\\"), "a\\u{1b}[2Jb\\xff\\\\");
    }
}
