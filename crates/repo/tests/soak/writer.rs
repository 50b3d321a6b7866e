//! A process that backs up, which does one step when it is told to.

use longshore_repo::{
    BackupOptions, BackupSession, ChunkRef, Class, Committed, RepoError, Repository, Run, RunId,
    SnapshotDraft, SnapshotStats, SourceIdentity, WrittenContent,
    splitter::{Piece, PieceKind},
};
use std::collections::BTreeMap;

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

pub struct Writer<'r> {
    pub run: RunId,
    pub source: String,
    pub content: Vec<u8>,
    /// It was silent for longer than the limit: whatever happens to it is right, as long as nobody else suffers.
    pub was_silent: bool,
    /// Its store fails at some request.
    pub is_doomed: bool,
    /// A pack was damaged while it was at work.
    pub was_hit: bool,
    repository: &'r Repository,
    /// None once it is over. Dropped without an end it is as if it were killed: it says nothing more.
    session: Option<BackupSession<'r>>,
    /// The parent's chunks, by their offsets.
    old: BTreeMap<u64, ChunkRef>,
    pieces: Vec<Piece>,
    at: usize,
    runs: Vec<Run>,
}

pub fn identity(source: &str) -> SourceIdentity {
    SourceIdentity::Path { host: "sim".into(), path: source.into() }
}

impl<'r> Writer<'r> {
    /// Begins its session, or says why not.
    pub fn start(
        repository: &'r Repository,
        source: String,
        run: RunId,
        content: Vec<u8>,
        is_doomed: bool,
    ) -> Result<Self, RepoError> {
        let id = repository.source_id(&identity(&source));
        let latest = repository.latest_of(id)?;
        let session = repository.begin_backup(id, run, latest.as_ref(), BackupOptions::default())?;
        let mut old = BTreeMap::new();
        if let Some(parent) = session.parent() {
            let mut at = 0;
            // What cannot be read of a parent is stored anew.
            let runs = repository.open_volume(parent).and_then(|parent| parent.span(0));
            for run in runs.ok().flatten().unwrap_or_default() {
                if let Run::Chunk(chunk) = run {
                    old.insert(at, chunk);
                }
                at += run.length_bytes();
            }
        }
        let pieces = repository.volume_splitter().split_span(&content);
        Ok(Self {
            run,
            source,
            content,
            was_silent: false,
            is_doomed,
            was_hit: false,
            repository,
            session: Some(session),
            old,
            pieces,
            at: 0,
            runs: Vec::new(),
        })
    }

    pub fn step(&mut self, step: Step) -> Outcome {
        match self.try_step(step) {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(error.class(), format!("{error:?}")),
        }
    }

    fn try_step(&mut self, step: Step) -> Result<Outcome, RepoError> {
        let over = RepoError::Misuse { rule: "a writer that is over does nothing" };
        let session = self.session.as_ref().ok_or(over)?;
        match step {
            Step::Put => drop(self.put()?),
            Step::Checkpoint => session.checkpoint()?,
            Step::Look => session.look_for_tests()?,
            Step::Abandon => {
                if let Some(session) = self.session.take() {
                    session.abandon()?;
                }
            }
            Step::Commit => return self.commit(),
        }
        Ok(Outcome::Done)
    }

    /// Puts the next piece; false if there is none.
    fn put(&mut self) -> Result<bool, RepoError> {
        let (Some(session), Some(piece)) = (&self.session, self.pieces.get(self.runs.len())) else {
            return Ok(false);
        };
        let bytes = &self.content[self.at..self.at + piece.length_bytes];
        let run = match piece.kind {
            PieceKind::Hole => Run::Hole { length_bytes: piece.length_bytes as u64 },
            PieceKind::Data => Run::Chunk(session.put_chunk(bytes, self.old.get(&(self.at as u64)))?),
        };
        self.at += piece.length_bytes;
        self.runs.push(run);
        Ok(true)
    }

    fn commit(&mut self) -> Result<Outcome, RepoError> {
        while self.put()? {}
        let Some(session) = self.session.take() else { return Ok(Outcome::Done) };
        let written = {
            let parent = session.parent().map(|parent| self.repository.open_volume(parent)).transpose()?;
            let writer = session.volume_writer(self.content.len() as u64, parent.as_ref());
            writer.put_span(0, &self.runs)?;
            writer.finish()?
        };
        let committed = session.commit(draft(identity(&self.source), written))?;
        Ok(Outcome::Committed { new: matches!(committed, Committed::New(_)) })
    }
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
