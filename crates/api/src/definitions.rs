//! The CustomResourceDefinitions that an installation needs.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use kube::CustomResourceExt;

use crate::{ForgetRequest, Repository, VolumeSnapshotBackup, VolumeSnapshotRestore};

/// Definitions of our kinds, in the order in which they are written to `config/crd`. The foreign kinds are the snapshot controller's.
pub fn crds() -> Vec<CustomResourceDefinition> {
    [VolumeSnapshotBackup::crd(), VolumeSnapshotRestore::crd(), Repository::crd(), ForgetRequest::crd()]
        .into_iter()
        .map(with_empty_spec)
        .collect()
}

/// The contract requires no field at all, nor do our own kinds: what is missing is said in a condition, not by a watch that breaks. An object without a spec gets an empty one from the API server, so that it is accepted, and
/// everybody who reads it finds a spec.
fn with_empty_spec(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) else {
            continue;
        };
        root.required = None;
        if let Some(spec) = root.properties.as_mut().and_then(|properties| properties.get_mut("spec")) {
            spec.default = Some(JSON(serde_json::json!({})));
        }
    }
    definition
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_what_users_and_tools_rely_on() {
        insta::assert_json_snapshot!(crds());
    }

    #[test]
    fn nothing_but_the_items_of_conditions_is_required() {
        for crd in crds() {
            for version in &crd.spec.versions {
                let schema = serde_json::to_value(version.schema.as_ref().unwrap()).unwrap();
                let root = &schema["openAPIV3Schema"];
                assert!(root.get("required").is_none());
                assert_eq!(root["properties"]["spec"]["default"], serde_json::json!({}));
                for part in ["spec", "status"] {
                    assert!(root["properties"][part].get("required").is_none(), "{part}");
                }
            }
        }
    }
}
