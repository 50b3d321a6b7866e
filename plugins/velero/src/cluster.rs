//! The door to the API server. Everything here can be repeated.

use std::fmt::Debug;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Api, Client, Config, Resource, ResourceExt};
use longshore_api::{
    Repository, VolumeSnapshot, VolumeSnapshotContent, repository_for_location, repository_named,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::sync::OnceCell;

use crate::arguments::Arguments;
use crate::item::{BACKUP_UID, Backup, ItemError, label};
use crate::policy::PolicyError;

/// Why an action failed. Velero shows the message to the user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// What Velero sent is not what it should be.
    #[error(transparent)]
    Item(#[from] ItemError),
    /// The volume policies could not be read.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// There is no way to the API server.
    #[error("cannot find the cluster: {0}")]
    NoCluster(String),
    /// The API server did not do what was asked.
    #[error("cannot {action}: {source}")]
    Api {
        /// What was asked.
        action: String,
        /// The answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// Something is missing, wrong, or took too long.
    #[error("{0}")]
    Refused(String),
}

impl ActionError {
    /// A refusal.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::Refused(message.into())
    }
}

fn failed(action: String) -> impl FnOnce(kube::Error) -> ActionError {
    move |source| ActionError::Api { action, source: Box::new(source) }
}

/// The cluster, connected to at first use: listing plugins needs none.
pub struct Cluster {
    kubeconfig: Option<std::path::PathBuf>,
    client: OnceCell<Client>,
}

/// A connected cluster.
#[derive(Clone)]
pub struct Connection(Client);

impl Cluster {
    /// The cluster that Velero's arguments name, else that of the environment.
    pub fn new(arguments: &Arguments) -> Self {
        Self { kubeconfig: arguments.kubeconfig.clone(), client: OnceCell::new() }
    }

    /// Connects, unless that was done.
    ///
    /// # Errors
    /// When nothing says where the cluster is.
    pub async fn connect(&self) -> Result<Connection, ActionError> {
        let client = self.client.get_or_try_init(|| self.client()).await?;
        Ok(Connection(client.clone()))
    }

    async fn client(&self) -> Result<Client, ActionError> {
        let lost = |error: &dyn std::error::Error| ActionError::NoCluster(error.to_string());
        let config = match &self.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| lost(&error))?;
                Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| lost(&error))?
            }
            // In a pod the API server is reached by the address that the kubelet gave: a static program resolves no names.
            None if std::env::var_os("KUBECONFIG").is_none()
                && std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() =>
            {
                Config::incluster_env().map_err(|error| lost(&error))?
            }
            None => Config::infer().await.map_err(|error| lost(&error))?,
        };
        Client::try_from(config).map_err(|error| lost(&error))
    }
}

impl Connection {
    /// Objects of one kind in `namespace`.
    pub fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>,
    {
        Api::namespaced(self.0.clone(), namespace)
    }

    /// Objects of one kind everywhere.
    pub fn all<K: Resource<DynamicType = ()>>(&self) -> Api<K> {
        Api::all(self.0.clone())
    }

    /// A Velero Backup.
    ///
    /// # Errors
    /// When it is not there or the API server refuses.
    pub async fn backup(&self, namespace: &str, name: &str) -> Result<Backup, ActionError> {
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("velero.io", "v1", "Backup"));
        let api = Api::<DynamicObject>::namespaced_with(self.0.clone(), namespace, &kind);
        let found = api.get(name).await.map_err(failed(format!("read Backup {name}")))?;
        let text = serde_json::to_vec(&found).map_err(|error| ActionError::refused(error.to_string()))?;
        Ok(crate::item::parse("Backup", &text)?)
    }

    /// Text of the volume policies that a backup names.
    ///
    /// # Errors
    /// When the ConfigMap is not there or has not just one entry.
    pub async fn policies(&self, backup: &Backup) -> Result<Option<String>, ActionError> {
        let Some(reference) = &backup.spec.resource_policy else { return Ok(None) };
        if !reference.kind.eq_ignore_ascii_case("configmap") {
            return Err(ActionError::refused(format!("resource policies cannot be a {}", reference.kind)));
        }
        let name = &reference.name;
        let api = self.namespaced::<ConfigMap>(backup.namespace());
        let found = api.get(name).await.map_err(failed(format!("read ConfigMap {name}")))?;
        let mut data = found.data.unwrap_or_default().into_values();
        match (data.next(), data.next()) {
            (Some(text), None) => Ok(Some(text)),
            _ => Err(ActionError::refused(format!("ConfigMap {name} has not just one entry"))),
        }
    }

    /// The Repositories of a namespace.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub async fn repositories(&self, namespace: &str) -> Result<Vec<Repository>, ActionError> {
        list(&self.namespaced(namespace), "").await
    }

    /// Deletes a VolumeSnapshot that was made for the backup with `backup_uid`, and the snapshot in the storage with it. One that is gone, or not of
    /// that backup, is left alone.
    ///
    /// # Errors
    /// Whatever the API server refuses.
    pub async fn discard_snapshot(
        &self,
        namespace: &str,
        name: &str,
        backup_uid: &str,
    ) -> Result<(), ActionError> {
        let api = self.namespaced::<VolumeSnapshot>(namespace);
        let Some(snapshot) = get(&api, name).await? else { return Ok(()) };
        if label(&snapshot.metadata, BACKUP_UID) != Some(backup_uid) {
            return Ok(());
        }
        let contents = self.all::<VolumeSnapshotContent>();
        let bound =
            snapshot.status.as_ref().and_then(|status| status.bound_volume_snapshot_content_name.clone());
        if let Some(bound) = bound
            && let Some(content) = get(&contents, &bound).await?
            && content.spec.volume_snapshot_ref.uid == snapshot.uid()
        {
            merge(&contents, &bound, &json!({"spec": {"deletionPolicy": "Delete"}})).await?;
        }
        delete(&api, &snapshot).await
    }
}

/// One object, if it is there.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn get<K>(api: &Api<K>, name: &str) -> Result<Option<K>, ActionError>
where
    K: Clone + DeserializeOwned + Debug + Resource<DynamicType = ()>,
{
    api.get_opt(name).await.map_err(failed(format!("read {} {name}", K::kind(&()))))
}

/// The objects that `selector` selects.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn list<K>(api: &Api<K>, selector: &str) -> Result<Vec<K>, ActionError>
where
    K: Clone + DeserializeOwned + Debug + Resource<DynamicType = ()>,
{
    let found = api.list(&ListParams::default().labels(selector)).await;
    Ok(found.map_err(failed(format!("list {}", K::plural(&()))))?.items)
}

/// Creates an object, or finds the one that an earlier call made: what carries `label` with the same value.
///
/// # Errors
/// When somebody else's object has the name, and whatever the API server refuses.
pub async fn create<K>(api: &Api<K>, object: &K, key: &str) -> Result<K, ActionError>
where
    K: Clone + DeserializeOwned + Serialize + Debug + Resource<DynamicType = ()>,
{
    let (kind, name) = (K::kind(&()), object.name_any());
    match api.create(&PostParams::default(), object).await {
        Ok(created) => {
            tracing::info!(%kind, name, namespace = object.namespace().unwrap_or_default(), "created");
            Ok(created)
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => match get(api, &name).await? {
            Some(found) if found.labels().get(key) == object.labels().get(key) => Ok(found),
            Some(_) => Err(ActionError::refused(format!("{kind} {name} exists and is somebody else's"))),
            None => Err(ActionError::refused(format!("{kind} {name} came and went"))),
        },
        Err(source) => Err(failed(format!("create {kind} {name}"))(source)),
    }
}

/// Merge-patches an object.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn merge<K>(api: &Api<K>, name: &str, patch: &serde_json::Value) -> Result<(), ActionError>
where
    K: Clone + DeserializeOwned + Debug + Resource<DynamicType = ()>,
{
    let patched = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
    patched.map(drop).map_err(failed(format!("patch {} {name}", K::kind(&()))))
}

/// Deletes an object that was seen; one that is gone is a success.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn delete<K>(api: &Api<K>, object: &K) -> Result<(), ActionError>
where
    K: Clone + DeserializeOwned + Debug + Resource<DynamicType = ()>,
{
    let name = object.name_any();
    let parameters = DeleteParams {
        preconditions: Some(Preconditions { uid: object.uid(), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(&name, &parameters).await {
        Ok(_) => {
            tracing::info!(kind = %K::kind(&()), name, "deleted");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(source) => Err(failed(format!("delete {} {name}", K::kind(&())))(source)),
    }
}

/// The Repository of `namespace` that `name` names, or else the only one that lists `location`.
///
/// # Errors
/// `RepositoryNotConfigured` when there is none, or more than one.
pub fn choose_repository<'a>(
    all: &'a [Repository],
    namespace: &str,
    name: Option<&str>,
    location: Option<&str>,
) -> Result<&'a Repository, ActionError> {
    let found = match name {
        Some(name) => repository_named(all, namespace, name),
        None => repository_for_location(all, namespace, location.unwrap_or_default()),
    };
    found.map_err(|error| ActionError::refused(format!("RepositoryNotConfigured: {error}")))
}
