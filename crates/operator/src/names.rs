//! What children are called and how they are found again.
//!
//! A child belongs to a run by the label [`RUN_UID`]; its name is only derived from that UID, so that runs of the same name in two namespaces
//! never meet.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
pub use longshore_api::labels::{
    DATA_UPLOAD_UID, LANE, MAINTAIN_NOW, MANAGED_BY, RELEASE_AFTER, REPOSITORY_SECRET, ROLE, RUN, RUN_NAME,
    RUN_NAMESPACE, RUN_UID, Role, RunKind, belongs_to, has_role, label, run_of,
};

const LABEL_BYTES_MAX: usize = 63;

/// A run as its children name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunId {
    /// Kind of the run.
    pub kind: RunKind,
    /// UID of the run.
    pub uid: String,
    /// Namespace of the run.
    pub namespace: String,
    /// Name of the run.
    pub name: String,
}

impl RunId {
    /// Name of the temporary children: `longshore-` and the first twelve hexadecimal digits of the UID.
    pub fn child_name(&self) -> String {
        let digits: String = self.uid.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
        format!("longshore-{}", digits.to_ascii_lowercase())
    }

    /// Name of the content that keeps a restored snapshot.
    pub fn keeper_name(&self) -> String {
        format!("{}-keeper", self.child_name())
    }

    /// Name of the VolumeSnapshot and content that the application's PVC is made from.
    pub fn target_name(&self) -> String {
        format!("{}-target", self.child_name())
    }

    /// Labels of a volume that is on its way from a temporary PVC to the application's.
    pub fn volume_labels(&self) -> BTreeMap<String, String> {
        [(MANAGED_BY.0.to_owned(), MANAGED_BY.1.to_owned()), (RUN_UID.to_owned(), self.uid.clone())].into()
    }

    /// The value of annotation [`RUN`].
    pub fn annotation(&self) -> String {
        format!("{}/{}/{}", self.kind.as_str(), self.namespace, self.name)
    }

    /// Labels of a child.
    pub fn labels(&self, role: Role) -> BTreeMap<String, String> {
        let name = label_value(&self.name);
        [
            (MANAGED_BY.0, MANAGED_BY.1.to_owned()),
            (RUN_UID, self.uid.clone()),
            (RUN_NAMESPACE, label_value(&self.namespace)),
            (RUN_NAME, name.clone()),
            (ROLE, role.as_str().to_owned()),
            (self.kind.contract_label(), name),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    /// Metadata of a child; without a namespace for cluster-scoped kinds.
    pub fn metadata(&self, name: &str, namespace: Option<&str>, role: Role) -> ObjectMeta {
        ObjectMeta {
            name: Some(name.to_owned()),
            namespace: namespace.map(str::to_owned),
            labels: Some(self.labels(role)),
            annotations: Some([(RUN.to_owned(), self.annotation())].into()),
            ..ObjectMeta::default()
        }
    }
}

fn label_value(text: &str) -> String {
    let cut: String = text.chars().take(LABEL_BYTES_MAX).collect();
    cut.trim_end_matches(|last: char| !last.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(uid: &str, name: &str) -> RunId {
        RunId { kind: RunKind::Backup, uid: uid.into(), namespace: "shop".into(), name: name.into() }
    }

    #[test]
    fn children_of_two_runs_of_one_name_never_meet() {
        let first = run("6f9619ff-8b86-4d01-b42d-00cf4fc964ff", "vsb-x");
        let second = run("1f9619ff-8b86-4d01-b42d-00cf4fc964ff", "vsb-x");
        assert_eq!(first.child_name(), "longshore-6f9619ff8b86");
        assert_ne!(first.child_name(), second.child_name());
    }

    proptest! {
        #[test]
        fn labels_are_legal_and_the_annotation_finds_the_run(name in "[a-z0-9]([a-z0-9.-]{0,250}[a-z0-9])?") {
            let run = run("6f9619ff-8b86-4d01-b42d-00cf4fc964ff", &name);
            let metadata = run.metadata("child", None, Role::Temporary);
            prop_assert_eq!(run_of(&metadata), Some((RunKind::Backup, "shop", name.as_str())));
            for value in metadata.labels.unwrap().values() {
                prop_assert!(value.len() <= 63 && value.ends_with(|last: char| last.is_ascii_alphanumeric()), "{}", value);
            }
        }
    }
}
