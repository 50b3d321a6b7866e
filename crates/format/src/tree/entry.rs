use super::{INLINE_BYTES_MAX, NAME_BYTES_MAX, RUNS_PER_ENTRY_MAX, decode_runs, encode_runs};
use crate::{
    FormatError, Location, NodeId, NodeRef, Run,
    bytes::{Put, Reader},
    hint::Hints,
};

/// What kind of thing an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A block device node.
    BlockDevice,
    /// A character device node.
    CharacterDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

impl EntryKind {
    const ALL: [Self; 7] = [
        Self::File,
        Self::Directory,
        Self::Symlink,
        Self::BlockDevice,
        Self::CharacterDevice,
        Self::Fifo,
        Self::Socket,
    ];

    fn code(self) -> u8 {
        match self {
            Self::File => 1,
            Self::Directory => 2,
            Self::Symlink => 3,
            Self::BlockDevice => 4,
            Self::CharacterDevice => 5,
            Self::Fifo => 6,
            Self::Socket => 7,
        }
    }
}

/// A time as the filesystem keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    /// Seconds since 1970, negative before.
    pub seconds: i64,
    /// Nanoseconds within the second.
    pub nanoseconds: u32,
}

/// An extended attribute. ACLs and capabilities are extended attributes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Xattr {
    /// The name with its namespace, as bytes.
    pub name: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// What an entry holds.
#[derive(Debug, Clone, PartialEq)]
pub enum EntryContent {
    /// Nothing: a device, fifo or socket, an empty file.
    None,
    /// A small file's bytes.
    Inline(Vec<u8>),
    /// A file's runs.
    Runs(Vec<Run>),
    /// A file with many runs: a node of runs or an index node.
    File(NodeRef),
    /// A directory: a directory node or an index node.
    Directory(NodeRef),
    /// Where a symbolic link points.
    Symlink(Vec<u8>),
}

/// An entry of a directory: everything that a POSIX filesystem keeps about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The name: any bytes but NUL and `/`. Only the root of a tree has an empty one.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky (the low 12 bits of `st_mode`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size as `stat` gives it.
    pub size_bytes: u64,
    /// Last change of the content.
    pub modified: Time,
    /// Last change of the inode; cannot be restored, but tells whether a file changed.
    pub changed: Time,
    /// Last access, if it was recorded.
    pub accessed: Option<Time>,
    /// Inode number at the source.
    pub inode: u64,
    /// Device number of the source filesystem.
    pub device: u64,
    /// Number of hard links at the source.
    pub links: u64,
    /// Device number of a device node.
    pub device_node: u64,
    /// Entries of one snapshot with the same non-zero number are one file.
    pub hard_link_group: u64,
    /// Extended attributes, in the order of their names.
    pub xattrs: Vec<Xattr>,
    /// What it holds.
    pub content: EntryContent,
}

impl Entry {
    /// The least bytes that an entry takes.
    pub(crate) const BYTES_MIN: usize = 90;

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u16(self.name.len() as u16);
        out.put(&self.name);
        out.put_u8(self.kind.code());
        out.put_u32(self.mode);
        out.put_u32(self.uid);
        out.put_u32(self.gid);
        out.put_u64(self.size_bytes);
        put_time(out, self.modified);
        put_time(out, self.changed);
        out.put_u8(u8::from(self.accessed.is_some()));
        if let Some(time) = self.accessed {
            put_time(out, time);
        }
        for number in [self.inode, self.device, self.links, self.device_node, self.hard_link_group] {
            out.put_u64(number);
        }
        out.put_u16(self.xattrs.len() as u16);
        for xattr in &self.xattrs {
            out.put_u16(xattr.name.len() as u16);
            out.put(&xattr.name);
            out.put_u32(xattr.value.len() as u32);
            out.put(&xattr.value);
        }
        match &self.content {
            EntryContent::None => out.put_u8(0),
            EntryContent::Inline(bytes) => {
                out.put_u8(1);
                out.put_u16(bytes.len() as u16);
                out.put(bytes);
            }
            EntryContent::Runs(runs) => {
                out.put_u8(2);
                encode_runs(runs, out);
            }
            EntryContent::File(node) => {
                out.put_u8(3);
                out.put(&node.id.0);
            }
            EntryContent::Directory(node) => {
                out.put_u8(4);
                out.put(&node.id.0);
            }
            EntryContent::Symlink(target) => {
                out.put_u8(5);
                out.put_u16(target.len() as u16);
                out.put(target);
            }
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, hints: &mut Hints) -> Result<Self, FormatError> {
        let name = name(reader)?;
        let code = reader.u8()?;
        let kind = EntryKind::ALL.into_iter().find(|kind| kind.code() == code);
        let kind = kind.ok_or_else(|| reader.invalid("unknown kind of entry"))?;
        let (mode, uid, gid, size_bytes) = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u64()?);
        let (modified, changed) = (time(reader)?, time(reader)?);
        let accessed = match reader.u8()? {
            0 => None,
            1 => Some(time(reader)?),
            _ => return Err(reader.invalid("the flag of the access time")),
        };
        let (inode, device, links) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (device_node, hard_link_group) = (reader.u64()?, reader.u64()?);
        let mut xattrs = Vec::new();
        for _ in 0..reader.u16()? {
            let name_length = usize::from(reader.u16()?);
            let name = reader.take(name_length)?.to_vec();
            let value_length = reader.u32()? as usize;
            xattrs.push(Xattr { name, value: reader.take(value_length)?.to_vec() });
        }
        let content = content(reader, hints)?;
        let fits = matches!(
            (kind, &content),
            (
                EntryKind::File,
                EntryContent::None | EntryContent::Inline(_) | EntryContent::Runs(_) | EntryContent::File(_)
            ) | (EntryKind::Directory, EntryContent::Directory(_))
                | (EntryKind::Symlink, EntryContent::Symlink(_))
                | (
                    EntryKind::BlockDevice | EntryKind::CharacterDevice | EntryKind::Fifo | EntryKind::Socket,
                    EntryContent::None
                )
        );
        if !fits {
            return Err(reader.invalid("an entry whose content does not fit its kind"));
        }
        Ok(Self {
            name,
            kind,
            mode,
            uid,
            gid,
            size_bytes,
            modified,
            changed,
            accessed,
            inode,
            device,
            links,
            device_node,
            hard_link_group,
            xattrs,
            content,
        })
    }

    pub(crate) fn references(&self, out: &mut Vec<([u8; 32], Location)>) {
        match &self.content {
            EntryContent::Runs(runs) => out.extend(crate::map::run_references(runs)),
            EntryContent::File(node) | EntryContent::Directory(node) => out.push((node.id.0, node.location)),
            EntryContent::None | EntryContent::Inline(_) | EntryContent::Symlink(_) => {}
        }
    }
}

fn content(reader: &mut Reader<'_>, hints: &mut Hints) -> Result<EntryContent, FormatError> {
    Ok(match reader.u8()? {
        0 => EntryContent::None,
        1 => {
            let length = usize::from(reader.u16()?);
            if length > INLINE_BYTES_MAX {
                return Err(reader.invalid("an inline file above the limit"));
            }
            EntryContent::Inline(reader.take(length)?.to_vec())
        }
        2 => EntryContent::Runs(decode_runs(reader, hints, RUNS_PER_ENTRY_MAX)?),
        3 => EntryContent::File(NodeRef { id: NodeId(reader.array()?), location: hints.take()? }),
        4 => EntryContent::Directory(NodeRef { id: NodeId(reader.array()?), location: hints.take()? }),
        5 => {
            let length = usize::from(reader.u16()?);
            EntryContent::Symlink(reader.take(length)?.to_vec())
        }
        _ => return Err(reader.invalid("unknown kind of content")),
    })
}

/// A name that cannot leave its directory: no `/`, no NUL, not `.` or `..`.
pub(super) fn name(reader: &mut Reader<'_>) -> Result<Vec<u8>, FormatError> {
    let length = usize::from(reader.u16()?);
    if length > NAME_BYTES_MAX {
        return Err(reader.invalid("a name above the limit"));
    }
    let name = reader.take(length)?;
    if name.iter().any(|byte| matches!(byte, 0 | b'/')) || name == b"." || name == b".." {
        return Err(reader.invalid("a name that is no name"));
    }
    Ok(name.to_vec())
}

fn put_time(out: &mut Vec<u8>, time: Time) {
    out.put_i64(time.seconds);
    out.put_u32(time.nanoseconds);
}

fn time(reader: &mut Reader<'_>) -> Result<Time, FormatError> {
    let time = Time { seconds: reader.i64()?, nanoseconds: reader.u32()? };
    if time.nanoseconds >= 1_000_000_000 { Err(reader.invalid("nanoseconds of a time")) } else { Ok(time) }
}
