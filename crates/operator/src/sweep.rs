//! Children whose run is gone: somebody took the finalizer away, or a namespace was removed by force. They are found when they wake a run that does
//! not exist, which happens for every child at each start.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Api, Resource, ResourceExt};
use longshore_api::{
    DataUpload, ForgetRequest, Repository, VolumeSnapshotBackup, VolumeSnapshotContent, VolumeSnapshotRestore,
};

use crate::cluster::{Error, classify};
use crate::context::Context;
use crate::names::{RUN_UID, Role, RunId, RunKind, has_role, label, run_of};
use crate::temporary::Temporary;

/// A kind of run, as far as its orphans are concerned.
pub trait Sweep: Sized {
    /// Removes the temporary children of a run that does not exist; a run that exists after all loses nothing.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    fn sweep(context: Arc<Context>, run: ObjectRef<Self>) -> impl Future<Output = Result<(), Error>> + Send
    where
        Self: Resource<DynamicType = ()> + 'static;
}

impl Sweep for VolumeSnapshotBackup {
    async fn sweep(context: Arc<Context>, run: ObjectRef<Self>) -> Result<(), Error> {
        sweep_runs::<Self>(&context, RunKind::Backup, &run).await
    }
}

impl Sweep for VolumeSnapshotRestore {
    async fn sweep(context: Arc<Context>, run: ObjectRef<Self>) -> Result<(), Error> {
        sweep_runs::<Self>(&context, RunKind::Restore, &run).await
    }
}

impl Sweep for ForgetRequest {
    async fn sweep(context: Arc<Context>, run: ObjectRef<Self>) -> Result<(), Error> {
        sweep_runs::<Self>(&context, RunKind::Forget, &run).await
    }
}

impl Sweep for Repository {
    async fn sweep(context: Arc<Context>, run: ObjectRef<Self>) -> Result<(), Error> {
        sweep_runs::<Self>(&context, RunKind::Maintenance, &run).await
    }
}

impl Sweep for VolumeSnapshotContent {
    /// Keepers have no children of their own.
    async fn sweep(_: Arc<Context>, _: ObjectRef<Self>) -> Result<(), Error> {
        Ok(())
    }
}

impl Sweep for DataUpload {
    /// Its VolumeSnapshotBackup goes with it: the garbage collector sees to that.
    async fn sweep(_: Arc<Context>, _: ObjectRef<Self>) -> Result<(), Error> {
        Ok(())
    }
}

/// Removes the temporary children of a run of this kind that does not exist.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn sweep_runs<K>(context: &Context, kind: RunKind, run: &ObjectRef<K>) -> Result<(), Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + 'static,
{
    let namespace = run.namespace.as_deref().unwrap_or_default();
    let orphans = orphans(context, kind, namespace, &run.name);
    if orphans.is_empty() {
        return Ok(());
    }
    // The watch may be behind: only the API server knows whether a run exists.
    let runs = Api::<K>::namespaced(context.client.clone(), namespace);
    let existing = runs.get_opt(&run.name).await.map_err(|source| classify("read a run", source))?;
    let existing = existing.and_then(|run| run.uid());
    for (uid, protected) in orphans {
        if existing.as_deref() == Some(uid.as_str()) {
            continue;
        }
        tracing::warn!(
            kind = kind.as_str(),
            namespace,
            name = run.name,
            uid,
            "the run is gone; its objects are removed"
        );
        let id = RunId { kind, uid, namespace: namespace.to_owned(), name: run.name.clone() };
        Temporary::from_server(context, &id, &protected).await?.delete_all(context, &protected).await?;
    }
    Ok(())
}

/// UIDs of the runs of this name that have temporary children, each with its protected namespace.
fn orphans(context: &Context, kind: RunKind, namespace: &str, name: &str) -> Vec<(String, String)> {
    let stores = &context.stores;
    let mut found = Vec::new();
    let mut add = |metadata: &kube::api::ObjectMeta, protected: Option<&str>| {
        let of_run = run_of(metadata) == Some((kind, namespace, name)) && has_role(metadata, Role::Temporary);
        if let (true, Some(uid), Some(protected)) = (of_run, label(metadata, RUN_UID), protected) {
            found.push((uid.to_owned(), protected.to_owned()));
        }
    };
    for content in stores.contents.state() {
        add(&content.metadata, content.spec.volume_snapshot_ref.namespace.as_deref());
    }
    for snapshot in stores.snapshots.state() {
        add(&snapshot.metadata, snapshot.metadata.namespace.as_deref());
    }
    let claims: &Store<PersistentVolumeClaim> = &stores.claims;
    for claim in claims.state() {
        add(&claim.metadata, claim.metadata.namespace.as_deref());
    }
    for (protected, of_namespace) in &stores.protected {
        for job in of_namespace.jobs.state() {
            add(&job.metadata, Some(protected));
        }
        for pod in of_namespace.pods.state() {
            add(&pod.metadata, Some(protected));
        }
    }
    found.retain(|(_, protected)| stores.protected.contains_key(protected));
    found.sort();
    found.dedup();
    found
}
