use super::{
    Bucket,
    errors::{code, failed},
};
use crate::{Operation, StoreError};
use aws_sdk_s3::{
    primitives::DateTime,
    types::{
        BucketVersioningStatus, ObjectLockEnabled, ObjectLockRetention, ObjectLockRetentionMode,
        ObjectLockRule,
    },
};
use jiff::Timestamp;

/// What a bucket does by itself for what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protection {
    /// Whether what is deleted or overwritten stays as an older version.
    pub versioning: Versioning,
    /// Whether versions can be locked.
    pub lock: Option<ObjectLock>,
}

/// Whether a bucket keeps versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    /// What is deleted is gone.
    Off,
    /// Older versions are kept, new ones are not made.
    Suspended,
    /// What is deleted or overwritten is only hidden.
    On,
}

/// Object Lock of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectLock {
    /// How whatever is put into the bucket is locked from then on.
    pub default: Option<DefaultRetention>,
}

/// For how long a bucket locks what is put into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultRetention {
    /// How firmly.
    pub mode: LockMode,
    /// How long, in days.
    pub days: u32,
}

/// How firmly a version is locked; the firmer is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockMode {
    /// Who has the right to may open the lock.
    Governance,
    /// Nobody may, the account's owner included.
    Compliance,
}

/// The lock of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// How firmly.
    pub mode: LockMode,
    /// Until when.
    pub until: Timestamp,
}

impl Bucket {
    /// What the bucket does by itself.
    pub async fn protection(&self) -> Result<Protection, StoreError> {
        let answer = self.client.get_bucket_versioning().bucket(&self.name).send().await;
        let answer = answer.map_err(|error| failed(Operation::Protection, "", error))?;
        let versioning = match answer.status() {
            Some(BucketVersioningStatus::Enabled) => Versioning::On,
            Some(BucketVersioningStatus::Suspended) => Versioning::Suspended,
            Some(_) | None => Versioning::Off,
        };
        Ok(Protection { versioning, lock: self.object_lock().await? })
    }

    /// Object Lock of the bucket, if it is on.
    pub async fn object_lock(&self) -> Result<Option<ObjectLock>, StoreError> {
        let answer = match self.client.get_object_lock_configuration().bucket(&self.name).send().await {
            Ok(answer) => answer,
            Err(error) if code(&error) == Some("ObjectLockConfigurationNotFoundError") => return Ok(None),
            Err(error) => return Err(failed(Operation::Protection, "", error)),
        };
        let configured = answer.object_lock_configuration();
        let is_on = |on: &ObjectLockEnabled| *on == ObjectLockEnabled::Enabled;
        if !configured.and_then(|configured| configured.object_lock_enabled()).is_some_and(is_on) {
            return Ok(None);
        }
        let default = configured.and_then(|configured| configured.rule()).and_then(default_of);
        Ok(Some(ObjectLock { default }))
    }

    /// The lock of the newest version of an object.
    pub async fn retention(&self, name: &str) -> Result<Option<Retention>, StoreError> {
        let request = self.client.get_object_retention().bucket(&self.name).key(self.key(name));
        let answer = match request.send().await {
            Ok(answer) => answer,
            // The second is said of a bucket without Object Lock.
            Err(error)
                if matches!(code(&error), Some("NoSuchObjectLockConfiguration" | "InvalidRequest")) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(failed(Operation::Protection, name, error)),
        };
        let found = answer.retention().and_then(|found| {
            let until = Timestamp::from_second(found.retain_until_date()?.secs()).ok()?;
            Some(Retention { mode: mode_of(found.mode()?)?, until })
        });
        found.map(Some).ok_or_else(|| self.not_told(name, "mode and time"))
    }

    /// Locks the newest version of an object until a time; a lock of compliance can only become longer.
    pub async fn lock(&self, name: &str, retention: Retention) -> Result<(), StoreError> {
        let mode = match retention.mode {
            LockMode::Governance => ObjectLockRetentionMode::Governance,
            LockMode::Compliance => ObjectLockRetentionMode::Compliance,
        };
        let until = DateTime::from_secs(retention.until.as_second());
        let retention = ObjectLockRetention::builder().mode(mode).retain_until_date(until).build();
        let request = self.client.put_object_retention().bucket(&self.name).key(self.key(name));
        let answer = request.retention(retention).send().await;
        answer.map(drop).map_err(|error| failed(Operation::Protection, name, error))
    }
}

fn default_of(rule: &ObjectLockRule) -> Option<DefaultRetention> {
    let found = rule.default_retention()?;
    let days = found.days().or_else(|| Some(found.years()?.saturating_mul(365)))?;
    Some(DefaultRetention { mode: mode_of(found.mode()?)?, days: u32::try_from(days).ok()? })
}

fn mode_of(mode: &ObjectLockRetentionMode) -> Option<LockMode> {
    match mode {
        ObjectLockRetentionMode::Compliance => Some(LockMode::Compliance),
        ObjectLockRetentionMode::Governance => Some(LockMode::Governance),
        _ => None,
    }
}
