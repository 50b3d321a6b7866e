//! For a target that cuts otherwise: content is put together again and cut as a backup into the target would cut it.

use std::sync::{Mutex, PoisonError};

use longshore_repo::splitter::{FileSplitter, PieceKind};
use longshore_repo::{ChunkRef, EntryContent, Run, TreeReader};

use super::{Halt, Task, read_error};
use crate::MoverError;
use crate::backup::SEGMENT_BYTES;

/// Bytes of a file that are put together at once.
const BATCH_BYTES: u64 = 16 << 20;

/// A span of a volume, cut by the target's rules.
pub(super) fn span(task: &Task<'_>, runs: &[Run]) -> Result<Vec<Run>, MoverError> {
    let bytes = assemble(task, runs)?;
    let mut out = Vec::new();
    let mut at = 0;
    for piece in task.target.volume_splitter().split_span(&bytes) {
        let end = at + piece.length_bytes;
        out.push(match piece.kind {
            PieceKind::Hole => Run::Hole { length_bytes: piece.length_bytes as u64 },
            PieceKind::Data => Run::Chunk(task.session.put_chunk(&bytes[at..end], None)?),
        });
        at = end;
    }
    Ok(out)
}

/// A file, cut by the target's rules. Its holes stay as they are.
pub(super) fn file(
    task: &Task<'_>,
    reader: &TreeReader<'_>,
    content: &EntryContent,
) -> Result<EntryContent, MoverError> {
    let splitter = task.target.file_splitter();
    let mut cutter =
        Cutter { task, splitter: &splitter, writer: task.session.file(), window: Vec::new(), at: 0 };
    let (mut batch, mut batch_bytes) = (Vec::new(), 0);
    for run in reader.file_runs(content) {
        let run = run.map_err(MoverError::CopySource)?;
        let is_hole = matches!(run, Run::Hole { .. });
        if is_hole || batch_bytes + run.length_bytes() > BATCH_BYTES {
            cutter.push(&assemble(task, &std::mem::take(&mut batch))?, is_hole)?;
            batch_bytes = 0;
        }
        if is_hole {
            cutter.hole(run)?;
        } else {
            batch_bytes += run.length_bytes();
            batch.push(run);
        }
    }
    cutter.push(&assemble(task, &batch)?, true)?;
    Ok(cutter.writer.finish()?)
}

/// The bytes of some runs.
fn assemble(task: &Task<'_>, runs: &[Run]) -> Result<Vec<u8>, MoverError> {
    let length: u64 = runs.iter().map(Run::length_bytes).sum();
    let bytes = Mutex::new(vec![0; length as usize]);
    let (mut chunks, mut places): (Vec<ChunkRef>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut at = 0;
    for run in runs {
        if let Run::Chunk(chunk) = run {
            chunks.push(*chunk);
            places.push(at);
        }
        at += run.length_bytes() as usize;
    }
    let put = |position: usize, read: &[u8]| {
        if task.control.is_cancelled() {
            return Err(Halt::Cancelled);
        }
        if let Some(at) = places.get(position) {
            bytes.lock().unwrap_or_else(PoisonError::into_inner)[*at..*at + read.len()].copy_from_slice(read);
        }
        Ok(())
    };
    task.source.read_chunks(&chunks, &put).map_err(read_error)?;
    Ok(bytes.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Cuts the data of a file as it comes. As in a backup, the end of a segment is always a cut.
struct Cutter<'a> {
    task: &'a Task<'a>,
    splitter: &'a FileSplitter,
    writer: longshore_repo::FileWriter<'a, 'a>,
    /// Bytes that wait for a cut; the first of them lies at `at`.
    window: Vec<u8>,
    at: u64,
}

impl Cutter<'_> {
    /// Takes more data; `ends`: a hole or the end of the file follows.
    fn push(&mut self, bytes: &[u8], ends: bool) -> Result<(), MoverError> {
        self.window.extend_from_slice(bytes);
        loop {
            let to_border = (SEGMENT_BYTES - self.at % SEGMENT_BYTES) as usize;
            let whole = self.window.len() >= to_border;
            let part = &self.window[..self.window.len().min(to_border)];
            let Some(length) = self.splitter.next_chunk(part, self.at == 0, whole || ends) else {
                return Ok(());
            };
            let chunk = self.task.session.put_chunk(&part[..length], None)?;
            self.writer.push(Run::Chunk(chunk))?;
            self.window.drain(..length);
            self.at += length as u64;
        }
    }

    fn hole(&mut self, run: Run) -> Result<(), MoverError> {
        self.at += run.length_bytes();
        Ok(self.writer.push(run)?)
    }
}
