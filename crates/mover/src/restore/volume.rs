//! A volume back onto a device or image.

use longshore_job::Stage;
use longshore_repo::{ChunkRef, Repository, Run, SPAN_BYTES, VolumeReader};
use longshore_volume::{AlignedBuffer, BlockWriter};

use super::{Counters, Halt, RestoreTotals, WINDOW_BYTES, is_zero, read_error};
use crate::workers::{fetcher_count, for_each_number};
use crate::{Control, MoverError};

/// Writes `source` to `target`, in spans that are worked on in parallel, and returns when all of it is durable.
///
/// A target that is not known to be empty is read first: what is right already is neither fetched nor written, and what the
/// snapshot has as a hole is zeroed wherever the target is not zero. So a restore that was killed goes on where it was, and no
/// old byte survives.
///
/// # Errors
/// [`MoverError::Repository`], [`MoverError::Target`], [`MoverError::Cancelled`].
pub fn restore_volume(
    repository: &Repository,
    source: &VolumeReader<'_>,
    target: &BlockWriter,
    control: &Control,
) -> Result<RestoreTotals, MoverError> {
    control.set_total(source.size_bytes());
    control.set_stage(Stage::Transferring);
    let restore = Restore { repository, source, target, control, counters: Counters::default() };
    let start = || AlignedBuffer::new(WINDOW_BYTES);
    for_each_number(fetcher_count(), source.span_count(), control, start, |window, span| {
        restore.span(window, span)
    })?;
    control.set_stage(Stage::Finishing);
    target.sync().map_err(MoverError::Target)?;
    Ok(RestoreTotals {
        size_bytes: source.size_bytes(),
        written_bytes: restore.counters.written_bytes.into_inner(),
        fetched_bytes: restore.counters.fetched_bytes.into_inner(),
        files: 0,
    })
}

struct Restore<'a> {
    repository: &'a Repository,
    source: &'a VolumeReader<'a>,
    target: &'a BlockWriter,
    control: &'a Control,
    counters: Counters,
}

impl Restore<'_> {
    fn span(&self, window: &mut AlignedBuffer, span: u64) -> Result<(), MoverError> {
        let start = span * SPAN_BYTES;
        let end = (start + SPAN_BYTES).min(self.source.size_bytes());
        let runs = match self.source.span(span)? {
            Some(runs) => runs,
            None => vec![Run::Hole { length_bytes: end - start }],
        };
        let mut at = start;
        let mut wanted: Vec<(u64, ChunkRef)> = Vec::new();
        for run in runs {
            match run {
                Run::Hole { length_bytes } => self.hole(window, at, length_bytes)?,
                Run::Chunk(chunk) if self.is_there(window, at, &chunk)? => {
                    self.control.add_done(chunk.length_bytes.into());
                }
                Run::Chunk(chunk) => wanted.push((at, chunk)),
            }
            at += run.length_bytes();
        }
        if at < end {
            let what = format!("span {span} of the volume ends at {at} instead of {end}");
            return Err(MoverError::Damaged { what });
        }
        tracing::trace!(span, wanted = wanted.len(), "a span is being restored");
        self.fetch(&wanted)
    }

    /// Whether the target holds the chunk already.
    fn is_there(&self, window: &mut AlignedBuffer, at: u64, chunk: &ChunkRef) -> Result<bool, MoverError> {
        let length = chunk.length_bytes as usize;
        if self.target.is_known_empty() || length > window.len() {
            return Ok(false);
        }
        let held = &mut window[..length];
        self.target.read_at(at, held).map_err(MoverError::Target)?;
        Ok(!is_zero(held) && self.repository.chunk_id(held) == chunk.id)
    }

    /// Zeroes what the target holds where the snapshot has a hole.
    fn hole(&self, window: &mut AlignedBuffer, start: u64, length: u64) -> Result<(), MoverError> {
        let end = start + length;
        let mut at = if self.target.is_known_empty() { end } else { start };
        while let Some(data) = self.target.next_data(at, end).map_err(MoverError::Target)? {
            self.control.check()?;
            let count = (data.end - data.start).min(window.len() as u64);
            let held = &mut window[..count as usize];
            self.target.read_at(data.start, held).map_err(MoverError::Target)?;
            if !is_zero(held) {
                self.target.zero(data.start, count).map_err(MoverError::Target)?;
                self.counters.wrote(count);
            }
            at = data.start + count;
        }
        self.control.add_done(length);
        Ok(())
    }

    fn fetch(&self, wanted: &[(u64, ChunkRef)]) -> Result<(), MoverError> {
        let chunks: Vec<ChunkRef> = wanted.iter().map(|(_, chunk)| *chunk).collect();
        let write = |position: usize, bytes: &[u8]| {
            if self.control.is_cancelled() {
                return Err(Halt::Cancelled);
            }
            let Some((at, _)) = wanted.get(position) else { return Ok(()) };
            self.target.write_at(*at, bytes).map_err(Halt::Target)?;
            let length = bytes.len() as u64;
            self.counters.wrote(length);
            self.counters.fetched(length, self.control);
            self.control.add_done(length);
            Ok(())
        };
        self.repository.read_chunks(&chunks, &write).map_err(read_error)
    }
}
