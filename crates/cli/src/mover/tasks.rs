//! The jobs of a mover that has a volume.

use std::time::Instant;

use longshore_job::{
    BackupSummary, BackupTask, JobDocument, Outcome, Reason, RestorePointReference, RestoreSummary,
    RestoreTask, SourceVolume, VolumeMode, parse_bytes,
};
use longshore_mover::{
    BackupRequest, Control, MoverError, RestoreOptions, TargetOptions, TreeRestoreOptions, run_backup,
    run_restore,
};
use longshore_repo::{Content, KubernetesVolume, SourceIdentity};
use longshore_repo::{Repository, RunId, Snapshot};

use super::{Failed, credentials};
use crate::Failure;
use crate::arguments::MoverArguments;
use crate::failure::chain;

pub(super) fn backup(
    arguments: &MoverArguments,
    document: &JobDocument,
    task: &BackupTask,
    control: &Control,
    started: Instant,
) -> Result<Outcome, Failed> {
    let run: RunId = document.run.uid.parse().map_err(|error| {
        Failed::new(Reason::InvalidJob, format!("the run's UID is no UUID: {}", chain(&error)))
    })?;
    let repository = credentials::access(arguments)?.open_or_init().map_err(failed)?;
    let volume = &task.source;
    let request = BackupRequest {
        path: match volume.volume_mode {
            VolumeMode::Filesystem => &arguments.filesystem,
            VolumeMode::Block => &arguments.block,
        },
        run,
        source: source(&volume.cluster_uid, &volume.namespace, &volume.pvc_name),
        kubernetes: Some(kubernetes(document, volume)),
        data_at: volume.snapshot_time.parse().ok(),
        labels: task.labels.clone(),
        allow_incomplete: false,
        force: false,
        one_file_system: true,
        is_immutable: true,
    };
    let outcome = run_backup(&repository, &request, &jiff::Timestamp::now, control)?;
    let record = &outcome.snapshot.record;
    Ok(Outcome::BackedUp(BackupSummary {
        repository_id: repository.id().to_string(),
        snapshot_id: record.run.to_string(),
        bytes_total: record.content.size_bytes(),
        bytes_read: record.stats.read_bytes,
        bytes_new: record.stats.new_bytes,
        bytes_uploaded: record.stats.stored_bytes,
        files: record.stats.files,
        duration_milliseconds: milliseconds(started),
        already_committed: outcome.already_committed,
        trusted_xattrs_unseen: outcome.trusted_xattrs_unseen,
    }))
}

pub(super) fn restore(
    arguments: &MoverArguments,
    document: &JobDocument,
    task: &RestoreTask,
    control: &Control,
    started: Instant,
) -> Result<Outcome, Failed> {
    let reference = &task.reference;
    if !task.is_allowed_for(&document.run.namespace) {
        let message = format!(
            "namespace {} may not restore a volume of namespace {}",
            document.run.namespace, reference.namespace
        );
        return Err(Failed::new(Reason::NamespaceNotAllowed, message));
    }
    let repository = credentials::access(arguments)?.open().map_err(failed)?;
    let snapshot = find(&repository, reference)?;
    let path = match (reference.volume_mode, &snapshot.record.content) {
        (VolumeMode::Filesystem, Content::Tree { .. }) => &arguments.filesystem,
        (VolumeMode::Block, Content::Volume { .. }) => &arguments.block,
        (mode, _) => {
            let message = format!("the restore point was not made from a {} volume", mode.as_str());
            return Err(Failed::new(Reason::VolumeModeMismatch, message));
        }
    };
    let options = RestoreOptions {
        tree: TreeRestoreOptions::default(),
        target: TargetOptions { skip_privileged_xattrs: arguments.skip_privileged_xattrs, skip_owner: false },
    };
    let totals = run_restore(&repository, &snapshot, path, options, control)?;
    Ok(Outcome::Restored(RestoreSummary {
        repository_id: repository.id().to_string(),
        snapshot_id: snapshot.record.run.to_string(),
        bytes_total: totals.size_bytes,
        bytes_written: totals.written_bytes,
        bytes_downloaded: totals.fetched_bytes,
        files: totals.files,
        duration_milliseconds: milliseconds(started),
    }))
}

fn find(repository: &Repository, reference: &RestorePointReference) -> Result<Snapshot, Failed> {
    let source =
        repository.source_id(&source(&reference.cluster_uid, &reference.namespace, &reference.pvc_name));
    let found = if reference.run == RestorePointReference::LATEST {
        repository.latest_of(source).map_err(MoverError::from)?
    } else {
        match reference.run.parse() {
            Ok(run) => repository.find_run(source, run).map_err(MoverError::from)?,
            Err(_) => None,
        }
    };
    found.ok_or_else(|| {
        Failed::new(Reason::RestorePointNotFound, format!("{reference} is not in the repository"))
    })
}

pub(super) fn source(cluster_uid: &str, namespace: &str, pvc: &str) -> SourceIdentity {
    SourceIdentity::Pvc { cluster_uid: cluster_uid.into(), namespace: namespace.into(), pvc: pvc.into() }
}

fn kubernetes(document: &JobDocument, volume: &SourceVolume) -> KubernetesVolume {
    let named = |text: &String| if text.is_empty() { None } else { Some(text.clone()) };
    KubernetesVolume {
        cluster_uid: volume.cluster_uid.clone(),
        namespace: volume.namespace.clone(),
        pvc_name: volume.pvc_name.clone(),
        pvc_uid: volume.pvc_uid.clone(),
        requested_bytes: parse_bytes(&volume.pvc_size).map_or(0, i64::unsigned_abs),
        storage_class: named(&volume.storage_class_name),
        volume_mode: volume.volume_mode.as_str().into(),
        access_modes: volume.access_modes.clone(),
        fs_type: named(&volume.fs_type),
        pvc_labels: volume.labels.clone(),
        driver: volume.driver.clone(),
        volume_snapshot_class: named(&volume.volume_snapshot_class_name),
        snapshot_handle: volume.snapshot_handle.clone(),
        run_kind: Some("VolumeSnapshotBackup".into()),
        run_namespace: Some(document.run.namespace.clone()),
        run_name: Some(document.run.name.clone()),
        ..KubernetesVolume::default()
    }
}

pub(super) fn failed(failure: Failure) -> Failed {
    Failed::new(failure.cause, failure.message)
}

pub(super) fn milliseconds(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
