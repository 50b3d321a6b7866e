//! The CSI snapshot of a PVC: its class, its making, and the wait for its handle.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use longshore_api::{VolumeSnapshot, VolumeSnapshotClass, VolumeSnapshotContent};
use serde_json::json;
use tokio::time::Instant;

use crate::cluster::{ActionError, Connection, create, get, list, merge};
use crate::item::{BACKUP_UID, Backup, annotation, derived_name};

const CLASS: &str = "velero.io/csi-volumesnapshot-class";
const DEFAULT_CLASS: &str = "snapshot.storage.kubernetes.io/is-default-class";
const POLL: Duration = Duration::from_millis(500);

/// Chooses the VolumeSnapshotClass as Velero does: the PVC's annotation, the backup's for the driver, the labelled class, the default one, the only one.
pub fn choose_class(
    backup: &Backup,
    claim: &PersistentVolumeClaim,
    driver: &str,
    all: &[VolumeSnapshotClass],
) -> Result<String, ActionError> {
    let name = |class: &VolumeSnapshotClass| class.metadata.name.clone().unwrap_or_default();
    let of_driver: Vec<_> = all.iter().filter(|class| class.driver == driver).collect();
    let named = annotation(&claim.metadata, CLASS).or_else(|| {
        annotation(&backup.metadata, &format!("{CLASS}_{driver}")).filter(|name| !name.is_empty())
    });
    if let Some(named) = named {
        return of_driver.iter().map(|class| name(class)).find(|name| name == named).ok_or_else(|| {
            ActionError::refused(format!("driver {driver} has no VolumeSnapshotClass {named}"))
        });
    }
    let labelled = of_driver.iter().find(|class| crate::item::label(&class.metadata, CLASS).is_some());
    let default =
        || of_driver.iter().find(|class| annotation(&class.metadata, DEFAULT_CLASS) == Some("true"));
    let only = || of_driver.first().filter(|_| of_driver.len() == 1);
    labelled.or_else(default).or_else(only).map(|class| name(class)).ok_or_else(|| {
        ActionError::refused(format!(
            "driver {driver} has {} VolumeSnapshotClasses, and none is marked with the label {CLASS}",
            of_driver.len()
        ))
    })
}

/// Name of the snapshot of a PVC for a backup.
pub fn name(backup: &Backup, claim: &PersistentVolumeClaim) -> String {
    derived_name("longshore", &["snapshot", backup.uid(), claim.uid().as_deref().unwrap_or_default()])
}

/// Takes the snapshot, or finds the one that an earlier call took, and waits until the storage has it. Its content is marked as ours.
pub async fn take(
    cluster: &Connection,
    backup: &Backup,
    claim: &PersistentVolumeClaim,
    driver: &str,
) -> Result<VolumeSnapshotContent, ActionError> {
    let classes = list(&cluster.all::<VolumeSnapshotClass>(), "").await?;
    let class = choose_class(backup, claim, driver, &classes)?;
    let namespace = claim.namespace().unwrap_or_default();
    let name = name(backup, claim);
    let mut wanted = VolumeSnapshot::new(&name, Default::default());
    wanted.metadata.namespace = Some(namespace.clone());
    wanted.metadata.labels = Some([(BACKUP_UID.to_owned(), backup.uid().to_owned())].into());
    wanted.spec.source.persistent_volume_claim_name = claim.metadata.name.clone();
    wanted.spec.volume_snapshot_class_name = Some(class);
    create(&cluster.namespaced(&namespace), &wanted, BACKUP_UID).await?;
    let content = match wait(cluster, &namespace, &name, backup.snapshot_timeout()).await {
        Ok(content) => content,
        Err(error) => {
            // Nothing refers to it yet, so nothing else would ever remove it.
            cluster.discard_snapshot(&namespace, &name, backup.uid()).await?;
            return Err(error);
        }
    };
    let labels = json!({"metadata": {"labels": {BACKUP_UID: backup.uid()}}});
    merge(&cluster.all::<VolumeSnapshotContent>(), &content.name_any(), &labels).await?;
    Ok(content)
}

async fn wait(
    cluster: &Connection,
    namespace: &str,
    name: &str,
    patience: Duration,
) -> Result<VolumeSnapshotContent, ActionError> {
    let deadline = Instant::now() + patience;
    let (snapshots, contents) = (cluster.namespaced::<VolumeSnapshot>(namespace), cluster.all());
    let mut said = String::from("the snapshot controller has said nothing");
    loop {
        let Some(snapshot) = get(&snapshots, name).await? else {
            return Err(ActionError::refused(format!("VolumeSnapshot {namespace}/{name} was deleted")));
        };
        let status = snapshot.status.unwrap_or_default();
        if let Some(bound) = status.bound_volume_snapshot_content_name
            && let Some(content) = get::<VolumeSnapshotContent>(&contents, &bound).await?
        {
            if content.status.as_ref().is_some_and(|status| status.snapshot_handle.is_some()) {
                return Ok(content);
            }
            said = content.status.and_then(|status| status.error?.message).unwrap_or(said);
        }
        said = status.error.and_then(|error| error.message).unwrap_or(said);
        if Instant::now() >= deadline {
            let message = format!("VolumeSnapshot {namespace}/{name} got no handle in {patience:?}: {said}");
            return Err(ActionError::refused(message));
        }
        tokio::time::sleep(POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, driver: &str, label: bool, default: bool) -> VolumeSnapshotClass {
        let mut metadata = json!({"name": name});
        if label {
            metadata["labels"] = json!({CLASS: "false"});
        }
        if default {
            metadata["annotations"] = json!({DEFAULT_CLASS: "true"});
        }
        serde_json::from_value(json!({"metadata": metadata, "driver": driver})).unwrap()
    }

    #[test]
    fn classes_are_chosen_in_veleros_order() {
        let mut all = vec![class("only", "d", false, false), class("other", "e", true, true)];
        let (mut backup, mut claim) = (Backup::default(), PersistentVolumeClaim::default());
        let choose = |backup: &Backup, claim: &PersistentVolumeClaim, all: &[VolumeSnapshotClass]| {
            choose_class(backup, claim, "d", all).ok()
        };
        assert_eq!(choose(&backup, &claim, &all).as_deref(), Some("only"));
        all.push(class("second", "d", false, false));
        assert_eq!(choose(&backup, &claim, &all), None, "two, and none is marked");
        all.push(class("default", "d", false, true));
        assert_eq!(choose(&backup, &claim, &all).as_deref(), Some("default"));
        all.push(class("labelled", "d", true, false));
        assert_eq!(choose(&backup, &claim, &all).as_deref(), Some("labelled"));
        backup.metadata.annotations = Some([(format!("{CLASS}_d"), "second".to_owned())].into());
        assert_eq!(choose(&backup, &claim, &all).as_deref(), Some("second"));
        claim.metadata.annotations = Some([(CLASS.to_owned(), "only".to_owned())].into());
        assert_eq!(choose(&backup, &claim, &all).as_deref(), Some("only"));
        claim.metadata.annotations = Some([(CLASS.to_owned(), "other".to_owned())].into());
        assert_eq!(choose(&backup, &claim, &all), None, "of another driver");
    }
}
