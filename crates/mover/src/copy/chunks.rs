//! Batches of chunks from the source into the target.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use longshore_repo::{ChunkId, ChunkRef, Run};

use super::{Halt, Task, read_error};
use crate::MoverError;

/// Chunks of the base that are kept in mind; some 120 bytes each. What does not fit is read again, which costs time alone.
const KNOWN_MAX: usize = 128 << 10;

/// What was copied just now: chunks of the source, and what they are in the target.
pub(super) type Copied = HashMap<ChunkId, ChunkRef>;

/// Chunks of the base, and what they are in the target.
#[derive(Default)]
pub(super) struct Known {
    chunks: HashMap<ChunkId, ChunkRef>,
}

impl Known {
    /// Learns from a piece of the base, which both repositories cut alike if they have the same runs in it.
    pub(super) fn learn(&mut self, source: &[Run], target: &[Run]) {
        let alike = source.len() == target.len()
            && source.iter().zip(target).all(|(source, target)| match (source, target) {
                (Run::Hole { length_bytes: a }, Run::Hole { length_bytes: b }) => a == b,
                (Run::Chunk(a), Run::Chunk(b)) => a.length_bytes == b.length_bytes,
                _ => false,
            });
        if !alike {
            return;
        }
        for (source, target) in source.iter().zip(target) {
            if let (Run::Chunk(source), Run::Chunk(target)) = (source, target)
                && self.chunks.len() < KNOWN_MAX
            {
                self.chunks.insert(source.id, *target);
            }
        }
    }

    /// The same runs in the target; all chunks must be known or copied.
    pub(super) fn translate(&self, copied: &Copied, runs: &[Run]) -> Result<Vec<Run>, MoverError> {
        let translate = |run: &Run| match run {
            Run::Hole { length_bytes } => Ok(Run::Hole { length_bytes: *length_bytes }),
            Run::Chunk(chunk) => {
                let found = copied.get(&chunk.id).or_else(|| self.chunks.get(&chunk.id));
                found.map(|found| Run::Chunk(*found)).ok_or(MoverError::Broken)
            }
        };
        runs.iter().map(translate).collect()
    }

    /// Copies those chunks of `runs` that are not known.
    pub(super) fn copy(&self, task: &Task<'_>, runs: &[&[Run]]) -> Result<Copied, MoverError> {
        let mut met: HashSet<ChunkId> = HashSet::new();
        let mut wanted: Vec<ChunkRef> = Vec::new();
        for run in runs.iter().copied().flatten() {
            if let Run::Chunk(chunk) = run
                && !self.chunks.contains_key(&chunk.id)
                && met.insert(chunk.id)
            {
                wanted.push(*chunk);
            }
        }
        let copied: Mutex<Copied> = Mutex::default();
        let store = |position: usize, bytes: &[u8]| {
            if task.control.is_cancelled() {
                return Err(Halt::Cancelled);
            }
            let stored = task.session.put_chunk(bytes, None).map_err(Halt::Target)?;
            if let Some(chunk) = wanted.get(position) {
                copied.lock().unwrap_or_else(PoisonError::into_inner).insert(chunk.id, stored);
            }
            Ok(())
        };
        task.source.read_chunks(&wanted, &store).map_err(read_error)?;
        Ok(copied.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}
