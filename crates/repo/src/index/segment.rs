use crate::{RepoError, io::Io};
use longshore_crypto::{Purpose, RepositoryKeys, SealKey, random_bytes};
use longshore_format::{
    PackId, SegmentId,
    filter::Filter,
    index::{ENTRIES_MAX, ENTRIES_PER_PAGE, HEAD_ORDINAL, IndexEntry, PREAMBLE_BYTES, Preamble, SegmentHead},
    names::{self, PackKind},
    pack::{TAG_BYTES, TrailerEntry},
};

/// Bytes read first: preamble and, for a usual level-0 segment, the whole head.
const FIRST_READ_BYTES: u64 = 64 << 10;

/// A durable pack that is to be listed in a segment.
pub(crate) struct IndexedPack {
    pub(crate) kind: PackKind,
    pub(crate) id: PackId,
    pub(crate) entries: Vec<TrailerEntry>,
}

/// The bytes of a level-0 segment that lists `packs`.
pub(crate) fn encode_segment(keys: &RepositoryKeys, packs: &[IndexedPack]) -> Result<Vec<u8>, RepoError> {
    let mut entries = Vec::new();
    for (pack_number, pack) in packs.iter().enumerate() {
        let mut offset_bytes = 0;
        for (slot, frame) in pack.entries.iter().enumerate() {
            entries.push(IndexEntry {
                id: frame.id,
                pack_number: pack_number as u32,
                slot: slot as u16,
                offset_bytes,
                length_bytes: frame.length_bytes,
            });
            offset_bytes += frame.length_bytes;
        }
    }
    if entries.len() > ENTRIES_MAX {
        return Err(RepoError::Misuse { rule: "an index segment holds at most 4 Mi entries" });
    }
    entries.sort_unstable();
    let mut head = SegmentHead {
        packs: packs.iter().map(|pack| (pack.kind, pack.id)).collect(),
        fences: entries.iter().step_by(ENTRIES_PER_PAGE).map(|entry| entry.id).collect(),
        filter: Filter::build(entries.iter().map(|entry| &entry.id)),
    }
    .encode();
    let (epoch, salt) = (keys.newest_epoch(), random_bytes()?);
    let (key, commitment) = keys.object_key(Purpose::Index, epoch, &salt)?;
    let preamble = Preamble {
        level: 0,
        epoch,
        salt,
        commitment,
        head_bytes: (head.len() + TAG_BYTES) as u32,
        entry_count: entries.len() as u32,
    };
    let mut out = preamble.encode();
    let associated = associated(keys, &out);
    key.seal(HEAD_ORDINAL, &associated, &mut head, 0)?;
    out.extend_from_slice(&head);
    for (page, some) in entries.chunks(ENTRIES_PER_PAGE).enumerate() {
        let start = out.len();
        some.iter().for_each(|entry| entry.encode(&mut out));
        key.seal(page as u32, &associated, &mut out, start)?;
    }
    Ok(out)
}

/// A segment whose head is in memory.
pub(super) struct OpenSegment {
    id: SegmentId,
    name: String,
    preamble: Preamble,
    key: SealKey,
    head: SegmentHead,
}

impl OpenSegment {
    pub(super) fn open(keys: &RepositoryKeys, io: &Io, id: SegmentId) -> Result<Self, RepoError> {
        let name = names::index_segment(id);
        // The end of a segment is its last page; its length tells how much of the start may be asked for.
        let store = io.store().clone();
        let asked = name.clone();
        let start = io.wait(async move {
            let info = store.info(&asked).await?;
            store.get_range(&asked, 0, info.size_bytes.min(FIRST_READ_BYTES)).await
        })?;
        let preamble = Preamble::decode(&start).map_err(RepoError::format(&name))?;
        let head_end = PREAMBLE_BYTES + preamble.head_bytes as usize;
        let sealed = if start.len() >= head_end {
            start[PREAMBLE_BYTES..head_end].to_vec()
        } else {
            io.get_range(&name, PREAMBLE_BYTES as u64, preamble.head_bytes.into())?.to_vec()
        };
        Self::new(keys, id, name, preamble, sealed)
    }

    pub(super) fn from_bytes(keys: &RepositoryKeys, id: SegmentId, bytes: &[u8]) -> Result<Self, RepoError> {
        let name = names::index_segment(id);
        let preamble = Preamble::decode(bytes).map_err(RepoError::format(&name))?;
        let head_end = PREAMBLE_BYTES + preamble.head_bytes as usize;
        let sealed = bytes.get(PREAMBLE_BYTES..head_end).map(<[u8]>::to_vec);
        let sealed = sealed.ok_or_else(|| RepoError::WrongContent { object: name.clone() })?;
        Self::new(keys, id, name, preamble, sealed)
    }

    fn new(
        keys: &RepositoryKeys,
        id: SegmentId,
        name: String,
        preamble: Preamble,
        mut sealed: Vec<u8>,
    ) -> Result<Self, RepoError> {
        let key = keys
            .open_object_key(
                "index segment",
                Purpose::Index,
                preamble.epoch,
                &preamble.salt,
                &preamble.commitment,
            )
            .map_err(RepoError::seal(&name))?;
        let plain = key
            .open("index segment", HEAD_ORDINAL, &associated(keys, &preamble.encode()), &mut sealed)
            .map_err(RepoError::seal(&name))?;
        let head = SegmentHead::decode(plain).map_err(RepoError::format(&name))?;
        if head.fences.len() != preamble.page_count() as usize {
            return Err(RepoError::WrongContent { object: name });
        }
        Ok(Self { id, name, preamble, key, head })
    }

    pub(super) fn id(&self) -> SegmentId {
        self.id
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn head(&self) -> &SegmentHead {
        &self.head
    }

    pub(super) fn page_count(&self) -> u32 {
        self.preamble.page_count()
    }

    /// The plaintext of a page.
    pub(super) fn read_page(&self, keys: &RepositoryKeys, io: &Io, page: u32) -> Result<Vec<u8>, RepoError> {
        let (offset_bytes, length_bytes) = self.preamble.page_range(page);
        let mut sealed = io.get_range(&self.name, offset_bytes, length_bytes)?.to_vec();
        let plain = self
            .key
            .open("index page", page, &associated(keys, &self.preamble.encode()), &mut sealed)
            .map_err(RepoError::seal(&self.name))?
            .len();
        sealed.truncate(plain);
        Ok(sealed)
    }
}

fn associated(keys: &RepositoryKeys, preamble: &[u8]) -> Vec<u8> {
    [keys.repository().as_bytes().as_slice(), preamble].concat()
}
