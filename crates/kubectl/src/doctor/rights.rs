//! What the user and the operator may do.

use super::facts::{Facts, Known, Right};
use super::finding::{Check, Finding, Severity};

const RUNS: &str = "datamover.oadp.openshift.io";
const OWN: &str = "longshore.dev";
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

/// What the operator cannot do without, cluster-wide; config/rbac/operator.yaml holds all of it.
const OPERATORS: &[Row] = &[
    ("watch", RUNS, "volumesnapshotbackups", "every backup"),
    ("watch", RUNS, "volumesnapshotrestores", "every restore"),
    ("patch", RUNS, "volumesnapshotbackups/status", "every backup"),
    ("patch", RUNS, "volumesnapshotrestores/status", "every restore"),
    ("patch", RUNS, "volumesnapshotbackups", "every backup"),
    ("watch", OWN, "repositories", "maintenance"),
    ("patch", OWN, "repositories/status", "maintenance"),
    ("watch", OWN, "forgetrequests", "deletion of restore points"),
    ("patch", OWN, "forgetrequests/status", "deletion of restore points"),
    ("create", SNAPSHOTS, "volumesnapshots", "every run"),
    ("delete", SNAPSHOTS, "volumesnapshots", "every run"),
    ("create", SNAPSHOTS, "volumesnapshotcontents", "every run"),
    ("patch", SNAPSHOTS, "volumesnapshotcontents", "every run"),
    ("delete", SNAPSHOTS, "volumesnapshotcontents", "every run"),
    ("list", SNAPSHOTS, "volumesnapshotclasses", "every run"),
    ("list", "storage.k8s.io", "storageclasses", "every run"),
    ("create", "", "persistentvolumeclaims", "every run"),
    ("watch", "", "persistentvolumeclaims", "every run"),
    ("get", "", "namespaces", "every run"),
];

/// The same, in each protected namespace.
const OPERATORS_MOVERS: &[Row] = &[
    ("create", "batch", "jobs", "every run"),
    ("delete", "batch", "jobs", "every run"),
    ("watch", "", "pods", "every run"),
    ("get", "", "pods/log", "progress of runs"),
    ("delete", "", "persistentvolumeclaims", "clean-up"),
    ("list", "", "events", "reasons of runs that wait"),
];

fn rights(rows: &[Row], namespace: Option<&str>) -> Vec<Right> {
    let right = |(verb, group, resource, needed_for): &Row| Right {
        verb,
        group,
        resource,
        namespace: namespace.map(str::to_owned),
        needed_for,
    };
    rows.iter().map(right).collect()
}

/// What a user of the plugin needs in his namespace, and for logs in the protected ones.
pub fn of_user(namespace: &str, protected: &[String]) -> Vec<Right> {
    let movers = protected.iter().flat_map(|one| rights(USERS_MOVERS, Some(one)));
    rights(USERS, Some(namespace)).into_iter().chain(movers).collect()
}

/// What the operator needs.
pub fn of_operator(protected: &[String]) -> Vec<Right> {
    let movers = protected.iter().flat_map(|one| rights(OPERATORS_MOVERS, Some(one)));
    rights(OPERATORS, None).into_iter().chain(movers).collect()
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
    for (right, allowed) in &facts.own_rights {
        let place = right.namespace.as_deref().unwrap_or_default();
        match allowed {
            Known::Is(true) => {}
            Known::Unknown(why) => {
                found.push(Finding::not_looked(format!("your right to {}", right.shown()), why))
            }
            Known::Is(false) => {
                let text = [
                    format!("You may not {} in namespace {place}.", right.shown()),
                    format!("{} needs it there.", right.needed_for),
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
                format!("It needs that for {}; runs end with MissingPermission.", right.needed_for),
                "Apply the roles of the chart (rbac.create), or config/oadp/override.yaml under OADP."
                    .to_owned(),
            ];
            found.push(Finding::new(Severity::Error, Check::OperatorRights, account.clone(), text));
        }
    }
    found
}
