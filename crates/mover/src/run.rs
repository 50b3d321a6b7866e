//! Whole runs: from an open repository and a path to a committed snapshot, and back.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use longshore_job::Stage;
use longshore_repo::{
    BackupOptions, BackupSession, Committed, Repository, RunId, Snapshot, SnapshotDraft, WrittenContent,
};
use longshore_repo::{Content, KubernetesVolume, SnapshotStats, SourceIdentity};
use longshore_volume::{BlockReader, BlockWriter, TargetOptions, Tree, TreeOptions, TreeTarget, VolumeError};

use crate::backup::{TreeBackup, TreeBackupOptions, TreeParent, backup_tree, backup_volume};
use crate::restore::{RestoreTotals, TreeRestoreOptions, restore_tree, restore_volume};
use crate::{Control, MoverError, Report};

/// What is to be backed up, and what its record will say.
#[derive(Clone, Debug)]
pub struct BackupRequest<'a> {
    /// Device, image or folder.
    pub path: &'a Path,
    /// The run; a run that is committed already is only reported.
    pub run: RunId,
    /// Whose history it belongs to.
    pub source: SourceIdentity,
    /// What Kubernetes knows of the volume.
    pub kubernetes: Option<KubernetesVolume>,
    /// When the VolumeSnapshot was taken.
    pub data_at: Option<Timestamp>,
    /// Free labels.
    pub labels: BTreeMap<String, String>,
    /// Commit although some files could not be read; the snapshot is then marked incomplete.
    pub allow_incomplete: bool,
    /// Read every file, whatever the last snapshot says.
    pub force: bool,
    /// Stay on the file system of the folder.
    pub one_file_system: bool,
    /// The source cannot change during the run, however often that is begun again: a clone of a VolumeSnapshot. Then what an
    /// earlier process of the run has finished is not read again.
    pub is_immutable: bool,
}

/// What a backup came to.
#[derive(Debug)]
pub struct BackupOutcome {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// True when an earlier process of the same run had committed it; nothing was read then.
    pub already_committed: bool,
    /// Files that could not be read.
    pub failures: Report,
    /// Attributes in the namespace `trusted.` were not seen, so that the snapshot lacks those that there may be.
    pub trusted_xattrs_unseen: bool,
}

/// Stores `request.path` and commits the snapshot. Time is asked of `now`.
///
/// # Errors
/// [`MoverError::Unreadable`] when files could not be read and that is not allowed; everything the pipelines fail with.
pub fn run_backup(
    repository: &Repository,
    request: &BackupRequest<'_>,
    now: &dyn Fn() -> Timestamp,
    control: &Control,
) -> Result<BackupOutcome, MoverError> {
    let started_at = now();
    let source = repository.source_id(&request.source);
    if let Some(snapshot) = repository.find_run(source, request.run)? {
        return Ok(outcome(snapshot, true, Report::default()));
    }
    let latest = repository.latest_of(source)?;
    let session = repository.begin_backup(source, request.run, latest.as_ref(), BackupOptions::default())?;
    let parent = session.parent();
    tracing::info!(run = %request.run, parent = parent.map(|parent| parent.id().to_string()), "reading the source");
    let is_folder = std::fs::metadata(request.path).is_ok_and(|status| status.is_dir());
    let stored = match is_folder {
        true => store_tree(repository, &session, request, parent, control),
        false => store_volume(repository, &session, request, parent, control),
    };
    let stored = match stored {
        Ok(stored) => stored,
        Err(error) => {
            keep_for_the_next_run(session, request.is_immutable, &error);
            return Err(error);
        }
    };
    if stored.failures.count > 0 && !request.allow_incomplete {
        let error = MoverError::Unreadable { count: stored.failures.count, first: stored.failures.first };
        keep_for_the_next_run(session, request.is_immutable, &error);
        return Err(error);
    }
    control.check()?;
    control.set_stage(Stage::Finishing);
    tracing::info!(run = %request.run, read_bytes = stored.stats.read_bytes, "making the snapshot durable");
    let draft = SnapshotDraft {
        source: request.source.clone(),
        started_at,
        finished_at: now(),
        data_at: request.data_at,
        content: stored.content,
        parent: parent.map(|parent| parent.record.run),
        incomplete: stored.failures.count > 0,
        stats: stored.stats,
        kubernetes: request.kubernetes.clone(),
        labels: request.labels.clone(),
    };
    let (snapshot, already_committed) = match session.commit(draft)? {
        Committed::New(snapshot) => (snapshot, false),
        Committed::AlreadyCommitted(snapshot) => (snapshot, true),
    };
    control.raise_transferred(snapshot.record.stats.stored_bytes);
    Ok(outcome(snapshot, already_committed, stored.failures))
}

fn outcome(snapshot: Snapshot, already_committed: bool, failures: Report) -> BackupOutcome {
    let is_tree = matches!(snapshot.record.content, Content::Tree { .. });
    let trusted_xattrs_unseen = is_tree && !longshore_volume::sees_trusted_xattrs();
    if trusted_xattrs_unseen {
        tracing::info!("trusted.* attributes, if there are any, are left out: only CAP_SYS_ADMIN sees them");
    }
    BackupOutcome { snapshot, already_committed, failures, trusted_xattrs_unseen }
}

/// What was stored before a stop is made findable, so that the next run need not store it again. A run that will not be begun
/// again gives up its session, so that prune need not wait for it.
fn keep_for_the_next_run(session: BackupSession<'_>, goes_on: bool, error: &MoverError) {
    let kept = match error {
        MoverError::Repository(_) => Ok(()),
        _ => session.checkpoint(),
    };
    let kept = if goes_on { kept } else { kept.and(session.abandon()) };
    if let Err(error) = kept {
        tracing::warn!(error = %longshore_job::chain(&error), "what was stored last will be stored again");
    }
}

struct Stored {
    content: WrittenContent,
    stats: SnapshotStats,
    failures: Report,
}

fn store_volume(
    repository: &Repository,
    session: &BackupSession<'_>,
    request: &BackupRequest<'_>,
    parent: Option<&Snapshot>,
    control: &Control,
) -> Result<Stored, MoverError> {
    let source = BlockReader::open(request.path).map_err(MoverError::Source)?;
    let parent = match parent {
        Some(snapshot) if matches!(snapshot.record.content, Content::Volume { .. }) => {
            Some(repository.open_volume(snapshot)?)
        }
        _ => None,
    };
    let (content, totals) = backup_volume(session, &source, parent.as_ref(), request.is_immutable, control)?;
    let stats = SnapshotStats {
        read_bytes: totals.read_bytes,
        hole_bytes: totals.hole_bytes,
        ..SnapshotStats::default()
    };
    Ok(Stored { content, stats, failures: Report::default() })
}

fn store_tree(
    repository: &Repository,
    session: &BackupSession<'_>,
    request: &BackupRequest<'_>,
    parent: Option<&Snapshot>,
    control: &Control,
) -> Result<Stored, MoverError> {
    let tree = Tree::open(request.path, TreeOptions { one_file_system: request.one_file_system })
        .map_err(MoverError::Source)?;
    let parent = match parent {
        Some(snapshot) if !request.force && matches!(snapshot.record.content, Content::Tree { .. }) => {
            Some((repository.open_tree(snapshot)?, snapshot.record.started_at))
        }
        _ => None,
    };
    let options = TreeBackupOptions {
        parent: parent.as_ref().map(|(reader, began)| TreeParent {
            reader,
            began: longshore_volume::Timestamp {
                seconds: began.as_second(),
                nanoseconds: began.subsec_nanosecond().unsigned_abs(),
            },
        }),
    };
    let splitter = repository.file_splitter();
    let TreeBackup { content, totals, failures } = backup_tree(session, &splitter, &tree, &options, control)?;
    let stats = SnapshotStats {
        read_bytes: totals.read_bytes,
        hole_bytes: totals.hole_bytes,
        files: totals.files,
        unchanged_files: totals.unchanged_files,
        directories: totals.directories,
        failed_files: failures.count,
        ..SnapshotStats::default()
    };
    Ok(Stored { content, stats, failures })
}

/// How to restore.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreOptions {
    /// For trees: what to do beside writing files.
    pub tree: TreeRestoreOptions,
    /// For trees: which metadata may be left out.
    pub target: TargetOptions,
}

/// Writes `snapshot` to `path`, a device or image for a volume and a folder for a tree, and returns when it is durable.
///
/// # Errors
/// [`MoverError::OtherKind`] when the path is a folder and the snapshot a volume, or the other way; everything the pipelines fail
/// with.
pub fn run_restore(
    repository: &Repository,
    snapshot: &Snapshot,
    path: &Path,
    options: RestoreOptions,
    control: &Control,
) -> Result<RestoreTotals, MoverError> {
    let _reading = repository.begin_reading(snapshot)?;
    let status = std::fs::metadata(path);
    tracing::info!(snapshot = %snapshot.id(), size_bytes = snapshot.record.content.size_bytes(), "writing the target");
    match snapshot.record.content {
        Content::Volume { size_bytes, .. } => {
            if status.is_ok_and(|status| status.is_dir()) {
                return Err(MoverError::OtherKind { holds: "volume", wanted: "file tree" });
            }
            let reader = repository.open_volume(snapshot)?;
            let target = BlockWriter::open(path, size_bytes).map_err(MoverError::Target)?;
            restore_volume(repository, &reader, &target, control)
        }
        Content::Tree { size_bytes, .. } => {
            if status.is_ok_and(|status| !status.is_dir()) {
                return Err(MoverError::OtherKind { holds: "file tree", wanted: "volume" });
            }
            let reader = repository.open_tree(snapshot)?;
            let target = TreeTarget::open(path, options.target).map_err(MoverError::Target)?;
            check_room(&target, path, size_bytes.saturating_sub(snapshot.record.stats.hole_bytes))?;
            restore_tree(repository, &reader, &target, options.tree, control)
        }
    }
}

/// Refuses a file system that is smaller than the files, before anything is written. The whole file system is compared, not what
/// is free of it: a restore onto an earlier attempt needs no more room.
fn check_room(target: &TreeTarget, path: &Path, needed_bytes: u64) -> Result<(), MoverError> {
    let found_bytes = target.size_bytes().map_err(MoverError::Target)?;
    if found_bytes < needed_bytes {
        let error = VolumeError::TooSmall { path: path.into(), needed_bytes, found_bytes };
        return Err(MoverError::Target(error));
    }
    Ok(())
}
