//! Frames: a chunk or node, compressed if that helps, sealed, and opened again before it counts.

use crate::RepoError;
use longshore_crypto::{RepositoryKeys, SealKey};
use longshore_format::{
    names::PackKind,
    pack::{Encoding, FRAME_HEAD_BYTES, FRAME_PLAIN_BYTES_MAX, FrameHead},
};
use std::io;
use zstd::bulk::{Compressor, Decompressor};

/// Chunks from this size are probed before they are compressed.
const PROBE_FROM_BYTES: usize = 16 << 10;
/// The part in the middle of a chunk that is compressed as a probe.
const PROBE_BYTES: usize = 4 << 10;

/// What a frame is bound to: its repository, kind, id and place in its pack.
pub(crate) fn associated(keys: &RepositoryKeys, kind: PackKind, id: &[u8; 32], ordinal: u32) -> [u8; 53] {
    let mut out = [0u8; 53];
    out[..16].copy_from_slice(keys.repository().as_bytes());
    out[16] = kind.code();
    out[17..49].copy_from_slice(id);
    out[49..].copy_from_slice(&ordinal.to_le_bytes());
    out
}

/// Contexts and buffers that are used again for every frame.
pub(crate) struct FrameWriter {
    compressor: Compressor<'static>,
    reader: FrameReader,
    probe: Vec<u8>,
    check: Vec<u8>,
}

impl FrameWriter {
    pub(crate) fn new(level: i32) -> Result<Self, RepoError> {
        let compressor = Compressor::new(level).map_err(|source| RepoError::Compression { source })?;
        Ok(Self {
            compressor,
            reader: FrameReader::new()?,
            probe: vec![0; PROBE_BYTES * 2],
            check: Vec::new(),
        })
    }

    /// Appends the sealed frame of `plain` to `out` and proves that it opens to the same bytes.
    pub(crate) fn append(
        &mut self,
        key: &SealKey,
        ordinal: u32,
        associated: &[u8],
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), RepoError> {
        if plain.len() > FRAME_PLAIN_BYTES_MAX {
            return Err(RepoError::Misuse { rule: "a frame holds less than 16 MiB" });
        }
        let start = out.len();
        self.encode(plain, out)?;
        key.seal(ordinal, associated, out, start)?;
        self.check.clear();
        self.check.extend_from_slice(&out[start..]);
        let opened =
            key.open("frame", ordinal, associated, &mut self.check).map_err(|_| RepoError::Verification)?;
        match self.reader.decode(opened) {
            Ok(again) if again == plain => Ok(()),
            _ => Err(RepoError::Verification),
        }
    }

    fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), RepoError> {
        let start = out.len();
        let plain_bytes = plain.len() as u32;
        if self.worth_compressing(plain)? {
            out.extend_from_slice(&FrameHead { encoding: Encoding::Zstd, plain_bytes }.encode());
            let body = out.len();
            // Room for less than the plaintext: if it does not fit, compressing did not help.
            out.resize(body + plain.len().saturating_sub(plain.len() / 32), 0);
            if let Ok(length) = self.compressor.compress_to_buffer(plain, &mut out[body..]) {
                out.truncate(body + length);
                return Ok(());
            }
            out.truncate(start);
        }
        out.extend_from_slice(&FrameHead { encoding: Encoding::Raw, plain_bytes }.encode());
        out.extend_from_slice(plain);
        Ok(())
    }

    fn worth_compressing(&mut self, plain: &[u8]) -> Result<bool, RepoError> {
        if plain.len() < PROBE_FROM_BYTES {
            return Ok(plain.len() >= 64);
        }
        let from = plain.len() / 2 - PROBE_BYTES / 2;
        let length = self
            .compressor
            .compress_to_buffer(&plain[from..from + PROBE_BYTES], &mut self.probe[..])
            .map_err(|source| RepoError::Compression { source })?;
        Ok(length * 100 <= PROBE_BYTES * 95)
    }
}

/// Decompression with buffers that are used again.
pub(crate) struct FrameReader {
    decompressor: Decompressor<'static>,
    plain: Vec<u8>,
}

impl FrameReader {
    pub(crate) fn new() -> Result<Self, RepoError> {
        let decompressor = Decompressor::new().map_err(|source| RepoError::Compression { source })?;
        Ok(Self { decompressor, plain: Vec::new() })
    }

    /// The plaintext of an opened frame.
    pub(crate) fn decode<'a>(&'a mut self, opened: &'a [u8]) -> Result<&'a [u8], RepoError> {
        let (head, payload) = FrameHead::split(opened).map_err(RepoError::format("frame"))?;
        if head.encoding == Encoding::Raw {
            return Ok(payload);
        }
        let length = head.plain_bytes as usize;
        if self.plain.len() < length {
            self.plain.resize(length, 0);
        }
        let found = self
            .decompressor
            .decompress_to_buffer(payload, &mut self.plain[..length])
            .map_err(|source| RepoError::Compression { source })?;
        if found != length {
            return Err(RepoError::Compression { source: io::Error::other("length of a frame") });
        }
        Ok(&self.plain[..length])
    }
}

/// The most bytes that a frame of this plaintext takes.
pub(crate) fn frame_bytes_max(plain_bytes: usize) -> usize {
    plain_bytes + FRAME_HEAD_BYTES + longshore_format::sealed::TAG_BYTES
}
