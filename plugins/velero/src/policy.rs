//! Velero's volume policies, version 1, as far as volumes of CSI drivers are concerned. Pure.
//!
//! Velero hands plugins nothing but the name of the ConfigMap, so it is read here. The first policy all of whose conditions hold decides.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use longshore_job::parse_bytes;
use serde::Deserialize;
use serde_json::Value;

/// What a policy says is to be done with a volume.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct Action {
    /// `skip`, `snapshot`, `fs-backup` or `custom`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// For plugins.
    #[serde(default)]
    pub parameters: Option<BTreeMap<String, Value>>,
}

/// The policies could not be read.
#[derive(Debug, thiserror::Error)]
#[error("the volume policies cannot be read: {0}")]
pub struct PolicyError(String);

#[derive(Debug, Deserialize)]
struct Policies {
    #[serde(rename = "volumePolicies", default)]
    volume_policies: Vec<Policy>,
}

#[derive(Debug, Deserialize)]
struct Policy {
    #[serde(default)]
    conditions: Conditions,
    #[serde(default)]
    action: Action,
}

/// A condition that is not known here could mean anything, so it is refused rather than taken as fulfilled.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
struct Conditions {
    capacity: Option<String>,
    storage_class: Option<Vec<String>>,
    nfs: Option<Value>,
    csi: Option<CsiCondition>,
    volume_types: Option<Vec<String>>,
    pvc_labels: Option<BTreeMap<String, String>>,
    pvc_phase: Option<Vec<String>>,
    pvc_volume_mode: Option<String>,
    pvc_access_modes: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CsiCondition {
    driver: Option<String>,
    volume_attributes: Option<BTreeMap<String, String>>,
}

/// The action for a volume of a CSI driver, if a policy matches.
///
/// # Errors
/// When the text is no policy, or has a condition that is not known here.
pub fn action_for(
    text: &str,
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
) -> Result<Option<Action>, PolicyError> {
    let policies: Policies = serde_saphyr::from_str(text).map_err(|error| PolicyError(error.to_string()))?;
    for policy in policies.volume_policies {
        if matches(&policy.conditions, claim, volume)? {
            return Ok(Some(policy.action));
        }
    }
    Ok(None)
}

fn matches(
    wanted: &Conditions,
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
) -> Result<bool, PolicyError> {
    let claim_spec = claim.spec.clone().unwrap_or_default();
    let volume_spec = volume.spec.clone().unwrap_or_default();
    let within = match wanted.capacity.as_deref() {
        None => true,
        Some(range) => {
            let capacity = volume_spec.capacity.as_ref().and_then(|all| all.get("storage"));
            is_in_range(range, capacity.map_or("0", |capacity| &capacity.0))?
        }
    };
    let one_of = |list: &Option<Vec<String>>, value: Option<&str>| match list.as_deref() {
        None | Some([]) => true,
        Some(list) => value.is_some_and(|value| list.iter().any(|one| one == value)),
    };
    let labels = claim.metadata.labels.clone().unwrap_or_default();
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    Ok(within
        && one_of(&wanted.storage_class, volume_spec.storage_class_name.as_deref())
        && wanted.nfs.as_ref().is_none_or(Value::is_null)
        && wanted.csi.as_ref().is_none_or(|csi| is_of_driver(csi, &volume_spec))
        && one_of(&wanted.volume_types, Some("csi"))
        && wanted
            .pvc_labels
            .as_ref()
            .is_none_or(|wanted| wanted.iter().all(|one| labels.get(one.0) == Some(one.1)))
        && one_of(&wanted.pvc_phase, phase)
        && wanted.pvc_volume_mode.as_deref().is_none_or(|mode| {
            mode.is_empty() || claim_spec.volume_mode.as_deref().unwrap_or("Filesystem") == mode
        })
        && wanted
            .pvc_access_modes
            .as_ref()
            .is_none_or(|modes| same_modes(modes, claim_spec.access_modes.as_ref())))
}

fn same_modes(wanted: &[String], found: Option<&Vec<String>>) -> bool {
    let sorted = |modes: &[String]| {
        let mut modes = modes.to_vec();
        modes.sort();
        modes
    };
    wanted.is_empty() || sorted(wanted) == sorted(found.map(Vec::as_slice).unwrap_or_default())
}

fn is_of_driver(wanted: &CsiCondition, volume: &k8s_openapi::api::core::v1::PersistentVolumeSpec) -> bool {
    let Some(csi) = volume.csi.as_ref() else { return false };
    let Some(driver) = wanted.driver.as_deref().filter(|driver| !driver.is_empty()) else { return true };
    let found = csi.volume_attributes.clone().unwrap_or_default();
    let attributes = wanted.volume_attributes.clone().unwrap_or_default();
    driver == csi.driver && attributes.iter().all(|one| found.get(one.0) == Some(one.1))
}

/// `lower,upper`, both included; an empty or zero one is no limit.
fn is_in_range(range: &str, capacity: &str) -> Result<bool, PolicyError> {
    let wrong = || PolicyError(format!("{range} is no range of capacities"));
    let Some((lower, upper)) = range.split_once(',') else {
        return if range.trim().is_empty() { Ok(true) } else { Err(wrong()) };
    };
    let limit = |text: &str| match text.trim() {
        "" | "0" => Ok(0),
        text => parse_bytes(text).ok_or_else(wrong),
    };
    let (lower, upper, capacity) = (limit(lower)?, limit(upper)?, parse_bytes(capacity).ok_or_else(wrong)?);
    Ok(capacity >= lower && (upper == 0 || capacity <= upper))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn action(policies: &str) -> Option<String> {
        let claim = json!({"metadata": {"labels": {"app": "shop"}}, "spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Bound"}});
        let volume = json!({"metadata": {}, "spec": {"capacity": {"storage": "10Gi"}, "storageClassName": "fast",
            "csi": {"driver": "d", "volumeHandle": "h", "volumeAttributes": {"a": "1"}}}});
        let text = format!("version: v1\nvolumePolicies:\n{policies}");
        let action = action_for(
            &text,
            &serde_json::from_value(claim).unwrap(),
            &serde_json::from_value(volume).unwrap(),
        );
        action.unwrap().map(|action| action.kind)
    }

    fn with(conditions: &str) -> bool {
        let policy = format!("- conditions: {conditions}\n  action:\n    type: custom\n");
        action(&policy).as_deref() == Some("custom")
    }

    #[test]
    fn every_condition_is_heeded() {
        for fulfilled in [
            "{}",
            "{capacity: '1Gi,10Gi'}",
            "{capacity: '0,0'}",
            "{capacity: '10G,'}",
            "{capacity: ',20Gi'}",
            "{storageClass: [slow, fast]}",
            "{csi: {}}",
            "{csi: {driver: d, volumeAttributes: {a: '1'}}}",
            "{volumeTypes: [nfs, csi]}",
            "{pvcLabels: {app: shop}}",
            "{pvcPhase: [Bound]}",
            "{pvcVolumeMode: Filesystem}",
            "{pvcAccessModes: [ReadWriteOnce]}",
        ] {
            assert!(with(fulfilled), "{fulfilled}");
        }
        for unfulfilled in [
            "{capacity: '11Gi,'}",
            "{capacity: ',9Gi'}",
            "{storageClass: [slow]}",
            "{nfs: {}}",
            "{csi: {driver: other}}",
            "{csi: {driver: d, volumeAttributes: {a: '2'}}}",
            "{volumeTypes: [hostPath]}",
            "{pvcLabels: {app: bank}}",
            "{pvcPhase: [Pending]}",
            "{pvcVolumeMode: Block}",
            "{pvcAccessModes: [ReadWriteMany]}",
            "{storageClass: [fast], pvcLabels: {app: bank}}",
        ] {
            assert!(!with(unfulfilled), "{unfulfilled}");
        }
    }

    #[test]
    fn the_first_match_decides_and_the_unknown_is_refused() {
        let both = "- conditions: {storageClass: [fast]}\n  action: {type: skip}\n- conditions: {}\n  action: {type: custom}\n";
        assert_eq!(action(both).as_deref(), Some("skip"));
        let (claim, volume) = (Default::default(), Default::default());
        for wrong in [
            "volumePolicies: [{conditions: {moon: full}}]",
            "volumePolicies: 7",
            ": :",
            "volumePolicies: [{conditions: {capacity: lots}}]",
        ] {
            assert!(action_for(wrong, &claim, &volume).is_err(), "{wrong}");
        }
        assert_eq!(action_for("version: v1", &claim, &volume).unwrap(), None);
    }
}
