//! The mover's Job.

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    Affinity, Capabilities, Container, EmptyDirVolumeSource, EnvVar, PersistentVolumeClaimVolumeSource,
    PodAffinityTerm, PodAntiAffinity, PodSecurityContext, PodSpec, PodTemplateSpec, ResourceRequirements,
    SeccompProfile, SecretVolumeSource, SecurityContext, Volume, VolumeDevice, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use longshore_job::{
    BLOCK_PATH, CREDENTIALS_DIR, DOCUMENT_ENV, FILESYSTEM_PATH, JobDocument, REPOSITORY_FOLDER,
    REPOSITORY_PATH, Reason, TERMINATION_MESSAGE_PATH, Task, VolumeMode,
};

use crate::names::{LANE, Role, RunId};

/// Name of the only container of a mover's pod.
pub const CONTAINER: &str = "mover";
/// Name of the volume with the repository.
const REPOSITORY: &str = "repository";
/// Environment variable of `longshore` for how much it logs.
const LOG_LEVEL_ENV: &str = "LONGSHORE_LOG";
/// Attempts after the first: a kill, an eviction or a store that is down is not the end.
const ATTEMPTS_MORE: i32 = 4;
/// User and group of a pod without a volume: nobody's files are to be read, so nothing speaks for root.
const NOBODY: i64 = 65_532;
/// Time for the mover to store its last checkpoint after it was told to stop.
const GRACE_SECONDS: i64 = 30;

/// What the administrator chose for movers.
#[derive(Debug, Clone)]
pub struct MoverOptions {
    /// Image with `longshore` in it.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub image_pull_policy: String,
    /// Memory limit of the container, a Kubernetes quantity.
    pub memory: String,
    /// ServiceAccount without rights.
    pub service_account: String,
    /// The same for maintenance and forgetting, which have another cloud identity where stores know such.
    pub maintenance_service_account: String,
    /// Longest time that a run's mover may take, attempts included.
    pub deadline_seconds: Option<i64>,
    /// How much it logs: error, warn, info, debug or trace.
    pub log_level: String,
    /// Where movers are.
    pub protected_namespaces: Vec<String>,
}

/// What a mover's pod is attached to.
#[derive(Debug, Clone, Copy)]
pub struct MoverPod<'a> {
    /// Protected namespace.
    pub namespace: &'a str,
    /// PVC and its volume mode; none for work on the repository alone.
    pub volume: Option<(&'a str, VolumeMode)>,
    /// Secret with the repository's address and credentials.
    pub secret: &'a str,
    /// PVC with the repository, if it is on a volume.
    pub repository: Option<&'a str>,
    /// Lane, if movers per node are limited.
    pub lane: Option<u32>,
}

impl MoverPod<'_> {
    /// Whether it mounts a volume, whose files may belong to anybody: then it is root, and never changes their owner. All movers of a repository on a
    /// volume are root, since its files are private to who made them.
    fn is_root(&self) -> bool {
        self.volume.is_some() || self.repository.is_some()
    }
}

/// The Job that runs one mover.
///
/// # Errors
/// Never in practice: the document is plain JSON.
pub fn mover_job(
    run: &RunId,
    options: &MoverOptions,
    pod: MoverPod<'_>,
    document: &JobDocument,
) -> Result<Job, serde_json::Error> {
    let mut metadata = run.metadata(&run.child_name(), Some(pod.namespace), Role::Temporary);
    if let (Some(lane), Some(labels)) = (pod.lane, metadata.labels.as_mut()) {
        labels.insert(LANE.to_owned(), lane.to_string());
    }
    let template_metadata = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
        labels: metadata.labels.clone(),
        annotations: metadata.annotations.clone(),
        ..Default::default()
    };
    metadata.finalizers = None;
    Ok(Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(ATTEMPTS_MORE),
            active_deadline_seconds: options.deadline_seconds,
            pod_failure_policy: Some(failure_policy()),
            template: PodTemplateSpec {
                metadata: Some(template_metadata),
                spec: Some(pod_spec(options, pod, document)?),
            },
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// A drained node does not count as an attempt; what cannot mend itself is not tried again.
fn failure_policy() -> PodFailurePolicy {
    PodFailurePolicy {
        rules: vec![
            PodFailurePolicyRule {
                action: "Ignore".to_owned(),
                on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
                    type_: "DisruptionTarget".to_owned(),
                    status: "True".to_owned(),
                }]),
                on_exit_codes: None,
            },
            PodFailurePolicyRule {
                action: "FailJob".to_owned(),
                on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                    container_name: Some(CONTAINER.to_owned()),
                    operator: "In".to_owned(),
                    values: Reason::EXIT_CODES_PERMANENT.to_vec(),
                }),
                on_pod_conditions: None,
            },
        ],
    }
}

fn pod_spec(
    options: &MoverOptions,
    pod: MoverPod<'_>,
    document: &JobDocument,
) -> Result<PodSpec, serde_json::Error> {
    let service_account =
        if pod.volume.is_some() { &options.service_account } else { &options.maintenance_service_account };
    Ok(PodSpec {
        affinity: pod.lane.map(|lane| apart(lane, &options.protected_namespaces)),
        restart_policy: Some("Never".to_owned()),
        service_account_name: Some(service_account.clone()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        security_context: Some(PodSecurityContext {
            // Never with a volume: it would change the owner of every file there. Without one it opens the Secret's files.
            fs_group: (!pod.is_root()).then_some(NOBODY),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        containers: vec![container(options, pod, document)?],
        volumes: Some(volumes(pod)),
        ..PodSpec::default()
    })
}

/// No two movers of one lane share a node, whatever their namespace.
fn apart(lane: u32, namespaces: &[String]) -> Affinity {
    let others = PodAffinityTerm {
        label_selector: Some(LabelSelector {
            match_labels: Some([(LANE.to_owned(), lane.to_string())].into()),
            match_expressions: None,
        }),
        namespaces: Some(namespaces.to_vec()),
        topology_key: "kubernetes.io/hostname".to_owned(),
        ..PodAffinityTerm::default()
    };
    Affinity {
        pod_anti_affinity: Some(PodAntiAffinity {
            required_during_scheduling_ignored_during_execution: Some(vec![others]),
            preferred_during_scheduling_ignored_during_execution: None,
        }),
        ..Affinity::default()
    }
}

fn volumes(pod: MoverPod<'_>) -> Vec<Volume> {
    let volume = pod.volume.map(|(claim, _)| Volume {
        name: "volume".to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            // Read-only only in the container: the kubelet must be able to replay the journal of a fresh clone.
            read_only: None,
        }),
        ..Volume::default()
    });
    let others = [
        Volume {
            name: "credentials".to_owned(),
            secret: Some(SecretVolumeSource {
                secret_name: Some(pod.secret.to_owned()),
                default_mode: Some(0o400),
                optional: Some(false),
                items: None,
            }),
            ..Volume::default()
        },
        Volume {
            name: "temporary".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        },
    ];
    let repository = pod.repository.map(|claim| Volume {
        name: REPOSITORY.to_owned(),
        persistent_volume_claim: Some(PersistentVolumeClaimVolumeSource {
            claim_name: claim.to_owned(),
            read_only: None,
        }),
        ..Volume::default()
    });
    volume.into_iter().chain(repository).chain(others).collect()
}

fn command(pod: MoverPod<'_>) -> Vec<String> {
    let on_volume: &[&str] =
        if pod.repository.is_some() { &["--repository", REPOSITORY_FOLDER] } else { &[] };
    ["longshore", "mover"].iter().chain(on_volume).map(|word| (*word).to_owned()).collect()
}

/// Whether a mover's Job mounts this PVC as its repository.
pub fn mounts_repository(job: &Job, claim: &str) -> bool {
    let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    pod.and_then(|pod| pod.volumes.as_ref()).into_iter().flatten().any(|volume| {
        let source = volume.persistent_volume_claim.as_ref();
        volume.name == REPOSITORY && source.is_some_and(|source| source.claim_name == claim)
    })
}

fn container(
    options: &MoverOptions,
    pod: MoverPod<'_>,
    document: &JobDocument,
) -> Result<Container, serde_json::Error> {
    let reads_only = matches!(document.task, Task::Backup(_));
    let mount = |name: &str, path: &str, read_only: bool| VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    };
    let mut mounts = vec![mount("credentials", CREDENTIALS_DIR, true), mount("temporary", "/tmp", false)];
    if pod.repository.is_some() {
        // A reader needs no more: it goes without announcing itself, which the operator makes up for by keeping maintenance away.
        mounts.push(mount(REPOSITORY, REPOSITORY_PATH, matches!(document.task, Task::Restore(_))));
    }
    let mut devices = None;
    match pod.volume.map(|(_, mode)| mode) {
        Some(VolumeMode::Filesystem) => mounts.push(mount("volume", FILESYSTEM_PATH, reads_only)),
        Some(VolumeMode::Block) => {
            devices =
                Some(vec![VolumeDevice { name: "volume".to_owned(), device_path: BLOCK_PATH.to_owned() }]);
        }
        None => {}
    }
    let memory = Quantity(options.memory.clone());
    Ok(Container {
        name: CONTAINER.to_owned(),
        image: Some(options.image.clone()),
        image_pull_policy: Some(options.image_pull_policy.clone()),
        command: Some(command(pod)),
        env: Some(vec![
            EnvVar {
                name: DOCUMENT_ENV.to_owned(),
                value: Some(escape_references(&document.to_json()?)),
                value_from: None,
            },
            EnvVar {
                name: LOG_LEVEL_ENV.to_owned(),
                value: Some(options.log_level.clone()),
                value_from: None,
            },
        ]),
        volume_mounts: Some(mounts),
        volume_devices: devices,
        resources: Some(ResourceRequirements {
            requests: Some(
                [("cpu".to_owned(), Quantity("100m".to_owned())), ("memory".to_owned(), memory.clone())]
                    .into(),
            ),
            limits: Some([("memory".to_owned(), memory)].into()),
            claims: None,
        }),
        security_context: Some(security_context(pod, reads_only)),
        termination_message_path: Some(TERMINATION_MESSAGE_PATH.to_owned()),
        termination_message_policy: Some("File".to_owned()),
        ..Container::default()
    })
}

fn security_context(pod: MoverPod<'_>, reads_only: bool) -> SecurityContext {
    SecurityContext {
        run_as_user: Some(if pod.is_root() { 0 } else { NOBODY }),
        run_as_group: (!pod.is_root()).then_some(NOBODY),
        run_as_non_root: Some(!pod.is_root()),
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: capabilities(pod.volume.map(|(_, mode)| mode), reads_only),
        }),
        ..SecurityContext::default()
    }
}

/// The least that reads, or restores, every file whoever owns it; all within Pod Security level `baseline`.
fn capabilities(volume_mode: Option<VolumeMode>, reads_only: bool) -> Option<Vec<String>> {
    let names: &[&str] = match (volume_mode, reads_only) {
        (None | Some(VolumeMode::Block), _) => return None,
        (Some(VolumeMode::Filesystem), true) => &["DAC_OVERRIDE"],
        (Some(VolumeMode::Filesystem), false) => {
            &["DAC_OVERRIDE", "CHOWN", "FOWNER", "FSETID", "SETFCAP", "MKNOD"]
        }
    };
    Some(names.iter().map(|name| (*name).to_owned()).collect())
}

/// The kubelet expands `$(NAME)` in values, and a PVC's labels could not hold one, but nothing else promises that.
fn escape_references(value: &str) -> String {
    value.replace("$(", "$$(")
}
