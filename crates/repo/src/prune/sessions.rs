//! Sessions as prune sees them, and what it does about one that has not acknowledged a plan.
//!
//! ```text
//!            ┌──────────── gives signs of life ───────────► Wait
//!  not over ─┤ acknowledged, ended, or a reader that is ready ► Settled
//!            └ silent: backup ► Fence, once all of its key are │ reader, ready or not ► LetGo
//! ```
//!
//! A session is over when its commit key holds a record or a fence, when its run was forgotten, when all sessions of its key
//! have said `end`, or when its `open` is gone. All of its key, because one may build on what another has finished.

use crate::{
    RepoError, Repository,
    parallel::{self, AT_ONCE},
    record,
};
use jiff::Timestamp;
use longshore_format::{
    NodeRef, PackId, RunId, SessionId,
    names::{self, PackKind, SessionObject, SnapshotKey},
    sealed::RecordKind,
    session::{SessionKind, SessionOpen, SessionProgress, SessionReady, SessionSeen},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

/// One session: the names of its objects, and what they say.
#[derive(Debug, Clone)]
pub(super) struct SessionState {
    pub(super) run: RunId,
    pub(super) id: SessionId,
    /// None if it is gone: prune has begun to clear the session away.
    open: Option<SessionOpen>,
    ready: Option<SessionReady>,
    seen: Vec<u64>,
    progress: Vec<u64>,
    has_end: bool,
    /// When the newest of its objects was made, by the store's clock.
    last_sign: Timestamp,
}

/// What to do about a session that is not over, for the sake of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing that it does from now on can need what the plan condemns, but what it has said.
    Settled,
    /// It is alive and will say.
    Wait,
    /// It is silent: end the attempt.
    Fence(SnapshotKey),
    /// A silent reader.
    LetGo,
}

impl SessionState {
    pub(super) fn kind(&self) -> Option<SessionKind> {
        self.open.as_ref().map(|open| open.kind)
    }

    pub(super) fn commit(&self) -> Option<SnapshotKey> {
        self.open.as_ref().and_then(|open| open.commit).map(Into::into)
    }

    /// The snapshot that it builds on or reads.
    pub(super) fn snapshot(&self) -> Option<SnapshotKey> {
        self.ready.as_ref().and_then(|ready| ready.snapshot).map(Into::into)
    }

    /// One that has ended uses nothing any more, though it is not over as long as a sibling may build on what it finished.
    fn has_settled(&self, plan: u64) -> bool {
        match self.kind() {
            _ if self.has_end => true,
            Some(SessionKind::Backup) => {
                self.seen.iter().any(|seen| *seen >= plan)
                    || self.ready.as_ref().is_some_and(|ready| ready.plan >= plan)
            }
            Some(SessionKind::Restore | SessionKind::Check) => self.ready.is_some(),
            None => true,
        }
    }

    pub(super) fn is_silent(&self, now: Timestamp, limit: Duration) -> bool {
        let silent = now.duration_since(self.last_sign);
        Duration::try_from(silent).is_ok_and(|silent| silent > limit)
    }
}

/// Decides for each session that is not over. `now`: of the store's clock.
pub(super) fn decide(sessions: &[SessionState], plan: u64, now: Timestamp, limit: Duration) -> Vec<Step> {
    let alive: HashSet<SnapshotKey> = sessions
        .iter()
        .filter(|session| !session.has_end && !session.is_silent(now, limit))
        .filter_map(SessionState::commit)
        .collect();
    sessions
        .iter()
        .map(|session| {
            let is_silent = session.is_silent(now, limit);
            // A reader that was killed would hold its target for ever.
            let is_lost = is_silent && session.commit().is_none();
            if session.has_settled(plan) && !is_lost {
                return Step::Settled;
            }
            if !is_silent {
                return Step::Wait;
            }
            match session.commit() {
                // A fence would take the key from its living sibling too. Only an answer or an object at its key settles a writer.
                Some(key) if alive.contains(&key) => Step::Wait,
                Some(key) => Step::Fence(key),
                None => Step::LetGo,
            }
        })
        .collect()
}

/// Which sessions are over. `taken`: whether an attempt can have no other outcome any more.
pub(super) fn over(sessions: &[SessionState], taken: impl Fn(SnapshotKey) -> bool) -> Vec<bool> {
    let goes_on = |session: &&SessionState| session.open.is_some() && !session.has_end;
    let open_keys: HashSet<SnapshotKey> =
        sessions.iter().filter(goes_on).filter_map(SessionState::commit).collect();
    let is_over = |session: &SessionState| match session.commit() {
        _ if session.open.is_none() => true,
        Some(key) => taken(key) || !open_keys.contains(&key),
        None => session.has_end,
    };
    sessions.iter().map(is_over).collect()
}

/// All sessions, over or not.
pub(super) fn list(repository: &Repository) -> Result<Vec<SessionState>, RepoError> {
    let mut found: BTreeMap<(RunId, SessionId), (Vec<SessionObject>, Timestamp)> = BTreeMap::new();
    for object in repository.io.list(names::SESSIONS)? {
        let Some((run, id, what)) = names::parse_session(&object.name) else { continue };
        let entry = found.entry((run, id)).or_insert((Vec::new(), object.modified_at));
        entry.0.push(what);
        entry.1 = entry.1.max(object.modified_at);
    }
    let found: Vec<_> = found.into_iter().collect();
    parallel::map(&found, AT_ONCE, |((run, id), (objects, last_sign))| {
        let mut session = SessionState {
            run: *run,
            id: *id,
            open: None,
            ready: None,
            seen: Vec::new(),
            progress: Vec::new(),
            has_end: objects.contains(&SessionObject::End),
            last_sign: *last_sign,
        };
        // Asked for even if it was not listed: a session that opens during a listing may show later objects only.
        session.open = read(repository, *run, *id, SessionObject::Open, SessionOpen::decode)?;
        for object in objects {
            match object {
                SessionObject::Ready => {
                    session.ready = read(repository, *run, *id, *object, SessionReady::decode)?;
                }
                SessionObject::Seen(plan) => session.seen.push(*plan),
                SessionObject::Progress(number) => session.progress.push(*number),
                SessionObject::Open | SessionObject::Beat(_) | SessionObject::End => {}
            }
        }
        Ok(session)
    })
}

/// Nodes that a session says are finished: whoever continues it builds on them.
pub(crate) fn progress_roots(
    repository: &Repository,
    session: &SessionState,
) -> Result<Vec<NodeRef>, RepoError> {
    let mut roots = Vec::new();
    for number in &session.progress {
        let object = SessionObject::Progress(*number);
        let progress = read(repository, session.run, session.id, object, SessionProgress::decode)?;
        roots.extend(progress.iter().flat_map(|progress| &progress.spans).filter_map(|span| span.leaf));
    }
    Ok(roots.into_iter().map(NodeRef::from).collect())
}

/// Condemned packs that sessions which are not over said they had used, and which sessions those are.
pub(super) fn packs_used(
    repository: &Repository,
    sessions: &[SessionState],
    plan: u64,
) -> Result<HashMap<(PackKind, PackId), Vec<SessionId>>, RepoError> {
    let mut packs: HashMap<_, Vec<_>> = HashMap::new();
    for session in sessions.iter().filter(|session| session.seen.contains(&plan)) {
        let seen = read(repository, session.run, session.id, SessionObject::Seen(plan), SessionSeen::decode)?;
        for pack in seen.iter().flat_map(|seen| seen.packs.iter()) {
            packs.entry(pack).or_default().push(session.id);
        }
    }
    Ok(packs)
}

/// Reads an object of a session. One that is gone belonged to a session that is over, and was pruned meanwhile. One that
/// cannot be read leaves open what may be deleted, so nothing may.
fn read<T>(
    repository: &Repository,
    run: RunId,
    id: SessionId,
    object: SessionObject,
    decode: impl FnOnce(&[u8]) -> Result<T, longshore_format::FormatError>,
) -> Result<Option<T>, RepoError> {
    let name = names::session(run, id, object);
    let undecidable =
        |error: RepoError| RepoError::Undecidable { object: name.clone(), source: Box::new(error) };
    match record::read(&repository.io, &repository.keys, RecordKind::Session, &name) {
        Ok(plain) => decode(&plain).map(Some).map_err(RepoError::format(&name)).map_err(undecidable),
        Err(RepoError::Store { source }) if source.class() == longshore_store::Class::NotFound => Ok(None),
        Err(error) if error.class().is_transient() => Err(error),
        Err(error) => Err(undecidable(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_format::SourceId;

    const LIMIT: Duration = Duration::from_secs(60);
    const RUN: RunId = RunId(uuid::Uuid::from_u128(2));
    const KEY: SnapshotKey = SnapshotKey { source: SourceId([1; 16]), run: RUN, attempt: 1 };

    /// One that saw plan 3 when it began, and gave its last sign so many seconds ago.
    fn session(kind: SessionKind, silent_seconds: i64) -> SessionState {
        let commit = (kind == SessionKind::Backup).then(|| KEY.into());
        let open = SessionOpen { kind, commit, opened_at: Timestamp::UNIX_EPOCH, software: String::new() };
        SessionState {
            run: KEY.run,
            id: SessionId([3; 16]),
            open: Some(open),
            ready: Some(SessionReady { plan: 3, snapshot: None }),
            seen: Vec::new(),
            progress: Vec::new(),
            has_end: false,
            last_sign: Timestamp::from_second(1000 - silent_seconds).unwrap(),
        }
    }

    fn decided(sessions: &[SessionState], plan: u64) -> Vec<Step> {
        decide(sessions, plan, Timestamp::from_second(1000).unwrap(), LIMIT)
    }

    #[test]
    fn a_writer_answers_or_is_fenced() {
        let alive = session(SessionKind::Backup, 1);
        let silent = session(SessionKind::Backup, 61);
        assert_eq!(
            decided(std::slice::from_ref(&silent), 3),
            [Step::Settled],
            "it knew the plan when it began"
        );
        assert_eq!(decided(std::slice::from_ref(&alive), 4), [Step::Wait]);
        assert_eq!(decided(std::slice::from_ref(&silent), 4), [Step::Fence(KEY)]);
        assert_eq!(decided(&[SessionState { seen: vec![4], ..silent.clone() }], 4), [Step::Settled]);
        let both = [silent.clone(), SessionState { seen: vec![4], ..alive }];
        assert_eq!(
            decided(&both, 4),
            [Step::Wait, Step::Settled],
            "a sibling does not answer for the silent"
        );
    }

    #[test]
    fn who_has_ended_is_neither_waited_for_nor_alive() {
        let ended = SessionState { has_end: true, ..session(SessionKind::Backup, 1) };
        let silent = session(SessionKind::Backup, 61);
        assert_eq!(
            decided(&[ended.clone(), session(SessionKind::Backup, 1)], 4),
            [Step::Settled, Step::Wait]
        );
        assert_eq!(decided(&[ended.clone(), silent.clone()], 4), [Step::Settled, Step::Fence(KEY)]);
        assert_eq!(over(&[ended.clone(), silent], |_| false), [false, false], "the sibling may build on it");
        assert_eq!(over(&[ended], |_| false), [true]);
    }

    #[test]
    fn a_silent_reader_is_let_go_though_it_was_ready() {
        for kind in [SessionKind::Restore, SessionKind::Check] {
            assert_eq!(decided(&[session(kind, 59)], 4), [Step::Settled]);
            assert_eq!(decided(&[session(kind, 61)], 4), [Step::LetGo]);
            let early = SessionState { ready: None, ..session(kind, 59) };
            assert_eq!(decided(std::slice::from_ref(&early), 4), [Step::Wait]);
        }
    }
}
