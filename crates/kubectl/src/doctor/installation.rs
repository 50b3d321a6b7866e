//! Kinds, operator, protected namespaces, Secrets.

use super::facts::{Facts, Known, ProtectedNamespace};
use super::finding::{Check, Finding, Severity};

/// Judges kinds, operators and protected namespaces.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut found = kinds(facts);
    found.extend(operators(facts));
    found.extend(facts.namespaces.iter().flat_map(namespace));
    found
}

fn kinds(facts: &Facts) -> Vec<Finding> {
    let judge = |(resource, group, served): &(&str, &str, Known<bool>)| match served {
        Known::Is(true) => None,
        Known::Unknown(why) => Some(Finding::not_looked(format!("{resource}.{group}"), why)),
        Known::Is(false) => {
            let what_to_do = if *group == "snapshot.storage.k8s.io" {
                "Install the snapshot controller and its custom resource definitions."
            } else {
                "Install the chart, or apply config/crd; the chart's value crds.install must be true."
            };
            let text = [
                format!("The cluster does not serve {resource} of {group}."),
                "Its custom resource definition is missing, or not in the version that is needed.".to_owned(),
                what_to_do.to_owned(),
            ];
            Some(Finding::new(Severity::Error, Check::Kinds, format!("{resource}.{group}"), text))
        }
    };
    facts.served.iter().filter_map(judge).collect()
}

fn operators(facts: &Facts) -> Vec<Finding> {
    let operators = match &facts.operators {
        Known::Unknown(why) => return vec![Finding::not_looked("the operator", why)],
        Known::Is(operators) => operators,
    };
    let finding = |severity, subject: String, text| Finding::new(severity, Check::Operator, subject, text);
    if operators.is_empty() {
        let text = [
            "No operator was found.".to_owned(),
            "There is no Deployment that runs longshore-operator, so nobody serves the runs.".to_owned(),
            "Install the chart; docs/quick-start.md says how.".to_owned(),
        ];
        return vec![finding(Severity::Error, "the operator".to_owned(), text)];
    }
    let mut found = Vec::new();
    for operator in operators {
        let subject = format!("Deployment {}/{}", operator.namespace, operator.name);
        if operator.ready == 0 {
            let text = [
                format!("The operator is not ready: 0 of {} replicas.", operator.wanted),
                "Runs wait until one is.".to_owned(),
                format!(
                    "Look at `kubectl -n {} describe pods` and at its log; scale it up if it is scaled to 0.",
                    operator.namespace
                ),
            ];
            found.push(finding(Severity::Error, subject.clone(), text));
        }
        if operator.protected_namespaces.is_empty() {
            let text = [
                "The operator allows no protected namespace.".to_owned(),
                "Its list is empty, so every run is refused.".to_owned(),
                "Set the chart's value protectedNamespaces.".to_owned(),
            ];
            found.push(finding(Severity::Error, subject, text));
        }
    }
    if operators.len() > 1 {
        let names: Vec<String> =
            operators.iter().map(|one| format!("{}/{}", one.namespace, one.name)).collect();
        let text = [
            format!("There are {} operators: {}.", operators.len(), names.join(", ")),
            "Each has a lease of its own, so that they work on the same runs and refuse each other's."
                .to_owned(),
            "Remove all but one.".to_owned(),
        ];
        found.push(finding(Severity::Error, "the operator".to_owned(), text));
    }
    found
}

fn namespace(namespace: &ProtectedNamespace) -> Vec<Finding> {
    let subject = format!("Namespace {}", namespace.name);
    let finding = |text| Finding::new(Severity::Error, Check::ProtectedNamespace, subject.clone(), text);
    let state = match &namespace.state {
        Known::Unknown(why) => return vec![Finding::not_looked(subject, why)],
        Known::Is(None) => {
            return vec![finding([
                format!("The protected namespace {} does not exist.", namespace.name),
                "Movers and Secrets have no place; runs that name it fail.".to_owned(),
                "Create it, or take it from the chart's value protectedNamespaces.".to_owned(),
            ])];
        }
        Known::Is(Some(state)) => state,
    };
    let mut found = Vec::new();
    if state.terminating {
        found.push(finding([
            "The protected namespace is being deleted.".to_owned(),
            "Nothing can be created in it, and the repository's Secret goes with it.".to_owned(),
            "Keep a copy of the Secret, and create the namespace again when it is gone.".to_owned(),
        ]));
    }
    if state.pod_security.as_deref() == Some("restricted") {
        found.push(finding([
            "Pod Security enforces `restricted` there.".to_owned(),
            "A mover reads volumes as UID 0, which `restricted` refuses.".to_owned(),
            format!(
                "kubectl label namespace {} pod-security.kubernetes.io/enforce=baseline --overwrite",
                namespace.name
            ),
        ]));
    }
    match &namespace.account {
        (_, Known::Is(true)) => {}
        (name, Known::Unknown(why)) => {
            found.push(Finding::not_looked(format!("ServiceAccount {}/{name}", namespace.name), why));
        }
        (name, Known::Is(false)) => found.push(finding([
            format!("There is no ServiceAccount {name} in {}.", namespace.name),
            "Movers' pods are refused without it.".to_owned(),
            "Let the chart create it (mover.serviceAccount.create), or create it; it needs no rights."
                .to_owned(),
        ])),
    }
    found
}

/// Judges the Secrets that are named.
pub fn judge_secrets(facts: &Facts) -> Vec<Finding> {
    let judge = |secret: &super::facts::NamedSecret| {
        let subject = format!("Secret {}/{}", secret.namespace, secret.name);
        match &secret.present {
            Known::Is(true) => None,
            Known::Unknown(why) => Some(Finding::not_looked(subject, why)),
            Known::Is(false) => {
                let text = [
                    format!("The Secret does not exist; it is named by {}.", secret.users.join(", ")),
                    "Movers mount it for the repository's address and key, and wait until it is there."
                        .to_owned(),
                    "Create it as docs/quick-start.md shows, or mend the name.".to_owned(),
                ];
                Some(Finding::new(Severity::Error, Check::Secret, subject, text))
            }
        }
    };
    facts.secrets.iter().filter_map(judge).collect()
}
