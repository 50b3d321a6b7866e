//! What a Velero Restore allows: an administrator who maps a namespace to another lets that other have its restore points.

use std::collections::BTreeMap;

use kube::api::DynamicObject;
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, ResourceExt};
use longshore_api::VolumeSnapshotRestore;

use crate::cluster::{Error, classify};
use crate::context::Context;
use crate::status::RunStatus;

/// Velero's label of the Restore that an object was made for.
const RESTORE_NAME: &str = "velero.io/restore-name";

/// Namespaces whose points the Velero Restore that `restore` names brings to its namespace. Only Restores of the protected namespace count: whoever
/// may make one there is an administrator. None is read unless the namespaces differ.
///
/// # Errors
/// Whatever the API server refuses; a Restore, or a kind, that is not there allows nothing.
pub async fn mapped_sources(
    context: &Context,
    restore: &VolumeSnapshotRestore,
) -> Result<Vec<String>, Error> {
    let status = restore.status.clone().unwrap_or_default();
    if restore.metadata.deletion_timestamp.is_some() || status.phase().is_terminal() {
        return Ok(Vec::new());
    }
    let namespace = restore.namespace().unwrap_or_default();
    let protected = restore.spec.protected_namespace.clone().unwrap_or_default();
    let backup = restore.spec.volume_snapshot_mover_backup_ref.as_ref();
    let reference = backup.and_then(|backup| backup.restic_repository.as_deref()).unwrap_or_default();
    let source = reference.parse::<longshore_job::RestorePointReference>().ok().map(|point| point.namespace);
    let Some(name) = restore.labels().get(RESTORE_NAME) else { return Ok(Vec::new()) };
    if source.is_none_or(|source| source == namespace)
        || !context.options.protected_namespaces.contains(&protected)
    {
        return Ok(Vec::new());
    }
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("velero.io", "v1", "Restore"));
    let api = Api::<DynamicObject>::namespaced_with(context.client.clone(), &protected, &kind);
    let found = api.get_opt(name).await.map_err(|error| classify("read the Velero Restore", error))?;
    Ok(found.map(|found| sources_of(&found.data, &namespace)).unwrap_or_default())
}

/// Namespaces that a Restore maps to `target`, while it is at work: one that is over allows nothing any more.
fn sources_of(restore: &serde_json::Value, target: &str) -> Vec<String> {
    let phase = restore["status"]["phase"].as_str().unwrap_or_default();
    if matches!(phase, "Completed" | "PartiallyFailed" | "Failed" | "FailedValidation") {
        return Vec::new();
    }
    let mapping: BTreeMap<String, String> =
        serde_json::from_value(restore["spec"]["namespaceMapping"].clone()).unwrap_or_default();
    mapping.into_iter().filter(|(_, to)| to == target).map(|(from, _)| from).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_mapping_of_a_restore_at_work_counts() {
        let restore = |phase: &str| json!({"spec": {"namespaceMapping": {"shop": "copy", "bank": "vault"}}, "status": {"phase": phase}});
        assert_eq!(sources_of(&restore("InProgress"), "copy"), ["shop"]);
        assert_eq!(sources_of(&restore("WaitingForPluginOperations"), "copy"), ["shop"]);
        assert!(sources_of(&restore("InProgress"), "thief").is_empty());
        for over in ["Completed", "PartiallyFailed", "Failed", "FailedValidation"] {
            assert!(sources_of(&restore(over), "copy").is_empty(), "{over}");
        }
        assert!(sources_of(&json!({"spec": {"namespaceMapping": 7}}), "copy").is_empty());
        assert!(sources_of(&json!({}), "copy").is_empty());
    }
}
