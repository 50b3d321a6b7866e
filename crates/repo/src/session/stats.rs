use super::uploads::Uploads;
use crate::index::Index;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a session did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionStats {
    /// Chunks that were put.
    pub chunks: u64,
    /// Their plaintext bytes.
    pub chunk_bytes: u64,
    /// Chunks that the repository did not hold.
    pub new_chunks: u64,
    /// Their plaintext bytes.
    pub new_bytes: u64,
    /// Bytes stored: packs and index segments.
    pub stored_bytes: u64,
    /// Packs stored.
    pub packs: u64,
    /// Requests that were made to list, open and ask the index. A chunk that is nowhere costs none.
    pub index_requests: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    chunks: AtomicU64,
    chunk_bytes: AtomicU64,
    new_chunks: AtomicU64,
    new_bytes: AtomicU64,
}

impl Counters {
    pub(super) fn chunk(&self, bytes: usize) {
        self.chunks.fetch_add(1, Relaxed);
        self.chunk_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn new_chunk(&self, bytes: usize) {
        self.new_chunks.fetch_add(1, Relaxed);
        self.new_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn now(&self, uploads: &Uploads, index: &Index) -> SessionStats {
        let (stored_bytes, packs) = uploads.stored();
        SessionStats {
            chunks: self.chunks.load(Relaxed),
            chunk_bytes: self.chunk_bytes.load(Relaxed),
            new_chunks: self.new_chunks.load(Relaxed),
            new_bytes: self.new_bytes.load(Relaxed),
            stored_bytes,
            packs,
            index_requests: index.requests(),
        }
    }
}
