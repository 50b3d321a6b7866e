//! The jobs without a volume: one restore point goes, or the whole repository is maintained.

use std::time::Instant;

use jiff::Timestamp;
use longshore_job::{
    CheckSummary, ForgetSummary, ForgetTask, JobDocument, MaintainTask, MaintenanceSummary, Outcome, Reason,
};
use longshore_mover::{Control, MoverError};
use longshore_repo::{
    CheckOptions, CheckReport, PruneOptions, PrunePolicy, PruneReport, RepoError, Repository, RunId, Sample,
    SourceId,
};

use super::tasks::{failed, milliseconds, source};
use super::{Failed, abandoned, credentials, retention};
use crate::arguments::{KEEP_HIDDEN, MoverArguments};
use crate::hidden::remove_hidden;
use crate::progress::{show_check, show_prune};
use crate::settings::Access;

/// Deletes the one restore point that the task names. One that is not there (any more) is a success, but only in a repository that was found and
/// opened with the key: whatever keeps from looking is a failure, never "gone".
pub(super) fn forget(
    arguments: &MoverArguments,
    document: &JobDocument,
    task: &ForgetTask,
    started: Instant,
) -> Result<Outcome, Failed> {
    let reference = &task.reference;
    let run = match reference.run.parse::<RunId>() {
        Ok(run) if reference.names_one_run() => run,
        _ => return Err(Failed::new(Reason::InvalidJob, format!("{reference} does not name one run"))),
    };
    let repository = credentials::access(arguments)?.open().map_err(failed)?;
    let identity = source(&reference.cluster_uid, &reference.namespace, &reference.pvc_name);
    let why = format!("request {}/{}", document.run.namespace, document.run.name);
    let there = forget_run(&repository, repository.source_id(&identity), run, &why)?;
    if there {
        // Without one, the store could show what was forgotten again.
        repository.checkpoint().map_err(MoverError::from)?;
    }
    Ok(Outcome::Forgotten(ForgetSummary {
        repository_id: repository.id().to_string(),
        snapshot_id: run.to_string(),
        already_gone: !there,
        duration_milliseconds: milliseconds(started),
    }))
}

/// Whether there was something to forget. A record that cannot be read any more goes as well, by its key.
fn forget_run(repository: &Repository, source: SourceId, run: RunId, why: &str) -> Result<bool, Failed> {
    let now = Timestamp::now();
    match repository.find_run(source, run).map_err(MoverError::from) {
        Ok(None) => Ok(false),
        Ok(Some(snapshot)) => {
            repository.forget(&snapshot, why, now).map_err(MoverError::from)?;
            Ok(true)
        }
        Err(error) if error.reason() == Reason::RepositoryDamaged => {
            let damaged = repository.resolve_damaged(&run.to_string()).map_err(MoverError::from)?;
            let Some(damaged) = damaged.filter(|damaged| damaged.key.source == source) else {
                return Err(error.into());
            };
            repository.forget_key(damaged.key, why, now).map_err(MoverError::from)?;
            Ok(true)
        }
        Err(error) => Err(error.into()),
    }
}

/// Forgets by retention, prunes, then checks. A prune that damage forbids does not keep the check from saying what is damaged.
pub(super) fn maintain(
    arguments: &MoverArguments,
    document: &JobDocument,
    task: &MaintainTask,
    control: &Control,
    started: Instant,
) -> Result<Outcome, Failed> {
    let access = credentials::access(arguments)?;
    let repository = access.open().map_err(failed)?;
    let forgotten = match &task.retention {
        Some(rules) => {
            let why = format!("retention of Repository {}/{}", document.run.namespace, document.run.name);
            retention::forget(&repository, rules, control, &why)?
        }
        None => 0,
    };
    let pruned = match task.prune {
        true => prune(&access, &repository, task, control),
        false => Ok(PruneReport::default()),
    };
    if matches!(&pruned, Err(failure) if failure.reason != Reason::RepositoryDamaged)
        || control.is_cancelled()
    {
        pruned?;
        return Err(MoverError::Cancelled.into());
    }
    let checked = match task.check {
        true => Some(check(&repository, task, control)?),
        false => None,
    };
    let summary = checked.as_ref().map(check_summary);
    let pruned = pruned.map_err(|failure| match &summary {
        Some(CheckSummary { problems, first_problem, .. }) => Failed::new(
            failure.reason,
            format!("{}; the check found {problems} problems: {first_problem}", failure.message),
        ),
        None => failure,
    })?;
    let snapshots = repository.snapshots().map_err(MoverError::from)?;
    let known = task.velero_backups.as_ref();
    let abandoned = known.map(|known| abandoned::summary(&snapshots, known)).transpose()?;
    let all = repository.stats(Vec::new(), &mut |_| {}).map_err(MoverError::from)?.all;
    Ok(Outcome::Maintained(MaintenanceSummary {
        repository_id: repository.id().to_string(),
        repository_bytes: all.bytes,
        restore_points: snapshots.len() as u64,
        forgotten,
        bytes_freed: pruned.deleted_bytes.saturating_sub(pruned.copied_bytes),
        waiting_sessions: pruned.waiting_sessions as u64,
        check: summary,
        abandoned,
        duration_milliseconds: milliseconds(started),
    }))
}

fn prune(
    access: &Access,
    repository: &Repository,
    task: &MaintainTask,
    control: &Control,
) -> Result<PruneReport, Failed> {
    let standard = PrunePolicy::default();
    let policy = PrunePolicy {
        max_unused_percent: task.max_unused_percent.unwrap_or(standard.max_unused_percent),
        ..standard
    };
    let options = PruneOptions { policy, ..PruneOptions::default() };
    let report =
        repository.prune(&options, &mut |stage| show_prune(control, stage)).map_err(MoverError::from)?;
    repository.checkpoint().map_err(MoverError::from)?;
    remove_hidden(access, repository, KEEP_HIDDEN).map_err(failed)?;
    Ok(report)
}

fn check(repository: &Repository, task: &MaintainTask, control: &Control) -> Result<CheckReport, Failed> {
    let mut show = |progress| show_check(control, progress);
    let report: Result<CheckReport, RepoError> = match task.check_read_data_percent {
        0 => repository.check(&CheckOptions { read_data: false }, &mut show),
        percent @ 1..100 => repository.check_sample(Sample { percent, number: task.check_sample }, &mut show),
        _ => repository.check(&CheckOptions { read_data: true }, &mut show),
    };
    let report = report.map_err(MoverError::from)?;
    for problem in &report.problems {
        tracing::error!(object = problem.object, reason = problem.reason, "the repository is damaged");
    }
    Ok(report)
}

fn check_summary(report: &CheckReport) -> CheckSummary {
    let first = report.problems.first();
    CheckSummary {
        problems: report.problems.len() as u64 + report.problems_more,
        damaged_restore_points: report.losses.len() as u64,
        first_problem: first
            .map(|problem| format!("{}: {}", problem.object, problem.reason))
            .unwrap_or_default(),
        bytes_read: report.read_bytes,
    }
}
