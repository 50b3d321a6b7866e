//! What the user and the operator may do.

use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;

use super::facts::{Facts, Known, Right};
use super::finding::{Check, Finding, Severity};

const RUNS: &str = "datamover.oadp.openshift.io";
const SNAPSHOTS: &str = "snapshot.storage.k8s.io";

type Row = (&'static str, &'static str, &'static str, &'static str);

/// Verb, group, resource, and the commands that need it, in the user's namespace.
const USERS: &[Row] = &[
    ("list", RUNS, "volumesnapshotbackups", "`status`, `logs`, `cancel`"),
    ("list", RUNS, "volumesnapshotrestores", "`status`, `logs`, `cancel`"),
    ("watch", RUNS, "volumesnapshotbackups", "`backup --wait`"),
    ("watch", RUNS, "volumesnapshotrestores", "`restore --wait`"),
    ("create", RUNS, "volumesnapshotbackups", "`backup`"),
    ("create", RUNS, "volumesnapshotrestores", "`restore`"),
    ("delete", RUNS, "volumesnapshotbackups", "`cancel`"),
    ("delete", RUNS, "volumesnapshotrestores", "`cancel`"),
    ("create", SNAPSHOTS, "volumesnapshots", "`backup` of a PVC"),
    ("watch", SNAPSHOTS, "volumesnapshots", "`backup`"),
    ("patch", SNAPSHOTS, "volumesnapshots", "`backup` of a PVC"),
    ("delete", SNAPSHOTS, "volumesnapshots", "`backup --wait` of a PVC"),
    ("get", "", "persistentvolumeclaims", "`backup` of a PVC"),
];

/// The same, in a protected namespace.
const USERS_MOVERS: &[Row] = &[("list", "", "pods", "`logs`"), ("get", "", "pods/log", "`logs`")];

/// The operator's rights, all of them: what the chart renders its roles from.
const OPERATORS: &str = include_str!("../../../../config/rbac/operator.yaml");

#[derive(Deserialize)]
struct Role {
    kind: String,
    metadata: ObjectMeta,
    rules: Vec<PolicyRule>,
}

fn rights(rows: &[Row], namespace: &str) -> Vec<(Right, &'static str)> {
    let right = |(verb, group, resource, needed_for): &Row| {
        let namespace = Some(namespace.to_owned());
        let [verb, group, resource] = [verb, group, resource].map(ToString::to_string);
        (Right { verb, group, resource, namespace }, *needed_for)
    };
    rows.iter().map(right).collect()
}

/// What a user of the plugin needs in his namespace, and for logs in the protected ones, each with the commands that need it.
pub fn of_user(namespace: &str, protected: &[String]) -> Vec<(Right, &'static str)> {
    let movers = protected.iter().flat_map(|one| rights(USERS_MOVERS, one));
    rights(USERS, namespace).into_iter().chain(movers).collect()
}

/// What an operator in `own` needs. In the written roles the namespace `longshore` stands for its own, every other one for a protected one.
pub fn of_operator(own: &str, protected: &[String]) -> Vec<Right> {
    // A test reads it, so there is nothing that could fail at a user's.
    let roles: Vec<Role> = serde_saphyr::from_multiple(OPERATORS).unwrap_or_default();
    let mut found = Vec::new();
    for role in roles {
        let places: Vec<Option<&str>> = match (role.kind.as_str(), role.metadata.namespace.as_deref()) {
            ("ClusterRole", _) => vec![None],
            (_, Some("longshore")) => vec![Some(own)],
            _ => protected.iter().map(|one| Some(one.as_str())).collect(),
        };
        for place in places {
            found.extend(role.rules.iter().flat_map(|rule| of_rule(rule, place)));
        }
    }
    found
}

fn of_rule(rule: &PolicyRule, place: Option<&str>) -> Vec<Right> {
    let mut found = Vec::new();
    for group in rule.api_groups.iter().flatten() {
        for resource in rule.resources.iter().flatten() {
            found.extend(rule.verbs.iter().map(|verb| Right {
                verb: verb.clone(),
                group: group.clone(),
                resource: resource.clone(),
                namespace: place.map(str::to_owned),
            }));
        }
    }
    found
}

impl Right {
    fn shown(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        format!("{} {}{dot}{}", self.verb, self.resource, self.group)
    }
}

/// Judges both.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found = Vec::new();
    for (right, needed_for, allowed) in &facts.own_rights {
        let place = right.namespace.as_deref().unwrap_or_default();
        match allowed {
            Known::Is(true) => {}
            Known::Unknown(why) => {
                found.push(Finding::not_looked(format!("your right to {}", right.shown()), why))
            }
            Known::Is(false) => {
                let text = [
                    format!("You may not {} in namespace {place}.", right.shown()),
                    format!("{needed_for} needs it there."),
                    "Ask an administrator for the right if you need the command.".to_owned(),
                ];
                found.push(Finding::new(Severity::Warning, Check::OwnRights, "you", text));
            }
        }
    }
    let unknown = facts.operator_rights.iter().find_map(|(account, _, allowed)| match allowed {
        Known::Unknown(why) => Some((account, why)),
        Known::Is(_) => None,
    });
    // One cause hides them all; it need not be told for each.
    if let Some((account, why)) = unknown {
        found.push(Finding::not_looked(format!("rights of {account}"), why));
    }
    for (account, right, allowed) in &facts.operator_rights {
        if *allowed == Known::Is(false) {
            let place = match &right.namespace {
                Some(namespace) => format!("in namespace {namespace}"),
                None => "in the whole cluster".to_owned(),
            };
            let text = [
                format!("The operator may not {} {place}.", right.shown()),
                "What needs that waits or ends with MissingPermission.".to_owned(),
                "Apply the roles of the chart (rbac.create), or config/oadp/override.yaml under OADP."
                    .to_owned(),
            ];
            found.push(Finding::new(Severity::Error, Check::OperatorRights, account.clone(), text));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_rights_are_those_of_its_roles() {
        let all = of_operator("system", &["vault".to_owned(), "velero".to_owned()]);
        let has = |verb: &str, group: &str, resource: &str, namespace: Option<&str>| {
            let wanted = Right {
                verb: verb.into(),
                group: group.into(),
                resource: resource.into(),
                namespace: namespace.map(str::to_owned),
            };
            all.contains(&wanted)
        };
        assert!(has("patch", RUNS, "volumesnapshotbackups/status", None));
        assert!(has("update", "coordination.k8s.io", "leases", Some("system")));
        for namespace in ["vault", "velero"] {
            assert!(has("create", "batch", "jobs", Some(namespace)));
            assert!(has("get", "", "pods/log", Some(namespace)));
        }
        assert!(
            !has("create", "batch", "jobs", None)
                && !has("create", "batch", "jobs", Some("longshore-movers"))
        );
        assert!(all.iter().all(|right| !right.resource.starts_with("secrets")));
    }
}
