//! A session as prune sees it: what it says under `sess/`, and the thread that goes on saying it.
//!
//! ```text
//!   open ──► plans are read ──► ready ──► beat, progress, seen … ──► end
//! ```
//! The order is the protocol's (`docs/concurrency.md`, W1): whoever opens before a plan is made is seen by prune, whoever
//! opens after it sees the plan.

use crate::{
    RepoError, Repository,
    index::Index,
    io::Io,
    plans::{self, PlanView},
    record,
};
use jiff::Timestamp;
use longshore_crypto::{RepositoryKeys, random_bytes};
use longshore_format::{
    PackId, RunId, SessionId,
    names::{self, SessionObject, SnapshotKey},
    sealed::RecordKind,
    session::{
        PackList, SEEN_PACKS_MAX, SessionEnd, SessionKind, SessionOpen, SessionProgress, SessionReady,
        SessionSeen,
    },
};
use std::{
    collections::HashSet,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// A plan is looked for this many times in a silence limit, and a sign of life given half as often.
const LOOKS_PER_LIMIT: u32 = 10;
const BEATS_PER_LIMIT: u32 = 5;

/// What must be done between learning of a plan and acknowledging it, beside no longer using its packs.
pub(crate) type BeforeSeen = Box<dyn Fn() + Send>;

/// A session that prune knows of. Dropped without [`Self::end`], it goes silent, as if it had been killed.
#[derive(Debug)]
pub(crate) struct Registration {
    shared: Arc<Shared>,
}

struct Shared {
    io: Arc<Io>,
    keys: Arc<RepositoryKeys>,
    index: Arc<Index>,
    run: RunId,
    id: SessionId,
    silence_limit: Duration,
    /// Where it will commit. Who commits nothing need answer to no plan.
    commit: Option<SnapshotKey>,
    /// The highest plan that was seen and acknowledged, or seen before `ready`.
    plan: AtomicU64,
    /// A plan was finished without this session's answer.
    was_passed_over: AtomicBool,
    beats: AtomicU64,
    progress: AtomicU64,
    last_sign: Mutex<Instant>,
    life: Mutex<Life>,
    changed: Condvar,
}

/// What the session's thread does.
#[derive(Default)]
struct Life {
    /// It is to do nothing any more.
    is_stopped: bool,
    /// It is at work and will see that later.
    is_busy: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("run", &self.run).field("id", &self.id).finish_non_exhaustive()
    }
}

impl Repository {
    /// Opens a session: says that it exists, then learns what is condemned.
    pub(crate) fn register(
        &self,
        kind: SessionKind,
        run: RunId,
        commit: Option<SnapshotKey>,
    ) -> Result<Registration, RepoError> {
        let shared = Shared {
            io: self.io.clone(),
            keys: self.keys.clone(),
            index: self.index.clone(),
            run,
            id: SessionId(random_bytes()?),
            silence_limit: Duration::from_secs(self.config.silence_limit_seconds.into()),
            commit,
            plan: AtomicU64::new(0),
            was_passed_over: AtomicBool::new(false),
            beats: AtomicU64::new(0),
            progress: AtomicU64::new(0),
            last_sign: Mutex::new(Instant::now()),
            life: Mutex::default(),
            changed: Condvar::new(),
        };
        let open = SessionOpen {
            kind,
            commit: commit.map(Into::into),
            opened_at: Timestamp::now(),
            software: crate::SOFTWARE.to_owned(),
        };
        shared.say(SessionObject::Open, open.encode())?;
        let view = PlanView::load(&shared.io, &shared.keys)?;
        shared.plan.store(view.newest, Relaxed);
        // This session has used nothing yet; what an earlier one of this process used, it acknowledges itself.
        shared.index.adopt_view(&view.index());
        Ok(Registration { shared: Arc::new(shared) })
    }
}

impl Registration {
    pub(crate) fn id(&self) -> SessionId {
        self.shared.id
    }

    /// The highest plan seen.
    pub(crate) fn plan(&self) -> u64 {
        self.shared.plan.load(Relaxed)
    }

    /// Declares what the session builds on or reads, and begins to give signs of life.
    pub(crate) fn ready(
        &self,
        snapshot: Option<SnapshotKey>,
        before_seen: BeforeSeen,
    ) -> Result<(), RepoError> {
        let ready = SessionReady { plan: self.plan(), snapshot: snapshot.map(Into::into) };
        self.shared.say(SessionObject::Ready, ready.encode())?;
        let shared = self.shared.clone();
        std::thread::Builder::new()
            .name("longshore-session".to_owned())
            .spawn(move || shared.live(&before_seen))
            .map_err(|source| RepoError::Runtime { source })?;
        Ok(())
    }

    /// Says what is finished. All that it names must be durable and indexed.
    pub(crate) fn progress(&self, progress: &SessionProgress) -> Result<(), RepoError> {
        let number = self.shared.progress.fetch_add(1, Relaxed);
        self.shared.say(SessionObject::Progress(number), progress.encode())
    }

    /// The session is over.
    pub(crate) fn end(&self, done: bool) -> Result<(), RepoError> {
        self.pause();
        self.shared.say(SessionObject::End, SessionEnd { done }.encode())
    }

    /// Fails once the session knows that it can commit no more.
    pub(crate) fn check(&self) -> Result<(), RepoError> {
        if self.shared.was_passed_over.load(Relaxed) { Err(RepoError::Fenced) } else { Ok(()) }
    }

    /// Looks for plans now.
    pub(crate) fn look(&self, before_seen: &dyn Fn()) -> Result<(), RepoError> {
        self.shared.look(before_seen)
    }

    /// Gives no sign of life any more, from when it returns. The thread ends by itself.
    pub(crate) fn pause(&self) {
        let mut life = self.shared.life();
        life.is_stopped = true;
        self.shared.changed.notify_all();
        while life.is_busy {
            life = self.shared.changed.wait(life).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// While it lives, the session's thread is busy; also if that panics, so that nobody waits for it for ever.
struct AtWork<'s>(&'s Shared);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.life().is_busy = false;
        self.0.changed.notify_all();
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.pause();
    }
}

impl Shared {
    fn say(
        &self,
        object: SessionObject,
        plain: Result<Vec<u8>, longshore_format::FormatError>,
    ) -> Result<(), RepoError> {
        let name = names::session(self.run, self.id, object);
        let plain = plain.map_err(RepoError::format(&name))?;
        let sealed = record::seal(&self.keys, RecordKind::Session, &name, &plain)?;
        self.io.create(&name, sealed)?;
        *self.last_sign.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        Ok(())
    }

    /// Until stopped: looks for plans and gives signs of life. A failure is no end: prune waits, and the next look may succeed.
    fn live(&self, before_seen: &BeforeSeen) {
        let look = self.silence_limit / LOOKS_PER_LIMIT;
        let beat = self.silence_limit / BEATS_PER_LIMIT;
        let mut life = self.life();
        loop {
            if !life.is_stopped {
                life = self.changed.wait_timeout(life, look).unwrap_or_else(PoisonError::into_inner).0;
            }
            if life.is_stopped {
                return;
            }
            life.is_busy = true;
            drop(life);
            let at_work = AtWork(self);
            if let Err(error) = self.look(before_seen) {
                tracing::warn!(error = %crate::error::chain(&error), "the session could not look for plans");
            }
            let silent = self.last_sign.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            if silent + look > beat
                && let Err(error) = self.beat()
            {
                tracing::warn!(error = %crate::error::chain(&error), "the session could not give a sign of life");
            }
            drop(at_work);
            life = self.life();
        }
    }

    fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn beat(&self) -> Result<(), RepoError> {
        let number = self.beats.fetch_add(1, Relaxed);
        self.say(SessionObject::Beat(number), Ok(b"{}".to_vec()))
    }

    /// Acknowledges a new plan: first its packs are no longer used, then what was used is said.
    fn look(&self, before_seen: &dyn Fn()) -> Result<(), RepoError> {
        let (newest, _) = plans::newest_numbers(&self.io)?;
        let known = self.plan.load(Relaxed);
        if newest <= known {
            return Ok(());
        }
        // The plan between was not finished without an answer, so its prune has fenced this session, whose packs may be gone.
        // It must not write them into the index under a plan that counts (W3).
        if newest > known + 1 && self.commit.is_some() {
            if !self.was_passed_over.swap(true, Relaxed) {
                tracing::warn!(known, newest, "this session was silent for too long, and was given up");
            }
            return Ok(());
        }
        let view = PlanView::load(&self.io, &self.keys)?;
        let used = self.index.adopt_view(&view.index());
        before_seen();
        if used.len() > SEEN_PACKS_MAX {
            tracing::info!(
                packs = used.len(),
                "too many condemned packs were used to list them: prune waits"
            );
            return Ok(());
        }
        let mut packs = PackList::default();
        // A plan lists packs by kind; the index only knows ids.
        let used: HashSet<PackId> = used.into_iter().collect();
        view.plan
            .iter()
            .filter(|(_, pack)| used.contains(pack))
            .for_each(|(kind, pack)| packs.push(kind, pack));
        let seen = SessionSeen { plan: view.newest, packs };
        self.say(SessionObject::Seen(view.newest), seen.encode())?;
        self.plan.store(view.newest, Relaxed);
        Ok(())
    }
}
