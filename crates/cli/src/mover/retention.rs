//! Forgetting by policy, as a Repository asks for it: narrower than `longshore forget`, since nobody looks on.

use jiff::{SignedDuration, Timestamp};
use longshore_job::{Reason, Retention, VELERO_BACKUP_LABEL};
use longshore_mover::{Control, MoverError};
use longshore_repo::{ForgetPolicy, Repository, Snapshot, decide_forget};

use super::Failed;
use super::abandoned::is_of_cluster;

/// Forgets what no rule keeps, and returns how many points that were.
pub(super) fn forget(
    repository: &Repository,
    retention: &Retention,
    control: &Control,
    why: &str,
) -> Result<u64, Failed> {
    let policy = policy(retention);
    if policy.is_empty() {
        return Err(Failed::new(Reason::InvalidJob, "the retention keeps nothing"));
    }
    let not_before = not_before(retention)?;
    let mut snapshots = repository.snapshots().map_err(MoverError::from)?;
    snapshots.retain(|snapshot| is_subject(snapshot, retention, not_before));
    let mut forgotten = 0;
    for decision in decide_forget(snapshots, &policy) {
        if !decision.keep.is_empty() {
            continue;
        }
        if control.is_cancelled() {
            return Err(MoverError::Cancelled.into());
        }
        repository.forget(&decision.snapshot, why, Timestamp::now()).map_err(MoverError::from)?;
        tracing::info!(snapshot = %decision.snapshot.key.run, "forgotten by retention");
        forgotten += 1;
    }
    if forgotten > 0 {
        // Without one, the store could show what was forgotten again.
        repository.checkpoint().map_err(MoverError::from)?;
    }
    Ok(forgotten)
}

/// Whether the rules speak of this point at all. What they do not speak of neither goes nor takes another's place.
fn is_subject(snapshot: &Snapshot, retention: &Retention, not_before: Option<Timestamp>) -> bool {
    is_of_cluster(snapshot, &retention.cluster_uid)
        && !snapshot.record.labels.contains_key(VELERO_BACKUP_LABEL)
        && not_before.is_none_or(|moment| snapshot.record.started_at >= moment)
}

fn not_before(retention: &Retention) -> Result<Option<Timestamp>, Failed> {
    match retention.not_before.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            Failed::new(
                Reason::InvalidJob,
                format!("the moment before which nothing is forgotten is none: {text:?}"),
            )
        }),
    }
}

fn policy(retention: &Retention) -> ForgetPolicy {
    let within = i64::try_from(retention.keep_within_seconds).unwrap_or(i64::MAX);
    ForgetPolicy {
        last: retention.keep_last,
        hourly: retention.keep_hourly,
        daily: retention.keep_daily,
        weekly: retention.keep_weekly,
        monthly: retention.keep_monthly,
        yearly: retention.keep_yearly,
        within: (within > 0).then(|| SignedDuration::from_secs(within)),
        labels: Default::default(),
    }
}
