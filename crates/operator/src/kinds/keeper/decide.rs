//! What to do next for a keeper. Pure, total, without clock and client.
//!
//! ```text
//!   kept ── a PVC made from the snapshot is bound, or the time is over and no PVC waits ──► other objects of the snapshot go
//!        ──► VolumeSnapshot for the keeper ── bound ──► policy Delete ──► VolumeSnapshot deleted ──► snapshot and keeper gone
//! ```

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How long a keeper's VolumeSnapshot may stay unbound before the snapshot is taken to be gone from the storage already.
const UNBOUND_LIMIT: SignedDuration = SignedDuration::from_mins(30);
const REQUEUE_MAX: Duration = Duration::from_secs(600);

/// A keeper's own VolumeSnapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// Not there.
    Absent,
    /// Not bound to the keeper.
    Pending {
        /// Since when it is there.
        since: Timestamp,
    },
    /// Bound to the keeper, whose status names the snapshot.
    Ready,
    /// Going away.
    Leaving,
    /// Of that name, but not ours.
    Foreign,
}

/// Everything a decision may look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The keeper is being deleted.
    pub deleting: bool,
    /// Its deletion takes the snapshot in the storage along.
    pub takes_snapshot: bool,
    /// Until when the snapshot is kept for somebody to use it.
    pub release_after: Timestamp,
    /// The restore is still at work.
    pub run_active: bool,
    /// A PVC made from the snapshot is bound.
    pub used: bool,
    /// A PVC that is to be made from the snapshot waits.
    pub wanted: bool,
    /// Content that the restore published, or objects of its target, are there.
    pub others: bool,
    /// The keeper's VolumeSnapshot.
    pub snapshot: Bound,
}

/// A change to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Delete the published content and the target's objects; all of them leave the storage alone.
    DeleteOthers,
    /// Make the keeper's VolumeSnapshot.
    CreateSnapshot,
    /// Let the keeper's deletion take the snapshot along.
    TakeSnapshot,
    /// Delete the keeper's VolumeSnapshot.
    DeleteSnapshot,
    /// Delete the keeper.
    DeleteKeeper,
    /// The snapshot is gone from the storage: delete the keeper and its VolumeSnapshot.
    Forget,
}

/// One step, and the time of the next pass at the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub step: Step,
    /// When to look again.
    pub requeue: Duration,
}

/// What to do next.
pub fn decide(now: Timestamp, seen: &Seen) -> Decision {
    let mut requeue = REQUEUE_MAX;
    let step = if seen.deleting || seen.takes_snapshot {
        match seen.snapshot {
            Bound::Pending { .. } | Bound::Ready => Step::DeleteSnapshot,
            Bound::Absent if !seen.deleting => Step::DeleteKeeper,
            _ => Step::Wait,
        }
    } else if !is_due(now, seen) {
        let left = Duration::try_from(seen.release_after.duration_since(now)).unwrap_or(REQUEUE_MAX);
        requeue = left.clamp(Duration::from_secs(1), REQUEUE_MAX);
        Step::Wait
    } else if seen.others {
        requeue = Duration::from_secs(30);
        Step::DeleteOthers
    } else {
        match seen.snapshot {
            Bound::Absent => Step::CreateSnapshot,
            Bound::Ready => Step::TakeSnapshot,
            Bound::Pending { since } if now.duration_since(since) >= UNBOUND_LIMIT => Step::Forget,
            Bound::Pending { .. } => {
                requeue = Duration::from_secs(60);
                Step::Wait
            }
            Bound::Leaving | Bound::Foreign => Step::Wait,
        }
    };
    Decision { step, requeue }
}

/// Never while somebody may still need the snapshot.
fn is_due(now: Timestamp, seen: &Seen) -> bool {
    !seen.run_active && !seen.wanted && (seen.used || now >= seen.release_after)
}
