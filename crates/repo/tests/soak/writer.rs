//! A process that backs up, in a thread of its own, which does one step when it is told to.

use longshore_repo::{
    BackupOptions, Class, Committed, RepoError, Repository, Run, RunId, Secret, SnapshotDraft, SnapshotStats,
    SourceIdentity, WrittenContent, splitter::PieceKind, store::Store,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc},
    thread::JoinHandle,
};

/// What a writer can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Put the next piece.
    Put,
    /// Make all durable and indexed.
    Checkpoint,
    /// Look for plans, as its thread would from time to time.
    Look,
    Commit,
    Abandon,
}

/// How a step ended.
#[derive(Debug)]
pub enum Outcome {
    Done,
    Committed { new: bool },
    Failed(Class, String),
}

pub struct Writer {
    pub run: RunId,
    pub source: String,
    pub content: Vec<u8>,
    /// It was silent for longer than the limit: whatever happens to it is right, as long as nobody else suffers.
    pub was_silent: bool,
    /// Its store fails at some request.
    pub is_doomed: bool,
    steps: mpsc::Sender<Step>,
    outcomes: mpsc::Receiver<Outcome>,
    thread: Option<JoinHandle<()>>,
}

pub fn identity(source: &str) -> SourceIdentity {
    SourceIdentity::Path { host: "sim".into(), path: source.into() }
}

impl Writer {
    /// Starts the process; it has begun its session when this returns, or says why not.
    pub fn start(
        store: Arc<dyn Store>,
        password: &'static str,
        source: String,
        run: RunId,
        content: Vec<u8>,
        is_doomed: bool,
    ) -> Result<Self, (Class, String)> {
        let (steps, orders) = mpsc::channel();
        let (results, outcomes) = mpsc::channel();
        let (path, data) = (source.clone(), content.clone());
        let thread = std::thread::spawn(move || {
            let failed = |error: RepoError| Outcome::Failed(error.class(), format!("{error:?}"));
            if let Err(error) = work(store, password, &path, run, &data, &orders, &results) {
                let _ = results.send(failed(error));
            }
        });
        let writer = Self {
            run,
            source,
            content,
            was_silent: false,
            is_doomed,
            steps,
            outcomes,
            thread: Some(thread),
        };
        match writer.outcomes.recv() {
            Ok(Outcome::Failed(class, text)) => Err((class, text)),
            Ok(_) => Ok(writer),
            Err(_) => Err((Class::Machine, "the writer's thread died".into())),
        }
    }

    pub fn step(&self, step: Step) -> Outcome {
        if self.steps.send(step).is_err() {
            return Outcome::Failed(Class::Machine, "the writer is gone".into());
        }
        self.outcomes.recv().unwrap_or(Outcome::Failed(Class::Machine, "the writer died".into()))
    }
}

impl Drop for Writer {
    /// As if it were killed: its session says nothing more.
    fn drop(&mut self) {
        let (dead, _) = mpsc::channel();
        self.steps = dead;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(
    store: Arc<dyn Store>,
    password: &str,
    path: &str,
    run: RunId,
    content: &[u8],
    orders: &mpsc::Receiver<Step>,
    results: &mpsc::Sender<Outcome>,
) -> Result<(), RepoError> {
    let repository = Repository::open(store, &Secret::from(password))?;
    let identity = identity(path);
    let source = repository.source_id(&identity);
    let latest = repository.latest_of(source)?;
    let session = repository.begin_backup(source, run, latest.as_ref(), BackupOptions::default())?;
    let parent = session.parent().map(|parent| repository.open_volume(parent)).transpose()?;
    let mut old = BTreeMap::new();
    if let Some(parent) = &parent {
        let mut at = 0;
        for run in parent.span(0)?.unwrap_or_default() {
            if let Run::Chunk(chunk) = run {
                old.insert(at, chunk);
            }
            at += run.length_bytes();
        }
    }
    let pieces = repository.volume_splitter().split_span(content);
    let writer = session.volume_writer(content.len() as u64, parent.as_ref());
    let _ = results.send(Outcome::Done);
    let (mut runs, mut at, mut next) = (Vec::new(), 0, 0);
    let mut put = |runs: &mut Vec<Run>| -> Result<bool, RepoError> {
        let Some(piece) = pieces.get(next) else { return Ok(false) };
        let bytes = &content[at..at + piece.length_bytes];
        runs.push(match piece.kind {
            PieceKind::Hole => Run::Hole { length_bytes: piece.length_bytes as u64 },
            PieceKind::Data => Run::Chunk(session.put_chunk(bytes, old.get(&(at as u64)))?),
        });
        at += piece.length_bytes;
        next += 1;
        Ok(true)
    };
    while let Ok(step) = orders.recv() {
        match step {
            Step::Put => {
                put(&mut runs)?;
            }
            Step::Checkpoint => session.checkpoint()?,
            Step::Look => session.look_for_tests()?,
            Step::Abandon => {
                session.abandon()?;
                let _ = results.send(Outcome::Done);
                return Ok(());
            }
            Step::Commit => {
                while put(&mut runs)? {}
                writer.put_span(0, &runs)?;
                let written = writer.finish()?;
                let committed = session.commit(draft(identity, written))?;
                let _ = results.send(Outcome::Committed { new: matches!(committed, Committed::New(_)) });
                return Ok(());
            }
        }
        let _ = results.send(Outcome::Done);
    }
    Ok(())
}

fn draft(source: SourceIdentity, content: WrittenContent) -> SnapshotDraft {
    SnapshotDraft {
        source,
        started_at: jiff::Timestamp::UNIX_EPOCH,
        finished_at: jiff::Timestamp::now(),
        data_at: None,
        content,
        parent: None,
        incomplete: false,
        stats: SnapshotStats::default(),
        kubernetes: None,
        labels: BTreeMap::new(),
    }
}
