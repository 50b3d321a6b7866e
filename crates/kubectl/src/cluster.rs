//! The door to the API server: finding it, and asking it one thing at a time.

use std::fmt::Debug;

use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arguments::{DryRun, GlobalArguments};
use crate::failure::Failure;

/// Field manager of everything that the plugin writes.
const FIELD_MANAGER: &str = "kubectl-longshore";

/// A cluster and the namespace that commands without `-n` mean.
pub struct Session {
    /// The client.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
}

impl Session {
    /// Finds the cluster as kubectl does: flags first, then KUBECONFIG, the usual file, and the pod's own account.
    pub async fn connect(global: &GlobalArguments) -> Result<Self, Failure> {
        let mut config = configuration(global).await?;
        // Watches and followed logs may be silent for as long as they like.
        config.read_timeout = None;
        let namespace = global.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config)
            .map_err(|error| Failure::Configuration { message: longshore_job::chain(&error) })?;
        Ok(Self { client, namespace })
    }

    /// Objects of the session's namespace.
    pub fn here<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        self.within(&self.namespace)
    }

    /// Objects of another namespace.
    pub fn within<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Objects of all namespaces, or of none.
    pub fn everywhere<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.client.clone())
    }
}

async fn configuration(global: &GlobalArguments) -> Result<Config, Failure> {
    let failure = |message: String| Failure::Configuration { message };
    if global.context.is_none() && global.kubeconfig.is_none() {
        return Config::infer().await.map_err(|error| failure(longshore_job::chain(&error)));
    }
    let file = match &global.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    let options = KubeConfigOptions { context: global.context.clone(), ..KubeConfigOptions::default() };
    let file = file.map_err(|error| failure(longshore_job::chain(&error)))?;
    Config::from_custom_kubeconfig(file, &options)
        .await
        .map_err(|error| failure(longshore_job::chain(&error)))
}

/// An object, if it is there.
pub async fn get<K>(api: &Api<K>, name: &str) -> Result<Option<K>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    api.get_opt(name).await.map_err(|source| Failure::api(format!("read {} {name}", K::kind(&())), source))
}

/// Objects with these labels.
pub async fn list<K>(api: &Api<K>, labels: &str) -> Result<Vec<K>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let found = api.list(&ListParams::default().labels(labels)).await;
    Ok(found.map_err(|source| Failure::api(format!("list {}", K::plural(&())), source))?.items)
}

/// Creates an object, or only has the API server check it.
pub async fn create<K>(api: &Api<K>, object: &K, dry_run: DryRun) -> Result<K, Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let parameters =
        PostParams { dry_run: dry_run == DryRun::Server, field_manager: Some(FIELD_MANAGER.to_owned()) };
    let action = || format!("create {} {}", K::kind(&()), object.name_any());
    api.create(&parameters, object).await.map_err(|source| Failure::api(action(), source))
}

/// Deletes an object that was seen; the UID guards against one of the same name that came since. One that is gone is a success.
pub async fn delete<K>(api: &Api<K>, name: &str, uid: Option<String>, dry_run: DryRun) -> Result<(), Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let mut parameters = DeleteParams {
        preconditions: Some(Preconditions { uid, resource_version: None }),
        ..DeleteParams::background()
    };
    parameters.dry_run = dry_run == DryRun::Server;
    match api.delete(name, &parameters).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(source) => Err(Failure::api(format!("delete {} {name}", K::kind(&())), source)),
    }
}

/// Merges a change into an object.
pub async fn merge<K>(
    api: &Api<K>,
    name: &str,
    change: &serde_json::Value,
    dry_run: DryRun,
) -> Result<K, Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let parameters = PatchParams {
        dry_run: dry_run == DryRun::Server,
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    api.patch(name, &parameters, &Patch::Merge(change))
        .await
        .map_err(|source| Failure::api(format!("change {} {name}", K::kind(&())), source))
}
