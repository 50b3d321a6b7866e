//! What a person wants to see when a scenario failed.

use serde_json::Value;

use crate::cluster::Cluster;
use crate::installation::{OPERATOR_NAMESPACE, PROTECTED_NAMESPACE};

/// Runs and pods of the scenario's namespace, what is in the protected one, and the operator's last lines. What cannot be had is left out.
pub(crate) fn of(cluster: &Cluster, namespace: &str) -> String {
    let ask = |arguments: &[&str]| cluster.lab.kubectl(arguments).unwrap_or_else(|error| error.to_string());
    let parts = [
        format!("--- {} {namespace}", cluster.lab.name),
        ask(&["-n", namespace, "get", "vsb,vsr,pvc,volumesnapshot,pods"]),
        ask(&["-n", namespace, "get", "events", "--field-selector=type=Warning", "--sort-by=.lastTimestamp"]),
        format!("--- {} {PROTECTED_NAMESPACE}", cluster.lab.name),
        ask(&["-n", PROTECTED_NAMESPACE, "get", "jobs,pods,pvc,volumesnapshot"]),
        format!("--- {} operator", cluster.lab.name),
        last_lines(
            &ask(&[
                "-n",
                OPERATOR_NAMESPACE,
                "logs",
                "--tail=3000",
                "-l",
                "app.kubernetes.io/component=operator",
            ]),
            namespace,
        ),
    ];
    parts.join("\n")
}

/// What the operator last said of the namespace's runs, without the noise of trace level.
fn last_lines(log: &str, namespace: &str) -> String {
    let told = log.lines().filter(|line| line.contains(namespace)).filter_map(|line| {
        let entry: Value = serde_json::from_str(line).ok()?;
        let noise = matches!(entry["level"].as_str(), Some("TRACE" | "DEBUG"));
        let mut fields = entry.as_object()?.clone();
        for known in ["span", "spans", "target", "level"] {
            fields.remove(known);
        }
        (!noise).then(|| Value::from(fields).to_string())
    });
    let lines: Vec<String> = told.collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
