//! A blocking client of one cluster, for objects in plain JSON.

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{
    Api, DeleteParams, DynamicObject, EvictParams, ListParams, LogParams, Patch, PatchParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::kinds::{self, Kind};
use crate::wait::{SHORT, WORK};

/// Finalizer of csi-provisioner on a snapshot that a PVC is being made of.
const PROVISIONERS_MARK: &str = "provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection";

static RUNTIME: LazyLock<std::io::Result<Runtime>> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build());

pub(crate) fn block_on<F: Future>(future: F) -> Result<F::Output> {
    let runtime = RUNTIME.as_ref().map_err(|error| anyhow!("no runtime: {error}"))?;
    Ok(runtime.block_on(future))
}

/// One cluster of the lab.
#[derive(Clone)]
pub struct Cluster {
    /// The lab's handle: components, driver, audit log.
    pub lab: longshore_lab::Cluster,
    client: Client,
}

impl Cluster {
    pub(crate) fn connect(lab: longshore_lab::Cluster) -> Result<Self> {
        let path = lab.kubeconfig();
        let client = block_on(async {
            let kubeconfig = Kubeconfig::read_from(&path)?;
            let mut config =
                Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
            config.read_timeout = None;
            anyhow::Ok(Client::try_from(config)?)
        })?
        .with_context(|| format!("no client for cluster {}", lab.name))?;
        Ok(Self { lab, client })
    }

    /// `namespace` is empty for cluster-scoped kinds, and for lists over all namespaces.
    fn api(&self, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
        let resource = kind.resource();
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        }
    }

    fn api_of(&self, object: &Value) -> Result<Api<DynamicObject>> {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default();
        Ok(self.api(Kind::of(object)?, namespace))
    }

    /// Creates an object and returns it as the server keeps it.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn create(&self, object: &Value) -> Result<Value> {
        let api = self.api_of(object)?;
        let dynamic: DynamicObject = serde_json::from_value(object.clone())?;
        let made = block_on(api.create(&PostParams::default(), &dynamic))?
            .with_context(|| format!("{}: could not create {}", self.lab.name, shown(object)))?;
        Ok(serde_json::to_value(made)?)
    }

    /// Creates each.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_all(&self, objects: &[Value]) -> Result<()> {
        objects.iter().try_for_each(|object| self.create(object).map(drop))
    }

    /// Merges `change` into an object.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn patch(&self, kind: &Kind, namespace: &str, name: &str, change: &Value) -> Result<()> {
        let api = self.api(kind, namespace);
        block_on(api.patch(name, &PatchParams::default(), &Patch::Merge(change)))?
            .with_context(|| format!("could not change {} {namespace}/{name}", kind.name))
            .map(drop)
    }

    /// An object, if it is there.
    ///
    /// # Errors
    /// The server's, other than that it is not there.
    pub fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Option<Value>> {
        let api = self.api(kind, namespace);
        let found = block_on(api.get_opt(name))??;
        found.map(|object| serde_json::to_value(object).map_err(Into::into)).transpose()
    }

    /// An object that must be there.
    ///
    /// # Errors
    /// As [`Self::get`], and when it is not there.
    pub fn need(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Value> {
        self.get(kind, namespace, name)?
            .with_context(|| format!("there is no {} {namespace}/{name}", kind.name))
    }

    /// Objects with these labels.
    ///
    /// # Errors
    /// The server's.
    pub fn list(&self, kind: &Kind, namespace: &str, labels: &str) -> Result<Vec<Value>> {
        let api = self.api(kind, namespace);
        let found = block_on(api.list(&ListParams::default().labels(labels)))?
            .with_context(|| format!("could not list {}", kind.name))?;
        found.items.into_iter().map(|object| serde_json::to_value(object).map_err(Into::into)).collect()
    }

    /// Deletes an object; that it is gone already is fine. Does not wait.
    ///
    /// # Errors
    /// The server's.
    pub fn delete(&self, kind: &Kind, namespace: &str, name: &str) -> Result<()> {
        self.delete_with(kind, namespace, name, &DeleteParams::background())
    }

    /// Deletes a pod without grace.
    ///
    /// # Errors
    /// The server's.
    pub fn delete_at_once(&self, kind: &Kind, namespace: &str, name: &str) -> Result<()> {
        self.delete_with(kind, namespace, name, &DeleteParams::background().grace_period(0))
    }

    fn delete_with(&self, kind: &Kind, namespace: &str, name: &str, how: &DeleteParams) -> Result<()> {
        match block_on(self.api(kind, namespace).delete(name, how))? {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            other => {
                other.map(drop).with_context(|| format!("could not delete {} {namespace}/{name}", kind.name))
            }
        }
    }

    /// Asks the eviction API to evict a pod.
    ///
    /// # Errors
    /// The server's refusal.
    pub fn evict(&self, namespace: &str, pod: &str) -> Result<()> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        block_on(api.evict(pod, &EvictParams::default()))?.context("eviction was refused").map(drop)
    }

    /// A pod's log.
    ///
    /// # Errors
    /// The server's or the kubelet's.
    pub fn logs(&self, namespace: &str, pod: &str) -> Result<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        block_on(api.logs(pod, &LogParams::default()))?
            .with_context(|| format!("no log of {namespace}/{pod}"))
    }

    /// Watches an object until `look` finds what it looks for. `look` sees every state that the server sends, `None` while there is no such
    /// object; it returns an error to give up.
    ///
    /// # Errors
    /// `look`'s, or that `limit` passed; the last state seen is in the message.
    pub fn watch<T>(
        &self,
        what: &str,
        (kind, namespace, name): (&Kind, &str, &str),
        limit: Duration,
        mut look: impl FnMut(Option<&Value>) -> Result<Option<T>>,
    ) -> Result<T> {
        let api = self.api(kind, namespace);
        let mut last = "nothing".to_owned();
        let watching = async {
            let stream = watcher::watch_object(api, name).default_backoff();
            pin_mut!(stream);
            while let Some(seen) = stream.next().await {
                let object = match seen {
                    Ok(object) => object.map(serde_json::to_value).transpose()?,
                    // The watcher tries again; the error matters only if the deadline passes.
                    Err(error) => {
                        last = error.to_string();
                        continue;
                    }
                };
                last = object.as_ref().map_or_else(|| "there is none".to_owned(), brief);
                if let Some(found) = look(object.as_ref())? {
                    return Ok(found);
                }
            }
            bail!("the watch ended")
        };
        match block_on(async { tokio::time::timeout(limit, watching).await })? {
            Ok(outcome) => outcome.with_context(|| format!("waiting for {what}")),
            Err(_) => bail!(
                "{}: waited {} s for {what} ({} {namespace}/{name}); last seen: {last}",
                self.lab.name,
                limit.as_secs(),
                kind.name
            ),
        }
    }

    /// Waits until an object is gone.
    ///
    /// # Errors
    /// As [`Self::watch`].
    pub fn wait_gone(&self, kind: &Kind, namespace: &str, name: &str, limit: Duration) -> Result<()> {
        self.watch(&format!("the end of {} {name}", kind.name), (kind, namespace, name), limit, |object| {
            Ok(object.is_none().then_some(()))
        })
    }

    /// Deletes a namespace and waits until it is gone.
    ///
    /// # Errors
    /// When it does not go.
    pub fn remove_namespace(&self, name: &str, limit: Duration) -> Result<()> {
        self.delete(&kinds::NAMESPACE, "", name)?;
        self.wait_namespace_gone(name, limit)
    }

    /// Waits until a namespace that was deleted is gone. csi-provisioner now and then leaves its mark on a snapshot that a PVC was made of, until it
    /// looks at everything anew, a quarter of an hour later; where no PVC is left the mark protects nothing, and is taken off.
    ///
    /// # Errors
    /// When it does not go.
    pub fn wait_namespace_gone(&self, name: &str, limit: Duration) -> Result<()> {
        if self.wait_gone(&kinds::NAMESPACE, "", name, limit / 2).is_ok() {
            return Ok(());
        }
        if self.list(&kinds::PVC, name, "")?.is_empty() {
            for snapshot in self.list(&kinds::VOLUME_SNAPSHOT, name, "")? {
                let marks = snapshot["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
                let kept: Vec<_> = marks.iter().filter(|mark| *mark != PROVISIONERS_MARK).collect();
                let own = snapshot["metadata"]["name"].as_str().context("a snapshot without name")?;
                let change = json!({"metadata": {"finalizers": kept}});
                self.patch(&kinds::VOLUME_SNAPSHOT, name, own, &change)?;
            }
        }
        self.wait_gone(&kinds::NAMESPACE, "", name, limit / 2)
    }

    /// Asks for a Repository's maintenance and returns the Repository as it is afterwards.
    ///
    /// # Errors
    /// When it does not come to a good end.
    pub fn maintain(&self, namespace: &str, repository: &str) -> Result<Value> {
        let ask = json!({"metadata": {"annotations": {"longshore.dev/maintain-now": "once"}}});
        self.patch(&kinds::REPOSITORY, namespace, repository, &ask)?;
        self.watch("maintenance", (&kinds::REPOSITORY, namespace, repository), WORK, |object| {
            let object = object.context("the Repository is gone")?;
            let status = &object["status"];
            let over = status["phase"] != "Maintaining" && status["lastMaintenanceTime"].is_string();
            Ok((over && status["lastMaintenanceRequest"] == "once").then(|| object.clone()))
        })
    }

    /// UID of the cluster, as the reference of a restore point names it.
    ///
    /// # Errors
    /// The server's.
    pub fn uid(&self) -> Result<String> {
        let namespace = self.need(&kinds::NAMESPACE, "", "kube-system")?;
        namespace["metadata"]["uid"].as_str().map(str::to_owned).context("kube-system has no UID")
    }

    /// Waits until a pod has ended and returns its log.
    ///
    /// # Errors
    /// When it failed; its log is in the message.
    pub fn pod_output(&self, namespace: &str, pod: &str) -> Result<String> {
        let ended = self.watch("the pod's end", (&kinds::POD, namespace, pod), SHORT * 2, |object| {
            let phase = object.and_then(|object| object["status"]["phase"].as_str()).unwrap_or_default();
            Ok(matches!(phase, "Succeeded" | "Failed").then(|| phase.to_owned()))
        })?;
        let log = self.logs(namespace, pod)?;
        if ended == "Failed" {
            bail!("pod {namespace}/{pod} failed:\n{log}");
        }
        Ok(log)
    }
}

fn shown(object: &Value) -> String {
    let text = |part: &Value| part.as_str().unwrap_or("?").to_owned();
    format!("{} {}", text(&object["kind"]), text(&object["metadata"]["name"]))
}

/// An object's status, or the object if it has none, cut to what a person reads.
fn brief(object: &Value) -> String {
    let text = if object["status"].is_null() { object.to_string() } else { object["status"].to_string() };
    text.chars().take(2000).collect()
}
