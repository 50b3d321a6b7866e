//! The CustomResourceDefinitions that an installation needs.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{VolumeSnapshotBackup, VolumeSnapshotRestore};

/// Definitions of our kinds, in the order in which they are written to `config/crd`. The foreign kinds are the snapshot controller's.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![VolumeSnapshotBackup::crd(), VolumeSnapshotRestore::crd()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_what_users_and_tools_rely_on() {
        insta::assert_json_snapshot!(crds());
    }

    #[test]
    fn nothing_but_spec_and_the_items_of_conditions_is_required() {
        for crd in crds() {
            for version in &crd.spec.versions {
                let schema = serde_json::to_value(version.schema.as_ref().unwrap()).unwrap();
                let root = &schema["openAPIV3Schema"];
                assert_eq!(root["required"], serde_json::json!(["spec"]));
                for part in ["spec", "status"] {
                    assert!(root["properties"][part].get("required").is_none(), "{part}");
                }
            }
        }
    }
}
