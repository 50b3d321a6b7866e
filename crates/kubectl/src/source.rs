//! The VolumeSnapshot that a backup begins with.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use longshore_api::{
    LocalReference, VolumeSnapshot, VolumeSnapshotBackup, VolumeSnapshotBackupSpec, VolumeSnapshotClass,
    VolumeSnapshotSource, VolumeSnapshotSpec,
};

use crate::cluster::{Session, get, list};
use crate::failure::{Class, Failure};
use crate::place::Place;
use crate::wait::{Watched, until};

/// Annotations with the name of the driver that made a PVC's volume, the newer first.
const PROVISIONER: &[&str] =
    &["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];
/// How long a snapshot may take to become ready unless told otherwise.
const READY_LIMIT: Duration = Duration::from_secs(600);

/// A class for a new snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotClass {
    /// Its name; `None` leaves the choice to the snapshot controller.
    pub name: Option<String>,
    /// Whether the snapshot in the storage outlives its VolumeSnapshot.
    pub retains: bool,
}

/// Chooses the class for snapshots of a driver. What the user may not read is left to the snapshot controller. Pure.
pub fn choose_class(
    wanted: Option<&str>,
    driver: Option<&str>,
    classes: Option<&[VolumeSnapshotClass]>,
) -> Result<SnapshotClass, Failure> {
    let chosen = |class: &VolumeSnapshotClass| SnapshotClass {
        name: class.metadata.name.clone(),
        retains: class.deletion_policy == "Retain",
    };
    if let Some(wanted) = wanted {
        let found =
            classes.unwrap_or_default().iter().find(|one| one.metadata.name.as_deref() == Some(wanted));
        return match (found, driver, classes) {
            (Some(class), Some(driver), _) if class.driver != driver => Err(Failure::Refused {
                message: format!(
                    "VolumeSnapshotClass {wanted} is for driver {}, the volume is of {driver}",
                    class.driver
                ),
                advice: "Name a class of the volume's driver with --snapshot-class.".to_owned(),
            }),
            (Some(class), _, _) => Ok(chosen(class)),
            (None, _, Some(_)) => Err(Failure::NotFound {
                message: format!("there is no VolumeSnapshotClass {wanted}"),
                advice: "Look at what there is with `kubectl get volumesnapshotclasses`.".to_owned(),
            }),
            (None, _, None) => Ok(SnapshotClass { name: Some(wanted.to_owned()), retains: false }),
        };
    }
    let (Some(driver), Some(classes)) = (driver, classes) else {
        return Ok(SnapshotClass { name: None, retains: false });
    };
    VolumeSnapshotClass::only_of(classes, driver).map(chosen).ok_or_else(|| Failure::Refused {
        message: format!("driver {driver} has no VolumeSnapshotClass, or several and not just one default"),
        advice: "Name one with --snapshot-class; an administrator can mark the default of the driver."
            .to_owned(),
    })
}

/// Finds the class for a snapshot of a PVC of the session's namespace.
pub async fn class_for(
    session: &Session,
    claim: &str,
    wanted: Option<&str>,
) -> Result<SnapshotClass, Failure> {
    let found = get(&session.here::<PersistentVolumeClaim>(), claim).await?;
    let found = found.ok_or_else(|| Failure::NotFound {
        message: format!("there is no PVC {claim} in namespace {}", session.namespace),
        advice: "Name the PVC's namespace with -n.".to_owned(),
    })?;
    let bound = found.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Bound");
    if !bound {
        return Err(Failure::Refused {
            message: format!("PVC {claim} is not bound to a volume, so there is nothing to back up"),
            advice: format!("Look at `kubectl -n {} describe pvc {claim}`.", session.namespace),
        });
    }
    let driver = driver_of(session, &found).await?;
    let classes = readable(list(&session.everywhere::<VolumeSnapshotClass>(), "").await)?;
    choose_class(wanted, driver.as_deref(), classes.as_deref())
}

async fn driver_of(session: &Session, claim: &PersistentVolumeClaim) -> Result<Option<String>, Failure> {
    let annotations = claim.annotations();
    if let Some(driver) = PROVISIONER.iter().find_map(|key| annotations.get(*key)) {
        return Ok(Some(driver.clone()));
    }
    let Some(class) = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref()) else {
        return Ok(None);
    };
    let class = readable(get(&session.everywhere::<StorageClass>(), class).await)?.flatten();
    Ok(class.map(|class| class.provisioner))
}

/// `None` where the user may not look.
fn readable<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Err(failure) if failure.class() == Class::Denied => Ok(None),
        other => other.map(Some),
    }
}

fn metadata(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), namespace: Some(namespace.to_owned()), ..ObjectMeta::default() }
}

/// A new VolumeSnapshot of a PVC.
pub fn snapshot_of(namespace: &str, name: &str, claim: &str, class: &SnapshotClass) -> VolumeSnapshot {
    VolumeSnapshot {
        metadata: metadata(namespace, name),
        spec: VolumeSnapshotSpec {
            source: VolumeSnapshotSource {
                persistent_volume_claim_name: Some(claim.to_owned()),
                volume_snapshot_content_name: None,
            },
            volume_snapshot_class_name: class.name.clone(),
        },
        status: None,
    }
}

/// A backup of a content; a dry run does not know the content of a snapshot that it does not take.
pub fn backup_of(namespace: &str, name: &str, content: Option<&str>, place: &Place) -> VolumeSnapshotBackup {
    VolumeSnapshotBackup {
        metadata: metadata(namespace, name),
        spec: VolumeSnapshotBackupSpec {
            volume_snapshot_content: content
                .map(|name| ObjectReference { name: Some(name.to_owned()), ..ObjectReference::default() }),
            protected_namespace: Some(place.protected_namespace.clone()),
            restic_secret_ref: Some(LocalReference { name: Some(place.secret.clone()) }),
        },
        status: None,
    }
}

impl Watched for VolumeSnapshot {
    fn describe(&self) -> String {
        let status = self.status.clone().unwrap_or_default();
        let error = status.error.and_then(|error| error.message);
        format!("volumesnapshot/{}: {}", self.name_any(), error.as_deref().unwrap_or("not ready to use yet"))
    }
}

/// The content of a VolumeSnapshot, once it is ready to use.
pub fn ready_content(snapshot: &VolumeSnapshot) -> Option<&str> {
    let status = snapshot.status.as_ref().filter(|status| status.ready_to_use == Some(true))?;
    status.bound_volume_snapshot_content_name.as_deref()
}

/// Waits until a VolumeSnapshot is ready to use, and returns its content's name.
pub async fn ready(session: &Session, name: &str, limit: Option<Duration>) -> Result<String, Failure> {
    let api = session.here::<VolumeSnapshot>();
    let limit = Some(limit.unwrap_or(READY_LIMIT));
    let snapshot = until(&api, name, "the VolumeSnapshot to be ready", limit, |snapshot: &VolumeSnapshot| {
        ready_content(snapshot).is_some()
    })
    .await?;
    Ok(ready_content(&snapshot).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, driver: &str, policy: &str) -> VolumeSnapshotClass {
        VolumeSnapshotClass {
            metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
            driver: driver.into(),
            deletion_policy: policy.into(),
        }
    }

    #[test]
    fn the_class_is_of_the_volumes_driver() {
        let all = [class("a", "one", "Delete"), class("b", "two", "Retain")];
        let choose = |wanted, driver| choose_class(wanted, driver, Some(&all));
        let b = SnapshotClass { name: Some("b".into()), retains: true };
        assert_eq!(choose(None, Some("two")).unwrap(), b);
        assert_eq!(choose(Some("b"), Some("two")).unwrap(), b);
        assert_eq!(choose(Some("b"), None).unwrap(), b);
        assert!(choose(Some("b"), Some("one")).unwrap_err().to_string().contains("is for driver two"));
        assert!(choose(Some("c"), Some("one")).unwrap_err().to_string().contains("no VolumeSnapshotClass c"));
        assert!(choose(None, Some("three")).is_err());
    }

    #[test]
    fn what_the_user_may_not_read_is_left_to_the_snapshot_controller() {
        assert_eq!(choose_class(None, Some("one"), None).unwrap().name, None);
        assert_eq!(choose_class(None, None, Some(&[])).unwrap().name, None);
        assert_eq!(choose_class(Some("x"), None, None).unwrap().name.as_deref(), Some("x"));
    }

    #[test]
    fn objects_hold_what_the_operator_reads_and_nothing_else() {
        let place = Place { protected_namespace: "vault".into(), secret: "store".into() };
        let backup = serde_json::to_value(backup_of("shop", "data-1", Some("content-1"), &place)).unwrap();
        assert_eq!(
            backup["spec"],
            serde_json::json!({"volumeSnapshotContent": {"name": "content-1"}, "protectedNamespace": "vault",
                "resticSecretRef": {"name": "store"}})
        );
        let class = SnapshotClass { name: Some("fast".into()), retains: false };
        let snapshot = serde_json::to_value(snapshot_of("shop", "data-1", "data", &class)).unwrap();
        assert_eq!(
            snapshot["spec"],
            serde_json::json!({"source": {"persistentVolumeClaimName": "data"}, "volumeSnapshotClassName": "fast"})
        );
    }

    #[test]
    fn a_snapshot_is_ready_with_its_content() {
        let snapshot = |ready: bool, content: Option<&str>| VolumeSnapshot {
            status: Some(longshore_api::VolumeSnapshotStatus {
                ready_to_use: Some(ready),
                bound_volume_snapshot_content_name: content.map(str::to_owned),
                ..Default::default()
            }),
            ..VolumeSnapshot::default()
        };
        assert_eq!(ready_content(&snapshot(true, Some("c"))), Some("c"));
        assert_eq!(ready_content(&snapshot(false, Some("c"))), None);
        assert_eq!(ready_content(&snapshot(true, None)), None);
        assert_eq!(ready_content(&VolumeSnapshot::default()), None);
    }
}
