//! What a person wants to see when a scenario failed.

use crate::cluster::Cluster;
use crate::installation::{OPERATOR_NAMESPACE, PROTECTED_NAMESPACE};

/// Runs and pods of the scenario's namespace, what is in the protected one, and the operator's last lines. What cannot be had is left out.
pub(crate) fn of(cluster: &Cluster, namespace: &str) -> String {
    let ask = |arguments: &[&str]| cluster.lab.kubectl(arguments).unwrap_or_else(|error| error.to_string());
    let parts = [
        format!("--- {} {namespace}", cluster.lab.name),
        ask(&["-n", namespace, "get", "vsb,vsr,pvc,volumesnapshot,pods"]),
        ask(&["-n", namespace, "get", "events", "--sort-by=.lastTimestamp"]),
        format!("--- {} {PROTECTED_NAMESPACE}", cluster.lab.name),
        ask(&["-n", PROTECTED_NAMESPACE, "get", "jobs,pods,pvc,volumesnapshot"]),
        format!("--- {} operator", cluster.lab.name),
        last_lines(
            &ask(&["-n", OPERATOR_NAMESPACE, "logs", "--tail=3000", "-l", "app.kubernetes.io/component=operator"]),
            namespace,
        ),
    ];
    parts.join("\n")
}

/// The operator's last lines that are not only noise of trace level.
fn last_lines(log: &str, namespace: &str) -> String {
    let told = log.lines().filter(|line| {
        !line.contains("\"TRACE\"") && !line.contains("\"DEBUG\"") || line.contains(namespace) && line.len() < 1000
    });
    let lines: Vec<&str> = told.collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}
