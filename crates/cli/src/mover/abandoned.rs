//! Restore points whose Velero Backup is not there any more. They are told, and nothing else follows from that.

use std::collections::BTreeSet;

use jiff::Timestamp;
use longshore_job::{AbandonedSummary, KnownBackups, Reason, VELERO_BACKUP_LABEL};
use longshore_repo::{Snapshot, SourceIdentity};

use super::Failed;

/// Longest name in a summary: that of a label. A record holds whatever its maker wrote.
const NAME_CHARACTERS_MAX: usize = 63;

/// Looks for points of the cluster that name a Backup which is not among the known ones.
pub(super) fn summary(snapshots: &[Snapshot], known: &KnownBackups) -> Result<AbandonedSummary, Failed> {
    let at: Timestamp = known.at.parse().map_err(|_| {
        Failed::new(Reason::InvalidJob, format!("the time of the known backups is none: {:?}", known.at))
    })?;
    let mut backups = BTreeSet::new();
    let mut restore_points = 0;
    for snapshot in snapshots {
        let Some(name) = snapshot.record.labels.get(VELERO_BACKUP_LABEL) else { continue };
        // Of a point that was begun later, the Backup may be younger than the list.
        if is_of_cluster(snapshot, &known.cluster_uid)
            && snapshot.record.started_at < at
            && !known.names.contains(name)
        {
            restore_points += 1;
            backups.insert(name.chars().take(NAME_CHARACTERS_MAX).collect::<String>());
        }
    }
    let backups = backups.into_iter().take(AbandonedSummary::BACKUPS_MAX).collect();
    Ok(AbandonedSummary { restore_points, backups })
}

/// Whether the point was made in this cluster.
pub(super) fn is_of_cluster(snapshot: &Snapshot, uid: &str) -> bool {
    matches!(&snapshot.record.source, SourceIdentity::Pvc { cluster_uid, .. } if cluster_uid == uid)
}
