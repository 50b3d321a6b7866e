//! Building packs, and reading their ends.

use crate::{
    RepoError,
    frame::{self, FrameWriter},
    io::Io,
};
use bytes::Bytes;
use longshore_crypto::{Purpose, RepositoryKeys, SealKey, random_bytes};
use longshore_format::{
    PackId,
    names::PackKind,
    pack::{FOOTER_BYTES, FRAMES_MAX, PackFooter, PackTrailer, TRAILER_ORDINAL, TrailerEntry},
};

/// A pack that is being filled.
pub(crate) struct PackBuilder {
    pub(crate) kind: PackKind,
    pub(crate) number: u64,
    epoch: u32,
    salt: [u8; 32],
    commitment: [u8; 32],
    key: SealKey,
    bytes: Vec<u8>,
    trailer: PackTrailer,
}

/// Where a frame came to lie in an open pack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) slot: u16,
    pub(crate) offset_bytes: u32,
    pub(crate) length_bytes: u32,
}

/// A pack that is complete but not yet stored.
pub(crate) struct FinishedPack {
    pub(crate) kind: PackKind,
    pub(crate) number: u64,
    pub(crate) id: PackId,
    pub(crate) bytes: Bytes,
    pub(crate) entries: Vec<TrailerEntry>,
}

impl PackBuilder {
    pub(crate) fn new(
        keys: &RepositoryKeys,
        kind: PackKind,
        number: u64,
        session: [u8; 16],
        capacity_bytes: usize,
    ) -> Result<Self, RepoError> {
        let (epoch, salt) = (keys.newest_epoch(), random_bytes()?);
        let (key, commitment) = keys.object_key(Purpose::Pack(kind), epoch, &salt)?;
        let trailer = PackTrailer { session, entries: Vec::new() };
        Ok(Self {
            kind,
            number,
            epoch,
            salt,
            commitment,
            key,
            bytes: Vec::with_capacity(capacity_bytes),
            trailer,
        })
    }

    /// Whether a frame of this plaintext still fits below the pack's target size.
    pub(crate) fn has_room(&self, plain_bytes: usize, target_bytes: usize) -> bool {
        let frames = self.trailer.entries.len();
        frames == 0
            || (frames < FRAMES_MAX && self.bytes.len() + frame::frame_bytes_max(plain_bytes) <= target_bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.trailer.entries.is_empty()
    }

    pub(crate) fn append(
        &mut self,
        keys: &RepositoryKeys,
        writer: &mut FrameWriter,
        id: &[u8; 32],
        plain: &[u8],
    ) -> Result<Slot, RepoError> {
        let (ordinal, offset) = (self.trailer.entries.len() as u32, self.bytes.len());
        let associated = frame::associated(keys, self.kind, id, ordinal);
        if let Err(error) = writer.append(&self.key, ordinal, &associated, plain, &mut self.bytes) {
            self.bytes.truncate(offset);
            return Err(error);
        }
        let length_bytes = (self.bytes.len() - offset) as u32;
        self.trailer.entries.push(TrailerEntry { id: *id, length_bytes });
        Ok(Slot { slot: ordinal as u16, offset_bytes: offset as u32, length_bytes })
    }

    pub(crate) fn finish(mut self, keys: &RepositoryKeys) -> Result<FinishedPack, RepoError> {
        let start = self.bytes.len();
        let mut trailer = self.trailer.encode();
        let footer = PackFooter {
            kind: self.kind,
            epoch: self.epoch,
            salt: self.salt,
            commitment: self.commitment,
            trailer_offset_bytes: start as u32,
            trailer_bytes: (trailer.len() + longshore_format::sealed::TAG_BYTES) as u32,
        }
        .encode();
        self.key.seal(TRAILER_ORDINAL, &trailer_associated(keys, &footer), &mut trailer, 0)?;
        self.bytes.extend_from_slice(&trailer);
        self.bytes.extend_from_slice(&footer);
        let id = PackId(*blake3::hash(&self.bytes).as_bytes());
        Ok(FinishedPack {
            kind: self.kind,
            number: self.number,
            id,
            bytes: Bytes::from(self.bytes),
            entries: self.trailer.entries,
        })
    }
}

fn trailer_associated(keys: &RepositoryKeys, footer: &[u8]) -> Vec<u8> {
    [keys.repository().as_bytes().as_slice(), b"trailer", footer].concat()
}

/// The key of a stored pack, from its footer.
pub(crate) fn open_footer(
    keys: &RepositoryKeys,
    kind: PackKind,
    name: &str,
    tail: &[u8],
) -> Result<(PackFooter, SealKey), RepoError> {
    let footer = PackFooter::decode(tail).map_err(RepoError::format(name))?;
    if footer.kind != kind {
        return Err(RepoError::WrongContent { object: name.to_owned() });
    }
    let key = keys
        .open_object_key("pack", Purpose::Pack(kind), footer.epoch, &footer.salt, &footer.commitment)
        .map_err(RepoError::seal(name))?;
    Ok((footer, key))
}

/// Opens the trailer of a pack; `sealed` are its bytes alone.
pub(crate) fn open_trailer(
    keys: &RepositoryKeys,
    name: &str,
    footer: &PackFooter,
    key: &SealKey,
    sealed: &[u8],
) -> Result<PackTrailer, RepoError> {
    let mut sealed = sealed.to_vec();
    let plain = key
        .open("pack trailer", TRAILER_ORDINAL, &trailer_associated(keys, &footer.encode()), &mut sealed)
        .map_err(RepoError::seal(name))?;
    PackTrailer::decode(plain, footer.trailer_offset_bytes).map_err(RepoError::format(name))
}

/// Reads footer and trailer of a stored pack, in one request but for packs of very many frames.
pub(crate) fn read_trailer(
    io: &Io,
    keys: &RepositoryKeys,
    kind: PackKind,
    name: &str,
) -> Result<(PackFooter, PackTrailer), RepoError> {
    let tail = io.get_tail(name, TAIL_BYTES)?;
    let (footer, key) = open_footer(keys, kind, name, &tail)?;
    let wanted = footer.trailer_bytes as usize + FOOTER_BYTES;
    let trailer = if tail.len() >= wanted {
        let from = tail.len() - wanted;
        open_trailer(keys, name, &footer, &key, &tail[from..tail.len() - FOOTER_BYTES])?
    } else {
        let sealed = io.get_range(name, footer.trailer_offset_bytes.into(), footer.trailer_bytes.into())?;
        open_trailer(keys, name, &footer, &key, &sealed)?
    };
    Ok((footer, trailer))
}

/// Bytes at the end of a pack that hold footer and, nearly always, the whole trailer.
const TAIL_BYTES: u64 = 64 << 10;
/// Bytes of the footer.
pub(crate) const FOOTER: u64 = FOOTER_BYTES as u64;
