//! A device or image into the repository.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use longshore_job::Stage;
use longshore_repo::splitter::{HOLE_BYTES_MIN, Piece, PieceKind, Step, VolumeSplitter};
use longshore_repo::{BackupSession, Repository, Run, SPAN_BYTES, VolumeReader, WrittenContent};
use longshore_volume::BlockReader;

use super::window::Window;
use crate::workers::{for_each_number, worker_count};
use crate::{Control, MoverError};

/// Above this share of changed bytes a span is cut anew: one pass is then cheaper than two.
const CHANGED_SHARE_MAX: u64 = 2;

/// Figures of a stored volume.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VolumeTotals {
    /// Bytes read from the source.
    pub read_bytes: u64,
    /// Bytes that are holes.
    pub hole_bytes: u64,
}

/// Stores all of `source` in `session`, in spans that are worked on in parallel. With `parent`, the map of an earlier snapshot of
/// the same volume, spans are first compared with it, and only around what changed are cuts searched for. With `resume`, spans
/// that an earlier process of this run has finished are taken over as they are.
///
/// # Errors
/// [`MoverError::Source`], [`MoverError::Repository`], [`MoverError::Cancelled`].
pub fn backup_volume(
    session: &BackupSession<'_>,
    source: &BlockReader,
    parent: Option<&VolumeReader<'_>>,
    resume: bool,
    control: &Control,
) -> Result<(WrittenContent, VolumeTotals), MoverError> {
    control.set_total(source.size());
    control.set_stage(Stage::Transferring);
    let repository = session.repository();
    let splitter = repository.volume_splitter();
    let writer = session.volume_writer(source.size(), parent);
    let finished = if resume { writer.resume()? } else { BTreeSet::new() };
    if !finished.is_empty() {
        tracing::info!(spans = finished.len(), "an earlier process of this run has finished these spans");
    }
    let backup = Backup {
        repository,
        session,
        source,
        parent,
        control,
        splitter: &splitter,
        read_bytes: AtomicU64::new(0),
        hole_bytes: AtomicU64::new(0),
    };
    let spans = source.size().div_ceil(SPAN_BYTES);
    for_each_number(worker_count(), spans, control, Window::new, |window, span| {
        if finished.contains(&span) {
            control.add_done(source.size().min((span + 1) * SPAN_BYTES) - span * SPAN_BYTES);
            return Ok(());
        }
        let runs = backup.span(window, span)?;
        writer.put_span(span, &runs)?;
        control.raise_transferred(session.stats().stored_bytes);
        Ok(())
    })?;
    let totals = VolumeTotals {
        read_bytes: backup.read_bytes.into_inner(),
        hole_bytes: backup.hole_bytes.into_inner(),
    };
    Ok((writer.finish()?, totals))
}

struct Backup<'a> {
    repository: &'a Repository,
    session: &'a BackupSession<'a>,
    source: &'a BlockReader,
    parent: Option<&'a VolumeReader<'a>>,
    control: &'a Control,
    splitter: &'a VolumeSplitter,
    read_bytes: AtomicU64,
    hole_bytes: AtomicU64,
}

impl Backup<'_> {
    fn span(&self, window: &mut Window, span: u64) -> Result<Vec<Run>, MoverError> {
        let start = span * SPAN_BYTES;
        let end = (start + SPAN_BYTES)
            .min(self.source.size())
            .next_multiple_of(longshore_volume::ALIGNMENT_BYTES as u64);
        window.begin(start, end);
        let old = match self.parent {
            Some(parent) if span < parent.span_count() => self.old_runs(parent, span, end - start),
            _ => None,
        };
        let runs = match old {
            None => self.cut_all(window)?,
            Some(old) => self.compare(window, old)?,
        };
        let holes: u64 =
            runs.iter().filter(|run| matches!(run, Run::Hole { .. })).map(Run::length_bytes).sum();
        self.hole_bytes.fetch_add(holes, Ordering::Relaxed);
        self.control.add_done(end.min(self.source.size()) - start);
        tracing::trace!(span, runs = runs.len(), hole_bytes = holes, "a span is stored");
        Ok(runs)
    }

    /// What the parent has of a span; nothing when it has another length, or cannot be read: then the span is stored anew, which
    /// mends the damage.
    fn old_runs(&self, parent: &VolumeReader<'_>, span: u64, length: u64) -> Option<Vec<Run>> {
        match parent.span(span) {
            Ok(runs) => {
                let runs = runs.unwrap_or_else(|| vec![Run::Hole { length_bytes: length }]);
                let covered: u64 = runs.iter().map(Run::length_bytes).sum();
                (covered == length).then_some(runs)
            }
            Err(error) => {
                tracing::warn!(span, error = %longshore_job::chain(&error), "the parent's map cannot be read");
                None
            }
        }
    }

    fn cut_all(&self, window: &mut Window) -> Result<Vec<Run>, MoverError> {
        let mut runs = Vec::new();
        let mut after_hole = false;
        while window.at < window.end {
            self.control.check()?;
            let hole = window.known_hole(self.source)?;
            if hole > 0 && (after_hole || hole >= HOLE_BYTES_MIN as u64) {
                push(&mut runs, Run::Hole { length_bytes: hole });
                window.skip(hole);
                after_hole = true;
                continue;
            }
            let (bytes, at_end) = window.fill(self.source, self.splitter.window_bytes(), &self.read_bytes)?;
            let Some(piece) = self.splitter.next_piece(bytes, after_hole, at_end) else {
                return Err(MoverError::Broken);
            };
            after_hole = piece.kind == PieceKind::Hole;
            push(&mut runs, self.store(&piece, &bytes[..piece.length_bytes])?);
            window.skip(piece.length_bytes as u64);
        }
        Ok(runs)
    }

    fn store(&self, piece: &Piece, bytes: &[u8]) -> Result<Run, MoverError> {
        match piece.kind {
            PieceKind::Hole => Ok(Run::Hole { length_bytes: piece.length_bytes as u64 }),
            PieceKind::Data => Ok(Run::Chunk(self.session.put_chunk(bytes, None)?)),
        }
    }

    /// Reads the span at the parent's cuts; what equals the parent is taken over, around the rest it is cut again.
    fn compare(&self, window: &mut Window, old: Vec<Run>) -> Result<Vec<Run>, MoverError> {
        let (mut changed, mut changed_bytes, mut at) = (Vec::new(), 0, 0);
        for run in &old {
            self.control.check()?;
            let length = run.length_bytes();
            if !self.is_same(window, run)? {
                changed.push(at as usize..(at + length) as usize);
                changed_bytes += length;
            }
            at += length;
        }
        if changed.is_empty() {
            return Ok(old);
        }
        window.begin(window.start, window.end);
        if changed_bytes * CHANGED_SHARE_MAX > at {
            return self.cut_all(window);
        }
        let pieces: Vec<Piece> = old.iter().map(piece_of).collect();
        let start = window.start;
        let mut read = |offset: usize, buffer: &mut [u8]| {
            self.read_bytes.fetch_add(buffer.len() as u64, Ordering::Relaxed);
            self.source.read_at(start + offset as u64, buffer).map_err(MoverError::Source)
        };
        let steps = self.splitter.rechunk_span(&pieces, &changed, &mut read)?;
        let mut runs = Vec::new();
        for step in steps {
            let run = match step {
                Step::Keep(kept) => old[kept.index],
                Step::New(piece) => {
                    let bytes = window.read(self.source, piece.length_bytes, &self.read_bytes)?;
                    self.store(&piece, bytes)?
                }
            };
            window.skip(run.length_bytes());
            push(&mut runs, run);
        }
        Ok(runs)
    }

    fn is_same(&self, window: &mut Window, run: &Run) -> Result<bool, MoverError> {
        match run {
            Run::Chunk(chunk) => {
                let bytes = window.read(self.source, chunk.length_bytes as usize, &self.read_bytes)?;
                let same = self.repository.chunk_id(bytes) == chunk.id && self.session.trusts(chunk)?;
                window.skip(chunk.length_bytes.into());
                Ok(same)
            }
            Run::Hole { length_bytes } => {
                let end = window.at + length_bytes;
                let mut same = true;
                while window.at < end {
                    let hole = window.known_hole(self.source)?.min(end - window.at);
                    if hole > 0 {
                        window.skip(hole);
                        continue;
                    }
                    let count = (end - window.at).min(1 << 20);
                    let bytes = window.read(self.source, count as usize, &self.read_bytes)?;
                    same &= bytes.iter().all(|byte| *byte == 0);
                    window.skip(count);
                }
                Ok(same)
            }
        }
    }
}

fn piece_of(run: &Run) -> Piece {
    let kind = match run {
        Run::Hole { .. } => PieceKind::Hole,
        Run::Chunk(_) => PieceKind::Data,
    };
    Piece { kind, length_bytes: run.length_bytes() as usize }
}

/// Appends a run; holes that touch become one.
fn push(runs: &mut Vec<Run>, run: Run) {
    match (runs.last_mut(), run) {
        (Some(Run::Hole { length_bytes }), Run::Hole { length_bytes: more }) => *length_bytes += more,
        _ => runs.push(run),
    }
}
