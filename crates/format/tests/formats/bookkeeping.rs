use crate::golden;
use longshore_format::{
    Class, Digest, FormatError, FrameId, NodeId, PackId, Place, RunId, SegmentId, SourceId,
    checkpoint::{CHECKPOINTS_BEFORE_MAX, Checkpoint, EarlierCheckpoint, SeenSnapshot},
    damage::DamageReport,
    names::PackKind,
    prune::{CONDEMNED_MAX, Fence, Plan, PlanResult, Tombstone},
    sealed::RecordKind,
    session::{
        CommitKey, FinishedSpan, PROGRESS_SPANS_MAX, PackList, SEEN_PACKS_MAX, SessionEnd, SessionKind,
        SessionOpen, SessionProgress, SessionReady, SessionSeen,
    },
    snapshot::RecordNode,
};

fn key() -> CommitKey {
    CommitKey { source: SourceId([7; 16]), run: RunId(uuid::Uuid::from_u128(9)), attempt: 2 }
}

fn packs(count: usize) -> PackList {
    let mut packs = PackList::default();
    for number in 0..count {
        let kind = if number % 2 == 0 { PackKind::Data } else { PackKind::Meta };
        packs.push(kind, PackId([number as u8; 32]));
    }
    packs
}

/// Requires the golden bytes, and that they come back.
fn pinned<T: PartialEq + std::fmt::Debug>(
    name: &str,
    record: &T,
    encode: impl Fn(&T) -> Result<Vec<u8>, FormatError>,
    decode: impl Fn(&[u8]) -> Result<T, FormatError>,
) {
    let golden = golden::check(name, &encode(record).unwrap());
    assert_eq!(&decode(&golden).unwrap(), record, "{name}");
    for cut in 0..golden.len() {
        assert!(decode(&golden[..cut]).is_err(), "{name} of {cut} bytes");
    }
}

#[test]
fn what_sessions_say_never_moves() {
    let opened_at = "2026-11-25T00:00:00Z".parse().unwrap();
    let software = "longshore 0.1.0".to_owned();
    let open = SessionOpen { kind: SessionKind::Backup, commit: Some(key()), opened_at, software };
    pinned("session-open.json", &open, SessionOpen::encode, SessionOpen::decode);
    let ready = SessionReady { plan: 3, snapshot: Some(key()) };
    pinned("session-ready.json", &ready, SessionReady::encode, SessionReady::decode);
    let seen = SessionSeen { plan: 4, packs: packs(3) };
    pinned("session-seen.json", &seen, SessionSeen::encode, SessionSeen::decode);
    let place = Place { pack: PackId([2; 32]), slot: 3, offset_bytes: 4, length_bytes: 5 };
    let leaf = RecordNode { id: NodeId([1; 32]), place: Some(place) };
    let spans = vec![
        FinishedSpan { span: 0, data_bytes: 4096, leaf: Some(leaf) },
        FinishedSpan { span: 7, data_bytes: 0, leaf: None },
    ];
    let progress = SessionProgress { size_bytes: 1 << 30, spans };
    pinned("session-progress.json", &progress, SessionProgress::encode, SessionProgress::decode);
    pinned("session-end.json", &SessionEnd { done: true }, SessionEnd::encode, SessionEnd::decode);
}

#[test]
fn what_deletion_leaves_never_moves() {
    let at = "2026-11-25T00:00:00Z".parse().unwrap();
    let tombstone = Tombstone {
        source: SourceId([7; 16]),
        run: RunId(uuid::Uuid::from_u128(9)),
        forgotten_at: at,
        reason: "by name".into(),
        software: "longshore 0.1.0".into(),
    };
    pinned("tombstone.json", &tombstone, Tombstone::encode, Tombstone::decode);
    let fence = Fence { key: key(), plan: 4, fenced_at: at };
    pinned("fence.json", &fence, Fence::encode, Fence::decode);
    let plan = Plan { number: 4, created_at: at, condemned: packs(3) };
    pinned("plan.json", &plan, Plan::encode, Plan::decode);
    let result = PlanResult {
        number: 4,
        created_at: at,
        level_1: vec![SegmentId([5; 32])],
        stale: vec![format!("idx/0/00000003/{}", SegmentId([6; 32]))],
        forgotten: vec![key()],
    };
    pinned("result.json", &result, PlanResult::encode, PlanResult::decode);
}

#[test]
fn checkpoints_never_move() {
    let checkpoint = Checkpoint {
        number: 12,
        created_at: "2026-11-25T00:00:00Z".parse().unwrap(),
        before: vec![EarlierCheckpoint { number: 11, digest: Digest([1; 32]) }],
        keyset_revision: 3,
        plan: 4,
        snapshots: vec![SeenSnapshot { key: key(), digest: Digest([2; 32]) }],
    };
    pinned("checkpoint.json", &checkpoint, Checkpoint::encode, Checkpoint::decode);
    let before = vec![checkpoint.before[0]; CHECKPOINTS_BEFORE_MAX + 1];
    let long = Checkpoint { before, ..checkpoint }.encode().unwrap();
    assert!(matches!(Checkpoint::decode(&long), Err(FormatError::Limit { .. })));
}

#[test]
fn what_damage_leaves_never_moves() {
    let report = DamageReport {
        kind: PackKind::Data,
        pack: PackId([5; 32]),
        lost: Some(vec![FrameId([6; 32]), FrameId([7; 32])]),
        found_at: "2026-11-25T00:00:00Z".parse().unwrap(),
        reason: "a frame does not open".into(),
        software: "longshore 0.1.0".into(),
    };
    pinned("damage-frames.json", &report, DamageReport::encode, DamageReport::decode);
    let whole = DamageReport { kind: PackKind::Meta, lost: None, ..report };
    pinned("damage-whole.json", &whole, DamageReport::encode, DamageReport::decode);
    let most = DamageReport { lost: Some(vec![FrameId([8; 32]); 16_384]), ..whole.clone() };
    assert!(most.encode().unwrap().len() <= RecordKind::Bad.bytes_max());
    let more = DamageReport { lost: Some(vec![FrameId([8; 32]); 16_385]), ..whole }.encode().unwrap();
    assert!(matches!(DamageReport::decode(&more), Err(FormatError::Limit { .. })));
}

#[test]
fn lists_have_limits() {
    let limit = |result: Result<(), FormatError>| matches!(result, Err(FormatError::Limit { .. }));
    let seen = SessionSeen { plan: 1, packs: packs(SEEN_PACKS_MAX + 1) }.encode().unwrap();
    assert!(limit(SessionSeen::decode(&seen).map(drop)));
    let at = "2026-11-25T00:00:00Z".parse().unwrap();
    let plan = Plan { number: 1, created_at: at, condemned: packs(CONDEMNED_MAX + 1) }.encode().unwrap();
    assert!(limit(Plan::decode(&plan).map(drop)));
    let span = FinishedSpan { span: 0, data_bytes: 0, leaf: None };
    let spans = vec![span; PROGRESS_SPANS_MAX + 1];
    let progress = SessionProgress { size_bytes: 1, spans }.encode().unwrap();
    assert!(limit(SessionProgress::decode(&progress).map(drop)));
    assert_eq!(SessionEnd::decode(b"{}").unwrap_err().class(), Class::Corrupt);
}
