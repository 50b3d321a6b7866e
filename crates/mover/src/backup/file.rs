//! The workers of a tree backup: bytes of files into chunks.

use std::ops::Range;
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender};
use longshore_repo::splitter::FileSplitter;
use longshore_repo::{BackupSession, Run};
use longshore_volume::{Directory, Entry, FileReader, VolumeError};

use crate::{Control, MoverError};

/// Files above this size are cut into segments of it, which are read by several workers. A segment's end is always a cut, so
/// that the result does not depend on the number of workers.
pub(crate) const SEGMENT_BYTES: u64 = 64 << 20;
/// Files up to this size stand in their directory entry.
const INLINE_BYTES_MAX: u64 = longshore_repo::INLINE_BYTES_MAX as u64;
/// Holes below this size are stored as zeros: a run for each would cost more than it saves.
const HOLE_BYTES_MIN: u64 = 64 << 10;
/// Bytes read at once; several chunks of the largest size.
const WINDOW_BYTES: usize = 4 << 20;

/// What a worker is to read.
pub(super) enum Segment {
    /// A whole file.
    Whole { directory: Arc<Directory>, entry: Box<Entry> },
    /// A part of a large one.
    Part { reader: Arc<FileReader>, range: Range<u64> },
}

/// What a worker has read.
pub(super) enum Content {
    /// A small file's bytes.
    Inline(Vec<u8>),
    /// Runs of the segment.
    Runs(Vec<Run>),
}

/// A segment for a worker, and where its content goes.
pub(super) struct Job {
    pub(super) segment: Segment,
    pub(super) result: Sender<Result<Content, MoverError>>,
}

/// One worker: its window of bytes is used again for every file.
pub(super) struct FileWorker<'a> {
    session: &'a BackupSession<'a>,
    splitter: &'a FileSplitter,
    control: &'a Control,
    window: Vec<u8>,
}

impl<'a> FileWorker<'a> {
    pub(super) fn new(
        session: &'a BackupSession<'a>,
        splitter: &'a FileSplitter,
        control: &'a Control,
    ) -> Self {
        Self { session, splitter, control, window: Vec::new() }
    }

    /// Works until the walk is over or everybody has hung up.
    pub(super) fn run(&mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            let content = self.control.check().and_then(|()| self.read(&job.segment));
            let _hung_up = job.result.send(content);
        }
    }

    fn read(&mut self, segment: &Segment) -> Result<Content, MoverError> {
        match segment {
            Segment::Whole { directory, entry } => {
                let reader = directory.open_file(entry).map_err(MoverError::Source)?;
                let size = entry.metadata.size;
                let content = if size <= INLINE_BYTES_MAX {
                    let mut bytes = vec![0; size as usize];
                    reader.read_at(0, &mut bytes).map_err(MoverError::Source)?;
                    Content::Inline(bytes)
                } else {
                    Content::Runs(self.runs(&reader, 0..size)?)
                };
                reader.check_unchanged().map_err(MoverError::Source)?;
                self.control.add_done(size);
                Ok(content)
            }
            Segment::Part { reader, range } => {
                let runs = self.runs(reader, range.clone())?;
                self.control.add_done(range.end - range.start);
                Ok(Content::Runs(runs))
            }
        }
    }

    fn runs(&mut self, reader: &FileReader, range: Range<u64>) -> Result<Vec<Run>, MoverError> {
        let mut runs = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let data = next_data(reader, at, range.end).map_err(MoverError::Source)?;
            let data_start = data.as_ref().map_or(range.end, |data| data.start);
            if data_start > at {
                runs.push(Run::Hole { length_bytes: data_start - at });
                at = data_start;
            }
            if let Some(data) = data {
                self.cut(reader, data.clone(), &mut runs)?;
                at = data.end;
            }
        }
        Ok(runs)
    }

    /// Cuts one range of data, without holes, into chunks.
    fn cut(&mut self, reader: &FileReader, data: Range<u64>, runs: &mut Vec<Run>) -> Result<(), MoverError> {
        let mut read_to = data.start;
        let (mut first, mut last) = (0, 0);
        while first < last || read_to < data.end {
            self.control.check()?;
            if last - first < self.splitter.sizes().most && read_to < data.end {
                self.window.copy_within(first..last, 0);
                (first, last) = (0, last - first);
                let wanted = (data.end - read_to).min((WINDOW_BYTES - last) as u64) as usize;
                if self.window.len() < last + wanted {
                    self.window.resize(last + wanted, 0);
                }
                reader.read_at(read_to, &mut self.window[last..last + wanted]).map_err(MoverError::Source)?;
                last += wanted;
                read_to += wanted as u64;
            }
            let bytes = &self.window[first..last];
            let at_start = read_to - bytes.len() as u64 == 0;
            let length =
                self.splitter.next_chunk(bytes, at_start, read_to == data.end).ok_or(MoverError::Broken)?;
            runs.push(Run::Chunk(self.session.put_chunk(&bytes[..length], None)?));
            first += length;
        }
        Ok(())
    }
}

/// The next range of data, small holes included; `None` when the rest is a hole.
fn next_data(reader: &FileReader, at: u64, end: u64) -> Result<Option<Range<u64>>, VolumeError> {
    let Some(mut data) = reader.next_data(at)? else {
        return Ok((end - at < HOLE_BYTES_MIN).then_some(at..end));
    };
    if data.start - at < HOLE_BYTES_MIN {
        data.start = at;
    }
    while data.end < end {
        match reader.next_data(data.end)? {
            Some(next) if next.start - data.end < HOLE_BYTES_MIN => data.end = next.end,
            None if end - data.end < HOLE_BYTES_MIN => data.end = end,
            _ => break,
        }
    }
    if data.start >= end { Ok(None) } else { Ok(Some(data.start..data.end.min(end))) }
}
