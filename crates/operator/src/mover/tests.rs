//! Statuses as kubelets and the Job controller of Kubernetes 1.34 write them.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use longshore_job::{BackupSummary, JobResult, Outcome, Reason as MoverReason};
use serde_json::{Value, json};

use super::*;

fn job(status: Value) -> Job {
    serde_json::from_value(json!({"metadata": {"name": "j", "uid": "job"}, "status": status})).unwrap()
}

fn pod(second: u32, status: Value) -> Arc<Pod> {
    let created = format!("2026-11-22T01:00:{second:02}Z");
    let metadata =
        json!({"name": format!("p{second}"), "uid": format!("pod{second}"), "creationTimestamp": created});
    Arc::new(serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap())
}

fn ended(second: u32, exit_code: i32, reason: &str, message: &str) -> Arc<Pod> {
    let phase = if exit_code == 0 { "Succeeded" } else { "Failed" };
    let terminated = json!({"exitCode": exit_code, "reason": reason, "message": message});
    let container = json!({"name": "mover", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": {"terminated": terminated}});
    pod(second, json!({"phase": phase, "containerStatuses": [container]}))
}

fn waiting(reason: &str, message: &str) -> Arc<Pod> {
    let state = json!({"waiting": {"reason": reason, "message": message}});
    let container = json!({"name": "mover", "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state});
    pod(1, json!({"phase": "Pending", "containerStatuses": [container]}))
}

fn event(kind: &str, uid: &str, reason: &str, message: &str) -> Arc<Event> {
    let event = json!({
        "metadata": {"name": "e", "namespace": "n", "creationTimestamp": "2026-11-22T01:00:00Z"},
        "involvedObject": {"kind": kind, "uid": uid}, "reason": reason, "message": message,
    });
    Arc::new(serde_json::from_value(event).unwrap())
}

fn state(job: &Job, pods: &[Arc<Pod>], warnings: &[Arc<Event>]) -> MoverState {
    mover_state(MoverObjects { job: Some(job), pods, warnings })
}

fn result(outcome: Outcome) -> String {
    JobResult::new(outcome).to_termination_message()
}

fn good() -> String {
    result(Outcome::BackedUp(BackupSummary { snapshot_id: "s".into(), ..Default::default() }))
}

fn starting(job: &Job, pods: &[Arc<Pod>], warnings: &[Arc<Event>]) -> &'static str {
    match state(job, pods, warnings) {
        MoverState::Starting { trouble: Some(trouble) } => trouble.reason.as_str(),
        other => panic!("{other:?}"),
    }
}

fn failed(pods: &[Arc<Pod>], reason: &str) -> (&'static str, Option<String>) {
    let conditions = json!([{"type": "Failed", "status": "True", "reason": reason, "message": "m"}]);
    match state(&job(json!({"conditions": conditions})), pods, &[]) {
        MoverState::Failed { trouble, silent_pod } => (trouble.reason.as_str(), silent_pod),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_with_exit_code_0_is_success_before_the_job_says_so() {
    let job = job(json!({"active": 1}));
    assert!(matches!(state(&job, &[ended(1, 0, "Completed", &good())], &[]), MoverState::Succeeded(_)));
    // A later pod's failure does not undo what an earlier one committed.
    let pods = [ended(1, 0, "Completed", &good()), ended(2, 137, "Error", "")];
    assert!(matches!(state(&job, &pods, &[]), MoverState::Succeeded(_)));
}

#[test]
fn a_result_counts_only_whole_and_with_exit_code_0() {
    let job = job(json!({"active": 1}));
    assert!(matches!(state(&job, &[ended(1, 137, "Error", &good())], &[]), MoverState::Retrying { .. }));
    assert_eq!(state(&job, &[ended(1, 0, "Completed", "")], &[]), MoverState::ResultLost);
    let failure = result(Outcome::Failed { reason: MoverReason::Internal, message: "m".into() });
    assert_eq!(state(&job, &[ended(1, 0, "Completed", &failure)], &[]), MoverState::ResultLost);
}

#[test]
fn a_job_that_is_complete_without_its_pod_has_lost_its_result() {
    let conditions = json!([{"type": "Complete", "status": "True"}]);
    assert_eq!(state(&job(json!({"conditions": conditions})), &[], &[]), MoverState::ResultLost);
}

#[test]
fn the_movers_own_words_are_the_reason_of_its_failure() {
    let said =
        result(Outcome::Failed { reason: MoverReason::WrongKey, message: "the password is wrong".into() });
    assert_eq!(failed(&[ended(1, 12, "Error", &said)], "PodFailurePolicy"), ("WrongKey", None));
    let unreachable =
        result(Outcome::Failed { reason: MoverReason::EndpointUnreachable, message: "m".into() });
    let pods = [ended(2, 75, "Error", &unreachable), ended(1, 137, "Error", "")];
    assert_eq!(failed(&pods, "BackoffLimitExceeded"), ("EndpointUnreachable", None));
}

#[test]
fn a_silent_mover_is_judged_by_what_the_kubelet_saw() {
    assert_eq!(failed(&[ended(1, 137, "OOMKilled", "")], "BackoffLimitExceeded").0, "MoverOOMKilled");
    assert_eq!(
        failed(&[ended(1, 139, "Error", "")], "BackoffLimitExceeded"),
        ("MoverFailed", Some("p1".to_owned()))
    );
    let evicted = pod(1, json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}));
    assert_eq!(failed(&[evicted], "BackoffLimitExceeded").0, "MoverEvicted");
    assert_eq!(failed(&[], "DeadlineExceeded").0, "DeadlineExceeded");
    assert_eq!(failed(&[], "BackoffLimitExceeded").0, "MoverFailed");
}

#[test]
fn why_a_pod_does_not_start_is_told_apart() {
    let job = job(json!({"active": 1}));
    for (reason, message, expected) in [
        ("CreateContainerConfigError", "secret \"x\" not found", "SecretNotFound"),
        ("CreateContainerConfigError", "couldn't find key A in Secret n/x", "SecretKeyMissing"),
        ("ImagePullBackOff", "Back-off pulling image", "ImagePullFailed"),
        ("ErrImageNeverPull", "not present", "ImagePullFailed"),
        ("CreateContainerError", "no such device", "MoverPodNotStarted"),
    ] {
        assert_eq!(starting(&job, &[waiting(reason, message)], &[]), expected);
    }
    let creating = waiting("ContainerCreating", "");
    let mount = event(
        "Pod",
        "pod1",
        "FailedMount",
        "MountVolume.SetUp failed for volume \"credentials\" : secret \"x\" not found",
    );
    assert_eq!(starting(&job, std::slice::from_ref(&creating), &[mount]), "SecretNotFound");
    let other = event("Pod", "another", "FailedMount", "secret \"x\" not found");
    assert_eq!(state(&job, &[creating], &[other]), MoverState::Starting { trouble: None });
    for (message, expected) in [
        ("0/3 nodes are available: 3 Insufficient memory.", "MoverPodUnschedulable"),
        ("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", "PVCNotBound"),
    ] {
        let conditions = json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]);
        let unscheduled = pod(1, json!({"phase": "Pending", "conditions": conditions}));
        assert_eq!(starting(&job, &[unscheduled], &[]), expected);
    }
}

#[test]
fn why_there_is_no_pod_is_read_from_the_jobs_events() {
    let job = job(json!({}));
    let quota = event("Job", "job", "FailedCreate", "pods \"x\" is forbidden: exceeded quota: small");
    assert_eq!(starting(&job, &[], &[quota]), "QuotaExceeded");
    let security = event("Job", "job", "FailedCreate", "violates PodSecurity \"restricted:latest\"");
    assert_eq!(starting(&job, &[], &[security]), "PodRefused");
}
