//! Who may work now. Derived from the runs' own status, never counted in memory, so that no restart and no deletion can lose a slot.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt;
use longshore_api::{
    BatchingStatus, DataDownload, DataMovePhase, Phase, VolumeSnapshotBackup, VolumeSnapshotRestore,
};

use crate::status::RunStatus;

/// A run, as far as the queue looks at it.
pub trait Queued: ResourceExt {
    /// Phase and place in the queue.
    fn place(&self) -> (Phase, Option<BatchingStatus>);
}

impl Queued for VolumeSnapshotBackup {
    fn place(&self) -> (Phase, Option<BatchingStatus>) {
        self.status.as_ref().map_or((Phase::New, None), |status| (status.phase(), status.batching()))
    }
}

impl Queued for VolumeSnapshotRestore {
    fn place(&self) -> (Phase, Option<BatchingStatus>) {
        self.status.as_ref().map_or((Phase::New, None), |status| (status.phase(), status.batching()))
    }
}

impl Queued for DataDownload {
    /// One that is prepared waits for a slot of the restores.
    fn place(&self) -> (Phase, Option<BatchingStatus>) {
        match DataMovePhase::parse(self.status.as_ref().and_then(|status| status.phase.as_deref())) {
            DataMovePhase::New | DataMovePhase::Accepted => (Phase::New, None),
            DataMovePhase::Prepared => (Phase::InProgress, Some(BatchingStatus::Queued)),
            DataMovePhase::InProgress => (Phase::InProgress, Some(BatchingStatus::Processing)),
            DataMovePhase::Canceling => (Phase::Cleanup, Some(BatchingStatus::Completed)),
            DataMovePhase::Completed => (Phase::Completed, Some(BatchingStatus::Completed)),
            DataMovePhase::Canceled | DataMovePhase::Failed => {
                (Phase::Failed, Some(BatchingStatus::Completed))
            }
        }
    }
}

/// One run's place in a queue that several kinds share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    working: bool,
    waiting: Option<(Timestamp, String)>,
}

/// The places of all runs of a kind.
pub fn places<'a, K: Queued + 'a>(all: impl IntoIterator<Item = &'a Arc<K>>) -> Vec<Place> {
    let place = |run: &Arc<K>| Place { working: is_working(run.as_ref()), waiting: is_waiting(run.as_ref()) };
    all.into_iter().map(place).collect()
}

/// Whether a run holds a slot.
pub fn is_working<K: Queued>(run: &K) -> bool {
    let (phase, batching) = run.place();
    phase == Phase::InProgress && batching == Some(BatchingStatus::Processing)
}

/// Since when a run waits for a slot, if it does. A run that is being deleted does not wait.
pub fn is_waiting<K: Queued>(run: &K) -> Option<(Timestamp, String)> {
    let (phase, batching) = run.place();
    let waits = phase == Phase::InProgress && batching == Some(BatchingStatus::Queued);
    let created = run.creation_timestamp().map(|time| time.0).unwrap_or_default();
    (waits && run.meta().deletion_timestamp.is_none()).then(|| (created, run.uid().unwrap_or_default()))
}

/// Whether a backup was not accepted yet and names this content.
pub fn waits_for_content(backup: &VolumeSnapshotBackup, content: &str) -> bool {
    let named = backup.spec.volume_snapshot_content.as_ref().and_then(|reference| reference.name.as_deref());
    let (phase, batching) = backup.place();
    !phase.is_terminal() && batching.is_none() && named == Some(content)
}

/// Runs that were given a slot and whose status may not show it yet in what the watch delivered. Only this gap is bridged here: after a restart
/// the status tells everything.
#[derive(Debug, Default)]
pub struct Admissions(Mutex<HashSet<String>>);

impl Admissions {
    /// Whether `run` may work: it does already, or it is among the first that wait, and slots are free. The order is by creation, then UID.
    /// However many passes ask at the same time, no more than `slots` runs are let in.
    pub fn admit<K: Queued>(&self, run: &K, all: &[Arc<K>], slots: u32) -> bool {
        self.admit_among(run, &places(all), slots)
    }

    /// The same where runs of several kinds share the slots.
    pub fn admit_among<K: Queued>(&self, run: &K, all: &[Place], slots: u32) -> bool {
        if is_working(run) {
            return true;
        }
        let Some(own) = is_waiting(run) else { return false };
        let mut admitted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting: Vec<&(Timestamp, String)> =
            all.iter().filter_map(|other| other.waiting.as_ref()).collect();
        // Whoever does not wait any more shows in its status what became of it.
        admitted.retain(|uid| waiting.iter().any(|(_, other)| other == uid));
        if admitted.contains(&own.1) {
            return true;
        }
        let working = all.iter().filter(|other| other.working).count();
        let earlier = waiting.iter().filter(|other| ***other < own && !admitted.contains(&other.1)).count();
        let free = working + admitted.len() + earlier < slots as usize;
        if free {
            admitted.insert(own.1);
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use longshore_api::VolumeSnapshotBackupStatus;

    use super::*;

    fn run(uid: &str, second: i64, phase: &str, batching: &str) -> Arc<VolumeSnapshotBackup> {
        let mut run = VolumeSnapshotBackup::default();
        run.metadata.uid = Some(uid.to_owned());
        run.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
        run.status = Some(VolumeSnapshotBackupStatus {
            phase: Some(phase.to_owned()),
            batching_status: Some(batching.to_owned()),
            ..Default::default()
        });
        Arc::new(run)
    }

    #[test]
    fn slots_go_to_the_oldest_and_are_never_oversold() {
        let all = [
            run("a", 1, "Completed", "Completed"),
            run("b", 2, "InProgress", "Processing"),
            run("d", 3, "InProgress", "Queued"),
            run("c", 3, "InProgress", "Queued"),
            run("e", 4, "InProgress", "Queued"),
        ];
        let holders = |slots| -> Vec<&str> {
            all[1..]
                .iter()
                .filter(|run| Admissions::default().admit(run.as_ref(), &all, slots))
                .map(|run| run.metadata.uid.as_deref().unwrap())
                .collect()
        };
        assert_eq!(holders(1), ["b"]);
        assert_eq!(holders(2), ["b", "c"]);
        assert_eq!(holders(3), ["b", "d", "c"]);
    }

    #[test]
    fn a_queued_run_that_is_being_deleted_stands_in_nobodys_way() {
        let mut gone = run("a", 1, "InProgress", "Queued").as_ref().clone();
        gone.metadata.deletion_timestamp = Some(Time(Timestamp::UNIX_EPOCH));
        let all = [Arc::new(gone), run("b", 2, "InProgress", "Queued")];
        assert!(Admissions::default().admit(all[1].as_ref(), &all, 1));
    }

    #[test]
    fn passes_that_look_at_one_moment_do_not_oversell() {
        let mut all: Vec<_> =
            (0..30).map(|number| run(&format!("{number:02}"), 1, "InProgress", "Queued")).collect();
        let admissions = Admissions::default();
        let admit = |all: &[Arc<VolumeSnapshotBackup>]| -> Vec<String> {
            let let_in = all.iter().rev().filter(|run| admissions.admit(run.as_ref(), all, 4));
            let_in.filter_map(|run| run.metadata.uid.clone()).collect()
        };
        assert_eq!(admit(&all), ["03", "02", "01", "00"]);
        // An older one comes late, while the status of those that were let in is still on its way.
        all.insert(0, run("zz", 0, "InProgress", "Queued"));
        assert_eq!(admit(&all), ["03", "02", "01", "00"]);
        all[1] = run("00", 1, "Completed", "Completed");
        assert!(admit(&all).contains(&"zz".to_owned()), "the oldest gets what is given back");
    }

    #[test]
    fn vsm_34_downloads_and_restores_share_the_slots() {
        let download = |uid: &str, second: i64, phase: DataMovePhase| {
            let mut download = DataDownload::default();
            download.metadata.uid = Some(uid.to_owned());
            download.metadata.creation_timestamp = Some(Time(Timestamp::from_second(second).unwrap()));
            download.status.get_or_insert_default().phase = Some(phase.as_str().to_owned());
            Arc::new(download)
        };
        let restores = [run("r", 2, "InProgress", "Processing"), run("q", 4, "InProgress", "Queued")];
        let downloads = [
            download("a", 1, DataMovePhase::Accepted),
            download("d", 3, DataMovePhase::Prepared),
            download("c", 0, DataMovePhase::Canceled),
        ];
        let all = [places(&restores), places(&downloads)].concat();
        let admits = |slots| {
            let admissions = Admissions::default();
            [
                admissions.admit_among(downloads[1].as_ref(), &all, slots),
                admissions.admit_among(restores[1].as_ref(), &all, slots),
                admissions.admit_among(downloads[0].as_ref(), &all, slots),
            ]
        };
        assert_eq!(admits(1), [false, false, false]);
        assert_eq!(admits(2), [true, false, false]);
        assert_eq!(admits(3), [true, true, false], "one that waits for its PVC wants no slot");
    }

    #[test]
    fn a_run_without_a_place_in_the_queue_gets_no_slot() {
        let fresh = run("a", 1, "", "");
        assert!(!Admissions::default().admit(fresh.as_ref(), std::slice::from_ref(&fresh), 1));
    }
}
