//! What a mover's Job, pods and warnings say, as one plain value. Pure.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, Event, Pod};
use longshore_job::{JobResult, Outcome};

use crate::reason::{OperatorReason, Reason, Trouble};

/// Where a mover stands.
#[derive(Debug, Clone, PartialEq)]
pub enum MoverState {
    /// There is no Job.
    Absent,
    /// The Job is going away.
    Leaving,
    /// No container runs yet.
    Starting {
        /// Why not, if something says so.
        trouble: Option<Trouble>,
    },
    /// At work.
    Running {
        /// Name of the pod.
        pod: String,
    },
    /// An attempt failed, and the Job makes another.
    Retrying {
        /// Why the last one failed.
        trouble: Trouble,
    },
    /// Ended well, with this result.
    Succeeded(Outcome),
    /// Ended well, but nobody knows how.
    ResultLost,
    /// Ended for good.
    Failed {
        /// Why.
        trouble: Trouble,
        /// The pod whose log may tell more, if the mover said nothing itself.
        silent_pod: Option<String>,
    },
}

/// What is known of a mover.
#[derive(Debug, Clone, Copy)]
pub struct MoverObjects<'a> {
    /// Its Job.
    pub job: Option<&'a Job>,
    /// Pods of the run, in any order.
    pub pods: &'a [Arc<Pod>],
    /// Warnings about Job, pods and PVC of the run.
    pub warnings: &'a [Arc<Event>],
}

/// Reads the state.
pub fn mover_state(objects: MoverObjects<'_>) -> MoverState {
    let Some(job) = objects.job else { return MoverState::Absent };
    if job.metadata.deletion_timestamp.is_some() {
        return MoverState::Leaving;
    }
    let mut pods: Vec<&Pod> = objects.pods.iter().map(AsRef::as_ref).collect();
    pods.sort_by_key(|pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0));
    if let Some(outcome) = pods.iter().rev().find_map(|pod| success(pod)) {
        return MoverState::Succeeded(outcome);
    }
    let newest = pods.last().copied();
    if has_condition(job, &["Complete", "SuccessCriteriaMet"]).is_some() {
        return MoverState::ResultLost;
    }
    if let Some(message) = has_condition(job, &["Failed", "FailureTarget"]) {
        return failed(newest, message);
    }
    let Some(pod) = newest else {
        return MoverState::Starting { trouble: warning(objects.warnings, job_trouble) };
    };
    match phase(pod) {
        "Running" if terminated(pod).is_none() => MoverState::Running { pod: name(pod) },
        "Failed" | "Running" => MoverState::Retrying { trouble: pod_failure(pod) },
        "Succeeded" => MoverState::ResultLost,
        _ => MoverState::Starting {
            trouble: waiting_trouble(pod)
                .or_else(|| warning(objects.warnings, |event| pod_warning(pod, event))),
        },
    }
}

fn name(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

fn container_state(pod: &Pod) -> Option<&ContainerState> {
    pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()
}

fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    container_state(pod)?.terminated.as_ref()
}

fn result(pod: &Pod) -> Option<Outcome> {
    JobResult::from_termination_message(terminated(pod)?.message.as_deref()?).map(|result| result.outcome)
}

/// A result counts only together with exit code 0: a mover that was killed after writing one did not finish its own end.
fn success(pod: &Pod) -> Option<Outcome> {
    let ended_well = terminated(pod)?.exit_code == 0;
    result(pod).filter(|outcome| ended_well && !matches!(outcome, Outcome::Failed { .. }))
}

fn has_condition(job: &Job, types: &[&str]) -> Option<String> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let found = conditions
        .iter()
        .find(|condition| condition.status == "True" && types.contains(&condition.type_.as_str()))?;
    Some(format!(
        "{}: {}",
        found.reason.as_deref().unwrap_or_default(),
        found.message.as_deref().unwrap_or_default()
    ))
}

fn failed(newest: Option<&Pod>, message: String) -> MoverState {
    if message.starts_with("DeadlineExceeded") {
        let trouble = Trouble::new(OperatorReason::DeadlineExceeded, message);
        return MoverState::Failed { trouble, silent_pod: None };
    }
    let Some(pod) = newest else {
        return MoverState::Failed {
            trouble: Trouble::new(OperatorReason::MoverFailed, message),
            silent_pod: None,
        };
    };
    let trouble = pod_failure(pod);
    let silent = matches!(trouble.reason, Reason::Operator(_));
    MoverState::Failed { trouble, silent_pod: silent.then(|| name(pod)) }
}

/// Why a pod failed: in the mover's words if it left any, else in the kubelet's.
fn pod_failure(pod: &Pod) -> Trouble {
    if let Some(Outcome::Failed { reason, message }) = result(pod) {
        return Trouble { reason: Reason::Mover(reason), message };
    }
    let status = pod.status.as_ref();
    let text = |part: Option<&String>| part.cloned().unwrap_or_default();
    let state = terminated(pod);
    let disrupted = status
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|all| all.iter().any(|one| one.type_ == "DisruptionTarget" && one.status == "True"));
    if status.and_then(|status| status.reason.as_deref()) == Some("Evicted") || disrupted {
        let message = text(status.and_then(|status| status.message.as_ref()));
        return Trouble::new(
            OperatorReason::MoverEvicted,
            format!("pod {} was evicted: {message}", name(pod)),
        );
    }
    match state {
        Some(state) if state.reason.as_deref() == Some("OOMKilled") => Trouble::new(
            OperatorReason::MoverOOMKilled,
            format!("pod {} was killed for its memory", name(pod)),
        ),
        Some(state) => {
            let said = text(state.message.as_ref());
            Trouble::new(
                OperatorReason::MoverFailed,
                format!("pod {} ended with exit code {} {said}", name(pod), state.exit_code),
            )
        }
        None => Trouble::new(OperatorReason::MoverFailed, format!("pod {} failed", name(pod))),
    }
}

/// What the pod's own status says about why no container runs.
fn waiting_trouble(pod: &Pod) -> Option<Trouble> {
    if let Some(waiting) = container_state(pod).and_then(|state| state.waiting.as_ref()) {
        let message = waiting.message.clone().unwrap_or_default();
        match waiting.reason.as_deref().unwrap_or_default() {
            "CreateContainerConfigError" => return Some(secret_trouble(message)),
            "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" => {
                return Some(Trouble::new(OperatorReason::ImagePullFailed, message));
            }
            "CreateContainerError" | "RunContainerError" => {
                return Some(Trouble::new(OperatorReason::MoverPodNotStarted, message));
            }
            _ => {}
        }
    }
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
    let unschedulable = scheduled.status == "False" && scheduled.reason.as_deref() == Some("Unschedulable");
    let message = scheduled.message.clone().unwrap_or_default();
    unschedulable.then(|| {
        let is_limited = crate::names::label(&pod.metadata, crate::names::LANE).is_some();
        if is_limited && message.contains("didn't match pod anti-affinity rules") {
            return Trouble::new(OperatorReason::MoverWaitsForNode, message);
        }
        let waits_for_volume = message.contains("unbound immediate PersistentVolumeClaims");
        let reason = if waits_for_volume {
            OperatorReason::PVCNotBound
        } else {
            OperatorReason::MoverPodUnschedulable
        };
        Trouble::new(reason, message)
    })
}

fn secret_trouble(message: String) -> Trouble {
    // "references non-existent secret key: X" and "couldn't find key X in Secret ns/name".
    if message.contains("non-existent secret key") || message.contains("find key") {
        Trouble::new(Reason::Mover(longshore_job::Reason::SecretKeyMissing), message)
    } else if message.contains("secret") {
        Trouble::new(OperatorReason::SecretNotFound, message)
    } else {
        Trouble::new(OperatorReason::MoverPodNotStarted, message)
    }
}

fn concerns(event: &Event, uid: Option<&str>) -> bool {
    uid.is_some() && event.involved_object.uid.as_deref() == uid
}

/// What an event about the pod says about why no container runs.
fn pod_warning(pod: &Pod, event: &Event) -> Option<Trouble> {
    if !concerns(event, pod.metadata.uid.as_deref()) {
        return None;
    }
    let message = event.message.clone().unwrap_or_default();
    match event.reason.as_deref().unwrap_or_default() {
        "FailedMount" if message.contains("secret") => Some(secret_trouble(message)),
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" | "FailedCreatePodSandBox" => {
            Some(Trouble::new(OperatorReason::MoverPodNotStarted, message))
        }
        _ => None,
    }
}

/// What an event about the Job says about why there is no pod.
fn job_trouble(event: &Event) -> Option<Trouble> {
    if event.involved_object.kind.as_deref() != Some("Job") || event.reason.as_deref() != Some("FailedCreate")
    {
        return None;
    }
    let message = event.message.clone().unwrap_or_default();
    let reason = if message.contains("exceeded quota") || message.contains("failed quota") {
        OperatorReason::QuotaExceeded
    } else {
        OperatorReason::PodRefused
    };
    Some(Trouble::new(reason, message))
}

/// The newest warning that means something.
fn warning(warnings: &[Arc<Event>], read: impl Fn(&Event) -> Option<Trouble>) -> Option<Trouble> {
    warnings
        .iter()
        .filter_map(|event| Some((event_time(event), read(event)?)))
        .max_by_key(|(time, _)| *time)
        .map(|(_, trouble)| trouble)
}

fn event_time(event: &Event) -> Option<jiff::Timestamp> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    series
        .map(|time| time.0)
        .or_else(|| event.last_timestamp.as_ref().map(|time| time.0))
        .or_else(|| event.event_time.as_ref().map(|time| time.0))
        .or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// The last warning about a PVC, for the message that says why it is not bound.
pub fn claim_warning(uid: Option<&str>, warnings: &[Arc<Event>]) -> Option<String> {
    warnings
        .iter()
        .filter(|event| concerns(event, uid))
        .max_by_key(|event| event_time(event))
        .and_then(|event| event.message.clone())
}

#[cfg(test)]
mod tests;
