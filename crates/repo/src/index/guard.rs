//! Which packs may be handed out for deduplication, and which were.

use super::view::Condemned;
use crate::damage::Quarantine;
use longshore_format::PackId;
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// One lock makes "not condemned, so it is used now" a single step: after [`Guard::adopt`] nobody hands out a pack that
/// is condemned, and whatever was handed out before is in its answer (rule W3 of `docs/concurrency.md`).
#[derive(Default)]
pub(super) struct Guard(Mutex<Handed>);

#[derive(Default)]
struct Handed {
    /// By plan. Condemned is for ever, so plans are only added.
    condemned: BTreeMap<u64, Condemned>,
    /// The first 8 bytes of each pack that was handed out. Two packs that share them only make a session name one pack
    /// too many, whose frames prune then copies for nothing.
    used: HashSet<[u8; 8]>,
    quarantine: Arc<Quarantine>,
}

impl Handed {
    fn is_condemned(&self, pack: PackId) -> bool {
        self.condemned.values().any(|packs| packs.contains(&pack))
    }
}

impl Guard {
    /// Notes that a pack is used, if it may be.
    pub(super) fn hand_out(&self, pack: PackId) -> bool {
        let mut handed = self.lock();
        if handed.is_condemned(pack) || handed.quarantine.holds(pack) {
            return false;
        }
        handed.used.insert(short(pack));
        true
    }

    /// Packs that are known to be damaged, from now on.
    pub(super) fn set_quarantine(&self, quarantine: Arc<Quarantine>) {
        self.lock().quarantine = quarantine;
    }

    pub(super) fn quarantine(&self) -> Arc<Quarantine> {
        self.lock().quarantine.clone()
    }

    /// Whether a reader asks this pack only if no other holds what it wants.
    pub(super) fn is_last_resort(&self, pack: PackId) -> bool {
        let handed = self.lock();
        handed.is_condemned(pack) || handed.quarantine.holds(pack)
    }

    pub(super) fn is_condemned(&self, pack: PackId) -> bool {
        self.lock().is_condemned(pack)
    }

    /// Condemns the packs of a plan, and says which of them were handed out until now.
    pub(super) fn adopt(&self, plan: u64, condemned: &Condemned) -> Vec<PackId> {
        let mut handed = self.lock();
        if !condemned.is_empty() {
            handed.condemned.insert(plan, condemned.clone());
        }
        let mut used: Vec<PackId> =
            condemned.iter().filter(|pack| handed.used.contains(&short(**pack))).copied().collect();
        used.sort_unstable();
        used
    }

    fn lock(&self) -> MutexGuard<'_, Handed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn short(pack: PackId) -> [u8; 8] {
    let mut out = [0u8; 8];
    out.copy_from_slice(&pack.0[..8]);
    out
}
