//! Room for deleting on a full store.
//!
//! Who deletes writes first: tombstones, a plan, the index anew. On a store without a free block that fails, and nothing could ever be
//! deleted. So `init` places an object of no other use; when the store turns out to be full, maintenance deletes it first, and makes it
//! again last.

use crate::{Class, RepoError, Repository, io::Io};
use longshore_crypto::random_bytes;
use longshore_format::names;
use longshore_store::Class as StoreClass;

/// Noise is made in portions of this.
const PORTION_BYTES: usize = 64 << 10;

/// Makes the reserve unless it is there.
pub(crate) fn make(io: &Io, length_bytes: u32) -> Result<(), RepoError> {
    if length_bytes == 0 {
        return Ok(());
    }
    // Noise: zeros would take no room on a file system that compresses.
    let length = length_bytes as usize;
    let mut bytes = Vec::with_capacity(length.next_multiple_of(PORTION_BYTES));
    while bytes.len() < length {
        bytes.extend_from_slice(&random_bytes::<PORTION_BYTES>()?);
    }
    bytes.truncate(length);
    match io.create(names::RESERVE, bytes) {
        Err(RepoError::Store { source }) if source.class() == StoreClass::AlreadyExists => Ok(()),
        result => result,
    }
}

impl Repository {
    /// Does what leads to deletion; if the store is full, once more without the reserve. The work is told whether it must do with
    /// little room.
    pub(crate) fn with_reserve<T>(
        &self,
        mut work: impl FnMut(bool) -> Result<T, RepoError>,
    ) -> Result<T, RepoError> {
        match work(false) {
            Err(error) if error.class() == Class::Store(StoreClass::Full) => {
                tracing::warn!(error = %crate::error::chain(&error), "the store is full: the reserve is given up");
                self.io.delete(names::RESERVE)?;
                work(true)
            }
            result => result,
        }
    }

    /// Makes the reserve again if it is gone; false if that failed, which is no reason to call deleted space not freed.
    pub(crate) fn make_reserve_again(&self) -> bool {
        if self.config.reserve_bytes == 0 {
            return true;
        }
        let made = match self.io.info(names::RESERVE) {
            Err(RepoError::Store { source }) if source.class() == StoreClass::NotFound => {
                make(&self.io, self.config.reserve_bytes)
            }
            result => result.map(drop),
        };
        if let Err(error) = &made {
            tracing::warn!(error = %crate::error::chain(error), "there is no reserve");
        }
        made.is_ok()
    }
}
