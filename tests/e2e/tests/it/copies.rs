//! What the operator makes in the protected namespace, as the API server's audit log tells it.

use anyhow::{Context, Result, ensure};
use longshore_e2e::audit::{self, Request};
use longshore_e2e::{Cluster, Outcome, PROTECTED_NAMESPACE, Run, Scenario, Snapshot, VolumeMode, kinds};
use serde_json::{Value, json};

#[test]
fn vsm_9_vsm_12_vsm_16_copies_are_made_in_order_and_the_mover_mounts_the_last() -> Outcome {
    Scenario::play("copies", |scenario| {
        let origin = &scenario.site.origin;
        scenario.fill("data", "lab-ext4", VolumeMode::Filesystem, "16Mi", "echo some > /data/file")?;
        let snapshot = scenario.snapshot("first", "data")?;
        forbid_everything(scenario)?;

        let backup = scenario.back_up("first", &snapshot)?;
        let completed = backup.completed()?;
        ensure!(completed["spec"].as_object().is_some_and(|spec| spec.len() == 3), "{}", completed["spec"]);
        check_untouched(scenario, &snapshot)?;

        let requests = requests_about(origin, &backup)?;
        let order: Vec<&str> = requests
            .iter()
            .filter(|request| request.verb == "create" && request.code < 300)
            .map(|request| request.resource.as_str())
            .filter(|resource| *resource != "events")
            .collect();
        ensure!(
            order == ["volumesnapshotcontents", "volumesnapshots", "persistentvolumeclaims", "jobs"],
            "creations in this order: {order:?}"
        );
        check_copies(&requests, &snapshot.handle)?;
        check_rights(origin)
    })
}

/// No pod may be made in the application's namespace any more, and none that does not fit `restricted`.
fn forbid_everything(scenario: &Scenario) -> Result<()> {
    let namespace = &scenario.namespace;
    let label = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
    scenario.site.origin.patch(&kinds::NAMESPACE, "", namespace, &label)?;
    scenario
        .site
        .origin
        .create(&json!({"apiVersion": "v1", "kind": "ResourceQuota",
            "metadata": {"name": "nothing", "namespace": namespace},
            "spec": {"hard": {"pods": "0", "persistentvolumeclaims": "1", "count/jobs.batch": "0"}}}))
        .map(drop)
}

/// The operator wrote nothing in the application's namespace but its run and events, and never to the source's content. Versions of the
/// objects would not tell: the snapshot controller still takes its marks off them when a snapshot is ready.
fn check_untouched(scenario: &Scenario, snapshot: &Snapshot) -> Result<()> {
    let written = audit::operator_requests(&scenario.site.origin)?.into_iter().filter(|request| {
        !matches!(request.verb.as_str(), "get" | "list" | "watch")
            && (request.namespace == scenario.namespace || request.name == snapshot.content)
    });
    let mut writes = 0;
    for request in written {
        writes += 1;
        let ours = request.resource.starts_with("volumesnapshotbackups") || request.resource == "events";
        ensure!(ours, "the operator wrote to an object of the application: {request:?}");
    }
    ensure!(writes > 0, "the log does not tell of the run's own writes");
    Ok(())
}

/// The operator's requests whose object belongs to the run.
fn requests_about(cluster: &Cluster, run: &Run) -> Result<Vec<Request>> {
    let ours = |request: &Request| {
        [&request.sent, &request.answer]
            .iter()
            .any(|object| object["metadata"]["labels"]["longshore.dev/run-uid"] == run.uid.as_str())
    };
    Ok(audit::operator_requests(cluster)?.into_iter().filter(ours).collect())
}

fn check_copies(requests: &[Request], handle: &str) -> Result<()> {
    let sent = |resource: &str| -> Result<&Request> {
        requests
            .iter()
            .find(|request| request.created(resource))
            .with_context(|| format!("no {resource} was made"))
    };
    let content = sent("volumesnapshotcontents")?;
    let spec = &content.sent["spec"];
    ensure!(spec["source"] == json!({"snapshotHandle": handle}), "the copy has the source's handle: {spec}");
    ensure!(spec["driver"] == longshore_lab::DEFAULT_DRIVER && spec["deletionPolicy"] == "Retain", "{spec}");
    ensure!(spec["volumeSnapshotRef"]["namespace"] == PROTECTED_NAMESPACE, "{spec}");

    let snapshot = sent("volumesnapshots")?;
    ensure!(
        snapshot.namespace == PROTECTED_NAMESPACE,
        "namespace of the VolumeSnapshot: {}",
        snapshot.namespace
    );
    let source = &snapshot.sent["spec"]["source"];
    ensure!(*source == json!({"volumeSnapshotContentName": content.name}), "{source}");

    let claim = sent("persistentvolumeclaims")?;
    ensure!(claim.namespace == PROTECTED_NAMESPACE, "namespace of the PVC: {}", claim.namespace);
    let source = &claim.sent["spec"]["dataSource"];
    ensure!(source["kind"] == "VolumeSnapshot" && source["name"] == snapshot.name.as_str(), "{source}");

    let job = sent("jobs")?;
    let pod = &job.sent["spec"]["template"]["spec"];
    let mounted = pod["volumes"].as_array().into_iter().flatten();
    let claims: Vec<&Value> = mounted.map(|volume| &volume["persistentVolumeClaim"]["claimName"]).collect();
    ensure!(claims.iter().any(|name| **name == claim.name.as_str()), "the mover mounts the copy: {claims:?}");
    ensure!(pod["automountServiceAccountToken"] == false, "a mover has no token: {pod}");
    Ok(())
}

/// The operator is refused nothing, so its roles name all it does, and it never asked for a Secret.
fn check_rights(cluster: &Cluster) -> Result<()> {
    for request in audit::operator_requests(cluster)? {
        ensure!(!request.resource.starts_with("secrets"), "the operator touched a Secret: {request:?}");
        ensure!(request.code != 403 || request.resource == "pods", "the operator was refused: {request:?}");
    }
    Ok(())
}
