//! What of a volume is finished, for whoever continues after this process was killed (invariant 8).

use super::{BackupOptions, BackupSession};
use crate::{RepoError, record};
use longshore_format::{
    NodeRef, SessionId,
    names::{self, SessionObject},
    sealed::RecordKind,
    session::{FinishedSpan, PROGRESS_SPANS_MAX, SessionOpen, SessionProgress},
    snapshot::RecordNode,
};
use longshore_store::Class as StoreClass;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Spans that are finished but in no progress record yet.
pub(super) struct Progress {
    state: Mutex<State>,
    after: Duration,
    after_bytes: u64,
}

struct State {
    spans: Vec<(u64, u64, Option<NodeRef>)>,
    bytes: u64,
    last: Instant,
}

impl Progress {
    pub(super) fn new(options: BackupOptions) -> Self {
        let state = State { spans: Vec::new(), bytes: 0, last: Instant::now() };
        Self { state: Mutex::new(state), after: options.index_after, after_bytes: options.index_after_bytes }
    }

    /// Takes the waiting spans if a record is due.
    fn take_due(&self) -> Option<Vec<(u64, u64, Option<NodeRef>)>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let due = state.bytes >= self.after_bytes
            || state.last.elapsed() >= self.after
            || state.spans.len() >= PROGRESS_SPANS_MAX;
        if !due || state.spans.is_empty() {
            return None;
        }
        state.bytes = 0;
        state.last = Instant::now();
        Some(std::mem::take(&mut state.spans))
    }
}

impl BackupSession<'_> {
    /// Takes note of a finished span, and from time to time makes all that is finished durable and says so.
    pub(crate) fn span_finished(
        &self,
        size_bytes: u64,
        span: u64,
        data_bytes: u64,
        leaf: Option<NodeRef>,
    ) -> Result<(), RepoError> {
        {
            let mut state = self.progress.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.spans.push((span, data_bytes, leaf));
            state.bytes += data_bytes;
        }
        let Some(spans) = self.progress.take_due() else { return Ok(()) };
        self.checkpoint()?;
        let node =
            |node: NodeRef| RecordNode { id: node.id, place: self.durable_place(self.node_location(&node)) };
        let spans = spans.into_iter().map(|(span, data_bytes, leaf)| FinishedSpan {
            span,
            data_bytes,
            leaf: leaf.map(node),
        });
        self.registration.progress(&SessionProgress { size_bytes, spans: spans.collect() })
    }

    /// Spans of a volume of this size that earlier sessions of this attempt have finished. Those sessions are not over, so
    /// that all they finished is still there.
    pub(crate) fn finished_spans(&self, size_bytes: u64) -> Result<BTreeMap<u64, FinishedSpan>, RepoError> {
        let run = self.key.run;
        let mut sessions: BTreeMap<_, BTreeSet<SessionObject>> = BTreeMap::new();
        for object in self.repository.io.list(&names::sessions_of(run))? {
            if let Some((_, id, object)) = names::parse_session(&object.name) {
                sessions.entry(id).or_default().insert(object);
            }
        }
        let mut finished = BTreeMap::new();
        for (id, objects) in sessions {
            let progress = objects.iter().filter(|object| matches!(object, SessionObject::Progress(_)));
            let numbers: Vec<_> = progress.copied().collect();
            if id == self.registration.id() || numbers.is_empty() || objects.contains(&SessionObject::End) {
                continue;
            }
            match self.finished_by(id, numbers) {
                Ok(progress) => {
                    let fitting = progress.into_iter().filter(|progress| progress.size_bytes == size_bytes);
                    finished
                        .extend(fitting.flat_map(|progress| progress.spans).map(|span| (span.span, span)));
                }
                // It is over, and prune is clearing it away.
                Err(RepoError::Store { source }) if source.class() == StoreClass::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(finished)
    }

    /// What a session says it finished, if it has the same commit key.
    fn finished_by(
        &self,
        id: SessionId,
        numbers: Vec<SessionObject>,
    ) -> Result<Vec<SessionProgress>, RepoError> {
        let read = |object| {
            let name = names::session(self.key.run, id, object);
            record::read(&self.repository.io, &self.repository.keys, RecordKind::Session, &name)
        };
        let open = SessionOpen::decode(&read(SessionObject::Open)?).map_err(RepoError::format("session"))?;
        if open.commit != Some(self.key.into()) {
            return Ok(Vec::new());
        }
        let decode = |number| SessionProgress::decode(&read(number)?).map_err(RepoError::format("progress"));
        numbers.into_iter().map(decode).collect()
    }
}
