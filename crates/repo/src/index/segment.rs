//! Reading a stored segment, part by part.

use super::{
    IndexedPack,
    writer::{head_associated, part_associated},
};
use crate::{RepoError, io::Io};
use longshore_crypto::{Purpose, RepositoryKeys, SealKey};
use longshore_format::{
    SegmentId,
    index::{
        FOOTER_BYTES, HEAD_BYTES_MAX, HEAD_ORDINAL, Layout, Level, PACKS_PER_TABLE_PAGE, PAGES_ORDINAL,
        PageEntry, SECTION_ENTRY_BYTES, SegmentFooter, SegmentHead, TABLE_ORDINAL, TableEntry, decode_page,
        decode_section, decode_table_page,
    },
    names,
};
use std::{collections::VecDeque, ops::Range, sync::Arc};

/// Bytes at the end of a segment that always hold head and footer.
const TAIL_BYTES: u64 = (HEAD_BYTES_MAX + FOOTER_BYTES) as u64;

/// A segment in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListedSegment {
    pub(crate) level: Level,
    pub(crate) id: SegmentId,
    pub(crate) size_bytes: u64,
}

impl ListedSegment {
    pub(crate) fn name(&self) -> String {
        names::index_segment(self.level, self.id)
    }
}

/// A segment whose head is in memory: at most some 3 KiB.
pub(crate) struct Segment {
    id: SegmentId,
    name: String,
    key: SealKey,
    associated: Vec<u8>,
    head: SegmentHead,
}

impl Segment {
    /// Opens a segment in one request.
    pub(super) fn open(keys: &RepositoryKeys, io: &Io, listed: &ListedSegment) -> Result<Self, RepoError> {
        let length = listed.size_bytes.min(TAIL_BYTES);
        let tail = io.get_range(&listed.name(), listed.size_bytes - length, length)?;
        Self::from_tail(keys, listed, &tail)
    }

    /// Opens a segment from its last bytes, or all of them.
    pub(super) fn from_tail(
        keys: &RepositoryKeys,
        listed: &ListedSegment,
        tail: &[u8],
    ) -> Result<Self, RepoError> {
        let name = listed.name();
        let wrong = || RepoError::WrongContent { object: listed.name() };
        let footer = SegmentFooter::decode(tail).map_err(RepoError::format(&name))?;
        if footer.level != listed.level || footer.segment_bytes() != listed.size_bytes {
            return Err(wrong());
        }
        let key = keys
            .open_object_key("index segment", Purpose::Index, footer.epoch, &footer.salt, &footer.commitment)
            .map_err(RepoError::seal(&name))?;
        let from = tail.len().checked_sub(FOOTER_BYTES + footer.head_bytes as usize).ok_or_else(wrong)?;
        let mut sealed = tail[from..tail.len() - FOOTER_BYTES].to_vec();
        let plain = key
            .open("index segment", HEAD_ORDINAL, &head_associated(keys, &footer.encode()), &mut sealed)
            .map_err(RepoError::seal(&name))?;
        let head = SegmentHead::decode(plain, &footer).map_err(RepoError::format(&name))?;
        Ok(Self { id: listed.id, name, key, associated: part_associated(keys), head })
    }

    pub(crate) fn id(&self) -> SegmentId {
        self.id
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn head(&self) -> &SegmentHead {
        &self.head
    }

    pub(super) fn layout(&self) -> &Layout {
        &self.head.layout
    }

    /// Reads a page of the pack table.
    pub(super) fn read_table_page(&self, io: &Io, page: u32) -> Result<Vec<TableEntry>, RepoError> {
        let range = self.layout().table_page(page);
        let mut sealed = self.read(io, range)?;
        let plain = self.open_part(TABLE_ORDINAL + page, &mut sealed)?;
        decode_table_page(plain, page, self.layout()).map_err(RepoError::format(&self.name))
    }

    /// Reads the sections of packs that follow each other, in one request. `first` is the number of the first.
    pub(super) fn read_sections(
        &self,
        io: &Io,
        first: u32,
        packs: &[TableEntry],
    ) -> Result<Vec<IndexedPack>, RepoError> {
        let numbered = || (first..).zip(packs);
        let ranges: Vec<Range<u64>> =
            numbered().map(|(number, pack)| self.layout().section(number, pack)).collect();
        let (Some(start), Some(end)) = (ranges.first(), ranges.last()) else { return Ok(Vec::new()) };
        let mut sealed = self.read(io, start.start..end.end)?;
        let mut rest = sealed.as_mut_slice();
        let mut out = Vec::with_capacity(packs.len());
        for ((number, pack), range) in numbered().zip(&ranges) {
            let (section, after) = rest
                .split_at_mut_checked((range.end - range.start) as usize)
                .ok_or_else(|| RepoError::WrongContent { object: self.name.clone() })?;
            rest = after;
            let plain = self.open_part(number, section)?;
            let entries = decode_section(plain, pack).map_err(RepoError::format(&self.name))?;
            out.push(IndexedPack { kind: pack.kind, id: pack.pack, entries });
        }
        Ok(out)
    }

    /// Reads fingerprint pages that follow each other, in one request.
    pub(super) fn read_pages(
        &self,
        io: &Io,
        pages: Range<u32>,
        mut each: impl FnMut(Vec<PageEntry>),
    ) -> Result<(), RepoError> {
        let mut sealed = self.read(io, self.layout().page_range(pages.clone()))?;
        let mut rest = sealed.as_mut_slice();
        for page in pages {
            let range = self.layout().page_range(page..page + 1);
            let (bytes, after) = rest
                .split_at_mut_checked((range.end - range.start) as usize)
                .ok_or_else(|| RepoError::WrongContent { object: self.name.clone() })?;
            rest = after;
            each(self.open_page(page, bytes)?);
        }
        Ok(())
    }

    /// Opens a fingerprint page that was read.
    pub(super) fn open_page(&self, page: u32, sealed: &mut [u8]) -> Result<Vec<PageEntry>, RepoError> {
        let plain = self.open_part(PAGES_ORDINAL + page, sealed)?;
        decode_page(plain, page, &self.head).map_err(RepoError::format(&self.name))
    }

    fn open_part<'a>(&self, ordinal: u32, sealed: &'a mut [u8]) -> Result<&'a [u8], RepoError> {
        self.key
            .open("index segment", ordinal, &self.associated, sealed)
            .map(|plain| &*plain)
            .map_err(RepoError::seal(&self.name))
    }

    fn read(&self, io: &Io, range: Range<u64>) -> Result<Vec<u8>, RepoError> {
        // Taken over without a copy: nobody else holds what was just read.
        Ok(io.get_range(&self.name, range.start, range.end - range.start)?.into())
    }
}

/// All packs of a segment in their order, read a megabyte at a time.
pub(crate) struct SegmentPacks {
    io: Arc<Io>,
    segment: Arc<Segment>,
    /// The next pack to be read.
    number: u32,
    /// Frames that all packs read so far have: the pack table must agree with it.
    frames: u32,
    table: Vec<TableEntry>,
    ready: VecDeque<IndexedPack>,
    failed: bool,
}

/// Bytes of sections that are read at once.
const SECTIONS_BYTES: usize = 1 << 20;

impl SegmentPacks {
    pub(super) fn new(io: Arc<Io>, segment: Arc<Segment>) -> Self {
        Self { io, segment, number: 0, frames: 0, table: Vec::new(), ready: VecDeque::new(), failed: false }
    }

    fn read(&mut self) -> Result<(), RepoError> {
        let at = self.number as usize % PACKS_PER_TABLE_PAGE;
        if at == 0 {
            let page = self.number / PACKS_PER_TABLE_PAGE as u32;
            self.table = self.segment.read_table_page(&self.io, page)?;
        }
        let packs = self.table.get(at..).unwrap_or_default();
        if packs.first().is_none_or(|pack| pack.frames_before != self.frames) {
            return Err(RepoError::WrongContent { object: self.segment.name.clone() });
        }
        let (mut count, mut frames) = (0, 0);
        for pack in packs {
            if count > 0 && (frames + pack.frames) as usize * SECTION_ENTRY_BYTES > SECTIONS_BYTES {
                break;
            }
            count += 1;
            frames += pack.frames;
        }
        self.ready.extend(self.segment.read_sections(&self.io, self.number, &packs[..count])?);
        self.number += count as u32;
        self.frames += frames;
        Ok(())
    }
}

impl Iterator for SegmentPacks {
    type Item = Result<IndexedPack, RepoError>;

    /// Ends after the first failure.
    fn next(&mut self) -> Option<Self::Item> {
        let is_more = self.number < self.segment.layout().packs() && !self.failed;
        if self.ready.is_empty()
            && is_more
            && let Err(error) = self.read()
        {
            self.failed = true;
            return Some(Err(error));
        }
        self.ready.pop_front().map(Ok)
    }
}
