//! Object names, relative to the repository's root. The same text is bound into the sealed objects.

use crate::{PackId, RepositoryId, RunId, SegmentId, SessionId, SlotId, SourceId, index::Level};

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

/// Prefix of what sessions say of themselves.
pub const SESSIONS: &str = "sess/";
/// Prefix of tombstones.
pub const TOMBSTONES: &str = "forget/";
/// Prefix of plans and their results.
pub const PLANS: &str = "gc/";
/// Prefix of checkpoints.
pub const CHECKPOINTS: &str = "ckpt/";
/// Prefix of damage reports.
pub const DAMAGE: &str = "bad/";
/// An object of no use but that prune can delete it on a full store.
pub const RESERVE: &str = "reserve";

/// What a pack holds. Metadata packs stay in a hot storage class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
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
    pub const fn prefix(self) -> &'static str {
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

/// The name of the report that a pack is damaged.
pub fn damage(pack: PackId) -> String {
    format!("{DAMAGE}{pack}")
}

/// The pack whose damage report a name stands for, if it is one.
pub fn parse_damage(name: &str) -> Option<PackId> {
    name.strip_prefix(DAMAGE)?.parse().ok()
}

/// The name of an index segment. Movers write level 0 only.
pub fn index_segment(level: Level, id: SegmentId) -> String {
    match level {
        Level::Zero { plan } => format!("{INDEX}0/{plan:08}/{id}"),
        Level::One => format!("{INDEX}1/{id}"),
    }
}

/// The index segment that an object name stands for, if it is one.
pub fn parse_index_segment(name: &str) -> Option<(Level, SegmentId)> {
    let (level, rest) = name.strip_prefix(INDEX)?.split_once('/')?;
    let (level, id) = match level {
        "0" => {
            let (plan, id) = rest.split_once('/')?;
            (Level::Zero { plan: plan.parse().ok()? }, id.parse().ok()?)
        }
        "1" => (Level::One, rest.parse().ok()?),
        _ => return None,
    };
    (index_segment(level, id) == name).then_some((level, id))
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

/// What an object of a session says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionObject {
    /// The session exists.
    Open,
    /// What it builds on or reads.
    Ready,
    /// A sign of life.
    Beat(u64),
    /// What is finished.
    Progress(u64),
    /// A plan that it has seen.
    Seen(u64),
    /// It is over.
    End,
}

/// The name of an object of a session. `run` is the run that the session belongs to, or that made the snapshot it reads.
pub fn session(run: RunId, session: SessionId, object: SessionObject) -> String {
    let prefix = sessions_of(run);
    match object {
        SessionObject::Open => format!("{prefix}{session}/open"),
        SessionObject::Ready => format!("{prefix}{session}/ready"),
        SessionObject::Beat(number) => format!("{prefix}{session}/beat/{number:08}"),
        SessionObject::Progress(number) => format!("{prefix}{session}/progress/{number:08}"),
        SessionObject::Seen(plan) => format!("{prefix}{session}/seen/{plan:08}"),
        SessionObject::End => format!("{prefix}{session}/end"),
    }
}

/// The prefix of all sessions of a run.
pub fn sessions_of(run: RunId) -> String {
    format!("{SESSIONS}{run}/")
}

/// The object of a session that a name stands for, if it is one.
pub fn parse_session(name: &str) -> Option<(RunId, SessionId, SessionObject)> {
    let mut parts = name.strip_prefix(SESSIONS)?.split('/');
    let (run, id) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let (word, number) = (parts.next()?, parts.next());
    let number = || number.and_then(|number| number.parse().ok());
    let object = match word {
        "open" => SessionObject::Open,
        "ready" => SessionObject::Ready,
        "beat" => SessionObject::Beat(number()?),
        "progress" => SessionObject::Progress(number()?),
        "seen" => SessionObject::Seen(number()?),
        "end" => SessionObject::End,
        _ => return None,
    };
    (session(run, id, object) == name).then_some((run, id, object))
}

/// The name of the tombstone of a run's snapshot.
pub fn tombstone(source: SourceId, run: RunId) -> String {
    format!("{}{run}", tombstones_of(source))
}

/// The prefix of the tombstones of a source.
pub fn tombstones_of(source: SourceId) -> String {
    format!("{TOMBSTONES}{source}/")
}

/// The tombstone that an object name stands for, if it is one.
pub fn parse_tombstone(name: &str) -> Option<(SourceId, RunId)> {
    let (source, run) = name.strip_prefix(TOMBSTONES)?.split_once('/')?;
    let (source, run) = (source.parse().ok()?, run.parse().ok()?);
    (tombstone(source, run) == name).then_some((source, run))
}

/// The two objects of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlanObject {
    /// What is condemned.
    Plan,
    /// The index without it.
    Result,
}

/// The name of an object of a plan.
pub fn plan(number: u64, object: PlanObject) -> String {
    match object {
        PlanObject::Plan => format!("{PLANS}{number:08}/plan"),
        PlanObject::Result => format!("{PLANS}{number:08}/result"),
    }
}

/// The prefix of everything of a plan.
pub fn plan_prefix(number: u64) -> String {
    format!("{PLANS}{number:08}/")
}

/// The name of an object that prune makes to learn the time of the store's clock.
pub fn clock(plan: u64, random: &[u8; 8]) -> String {
    format!("{}clock/{}", plan_prefix(plan), hex::encode(random))
}

/// Whether an object lives for the time of one run or prune: nobody needs it protected for longer.
pub fn is_short_lived(name: &str) -> bool {
    name.starts_with(SESSIONS) || plan_number(name).is_some_and(|_| parse_plan(name).is_none())
}

/// The number of a plan under which a name stands, clocks included.
pub fn plan_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix(PLANS)?.split_once('/')?.0.parse().ok()?;
    name.starts_with(&plan_prefix(number)).then_some(number)
}

/// The object of a plan that a name stands for, if it is one.
pub fn parse_plan(name: &str) -> Option<(u64, PlanObject)> {
    let (number, word) = name.strip_prefix(PLANS)?.split_once('/')?;
    let number = number.parse().ok()?;
    let object = match word {
        "plan" => PlanObject::Plan,
        "result" => PlanObject::Result,
        _ => return None,
    };
    (plan(number, object) == name).then_some((number, object))
}

/// The name of a checkpoint.
pub fn checkpoint(number: u64) -> String {
    format!("{CHECKPOINTS}{number:08}")
}

/// The number of the checkpoint that a name stands for, if it is one.
pub fn parse_checkpoint(name: &str) -> Option<u64> {
    let number = name.strip_prefix(CHECKPOINTS)?.parse().ok()?;
    (checkpoint(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookkeeping_is_short_lived_and_what_decides_is_not() {
        for name in ["sess/a/b/open", &clock(7, &[1; 8])] {
            assert!(is_short_lived(name), "{name}");
        }
        let (plan, result) = (plan(7, PlanObject::Plan), plan(7, PlanObject::Result));
        for name in [&plan, &result, REPOSITORY, "data/aa/bb", "gc/x", "snap/sess/x"] {
            assert!(!is_short_lived(name), "{name}");
        }
    }

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
        for level in [Level::Zero { plan: 0 }, Level::Zero { plan: 123_456_789 }, Level::One] {
            assert_eq!(parse_index_segment(&index_segment(level, segment)), Some((level, segment)));
        }
        let name = index_segment(Level::Zero { plan: 7 }, segment);
        assert_eq!(parse_index_segment(&name.replace("00000007", "7")), None);
        assert_eq!(parse_index_segment("idx/1/00"), None);
    }

    #[test]
    fn names_of_sessions_tombstones_and_plans_parse_back() {
        let (run, id) = (RunId(uuid::Uuid::from_u128(9)), SessionId([3; 16]));
        let objects = [
            SessionObject::Open,
            SessionObject::Ready,
            SessionObject::Beat(1),
            SessionObject::Progress(2),
            SessionObject::Seen(3),
            SessionObject::End,
        ];
        for object in objects {
            assert_eq!(parse_session(&session(run, id, object)), Some((run, id, object)));
        }
        assert_eq!(parse_session(&session(run, id, SessionObject::Beat(1)).replace("00000001", "1")), None);
        assert_eq!(parse_session(&(session(run, id, SessionObject::End) + "/x")), None);
        let source = SourceId([7; 16]);
        assert_eq!(parse_tombstone(&tombstone(source, run)), Some((source, run)));
        for object in [PlanObject::Plan, PlanObject::Result] {
            assert_eq!(parse_plan(&plan(12, object)), Some((12, object)));
        }
        assert_eq!(parse_plan("gc/00000012/other"), None);
        let pack = PackId([7; 32]);
        assert_eq!(parse_damage(&damage(pack)), Some(pack));
        assert_eq!(parse_damage(&damage(pack)[..60]), None);
    }
}
