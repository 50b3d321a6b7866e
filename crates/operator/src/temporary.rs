//! The temporary children of one run: found by label and UID, and taken away.

use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, PersistentVolume, PersistentVolumeClaim, Pod};
use kube::api::LogParams;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Resource, ResourceExt};
use longshore_api::{VolumeSnapshot, VolumeSnapshotContent};

use crate::cluster::{Error, classify, delete, list, merge};
use crate::context::Context;
use crate::mover::{MoverObjects, MoverState, mover_state};
use crate::names::{Role, RunId, belongs_to, has_role};
use crate::watches::temporary_children;

/// csi-provisioner's finalizer on a VolumeSnapshot that it is making a volume of.
const PROVISIONERS_MARK: &str = "provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection";

/// Everything that a run has in the cluster for the time of its work.
#[derive(Debug, Clone, Default)]
pub struct Temporary {
    /// Job of the mover.
    pub jobs: Vec<Arc<Job>>,
    /// Pods of that Job.
    pub pods: Vec<Arc<Pod>>,
    /// PVC.
    pub claims: Vec<Arc<PersistentVolumeClaim>>,
    /// VolumeSnapshot.
    pub snapshots: Vec<Arc<VolumeSnapshot>>,
    /// Content.
    pub contents: Vec<Arc<VolumeSnapshotContent>>,
    /// Warnings of the protected namespace.
    pub warnings: Vec<Arc<Event>>,
}

fn of_run<K>(store: &Store<K>, uid: &str) -> Vec<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    store.state_filter(|object| belongs_to(object.meta(), uid) && has_role(object.meta(), Role::Temporary))
}

impl Temporary {
    /// What the watches know.
    pub fn from_stores(context: &Context, run: &RunId, namespace: &str) -> Self {
        let stores = &context.stores;
        let mut found = Self {
            claims: of_run(&stores.claims, &run.uid),
            snapshots: of_run(&stores.snapshots, &run.uid),
            contents: of_run(&stores.contents, &run.uid),
            ..Self::default()
        };
        if let Some(protected) = stores.protected.get(namespace) {
            found.jobs = of_run(&protected.jobs, &run.uid);
            found.pods = of_run(&protected.pods, &run.uid);
            let uids: Vec<Option<String>> = found
                .jobs
                .iter()
                .map(|job| job.uid())
                .chain(found.pods.iter().map(|pod| pod.uid()))
                .chain(found.claims.iter().map(|claim| claim.uid()))
                .collect();
            found.warnings = protected.events.state_filter(|event| {
                event.involved_object.uid.is_some() && uids.contains(&event.involved_object.uid)
            });
        }
        found
    }

    /// What the API server knows: watches may lag behind our own creations, and "nothing is left" must be true.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub async fn from_server(context: &Context, run: &RunId, namespace: &str) -> Result<Self, Error> {
        let selector = temporary_children(&run.uid);
        let client = || context.client.clone();
        let (jobs, pods) =
            (Api::<Job>::namespaced(client(), namespace), Api::<Pod>::namespaced(client(), namespace));
        let claims = Api::<PersistentVolumeClaim>::namespaced(client(), namespace);
        let snapshots = Api::<VolumeSnapshot>::namespaced(client(), namespace);
        let contents = Api::<VolumeSnapshotContent>::all(client());
        let (jobs, pods, claims, snapshots, contents) = futures::try_join!(
            list(&jobs, &selector),
            list(&pods, &selector),
            list(&claims, &selector),
            list(&snapshots, &selector),
            list(&contents, &selector),
        )?;
        Ok(Self { jobs, pods, claims, snapshots, contents, warnings: Vec::new() })
    }

    /// Kinds and names of what is there.
    pub fn names(&self) -> Vec<String> {
        fn add<K: Resource<DynamicType = ()>>(names: &mut Vec<String>, objects: &[Arc<K>]) {
            names.extend(objects.iter().map(|object| format!("{} {}", K::kind(&()), object.name_any())));
        }
        let mut names = Vec::new();
        add(&mut names, &self.jobs);
        add(&mut names, &self.pods);
        add(&mut names, &self.claims);
        add(&mut names, &self.snapshots);
        add(&mut names, &self.contents);
        names
    }

    /// State of the mover, with the last lines of one that ended without a result.
    pub async fn mover(&self, context: &Context, namespace: &str) -> MoverState {
        let mut mover = mover_state(MoverObjects {
            job: self.jobs.first().map(AsRef::as_ref),
            pods: &self.pods,
            warnings: &self.warnings,
        });
        if let MoverState::Failed { trouble, silent_pod: Some(pod) } = &mut mover {
            let tail = log_tail(context, namespace, pod).await;
            if !tail.is_empty() {
                trouble.message = format!("{}; its last lines: {tail}", trouble.message);
            }
        }
        mover
    }

    /// Deletes Job and pods.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub async fn delete_mover(&self, context: &Context, namespace: &str) -> Result<(), Error> {
        let jobs = Api::<Job>::namespaced(context.client.clone(), namespace);
        for job in &self.jobs {
            delete(&jobs, job.as_ref()).await?;
        }
        if self.jobs.is_empty() {
            // Otherwise the garbage collector takes them with the Job.
            let pods = Api::<Pod>::namespaced(context.client.clone(), namespace);
            for pod in &self.pods {
                delete(&pods, pod.as_ref()).await?;
            }
        }
        Ok(())
    }

    /// Deletes everything, all at once: finalizers of the cluster keep the order.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub async fn delete_all(&self, context: &Context, namespace: &str) -> Result<(), Error> {
        self.delete_mover(context, namespace).await?;
        let client = &context.client;
        let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace);
        for claim in &self.claims {
            take_volume_along(context, claim).await?;
            delete(&claims, claim.as_ref()).await?;
        }
        let snapshots = Api::<VolumeSnapshot>::namespaced(client.clone(), namespace);
        for snapshot in &self.snapshots {
            delete(&snapshots, snapshot.as_ref()).await?;
            if let Some(finalizers) = without_forgotten_mark(snapshot, &self.claims) {
                // The version guards marks that came since; a conflict is tried again with the next pass.
                let metadata = serde_json::json!({
                    "resourceVersion": snapshot.metadata.resource_version, "finalizers": finalizers,
                });
                merge(&snapshots, &snapshot.name_any(), &serde_json::json!({ "metadata": metadata })).await?;
            }
        }
        let contents = Api::<VolumeSnapshotContent>::all(client.clone());
        for content in &self.contents {
            delete(&contents, content.as_ref()).await?;
        }
        Ok(())
    }
}

/// The last lines of a mover that said nothing else. Without them the message is shorter, nothing more.
async fn log_tail(context: &Context, namespace: &str, pod: &str) -> String {
    let parameters = LogParams { tail_lines: Some(6), limit_bytes: Some(4096), ..LogParams::default() };
    let pods = Api::<Pod>::namespaced(context.client.clone(), namespace);
    let mut text = pods.logs(pod, &parameters).await.unwrap_or_default().trim().replace('\n', " | ");
    crate::reason::truncate(&mut text, 600);
    text
}

/// csi-provisioner marks a VolumeSnapshot while it makes a volume of it, and forgets the mark when the PVC goes meanwhile; it finds such marks
/// minutes later, or never (external-provisioner, `snapshot_finalizer_controller.go`). A run that is cancelled then would hang on its own copy of the
/// snapshot, whose mark protects nothing once the PVC is gone. Returns the finalizers that shall stay, if one is such a mark.
fn without_forgotten_mark(
    snapshot: &VolumeSnapshot,
    claims: &[Arc<PersistentVolumeClaim>],
) -> Option<Vec<String>> {
    let marks = snapshot.metadata.finalizers.as_deref().unwrap_or_default();
    let is_forgotten = snapshot.metadata.deletion_timestamp.is_some()
        && claims.is_empty()
        && marks.iter().any(|mark| mark == PROVISIONERS_MARK);
    is_forgotten.then(|| marks.iter().filter(|mark| *mark != PROVISIONERS_MARK).cloned().collect())
}

/// A class may keep volumes of deleted PVCs. A copy of a volume is nobody's data, so its PersistentVolume is told to go with the PVC; a
/// volume that is not bound to exactly this PVC is left alone.
async fn take_volume_along(context: &Context, claim: &PersistentVolumeClaim) -> Result<(), Error> {
    let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
    if name.is_empty() || claim.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let volumes = Api::<PersistentVolume>::all(context.client.clone());
    let found = volumes.get_opt(name).await.map_err(|source| classify("read a PersistentVolume", source))?;
    let Some(spec) = found.and_then(|volume| volume.spec) else { return Ok(()) };
    let is_ours = spec
        .claim_ref
        .as_ref()
        .is_some_and(|reference| reference.uid.is_some() && reference.uid == claim.uid());
    if is_ours && spec.persistent_volume_reclaim_policy.as_deref() == Some("Retain") {
        let patch = serde_json::json!({ "spec": { "persistentVolumeReclaimPolicy": "Delete" } });
        merge(&volumes, name, &patch).await?;
    }
    Ok(())
}

/// The object of this name, whoever made it.
pub fn named<K>(store: &Store<K>, namespace: Option<&str>, name: &str) -> Option<Arc<K>>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let reference = ObjectRef::new(name);
    store.get(&match namespace {
        Some(namespace) => reference.within(namespace),
        None => reference,
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    #[test]
    fn only_a_mark_that_protects_nothing_is_taken_off() {
        let snapshot = |leaving: bool, marks: &[&str]| {
            let mut snapshot = VolumeSnapshot::new("copy", Default::default());
            snapshot.metadata.deletion_timestamp = leaving.then_some(Time(jiff::Timestamp::UNIX_EPOCH));
            snapshot.metadata.finalizers = Some(marks.iter().map(ToString::to_string).collect());
            snapshot
        };
        let both = ["other", PROVISIONERS_MARK];
        let claims = [Arc::new(PersistentVolumeClaim::default())];
        assert_eq!(without_forgotten_mark(&snapshot(true, &both), &[]), Some(vec!["other".to_owned()]));
        assert_eq!(
            without_forgotten_mark(&snapshot(true, &both), &claims),
            None,
            "a volume may be in the making"
        );
        assert_eq!(without_forgotten_mark(&snapshot(false, &both), &[]), None, "nobody waits for its end");
        assert_eq!(without_forgotten_mark(&snapshot(true, &["other"]), &[]), None);
    }
}
