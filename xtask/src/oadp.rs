//! The rights that an operator lacks when OADP starts it by `dataMoverImageFqin`: made from config/rbac/operator.yaml, so that there is one list only.

use anyhow::{Context, Result};

/// Where the rights are written.
pub const SOURCE: &str = "config/rbac/operator.yaml";
/// Where what is made from them goes.
pub const TARGET: &str = "config/oadp/override.yaml";

const HEAD: &str = "\
# What Longshore needs beside OADP 1.1 or 1.2 when it runs as OADP's own data mover (dataMoverImageFqin): docs/oadp.md says when.
# Made from config/rbac/operator.yaml by `cargo xtask generate`. The namespace is OADP's; change it everywhere if yours has another name.
";
const BINDINGS: &str = "\
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: longshore-oadp
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: longshore-oadp
subjects:
  - kind: ServiceAccount
    name: openshift-adp-controller-manager
    namespace: openshift-adp
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: longshore-oadp-movers
  namespace: openshift-adp
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: longshore-oadp-movers
subjects:
  - kind: ServiceAccount
    name: openshift-adp-controller-manager
    namespace: openshift-adp
---
# Movers have no rights in the cluster.
apiVersion: v1
kind: ServiceAccount
metadata:
  name: longshore-mover
  namespace: openshift-adp
automountServiceAccountToken: false
";

/// Text of [`TARGET`], made from the text of [`SOURCE`]: the cluster's role and the protected namespace's, bound to the account of OADP. The role
/// for leader election is left out, since OADP starts one replica without it.
///
/// # Errors
/// When a role is not there under the name that is looked for.
pub fn rights(source: &str) -> Result<String> {
    let role = |name: &str| {
        let wanted = format!("\n  name: {name}\n");
        let document = source.split("---\n").find(|document| document.contains(&wanted));
        let document = document.with_context(|| format!("{SOURCE} has no role {name}"))?;
        let begin = document.find("apiVersion:").with_context(|| format!("role {name} has no apiVersion"))?;
        anyhow::Ok(&document[begin..])
    };
    let cluster = role("longshore-operator")?.replace("name: longshore-operator", "name: longshore-oadp");
    let movers = role("longshore-operator-movers")?
        .replace("name: longshore-operator-movers", "name: longshore-oadp-movers")
        .replace("namespace: longshore-movers", "namespace: openshift-adp");
    Ok(format!("{HEAD}{}\n---\n{}\n{BINDINGS}", cluster.trim_end(), movers.trim_end()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn documents(text: &str) -> Vec<Value> {
        text.split("---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
    }

    #[test]
    fn the_override_has_every_right_of_the_operator_but_the_lease_and_binds_them_to_oadp() {
        let source = std::fs::read_to_string(crate::workspace::root().join(SOURCE)).unwrap();
        let (written, made) = (documents(&source), documents(&rights(&source).unwrap()));
        let rules = |all: &[Value], name: &str| {
            all.iter().find(|one| one["metadata"]["name"] == name).map(|one| one["rules"].clone()).unwrap()
        };
        assert_eq!(rules(&made, "longshore-oadp"), rules(&written, "longshore-operator"));
        assert_eq!(rules(&made, "longshore-oadp-movers"), rules(&written, "longshore-operator-movers"));
        assert!(!made.iter().any(|one| one["rules"].to_string().contains("leases")));
        for binding in made.iter().filter(|one| one["kind"].as_str().unwrap().ends_with("Binding")) {
            assert_eq!(binding["subjects"][0]["name"], "openshift-adp-controller-manager");
            assert!(made.iter().any(|one| one["metadata"]["name"] == binding["roleRef"]["name"]
                && one["kind"] == binding["roleRef"]["kind"]));
        }
        assert!(
            made.iter()
                .any(|one| one["kind"] == "ServiceAccount" && one["metadata"]["name"] == "longshore-mover")
        );
    }
}
