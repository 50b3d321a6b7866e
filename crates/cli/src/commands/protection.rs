//! What a bucket does against deletion, for `init`, `check` and `prune`.

use longshore_mover::MoverError;
use longshore_repo::store::{Bucket, Class, LockMode, Versioning};
use longshore_repo::{Locks, ProtectionReport, RepoError, Repository};
use serde::Serialize;

use crate::Failure;

/// How long data is protected, as `-o json` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Protection {
    versioning: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    default_days: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locks: Option<LocksView>,
}

/// The locks of what the snapshots need, where the bucket has Object Lock.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LocksView {
    objects: u64,
    unlocked: u64,
    governed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<jiff::Timestamp>,
}

impl Protection {
    /// Of everything that the snapshots need. None where the store has no such thing, or does not tell these credentials.
    pub fn of(repository: &Repository, bucket: Option<&Bucket>) -> Result<Option<Self>, Failure> {
        let Some(bucket) = bucket else { return Ok(None) };
        match repository.protection(bucket) {
            Ok(report) => Ok(Some(Self::from(&report))),
            Err(RepoError::Store { source })
                if matches!(source.class(), Class::AccessDenied | Class::Permanent) =>
            {
                tracing::info!(error = %source, "the bucket does not say how its objects are protected");
                Ok(None)
            }
            // Damage that keeps it from being known what is needed is reported by the check itself.
            Err(RepoError::Undecidable { .. }) => Ok(None),
            Err(error) => Err(MoverError::from(error).into()),
        }
    }

    /// One sentence.
    pub fn sentence(&self) -> String {
        let Some(locks) = &self.locks else {
            return match self.versioning {
                "on" => "not locked; the bucket keeps versions, so that a deletion can be taken back",
                _ => "not protected: who may delete objects of the bucket can delete the backups",
            }
            .to_owned();
        };
        match locks.until {
            Some(until) => {
                let governed = match locks.governed {
                    0 => String::new(),
                    count => format!(", {count} of them only against who may not bypass governance"),
                };
                format!(
                    "all {} objects that snapshots need are locked until {until}{governed}",
                    locks.objects
                )
            }
            None => format!(
                "{} of {} objects that snapshots need are not locked; `longshore lock` locks them",
                locks.unlocked, locks.objects
            ),
        }
    }
}

impl From<&ProtectionReport> for Protection {
    fn from(report: &ProtectionReport) -> Self {
        let default = report.bucket.lock.and_then(|lock| lock.default);
        Self {
            versioning: match report.bucket.versioning {
                Versioning::Off => "off",
                Versioning::Suspended => "suspended",
                Versioning::On => "on",
            },
            default_mode: default.map(|default| mode(default.mode)),
            default_days: default.map(|default| default.days),
            locks: report.locks.map(LocksView::from),
        }
    }
}

impl From<Locks> for LocksView {
    fn from(locks: Locks) -> Self {
        Self {
            objects: locks.objects,
            unlocked: locks.unlocked,
            governed: locks.governed,
            until: locks.until,
        }
    }
}

fn mode(mode: LockMode) -> &'static str {
    match mode {
        LockMode::Governance => "governance",
        LockMode::Compliance => "compliance",
    }
}
