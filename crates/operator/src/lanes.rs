//! At most so many movers on one node, without knowing the nodes: each mover gets one of as many lanes, and no two movers of a lane share a node.
//! The scheduler holds the limit, so it is strict whatever the operator sees late, and no right on nodes is needed. A mover whose lane is taken
//! on every node waits as an unscheduled pod, without a deadline.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

/// Lanes that were given out, until the watch delivers the Job that says so.
#[derive(Debug, Default)]
pub struct Lanes(Mutex<HashMap<String, u32>>);

impl Lanes {
    /// The lane with the fewest of `taken` (UID of a run and its lane), the first among equals. A run keeps the lane that it has.
    pub fn choose(&self, uid: &str, taken: &BTreeMap<String, u32>, lanes: u32) -> u32 {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|other, _| !taken.contains_key(other));
        if let Some(lane) = taken.get(uid).or_else(|| given.get(uid)) {
            return *lane;
        }
        let movers = |lane: u32| taken.values().chain(given.values()).filter(|other| **other == lane).count();
        let lane = (0..lanes.max(1)).min_by_key(|lane| movers(*lane)).unwrap_or(0);
        given.insert(uid.to_owned(), lane);
        lane
    }

    /// Forgets a run that is over.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vsm_25_movers_spread_over_the_lanes_and_keep_theirs() {
        let lanes = Lanes::default();
        let mut taken = BTreeMap::new();
        let first: Vec<u32> = ["a", "b", "c", "d"].iter().map(|uid| lanes.choose(uid, &taken, 3)).collect();
        assert_eq!(first, [0, 1, 2, 0], "before any Job is seen");
        assert_eq!(lanes.choose("b", &taken, 3), 1);
        taken.extend([("a".to_owned(), 0), ("d".to_owned(), 0), ("c".to_owned(), 2)]);
        assert_eq!(lanes.choose("e", &taken, 3), 1, "b's Job is still on its way");
        lanes.forget("b");
        lanes.forget("e");
        assert_eq!(lanes.choose("f", &taken, 3), 1);
        assert_eq!(Lanes::default().choose("a", &taken, 1), 0);
    }
}
