//! Object names, relative to the repository's root. The same text is bound into the sealed objects.

use crate::{PackId, RepositoryId, RunId, SegmentId, SlotId, SourceId};

/// The repository header.
pub const REPOSITORY: &str = "repo";
/// Prefix of key slots.
pub const KEYS: &str = "keys/";
/// Prefix of keyset revisions.
pub const KEYSETS: &str = "keyset/";
/// Digits of the number of a revision, so that names sort as numbers do.
const REVISION_DIGITS: usize = 8;
/// Prefix of sealed configurations.
pub const CONFIG: &str = "config/";
/// Prefix of snapshot records.
pub const SNAPSHOTS: &str = "snap/";
/// Prefix of index segments.
pub const INDEX: &str = "idx/";
/// Prefix of level-0 index segments, the only ones that a mover writes.
pub const INDEX_LEVEL_0: &str = "idx/0/";

/// What a pack holds. Metadata packs stay in a hot storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PackKind {
    /// Chunks of volumes and files.
    Data,
    /// Nodes of volume maps and file trees.
    Meta,
}

impl PackKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Data, Self::Meta];

    /// The byte that stands for the kind in a pack's footer.
    pub fn code(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Meta => 2,
        }
    }

    /// The kind of a byte.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// The prefix of all packs of the kind.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Data => "data/",
            Self::Meta => "meta/",
        }
    }
}

/// The name of a pack.
pub fn pack(kind: PackKind, id: PackId) -> String {
    let hex = id.to_string();
    format!("{}{}/{hex}", kind.prefix(), &hex[..2])
}

/// The pack that an object name stands for, if it is one.
pub fn parse_pack(name: &str) -> Option<(PackKind, PackId)> {
    let kind = PackKind::ALL.into_iter().find(|kind| name.starts_with(kind.prefix()))?;
    let id: PackId = name.get(name.rfind('/')? + 1..)?.parse().ok()?;
    (pack(kind, id) == name).then_some((kind, id))
}

/// The name of a level-0 index segment.
pub fn index_segment(id: SegmentId) -> String {
    format!("{INDEX_LEVEL_0}{id}")
}

/// The index segment that an object name stands for, if it is one.
pub fn parse_index_segment(name: &str) -> Option<SegmentId> {
    name.strip_prefix(INDEX_LEVEL_0)?.parse().ok()
}

/// The name of a key slot.
pub fn key_slot(repository: RepositoryId, slot: SlotId) -> String {
    format!("{KEYS}{repository}/{slot}")
}

/// The prefix of the key slots of one repository.
pub fn key_slots(repository: RepositoryId) -> String {
    format!("{KEYS}{repository}/")
}

/// The name of a keyset revision.
pub fn keyset(repository: RepositoryId, revision: u32) -> String {
    format!("{KEYSETS}{repository}/{revision:08}")
}

/// The prefix of the keyset revisions of one repository.
pub fn keyset_revisions(repository: RepositoryId) -> String {
    format!("{KEYSETS}{repository}/")
}

/// The number of a revision, of a keyset or of the configuration, that an object name under `prefix` stands for.
pub fn parse_revision(prefix: &str, name: &str) -> Option<u32> {
    let digits = name.strip_prefix(prefix)?;
    let number: u32 = digits.parse().ok()?;
    (number > 0 && digits.len() == REVISION_DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit()))
        .then_some(number)
}

/// The name of a revision of the configuration.
pub fn config(repository: RepositoryId, revision: u32) -> String {
    format!("{CONFIG}{repository}/{revision:08}")
}

/// The prefix of the configurations of one repository.
pub fn config_revisions(repository: RepositoryId) -> String {
    format!("{CONFIG}{repository}/")
}

/// The key of a snapshot record: the one point where a run commits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotKey {
    /// What was backed up.
    pub source: SourceId,
    /// The run that did it.
    pub run: RunId,
    /// The attempt of the run, from 1.
    pub attempt: u32,
}

/// The name of a snapshot record.
pub fn snapshot(key: &SnapshotKey) -> String {
    format!("{}{:04}", run(key.source, key.run), key.attempt)
}

/// The prefix of all snapshot records of a source.
pub fn source(source: SourceId) -> String {
    format!("{SNAPSHOTS}{source}/")
}

/// The prefix of all attempts of a run.
pub fn run(source: SourceId, run: RunId) -> String {
    format!("{SNAPSHOTS}{source}/{run}/")
}

/// The snapshot key that an object name stands for, if it is one.
pub fn parse_snapshot(name: &str) -> Option<SnapshotKey> {
    let mut parts = name.strip_prefix(SNAPSHOTS)?.split('/');
    let key = SnapshotKey {
        source: parts.next()?.parse().ok()?,
        run: parts.next()?.parse().ok()?,
        attempt: parts.next()?.parse().ok()?,
    };
    (snapshot(&key) == name).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_and_nothing_else_does() {
        let id = PackId([0xab; 32]);
        for kind in PackKind::ALL {
            assert_eq!(parse_pack(&pack(kind, id)), Some((kind, id)));
            assert_eq!(PackKind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(parse_pack(&pack(PackKind::Data, id).replace("data/ab", "data/aa")), None);
        assert_eq!(parse_pack("data/é"), None);
        assert_eq!(parse_pack("data"), None);
        let key = SnapshotKey { source: SourceId([7; 16]), run: RunId(uuid::Uuid::from_u128(9)), attempt: 1 };
        assert_eq!(parse_snapshot(&snapshot(&key)), Some(key));
        assert_eq!(parse_snapshot(&(snapshot(&key) + "/x")), None);
        let repository = RepositoryId([3; 16]);
        for (prefix, name) in [
            (keyset_revisions(repository), keyset(repository, 7)),
            (config_revisions(repository), config(repository, 7)),
        ] {
            assert_eq!(parse_revision(&prefix, &name), Some(7));
            for wrong in ["00000000", "0000007", "000000007", "+0000007", "x"] {
                assert_eq!(parse_revision(&prefix, &format!("{prefix}{wrong}")), None);
            }
        }
        assert_eq!(parse_revision(&keyset_revisions(repository), &keyset(repository, 123_456_789)), None);
        let segment = SegmentId([1; 32]);
        assert_eq!(parse_index_segment(&index_segment(segment)), Some(segment));
        assert_eq!(parse_index_segment("idx/1/00"), None);
    }
}
