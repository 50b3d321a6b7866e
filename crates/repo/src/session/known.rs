//! Ids that this session has seen, so that equal chunks met at the same time are stored once.

use super::uploads::Uploads;
use longshore_format::Location;
use std::{
    collections::HashMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

const SHARDS: usize = 16;
/// Ids kept; beyond it those go that an index segment can answer for. About 96 bytes each.
const KNOWN_MAX: usize = 512 << 10;

#[derive(Debug, Clone, Copy)]
enum State {
    /// A thread is storing it.
    Claimed,
    At(Location),
}

#[derive(Default)]
struct Shard {
    ids: Mutex<HashMap<[u8; 32], State>>,
    changed: Condvar,
}

pub(super) struct Known {
    shards: Vec<Shard>,
}

/// The answer to "who stores this?".
pub(super) enum Claim<'k> {
    Known(Location),
    Mine(Claimed<'k>),
}

/// The right and duty to store an id. Dropped without `resolve`, the right passes to whoever asks next.
pub(super) struct Claimed<'k> {
    shard: &'k Shard,
    id: [u8; 32],
    location: Option<Location>,
}

impl Known {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }

    /// Waits while another thread is storing the id.
    pub(super) fn claim(&self, id: [u8; 32]) -> Claim<'_> {
        let shard = self.shard(&id);
        let mut ids = shard.lock();
        loop {
            match ids.get(&id) {
                Some(State::At(location)) => return Claim::Known(*location),
                Some(State::Claimed) => ids = shard.changed.wait(ids).unwrap_or_else(PoisonError::into_inner),
                None => {
                    ids.insert(id, State::Claimed);
                    return Claim::Mine(Claimed { shard, id, location: None });
                }
            }
        }
    }

    pub(super) fn location(&self, id: &[u8; 32]) -> Option<Location> {
        match self.shard(id).lock().get(id) {
            Some(State::At(location)) => Some(*location),
            _ => None,
        }
    }

    pub(super) fn set(&self, id: [u8; 32], location: Location) {
        self.shard(&id).lock().insert(id, State::At(location));
    }

    /// Drops ids that the index can answer for, if there are too many.
    pub(super) fn forget(&self, uploads: &Uploads) {
        let count: usize = self.shards.iter().map(|shard| shard.lock().len()).sum();
        if count <= KNOWN_MAX {
            return;
        }
        for shard in &self.shards {
            shard.lock().retain(|_, state| match state {
                State::Claimed | State::At(Location::Unknown) => true,
                State::At(Location::Stored(_)) => false,
                State::At(Location::Open { pack_number, .. }) => !uploads.is_indexed(*pack_number),
            });
        }
    }

    fn shard(&self, id: &[u8; 32]) -> &Shard {
        &self.shards[usize::from(id[0]) % SHARDS]
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], State>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claimed<'_> {
    pub(super) fn resolve(mut self, location: Location) {
        self.location = Some(location);
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let mut ids = self.shard.lock();
        match self.location {
            Some(location) => ids.insert(self.id, State::At(location)),
            None => ids.remove(&self.id),
        };
        drop(ids);
        self.shard.changed.notify_all();
    }
}
