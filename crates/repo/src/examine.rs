//! Reading a pack whole, and telling which of its frames are good.

use crate::{RepoError, Repository, check::says_damage, frame::FrameReader, pack};
use longshore_crypto::SealKey;
use longshore_format::{
    FrameId, PackId, Place,
    names::{self, PackKind},
    node::NodeParts,
    pack::{FOOTER_BYTES, PACK_BYTES_MAX, PackFooter, TrailerEntry},
};

/// What reading a pack has shown.
#[derive(Debug)]
pub(crate) struct Examined {
    /// Bytes that were read.
    pub(crate) length_bytes: u64,
    /// Its frames, by its trailer; if that cannot be read, by the index.
    pub(crate) frames: Vec<TrailerEntry>,
    /// Ids that the pack cannot be relied on for. None if nothing says what it held.
    pub(crate) lost: Option<Vec<FrameId>>,
    /// What is wrong first; none if nothing is.
    pub(crate) error: Option<RepoError>,
}

impl Examined {
    /// Nothing of the pack can be relied on.
    fn nothing(length_bytes: u64, listed: Option<&[TrailerEntry]>, error: RepoError) -> Self {
        let frames = listed.unwrap_or_default().to_vec();
        let lost = listed.map(|listed| listed.iter().map(|frame| FrameId(frame.id)).collect());
        Self { length_bytes, frames, lost, error: Some(error) }
    }
}

impl Repository {
    /// Reads every byte of a pack. `listed`: its frames as the index has them, if that is known.
    ///
    /// An error says nothing about the pack.
    pub(crate) fn examine_pack(
        &self,
        kind: PackKind,
        id: PackId,
        listed: Option<&[TrailerEntry]>,
    ) -> Result<Examined, RepoError> {
        let name = names::pack(kind, id);
        let bytes = match self.io.get(&name, PACK_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(error) if says_damage(&error) => return Ok(Examined::nothing(0, listed, error)),
            Err(error) => return Err(error),
        };
        let length_bytes = bytes.len() as u64;
        let wrong = || RepoError::WrongContent { object: name.clone() };
        let mut error = (blake3::hash(&bytes).as_bytes() != &id.0).then(wrong);
        let opened = pack::open_footer(&self.keys, kind, &name, &bytes)
            .and_then(|(footer, key)| Ok((self.own_trailer(&name, &bytes, &footer, &key)?, key)));
        let (frames, key) = match opened {
            Ok(opened) => opened,
            Err(found) if says_damage(&found) => return Ok(Examined::nothing(length_bytes, listed, found)),
            Err(found) => return Err(found),
        };
        let mut lost = Vec::new();
        let mut reader = FrameReader::new()?;
        let mut offset_bytes = 0;
        for (slot, frame) in frames.iter().enumerate() {
            let length_bytes = frame.length_bytes;
            let place = Place { pack: id, slot: slot as u16, offset_bytes, length_bytes };
            offset_bytes += length_bytes;
            match self.examine_frame(kind, &frame.id, place, &key, &bytes, &mut reader) {
                Ok(()) => {}
                Err(found) if says_damage(&found) => {
                    lost.push(FrameId(frame.id));
                    error.get_or_insert(found);
                }
                Err(found) => return Err(found),
            }
        }
        Ok(Examined { length_bytes, frames, lost: Some(lost), error })
    }

    fn own_trailer(
        &self,
        name: &str,
        bytes: &[u8],
        footer: &PackFooter,
        key: &SealKey,
    ) -> Result<Vec<TrailerEntry>, RepoError> {
        if footer.pack_bytes() != bytes.len() as u64 {
            return Err(RepoError::WrongContent { object: name.to_owned() });
        }
        let sealed = &bytes[footer.trailer_offset_bytes as usize..bytes.len() - FOOTER_BYTES];
        Ok(pack::open_trailer(&self.keys, name, footer, key, sealed)?.entries)
    }

    fn examine_frame(
        &self,
        kind: PackKind,
        id: &[u8; 32],
        place: Place,
        key: &SealKey,
        pack: &[u8],
        reader: &mut FrameReader,
    ) -> Result<(), RepoError> {
        let name = names::pack(kind, place.pack);
        let from = place.offset_bytes as usize;
        let wrong = || RepoError::WrongContent { object: name.clone() };
        let mut sealed = pack.get(from..from + place.length_bytes as usize).ok_or_else(wrong)?.to_vec();
        let plain = self.open_frame(kind, id, place, key, &mut sealed, reader)?;
        let found = match kind {
            PackKind::Data => self.keys.chunk_id(plain).0,
            PackKind::Meta => {
                let parts = NodeParts::split(plain).map_err(RepoError::format(&name))?;
                self.keys.node_id(parts.canonical).0
            }
        };
        if &found == id { Ok(()) } else { Err(wrong()) }
    }
}
