//! The rights that the chart grants: those of config/rbac, no others, to the operator only.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::Value;

/// Compares the rules of the rendered roles with the written ones, and looks for rights that nobody may have.
pub fn check(written: &[Value], rendered: &[Value]) -> Result<()> {
    let (expected, found) = (rules(written), rules(rendered));
    ensure!(!expected.is_empty(), "config/rbac holds no rule");
    ensure!(
        expected == found,
        "the chart's rights differ from config/rbac: missing {:?}, more {:?}",
        expected.difference(&found).collect::<Vec<_>>(),
        found.difference(&expected).collect::<Vec<_>>()
    );
    for role in roles(rendered) {
        for rule in role["rules"].as_array().into_iter().flatten() {
            check_rule(rule)?;
        }
    }
    check_bindings(rendered)
}

/// No wildcard, nothing on Secrets, nothing that turns into more rights.
fn check_rule(rule: &Value) -> Result<()> {
    let words = |field: &str| {
        rule[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>()
    };
    for field in ["apiGroups", "resources", "verbs"] {
        ensure!(!words(field).contains(&"*"), "a wildcard in {rule}");
    }
    for resource in words("resources") {
        let name = resource.split('/').next().unwrap_or_default();
        ensure!(name != "secrets", "a verb on Secrets: {rule}");
        ensure!(
            !matches!(resource, "serviceaccounts/token" | "pods/exec" | "pods/attach"),
            "{resource}: {rule}"
        );
    }
    for verb in words("verbs") {
        ensure!(!matches!(verb, "escalate" | "bind" | "impersonate"), "{verb}: {rule}");
    }
    Ok(())
}

/// Every role that is rendered is bound, to the operator's account alone.
fn check_bindings(rendered: &[Value]) -> Result<()> {
    let accounts: BTreeSet<String> = rendered
        .iter()
        .filter(|object| object["kind"] == "Deployment")
        .map(|object| object["spec"]["template"]["spec"]["serviceAccountName"].to_string())
        .collect();
    let mut bound = BTreeSet::new();
    for binding in rendered.iter().filter(|object| is_kind(object, &["ClusterRoleBinding", "RoleBinding"])) {
        bound.insert((binding["roleRef"]["kind"].to_string(), binding["roleRef"]["name"].to_string()));
        for subject in binding["subjects"].as_array().into_iter().flatten() {
            ensure!(
                accounts.contains(&subject["name"].to_string()),
                "{} gives rights to {subject}",
                binding["metadata"]["name"]
            );
        }
    }
    for role in roles(rendered) {
        let name = (role["kind"].to_string(), role["metadata"]["name"].to_string());
        ensure!(bound.contains(&name), "{} is bound to nobody", role["metadata"]["name"]);
    }
    Ok(())
}

fn is_kind(object: &Value, kinds: &[&str]) -> bool {
    kinds.iter().any(|kind| object["kind"] == **kind)
}

fn roles(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter(|object| is_kind(object, &["ClusterRole", "Role"]))
}

/// All rules as text, with the kind of role that holds them.
fn rules(objects: &[Value]) -> BTreeSet<String> {
    roles(objects)
        .flat_map(|role| {
            role["rules"].as_array().into_iter().flatten().map(|rule| format!("{} {rule}", role["kind"]))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(rule: &Value, account: &str) -> Vec<Value> {
        vec![
            json!({"kind": "ClusterRole", "metadata": {"name": "r"}, "rules": [rule]}),
            json!({"kind": "Deployment", "spec": {"template": {"spec": {"serviceAccountName": "operator"}}}}),
            json!({"kind": "ClusterRoleBinding", "metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": "r"},
                "subjects": [{"name": account}]}),
        ]
    }

    #[test]
    fn rights_that_nobody_may_have_are_found() {
        let rule =
            |resource: &str, verb: &str| json!({"apiGroups": [""], "resources": [resource], "verbs": [verb]});
        let verdict = |rule: Value, account: &str| {
            let objects = objects(&rule, account);
            check(&objects, &objects).map_err(|error| error.to_string())
        };
        verdict(rule("pods", "get"), "operator").unwrap();
        for (resource, verb, complaint) in [
            ("secrets", "get", "Secrets"),
            ("*", "get", "wildcard"),
            ("pods", "*", "wildcard"),
            ("pods/exec", "create", "pods/exec"),
            ("roles", "escalate", "escalate"),
        ] {
            assert!(
                verdict(rule(resource, verb), "operator").unwrap_err().contains(complaint),
                "{resource} {verb}"
            );
        }
        assert!(verdict(rule("pods", "get"), "mover").unwrap_err().contains("gives rights"));
    }

    #[test]
    fn a_right_that_only_one_side_has_is_a_difference() {
        let one = objects(&json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}), "operator");
        let two =
            objects(&json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}), "operator");
        assert!(check(&one, &two).unwrap_err().to_string().contains("differ"));
        let unbound = &one[..2];
        assert!(check(&one, unbound).unwrap_err().to_string().contains("bound to nobody"));
    }
}
