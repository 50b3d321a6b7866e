//! From the repository onto a volume.

mod directory;
mod file;
mod tree;
mod volume;

pub use tree::{TreeRestoreOptions, restore_tree};
pub use volume::restore_volume;

use std::sync::atomic::{AtomicU64, Ordering};

use longshore_repo::ReadError;
use longshore_volume::VolumeError;

use crate::{Control, MoverError};

/// Figures of a restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreTotals {
    /// Size of the volume, or of all files.
    pub size_bytes: u64,
    /// Bytes that had to be written; what the target held already is left as it is.
    pub written_bytes: u64,
    /// Bytes of chunks that had to be fetched.
    pub fetched_bytes: u64,
    /// Names of regular files; 0 for a volume.
    pub files: u64,
}

/// Figures while they grow, from all threads.
#[derive(Default)]
struct Counters {
    written_bytes: AtomicU64,
    fetched_bytes: AtomicU64,
}

impl Counters {
    fn wrote(&self, bytes: u64) {
        self.written_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn fetched(&self, bytes: u64, control: &Control) {
        let all = self.fetched_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        control.raise_transferred(all);
    }
}

/// Bytes of a target that are looked at together.
const WINDOW_BYTES: usize = 1 << 20;

/// A stop within a batch of fetched chunks.
#[derive(Debug, thiserror::Error)]
enum Halt {
    #[error("the target failed")]
    Target(#[source] VolumeError),
    #[error("stopped on request")]
    Cancelled,
}

impl From<Halt> for MoverError {
    fn from(halt: Halt) -> Self {
        match halt {
            Halt::Target(error) => Self::Target(error),
            Halt::Cancelled => Self::Cancelled,
        }
    }
}

fn read_error(error: ReadError<Halt>) -> MoverError {
    match error {
        ReadError::Repo(error) => error.into(),
        ReadError::Deliver(halt) => halt.into(),
    }
}

/// True when every byte is zero; as fast as memory.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(4096).all(|block| block.iter().fold(0, |all, byte| all | byte) == 0)
}
