//! The same file as the volume shows it and as the repository keeps it.

use std::collections::HashMap;

use longshore_repo as stored;
use longshore_volume as volume;
use longshore_volume::Kind;

/// Numbers for files with several names. The inode number is taken where it is free, so that the number stays the same from
/// one backup to the next.
#[derive(Default)]
pub(crate) struct LinkGroups {
    groups: HashMap<(u64, u64), u64>,
    taken: HashMap<u64, (u64, u64)>,
}

impl LinkGroups {
    /// The group of a file; 0 for one with a single name.
    pub(crate) fn group_of(&mut self, metadata: &volume::Metadata) -> u64 {
        if metadata.kind == Kind::Directory || metadata.links < 2 {
            return 0;
        }
        let key = (metadata.device, metadata.inode);
        if let Some(group) = self.groups.get(&key) {
            return *group;
        }
        let mut group = metadata.inode.max(1);
        while self.taken.contains_key(&group) {
            group = group.wrapping_add(1).max(1);
        }
        self.groups.insert(key, group);
        self.taken.insert(group, key);
        group
    }
}

/// What the repository keeps of `entry`. The device number is left out for the tree's own file system: a clone of a volume has
/// another number at every backup, and directories would never be the same.
pub(crate) fn to_stored(
    entry: &volume::Entry,
    root_device: u64,
    hard_link_group: u64,
    content: stored::EntryContent,
) -> stored::Entry {
    let metadata = &entry.metadata;
    let (major, minor) = metadata.device_node;
    stored::Entry {
        name: entry.name.clone(),
        kind: match metadata.kind {
            Kind::File => stored::EntryKind::File,
            Kind::Directory => stored::EntryKind::Directory,
            Kind::Symlink => stored::EntryKind::Symlink,
            Kind::Fifo => stored::EntryKind::Fifo,
            Kind::Socket => stored::EntryKind::Socket,
            Kind::CharacterDevice => stored::EntryKind::CharacterDevice,
            Kind::BlockDevice => stored::EntryKind::BlockDevice,
        },
        mode: metadata.mode,
        uid: metadata.uid,
        gid: metadata.gid,
        size_bytes: if metadata.kind == Kind::Directory { 0 } else { metadata.size },
        modified: time_to_stored(metadata.mtime),
        changed: time_to_stored(metadata.ctime),
        accessed: Some(time_to_stored(metadata.atime)),
        inode: metadata.inode,
        device: if metadata.device == root_device { 0 } else { metadata.device },
        links: if metadata.kind == Kind::Directory { 1 } else { metadata.links },
        device_node: (u64::from(major) << 32) | u64::from(minor),
        hard_link_group,
        xattrs: entry
            .xattrs
            .iter()
            .map(|xattr| stored::Xattr { name: xattr.name.clone(), value: xattr.value.clone() })
            .collect(),
        content,
    }
}

/// The way back.
pub(crate) fn to_volume(entry: &stored::Entry) -> volume::Entry {
    let modified = time_to_volume(entry.modified);
    volume::Entry {
        name: entry.name.clone(),
        metadata: volume::Metadata {
            kind: match entry.kind {
                stored::EntryKind::File => Kind::File,
                stored::EntryKind::Directory => Kind::Directory,
                stored::EntryKind::Symlink => Kind::Symlink,
                stored::EntryKind::Fifo => Kind::Fifo,
                stored::EntryKind::Socket => Kind::Socket,
                stored::EntryKind::CharacterDevice => Kind::CharacterDevice,
                stored::EntryKind::BlockDevice => Kind::BlockDevice,
            },
            mode: entry.mode & 0o7777,
            uid: entry.uid,
            gid: entry.gid,
            size: entry.size_bytes,
            allocated_bytes: entry.size_bytes,
            atime: entry.accessed.map_or(modified, time_to_volume),
            mtime: modified,
            ctime: time_to_volume(entry.changed),
            inode: entry.inode,
            device: entry.device,
            links: entry.links,
            device_node: ((entry.device_node >> 32) as u32, entry.device_node as u32),
        },
        link_target: match &entry.content {
            stored::EntryContent::Symlink(target) => Some(target.clone()),
            _ => None,
        },
        xattrs: entry
            .xattrs
            .iter()
            .map(|xattr| volume::Xattr { name: xattr.name.clone(), value: xattr.value.clone() })
            .collect(),
    }
}

/// True when `entry` need not be read again: size, times and inode are those of the last snapshot, and the status changed before
/// that snapshot began, so that no write can hide in the same tick of the clock.
pub(crate) fn is_unchanged(
    entry: &volume::Entry,
    last: &stored::Entry,
    last_began: volume::Timestamp,
) -> bool {
    let metadata = &entry.metadata;
    last.kind == stored::EntryKind::File
        && metadata.kind == Kind::File
        && metadata.size == last.size_bytes
        && has_same_status(metadata, last)
        && metadata.ctime < last_began
}

/// True when nothing was done to an entry since but reading it.
fn has_same_status(metadata: &volume::Metadata, last: &stored::Entry) -> bool {
    time_to_stored(metadata.mtime) == last.modified
        && time_to_stored(metadata.ctime) == last.changed
        && metadata.inode == last.inode
}

/// Gives `entry` the access time that the last snapshot has of it, if nothing changed since but that. Whoever reads a file moves its access
/// time; directories would be stored anew after every walk of a search tool.
pub(crate) fn keep_access_time(entry: &mut volume::Entry, last: &stored::Entry) {
    if let (true, Some(accessed)) = (has_same_status(&entry.metadata, last), last.accessed) {
        entry.metadata.atime = time_to_volume(accessed);
    }
}

fn time_to_stored(time: volume::Timestamp) -> stored::Time {
    stored::Time { seconds: time.seconds, nanoseconds: time.nanoseconds }
}

fn time_to_volume(time: stored::Time) -> volume::Timestamp {
    volume::Timestamp { seconds: time.seconds, nanoseconds: time.nanoseconds }
}
