//! The Pod Security level `restricted`, as far as a plain pod can break it.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

/// Volume types that `restricted` allows.
const VOLUMES: &[&str] = &[
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
];

/// Fails with the first field of `pod` (a PodSpec) that `restricted` forbids.
pub fn check_restricted(pod: &Value) -> Result<()> {
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        ensure!(pod[field] != true, "{field}");
    }
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let allowed = VOLUMES.iter().any(|kind| volume.get(kind).is_some());
        ensure!(allowed, "volume {}", volume["name"]);
    }
    let containers: Vec<&Value> =
        ["containers", "initContainers"].iter().filter_map(|field| pod[field].as_array()).flatten().collect();
    ensure!(!containers.is_empty(), "no container");
    for container in containers {
        check_container(&pod["securityContext"], container)?;
    }
    Ok(())
}

fn check_container(pod_context: &Value, container: &Value) -> Result<()> {
    let context = &container["securityContext"];
    let name = &container["name"];
    // What a container leaves open, the pod decides.
    let effective =
        |field: &str| if context[field].is_null() { &pod_context[field] } else { &context[field] };
    ensure!(effective("runAsNonRoot") == true, "{name}: runAsNonRoot");
    ensure!(effective("runAsUser") != 0, "{name}: runAsUser");
    let profile = &effective("seccompProfile")["type"];
    ensure!(profile == "RuntimeDefault" || profile == "Localhost", "{name}: seccompProfile");
    ensure!(context["privileged"] != true, "{name}: privileged");
    ensure!(context["allowPrivilegeEscalation"] == false, "{name}: allowPrivilegeEscalation");
    ensure!(context["capabilities"]["drop"] == json!(["ALL"]), "{name}: capabilities.drop");
    let added = context["capabilities"]["add"].as_array().map_or(&[][..], Vec::as_slice);
    ensure!(added.iter().all(|capability| capability == "NET_BIND_SERVICE"), "{name}: capabilities.add");
    // Not part of `restricted`, but of ours.
    ensure!(context["readOnlyRootFilesystem"] == true, "{name}: readOnlyRootFilesystem");
    let ports = container["ports"].as_array().into_iter().flatten();
    ensure!(ports.into_iter().all(|port| port["hostPort"].is_null()), "{name}: hostPort");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Value {
        json!({
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "scratch", "emptyDir": {}}],
            "containers": [{"name": "c", "securityContext": {
                "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
            }}],
        })
    }

    #[test]
    fn each_forbidden_field_is_named() {
        check_restricted(&pod()).unwrap();
        let cases = [
            ("/securityContext/runAsNonRoot", json!(false), "runAsNonRoot"),
            ("/securityContext/runAsUser", json!(0), "runAsUser"),
            ("/securityContext/seccompProfile/type", json!("Unconfined"), "seccompProfile"),
            (
                "/containers/0/securityContext/allowPrivilegeEscalation",
                Value::Null,
                "allowPrivilegeEscalation",
            ),
            ("/containers/0/securityContext/capabilities", json!({"drop": ["CHOWN"]}), "capabilities.drop"),
            (
                "/containers/0/securityContext/capabilities",
                json!({"drop": ["ALL"], "add": ["CHOWN"]}),
                "capabilities.add",
            ),
            ("/containers/0/securityContext/readOnlyRootFilesystem", json!(false), "readOnlyRootFilesystem"),
            ("/volumes/0", json!({"name": "scratch", "hostPath": {"path": "/"}}), "volume"),
            ("/containers", json!([]), "no container"),
        ];
        for (place, value, complaint) in cases {
            let mut pod = pod();
            *pod.pointer_mut(place).unwrap() = value;
            let error = check_restricted(&pod).unwrap_err().to_string();
            assert!(error.contains(complaint), "{place}: {error}");
        }
    }
}
