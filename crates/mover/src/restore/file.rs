//! The workers of a tree restore: batches of files.

use std::sync::Arc;

use crossbeam_channel::Receiver;
use longshore_repo::{self as stored, ChunkRef, Repository, Run, TreeReader};
use longshore_volume::{Entry, FileTarget, OpenedFile, VolumeError};

use super::directory::OpenDirectory;
use super::{Counters, Halt, is_zero, read_error};
use crate::failures::Failures;
use crate::{Control, MoverError};

/// Bytes of chunks that are asked for at once; enough for whole packs, small enough to show progress.
const FETCH_BYTES: u64 = 64 << 20;
const FETCH_CHUNKS: usize = 4096;

/// One file to restore. It is created and open already.
pub(super) struct FileJob<'a> {
    pub(super) directory: Arc<OpenDirectory<'a>>,
    pub(super) entry: Entry,
    pub(super) content: stored::EntryContent,
    pub(super) target: OpenedFile,
}

/// What all workers share.
pub(super) struct FileWorker<'a> {
    pub(super) repository: &'a Repository,
    pub(super) reader: &'a TreeReader<'a>,
    pub(super) control: &'a Control,
    pub(super) failures: &'a Failures,
    pub(super) counters: &'a Counters,
}

/// A piece of a file that has to be fetched.
struct Wanted {
    file: usize,
    at: u64,
    chunk: ChunkRef,
}

impl FileWorker<'_> {
    /// Works on batches until the walk is over. The first error of the repository ends it; a file that cannot be written is
    /// reported, and the others go on.
    pub(super) fn run(&self, batches: &Receiver<Vec<FileJob<'_>>>) -> Result<(), MoverError> {
        for batch in batches {
            self.batch(&batch)?;
        }
        Ok(())
    }

    fn batch(&self, batch: &[FileJob<'_>]) -> Result<(), MoverError> {
        let mut wanted = Vec::new();
        let mut wanted_bytes = 0;
        let mut failed = vec![false; batch.len()];
        for (number, job) in batch.iter().enumerate() {
            let mut at = 0;
            for run in self.runs(job)? {
                self.control.check()?;
                let run = run?;
                match self.is_there(job, at, &run) {
                    Ok(true) => self.control.add_done(run.length_bytes()),
                    Ok(false) => {
                        if let Run::Chunk(chunk) = run {
                            wanted_bytes += u64::from(chunk.length_bytes);
                            wanted.push(Wanted { file: number, at, chunk });
                        }
                    }
                    Err(error) => {
                        self.fail(&mut failed[number], &error);
                        break;
                    }
                }
                at += run.length_bytes();
                if wanted_bytes >= FETCH_BYTES || wanted.len() >= FETCH_CHUNKS {
                    self.fetch(batch, &wanted, &mut failed)?;
                    wanted.clear();
                    wanted_bytes = 0;
                }
            }
            let is_inline =
                matches!(job.content, stored::EntryContent::Inline(_) | stored::EntryContent::None);
            if !failed[number] && !is_inline && at != job.entry.metadata.size {
                let path =
                    String::from_utf8_lossy(&job.directory.target.path_of(&job.entry.name)).into_owned();
                return Err(MoverError::Damaged { what: format!("the pieces of {path} are not its size") });
            }
        }
        self.fetch(batch, &wanted, &mut failed)?;
        for (number, job) in batch.iter().enumerate() {
            if !failed[number] {
                self.finish(job);
            }
        }
        Ok(())
    }

    fn fail(&self, failed: &mut bool, error: &VolumeError) {
        if !*failed {
            self.failures.add(error);
        }
        *failed = true;
    }

    /// The pieces of a file in order; those of a small file are none, its bytes are written here.
    fn runs<'r>(
        &'r self,
        job: &'r FileJob<'_>,
    ) -> Result<Box<dyn Iterator<Item = Result<Run, MoverError>> + 'r>, MoverError> {
        match &job.content {
            stored::EntryContent::Inline(bytes) => {
                if let Err(error) = target(job).write_at(0, bytes) {
                    self.failures.add(&error);
                }
                self.counters.wrote(bytes.len() as u64);
                self.control.add_done(bytes.len() as u64);
                Ok(Box::new(std::iter::empty()))
            }
            stored::EntryContent::None => Ok(Box::new(std::iter::empty())),
            content => Ok(Box::new(self.reader.file_runs(content).map(|run| run.map_err(MoverError::from)))),
        }
    }

    /// Whether the target holds this piece already. A hole is made on the way.
    fn is_there(&self, job: &FileJob<'_>, at: u64, run: &Run) -> Result<bool, VolumeError> {
        match (&job.target, run) {
            (OpenedFile::New(_), run) => Ok(matches!(run, Run::Hole { .. })),
            (OpenedFile::Existing(target), Run::Hole { length_bytes }) => {
                target.zero(at, *length_bytes)?;
                Ok(true)
            }
            (OpenedFile::Existing(target), Run::Chunk(chunk)) => {
                let mut held = vec![0; chunk.length_bytes as usize];
                target.read_at(at, &mut held)?;
                Ok(!is_zero(&held) && self.repository.chunk_id(&held) == chunk.id)
            }
        }
    }

    fn fetch(&self, batch: &[FileJob<'_>], wanted: &[Wanted], failed: &mut [bool]) -> Result<(), MoverError> {
        let chunks: Vec<ChunkRef> = wanted.iter().map(|piece| piece.chunk).collect();
        let broken: Vec<std::sync::OnceLock<VolumeError>> =
            batch.iter().map(|_| std::sync::OnceLock::new()).collect();
        let write = |position: usize, bytes: &[u8]| {
            if self.control.is_cancelled() {
                return Err(Halt::Cancelled);
            }
            let Some(piece) = wanted.get(position) else { return Ok(()) };
            if let Err(error) = target(&batch[piece.file]).write_at(piece.at, bytes) {
                let _only_the_first_counts = broken[piece.file].set(error);
            }
            let length = bytes.len() as u64;
            self.counters.wrote(length);
            self.counters.fetched(length, self.control);
            self.control.add_done(length);
            Ok(())
        };
        self.repository.read_chunks(&chunks, &write).map_err(read_error)?;
        for (number, error) in broken.into_iter().enumerate() {
            if let Some(error) = error.into_inner() {
                self.fail(&mut failed[number], &error);
            }
        }
        Ok(())
    }

    fn finish(&self, job: &FileJob<'_>) {
        let name = String::from_utf8_lossy(&job.entry.name);
        tracing::trace!(%name, bytes = job.entry.metadata.size, "a file is restored");
        if let Err(error) = job.directory.target.finish(&job.entry) {
            self.failures.add(&error);
        }
        self.control.add_file();
    }
}

fn target<'j>(job: &'j FileJob<'_>) -> &'j FileTarget {
    let (OpenedFile::New(target) | OpenedFile::Existing(target)) = &job.target;
    target
}
