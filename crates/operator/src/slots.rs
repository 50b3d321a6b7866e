//! Who may work now. Derived from the runs' own status, never counted in memory, so that no restart and no deletion can lose a slot.

use jiff::Timestamp;
use kube::ResourceExt;
use longshore_api::{BatchingStatus, Phase, VolumeSnapshotBackup, VolumeSnapshotRestore};

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

/// Whether a run holds a slot.
pub fn is_working<K: Queued>(run: &K) -> bool {
    let (phase, batching) = run.place();
    phase == Phase::InProgress && batching == Some(BatchingStatus::Processing)
}

/// Since when a run waits for a slot, if it does. A run that is being deleted does not wait.
pub fn is_waiting<K: Queued>(run: &K) -> Option<(Timestamp, String)> {
    let (phase, batching) = run.place();
    let waits = phase == Phase::InProgress && batching != Some(BatchingStatus::Processing);
    let created = run.creation_timestamp().map(|time| time.0).unwrap_or_default();
    (waits && run.meta().deletion_timestamp.is_none()).then(|| (created, run.uid().unwrap_or_default()))
}

/// Whether a backup was not accepted yet and names this content.
pub fn waits_for_content(backup: &VolumeSnapshotBackup, content: &str) -> bool {
    let named = backup.spec.volume_snapshot_content.as_ref().and_then(|reference| reference.name.as_deref());
    backup.place().0 == Phase::New && named == Some(content)
}

/// Whether `run` may work: it does already, or it is among the first that wait, and slots are free. The order is by creation, then UID,
/// so that two passes at the same time do not both take the last slot.
pub fn has_slot<K: Queued>(run: &K, all: &[impl AsRef<K>], slots: u32) -> bool {
    if is_working(run) {
        return true;
    }
    let working = all.iter().filter(|other| is_working(other.as_ref())).count();
    let created = run.creation_timestamp().map(|time| time.0).unwrap_or_default();
    let own = (created, run.uid().unwrap_or_default());
    let earlier =
        all.iter().filter_map(|other| is_waiting(other.as_ref())).filter(|other| *other < own).count();
    working + earlier < slots as usize
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

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
                .filter(|run| has_slot(run.as_ref(), &all, slots))
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
        assert!(has_slot(all[1].as_ref(), &all, 1));
    }
}
