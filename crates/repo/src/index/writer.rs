//! Building a segment in memory: its sections are sealed as packs come, the rest when it is finished.

use crate::RepoError;
use bytes::Bytes;
use longshore_crypto::{Purpose, RepositoryKeys, SealKey, random_bytes};
use longshore_format::{
    PackId, Place, SegmentId,
    index::{
        ENTRIES_MAX, ENTRIES_PER_PAGE, HEAD_ORDINAL, Layout, Level, PACKS_MAX, PACKS_PER_TABLE_PAGE,
        PAGES_ORDINAL, PageEntry, SegmentFooter, SegmentHead, TABLE_ORDINAL, TableEntry, encode_page,
        encode_section, encode_table_page, fingerprint,
    },
    names::{self, PackKind},
    pack::TrailerEntry,
    sealed::TAG_BYTES,
};

/// A durable pack with all its frames, as its trailer lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexedPack {
    pub(crate) kind: PackKind,
    pub(crate) id: PackId,
    pub(crate) entries: Vec<TrailerEntry>,
}

impl IndexedPack {
    /// Where an id is in the pack.
    pub(super) fn find(&self, id: &[u8; 32]) -> Option<Place> {
        self.place(self.entries.iter().position(|entry| &entry.id == id)?)
    }

    /// Where the frame of a slot is.
    pub(super) fn place(&self, slot: usize) -> Option<Place> {
        let length_bytes = self.entries.get(slot)?.length_bytes;
        // Sections and trailers are refused when their lengths exceed a pack, so this sum is small.
        let offset_bytes = self.entries[..slot].iter().map(|entry| entry.length_bytes).sum();
        Some(Place { pack: self.id, slot: slot as u16, offset_bytes, length_bytes })
    }
}

/// How large segments may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentLimits {
    pub(crate) packs: usize,
    pub(crate) entries: usize,
}

impl Default for SegmentLimits {
    fn default() -> Self {
        Self { packs: PACKS_MAX, entries: ENTRIES_MAX }
    }
}

/// A segment that is complete but not yet stored.
#[derive(Debug)]
pub(crate) struct EncodedSegment {
    pub(crate) level: Level,
    pub(crate) id: SegmentId,
    pub(crate) bytes: Bytes,
}

impl EncodedSegment {
    pub(crate) fn name(&self) -> String {
        names::index_segment(self.level, self.id)
    }
}

/// A segment that is being filled. Memory: the segment itself, at most 49 MiB, and 16 bytes an entry.
pub(crate) struct SegmentBuilder {
    level: Level,
    limits: SegmentLimits,
    epoch: u32,
    salt: [u8; 32],
    commitment: [u8; 32],
    key: SealKey,
    associated: Vec<u8>,
    bytes: Vec<u8>,
    table: Vec<TableEntry>,
    entries: Vec<PageEntry>,
}

impl SegmentBuilder {
    pub(crate) fn new(keys: &RepositoryKeys, level: Level, limits: SegmentLimits) -> Result<Self, RepoError> {
        let (epoch, salt) = (keys.newest_epoch(), random_bytes()?);
        let (key, commitment) = keys.object_key(Purpose::Index, epoch, &salt)?;
        Ok(Self {
            level,
            limits,
            epoch,
            salt,
            commitment,
            key,
            associated: part_associated(keys),
            bytes: Vec::new(),
            table: Vec::new(),
            entries: Vec::new(),
        })
    }

    /// Whether a pack of so many frames still fits. One always fits into an empty segment.
    pub(crate) fn has_room(&self, frames: usize) -> bool {
        self.table.is_empty()
            || (self.table.len() < self.limits.packs && self.entries.len() + frames <= self.limits.entries)
    }

    /// Lists a pack. One without frames holds nothing to be found and is left out.
    pub(crate) fn push(&mut self, pack: &IndexedPack) -> Result<(), RepoError> {
        if pack.entries.is_empty() {
            return Ok(());
        }
        let number = self.table.len() as u16;
        self.table.push(TableEntry {
            kind: pack.kind,
            pack: pack.id,
            frames: pack.entries.len() as u32,
            frames_before: self.entries.len() as u32,
        });
        self.entries.extend(
            pack.entries
                .iter()
                .map(|frame| PageEntry { fingerprint: fingerprint(&frame.id), pack_number: number }),
        );
        self.seal_part(number.into(), |out| encode_section(&pack.entries, out))
    }

    /// Finishes the segment; `None` if it lists nothing.
    pub(crate) fn finish(mut self, keys: &RepositoryKeys) -> Result<Option<EncodedSegment>, RepoError> {
        if self.table.is_empty() {
            return Ok(None);
        }
        let layout = Layout::new(self.table.len() as u32, self.entries.len() as u32)
            .map_err(|_| RepoError::Misuse { rule: "a segment stays within its limits" })?;
        let (table, mut entries) = (std::mem::take(&mut self.table), std::mem::take(&mut self.entries));
        entries.sort_unstable();
        for (page, packs) in table.chunks(PACKS_PER_TABLE_PAGE).enumerate() {
            self.seal_part(TABLE_ORDINAL + page as u32, |out| encode_table_page(packs, out))?;
        }
        for (page, some) in entries.chunks(ENTRIES_PER_PAGE).enumerate() {
            self.seal_part(PAGES_ORDINAL + page as u32, |out| encode_page(some, out))?;
        }
        let fences = entries.iter().step_by(ENTRIES_PER_PAGE).map(|entry| entry.fingerprint).collect();
        let mut head = SegmentHead { layout, fences }.encode();
        let footer = SegmentFooter {
            level: self.level,
            epoch: self.epoch,
            salt: self.salt,
            commitment: self.commitment,
            head_offset_bytes: self.bytes.len() as u32,
            head_bytes: (head.len() + TAG_BYTES) as u32,
        }
        .encode();
        self.key.seal(HEAD_ORDINAL, &head_associated(keys, &footer), &mut head, 0)?;
        self.bytes.extend_from_slice(&head);
        self.bytes.extend_from_slice(&footer);
        let id = SegmentId(*blake3::hash(&self.bytes).as_bytes());
        Ok(Some(EncodedSegment { level: self.level, id, bytes: Bytes::from(self.bytes) }))
    }

    fn seal_part(&mut self, ordinal: u32, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), RepoError> {
        let start = self.bytes.len();
        write(&mut self.bytes);
        Ok(self.key.seal(ordinal, &self.associated, &mut self.bytes, start)?)
    }
}

/// What all parts but the head are bound to. The ordinal says which part it is; the key is this segment's alone.
pub(super) fn part_associated(keys: &RepositoryKeys) -> Vec<u8> {
    [keys.repository().as_bytes().as_slice(), b"index part"].concat()
}

/// What the head is bound to.
pub(super) fn head_associated(keys: &RepositoryKeys, footer: &[u8]) -> Vec<u8> {
    [keys.repository().as_bytes().as_slice(), b"index head", footer].concat()
}
