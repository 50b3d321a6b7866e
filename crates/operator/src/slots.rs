//! Who may work now. Derived from the runs' own status, never counted in memory, so that no restart and no deletion can lose a slot.
//!
//! [`plan`] is pure. Its order: restores before backups; among those of a kind the namespace that has the fewest runs at work; then the oldest.
//! A run whose repository has no place left stands in nobody's way. So namespaces take turns however many runs one of them asks for, and of
//! runs that end every one that waits gets its turn.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt;
use longshore_api::{
    BatchingStatus, DataDownload, DataMovePhase, ForgetRequest, Phase, VolumeSnapshotBackup,
    VolumeSnapshotRestore,
};

use crate::names::{REPOSITORY_SECRET, RunKind};
use crate::reason::OperatorReason;
use crate::repositories::secret_name;
use crate::status::{PROGRESSING, RunStatus};

/// How many runs may work at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotLimits {
    /// Backups.
    pub backups: u32,
    /// Restores.
    pub restores: u32,
    /// Restore points being forgotten.
    pub forgets: u32,
    /// Backups and restores together on one repository; `None` for as many as the others allow.
    pub per_repository: Option<u32>,
}

/// A run, as far as the queue looks at it.
pub trait Queued: ResourceExt {
    /// Which kind it is.
    const KIND: RunKind;

    /// Phase and place in the queue.
    fn place(&self) -> (Phase, Option<BatchingStatus>);

    /// Protected namespace and Secret, which name the repository.
    fn repository(&self) -> (String, String);

    /// Namespace whose turn it takes: the one whose volume it is, where that differs from the run's own.
    fn turn(&self) -> String {
        self.namespace().unwrap_or_default()
    }
}

impl Queued for VolumeSnapshotBackup {
    const KIND: RunKind = RunKind::Backup;

    fn place(&self) -> (Phase, Option<BatchingStatus>) {
        self.status.as_ref().map_or((Phase::New, None), |status| (status.phase(), status.batching()))
    }

    fn repository(&self) -> (String, String) {
        let namespace = self.spec.protected_namespace.clone().unwrap_or_default();
        (namespace, secret_name(self.spec.restic_secret_ref.as_ref()).to_owned())
    }

    /// Those of DataUploads all live in Velero's namespace.
    fn turn(&self) -> String {
        let source = self.status.as_ref().and_then(|status| status.resolved_source.as_ref());
        let own = self.namespace().unwrap_or_default();
        source.map_or(own.as_str(), |source| source.namespace_or(&own)).to_owned()
    }
}

impl Queued for VolumeSnapshotRestore {
    const KIND: RunKind = RunKind::Restore;

    fn place(&self) -> (Phase, Option<BatchingStatus>) {
        self.status.as_ref().map_or((Phase::New, None), |status| (status.phase(), status.batching()))
    }

    fn repository(&self) -> (String, String) {
        let namespace = self.spec.protected_namespace.clone().unwrap_or_default();
        (namespace, secret_name(self.spec.restic_secret_ref.as_ref()).to_owned())
    }
}

impl Queued for DataDownload {
    const KIND: RunKind = RunKind::DataDownload;

    /// One that is prepared waits for a slot.
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

    fn repository(&self) -> (String, String) {
        let secret = self.annotations().get(REPOSITORY_SECRET).cloned().unwrap_or_default();
        (self.namespace().unwrap_or_default(), secret)
    }

    fn turn(&self) -> String {
        let target = self.spec.target_volume.as_ref();
        target.and_then(|target| target.namespace.clone()).unwrap_or_default()
    }
}

impl Queued for ForgetRequest {
    const KIND: RunKind = RunKind::Forget;

    /// One that pauses after a failed attempt has no place: it must not stand in the way of others.
    fn place(&self) -> (Phase, Option<BatchingStatus>) {
        let Some(status) = &self.status else { return (Phase::New, None) };
        let pauses = status.next_attempt_time.as_ref().is_some_and(|time| time.0 > Timestamp::now());
        let batching = match status.attempting {
            Some(true) => Some(BatchingStatus::Processing),
            _ if pauses => None,
            _ => Some(BatchingStatus::Queued),
        };
        (Phase::parse(status.phase.as_deref()), batching)
    }

    fn repository(&self) -> (String, String) {
        // No volume moves: the limit of a repository is not for it.
        (self.namespace().unwrap_or_default(), String::new())
    }
}

/// Whether a run holds a slot.
pub fn is_working<K: Queued>(run: &K) -> bool {
    let (phase, batching) = run.place();
    phase == Phase::InProgress && batching == Some(BatchingStatus::Processing)
}

/// Whether a run waits for a slot. A run that is being deleted does not wait.
pub fn is_waiting<K: Queued>(run: &K) -> bool {
    let (phase, batching) = run.place();
    phase == Phase::InProgress
        && batching == Some(BatchingStatus::Queued)
        && run.meta().deletion_timestamp.is_none()
}

/// Whether a backup was not accepted yet and names this content.
pub fn waits_for_content(backup: &VolumeSnapshotBackup, content: &str) -> bool {
    let named = backup.spec.volume_snapshot_content.as_ref().and_then(|reference| reference.name.as_deref());
    let (phase, batching) = backup.place();
    !phase.is_terminal() && batching.is_none() && named == Some(content)
}

/// Whether a request to forget waits for a Repository to come or to be mended.
pub fn waits_for_repository(request: &ForgetRequest) -> bool {
    let conditions = request.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|condition| {
        condition.type_ == PROGRESSING && condition.reason == OperatorReason::RepositoryNotConfigured.as_str()
    })
}

/// A run in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// UID of the run.
    pub uid: String,
    /// Of which kind's slots it takes one.
    pub kind: RunKind,
    /// Whose turn it is.
    pub namespace: String,
    /// Protected namespace and Secret.
    pub repository: (String, String),
    /// Age.
    pub created: Timestamp,
    /// It holds a slot; if not, it waits for one.
    pub working: bool,
}

/// The run's entry, if it works or waits.
pub fn entry<K: Queued>(run: &K) -> Option<Entry> {
    let working = is_working(run);
    (working || is_waiting(run)).then(|| Entry {
        uid: run.uid().unwrap_or_default(),
        kind: if K::KIND == RunKind::DataDownload { RunKind::Restore } else { K::KIND },
        namespace: run.turn(),
        repository: run.repository(),
        created: run.creation_timestamp().map(|time| time.0).unwrap_or_default(),
        working,
    })
}

/// Those of a kind who work or wait.
pub fn entries<K: Queued>(all: &[Arc<K>]) -> Vec<Entry> {
    all.iter().filter_map(|run| entry(run.as_ref())).collect()
}

/// What is taken.
#[derive(Default)]
struct Taken<'a> {
    kinds: BTreeMap<RunKind, u32>,
    repositories: BTreeMap<&'a (String, String), u32>,
    namespaces: BTreeMap<(RunKind, &'a str), u32>,
}

impl<'a> Taken<'a> {
    fn take(&mut self, entry: &'a Entry) {
        *self.kinds.entry(entry.kind).or_default() += 1;
        *self.repositories.entry(&entry.repository).or_default() += 1;
        *self.namespaces.entry((entry.kind, &entry.namespace)).or_default() += 1;
    }

    fn has_room(&self, entry: &Entry, limits: &SlotLimits) -> bool {
        let limit = match entry.kind {
            RunKind::Backup => limits.backups,
            RunKind::Restore | RunKind::DataDownload => limits.restores,
            RunKind::Forget => limits.forgets,
            // A repository is maintained when it is time, and once at a time.
            RunKind::Maintenance => u32::MAX,
        };
        let moves = !matches!(entry.kind, RunKind::Forget | RunKind::Maintenance);
        let of_repository = self.repositories.get(&entry.repository).copied().unwrap_or(0);
        self.kinds.get(&entry.kind).copied().unwrap_or(0) < limit
            && (!moves || limits.per_repository.is_none_or(|limit| of_repository < limit))
    }

    fn of_namespace(&self, entry: &Entry) -> u32 {
        self.namespaces.get(&(entry.kind, entry.namespace.as_str())).copied().unwrap_or(0)
    }
}

/// Those who wait and may begin now, in their order.
pub fn plan<'a>(queue: &'a [Entry], limits: &SlotLimits) -> Vec<&'a Entry> {
    let mut taken = Taken::default();
    queue.iter().filter(|entry| entry.working).for_each(|entry| taken.take(entry));
    let mut begin = Vec::new();
    for kind in [RunKind::Restore, RunKind::Backup, RunKind::Forget] {
        let mut waiting: Vec<&Entry> =
            queue.iter().filter(|entry| !entry.working && entry.kind == kind).collect();
        while let Some(place) =
            (0..waiting.len()).filter(|place| taken.has_room(waiting[*place], limits)).min_by_key(|place| {
                let entry = waiting[*place];
                (taken.of_namespace(entry), entry.created, &entry.uid)
            })
        {
            let next = waiting.swap_remove(place);
            taken.take(next);
            begin.push(next);
        }
    }
    begin
}

/// Runs that were given a slot and whose status may not show it yet in what the watch delivered. Only this gap is bridged here: after a restart
/// the status tells everything.
#[derive(Debug, Default)]
pub struct Admissions(Mutex<HashSet<String>>);

impl Admissions {
    /// Whether the run may work: it does already, or [`plan`] says that it may begin. However many passes ask at the same time, the limits hold.
    /// `queue` must be read by the caller after everything that it does not want to miss.
    pub fn admit(&self, uid: &str, mut queue: Vec<Entry>, limits: &SlotLimits) -> bool {
        let Some(own) = queue.iter().find(|entry| entry.uid == uid) else { return false };
        if own.working {
            return true;
        }
        let mut admitted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever does not wait any more shows in its status what became of it.
        admitted.retain(|uid| queue.iter().any(|entry| !entry.working && entry.uid == *uid));
        if admitted.contains(uid) {
            return true;
        }
        for entry in &mut queue {
            entry.working |= admitted.contains(&entry.uid);
        }
        let begins = plan(&queue, limits).iter().any(|entry| entry.uid == uid);
        if begins {
            admitted.insert(uid.to_owned());
        }
        begins
    }
}

#[cfg(test)]
mod tests;
