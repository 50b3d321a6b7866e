//! Everything that the operator watches, and whom each change wakes.
//!
//! One watch a kind (and a protected namespace, where rights are granted there only) feeds one store; passes read stores, not the API server.
//! A change to a child wakes the run that its annotation names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use longshore_api::{
    DataDownload, DataUpload, ForgetRequest, OWN_GROUP, Repository, VolumeSnapshot, VolumeSnapshotBackup,
    VolumeSnapshotContent, VolumeSnapshotRestore,
};
use serde::de::DeserializeOwned;

use crate::children::snapshot_source;
use crate::names::{ROLE, RUN_UID, Role, belongs_to, has_role, label};
use crate::reason::{OperatorReason, Trouble};
use crate::slots::{Queued, is_waiting, is_working, waits_for_repository};

mod velero;
mod wakes;

pub use velero::{VeleroStores, VeleroWatches};
pub use wakes::Wakes;
use wakes::{Runs, Senders, channels};

/// Stores of one protected namespace.
#[derive(Clone)]
pub struct ProtectedStores {
    /// Jobs of runs.
    pub jobs: Store<Job>,
    /// Pods of runs.
    pub pods: Store<Pod>,
    /// Warnings.
    pub events: Store<Event>,
}

/// All stores.
#[derive(Clone)]
pub struct Stores {
    /// Backups.
    pub backups: Store<VolumeSnapshotBackup>,
    /// Restores.
    pub restores: Store<VolumeSnapshotRestore>,
    /// Contents, everybody's.
    pub contents: Store<VolumeSnapshotContent>,
    /// VolumeSnapshots, everybody's.
    pub snapshots: Store<VolumeSnapshot>,
    /// PVCs, everybody's.
    pub claims: Store<PersistentVolumeClaim>,
    /// Repositories, those outside protected namespaces too.
    pub repositories: Store<Repository>,
    /// Requests to forget restore points, likewise.
    pub forgets: Store<ForgetRequest>,
    /// Velero's kinds; empty while the cluster does not have them.
    pub velero: VeleroStores,
    /// By protected namespace.
    pub protected: BTreeMap<String, ProtectedStores>,
    health: WatchHealth,
}

/// Which watches have not begun, or were cut off, and why.
#[derive(Debug, Clone, Default)]
struct WatchHealth(Arc<Mutex<BTreeMap<String, WatchState>>>);

#[derive(Debug, Clone, PartialEq)]
enum WatchState {
    Starting,
    Live,
    Refused(String),
}

impl WatchHealth {
    fn set(&self, name: &str, state: WatchState) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), state);
    }

    fn first(&self, wanted: impl Fn(&str, &WatchState) -> bool) -> Option<(String, WatchState)> {
        let states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        states
            .iter()
            .find(|(name, state)| wanted(name, state))
            .map(|(name, state)| (name.clone(), state.clone()))
    }
}

impl Stores {
    /// Why a run in this protected namespace cannot be looked at, if it cannot.
    pub fn blocked(&self, protected_namespace: &str) -> Option<Trouble> {
        let concerns = |name: &str| match name.split_once('/') {
            Some((namespace, _)) => namespace == protected_namespace,
            None => true,
        };
        let (name, state) =
            self.health.first(|name, state| concerns(name) && matches!(state, WatchState::Refused(_)))?;
        let WatchState::Refused(message) = state else { return None };
        Some(Trouble::new(OperatorReason::MissingPermission, format!("cannot watch {name}: {message}")))
    }

    /// Whether every watch has delivered all that exists, as far as this protected namespace is concerned.
    pub fn is_complete(&self, protected_namespace: &str) -> bool {
        let of_other = |name: &str| name.split_once('/').is_some_and(|(one, _)| one != protected_namespace);
        self.health.first(|name, state| !of_other(name) && *state == WatchState::Starting).is_none()
    }

    /// Whether the watches of our own kinds have delivered all that exists. Backups and restores do not wait for them: in a cluster whose
    /// definitions are those of an older release they never begin.
    pub fn own_kinds_are_complete(&self) -> bool {
        let is_own = |name: &str| name.split_once('/').is_some_and(|(group, _)| group == OWN_GROUP);
        self.health.first(|name, state| is_own(name) && *state == WatchState::Starting).is_none()
    }

    /// Whether every watch, of every namespace, is past its start.
    pub fn are_started(&self) -> bool {
        self.health.first(|_, state| *state == WatchState::Starting).is_none()
    }
}

#[derive(Clone)]
struct Spawner {
    client: Client,
    health: WatchHealth,
}

impl Spawner {
    /// Starts a watch that calls `woken` for each object that came, changed or went, after the store has it.
    fn spawn<K>(
        &self,
        name: &str,
        api: Api<K>,
        config: watcher::Config,
        woken: impl Fn(&K) + Send + 'static,
    ) -> Store<K>
    where
        K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        K::DynamicType: Default + Eq + Hash + Clone,
    {
        let (store, writer) = reflector::store::<K>();
        self.spawn_into(name, api, config, (store.clone(), writer), woken);
        store
    }

    /// The same for a store that exists already.
    fn spawn_into<K>(
        &self,
        name: &str,
        api: Api<K>,
        config: watcher::Config,
        (store, writer): (Store<K>, Writer<K>),
        woken: impl Fn(&K) + Send + 'static,
    ) where
        K: Resource + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
        K::DynamicType: Default + Eq + Hash + Clone,
    {
        let (health, name, reader) = (self.health.clone(), name.to_owned(), store);
        health.set(&name, WatchState::Starting);
        let watch = watcher(api, config).default_backoff().modify(|object| {
            // Never read here, and often the larger part of an object.
            object.managed_fields_mut().clear();
        });
        let mut events = Box::pin(reflector::reflector(writer, watch));
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                match event {
                    Ok(watcher::Event::Apply(object) | watcher::Event::Delete(object)) => woken(&object),
                    Ok(watcher::Event::InitDone) => {
                        health.set(&name, WatchState::Live);
                        reader.state().iter().for_each(|object| woken(object));
                    }
                    Ok(watcher::Event::Init | watcher::Event::InitApply(_)) => {}
                    Err(error) => note(&health, &name, &error),
                }
            }
        });
    }
}

fn note(health: &WatchHealth, name: &str, error: &watcher::Error) {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    };
    match status {
        Some(status) if status.code == 403 => {
            health.set(name, WatchState::Refused(status.message.clone()));
            tracing::error!(
                watch = name,
                message = status.message,
                "the operator may not watch what it needs"
            );
        }
        _ => {
            tracing::warn!(watch = name, error = %longshore_job::chain(error), "a watch was cut off and begins again")
        }
    }
}

/// Starts all watches but those of Velero's kinds, which the cluster may not have.
pub fn start(client: &Client, protected_namespaces: &[String]) -> (Stores, Wakes, VeleroWatches) {
    let (senders, wakes) = channels();
    let spawner = Spawner { client: client.clone(), health: WatchHealth::default() };
    let queue = Arc::default();
    let (velero, velero_watches) = velero::prepare(&spawner, &senders, &queue);

    let (backups, contents, restores) = spawn_moving_kinds(&spawner, &senders, &queue);
    let (repositories, forgets) = spawn_own_kinds(&spawner, &senders, &queue);
    let runs = Runs {
        backups: backups.clone(),
        restores: restores.clone(),
        downloads: velero.downloads.clone(),
        forgets: forgets.clone(),
    };
    let _already_set = queue.set(runs);
    let snapshots = {
        let (senders, contents, velero) = (senders.clone(), contents.clone(), velero.clone());
        spawner.spawn("volumesnapshots", Api::all(client.clone()), any(), move |object: &VolumeSnapshot| {
            senders.wake_run(object);
            senders.wake_uploads_from(&velero.uploads, object);
            if has_role(&object.metadata, Role::Target) || has_role(&object.metadata, Role::Keeper) {
                keepers(&contents).iter().for_each(|keeper| senders.wake_keeper(keeper));
            }
        })
    };
    let claims = {
        let (senders, contents, velero) = (senders.clone(), contents.clone(), velero.clone());
        let api = Api::all(client.clone());
        spawner.spawn("persistentvolumeclaims", api, any(), move |object: &PersistentVolumeClaim| {
            senders.wake_run(object);
            senders.wake_downloads_to(&velero.downloads, object);
            if snapshot_source(object).is_some() {
                keepers(&contents).iter().for_each(|keeper| senders.wake_keeper(keeper));
            }
        })
    };
    let namespaces: BTreeSet<&String> = protected_namespaces.iter().collect();
    let protected = namespaces
        .into_iter()
        .map(|name| (name.clone(), spawn_protected(&spawner, &senders, name, &claims)))
        .collect();
    let stores = Stores {
        backups,
        restores,
        contents,
        snapshots,
        claims,
        repositories,
        forgets,
        velero,
        protected,
        health: spawner.health.clone(),
    };
    (stores, wakes, velero_watches)
}

/// Backups, contents and restores.
fn spawn_moving_kinds(
    spawner: &Spawner,
    senders: &Senders,
    queue: &Arc<OnceLock<Runs>>,
) -> (Store<VolumeSnapshotBackup>, Store<VolumeSnapshotContent>, Store<VolumeSnapshotRestore>) {
    let backups = {
        let wake = senders.clone();
        let each = move |backup: &VolumeSnapshotBackup| {
            let _closed = wake.backups.send(ObjectRef::from_obj(backup)).is_err();
            wake.wake_upload_of(backup);
        };
        spawn_runs(spawner, "volumesnapshotbackups", senders, queue, each, |_: &VolumeSnapshotBackup| {})
    };
    let contents = spawn_contents(spawner, senders, backups.clone());
    let restores = {
        let (wake, to_keepers, contents) = (senders.restores.clone(), senders.clone(), contents.clone());
        let each = move |restore: &VolumeSnapshotRestore| {
            let _closed = wake.send(ObjectRef::from_obj(restore)).is_err();
        };
        let also = move |restore: &VolumeSnapshotRestore| {
            // A keeper waits for the end of its run.
            let uid = restore.uid().unwrap_or_default();
            let own = keepers(&contents).into_iter().filter(|keeper| belongs_to(&keeper.metadata, &uid));
            own.for_each(|keeper| to_keepers.wake_keeper(&keeper));
        };
        spawn_runs(spawner, "volumesnapshotrestores", senders, queue, each, also)
    };
    (backups, contents, restores)
}

/// Repositories and requests to forget. The group before the slash keeps [`Stores::is_complete`] from waiting for them. A Repository that changed
/// wakes the requests of its namespace that wait for one.
fn spawn_own_kinds(
    spawner: &Spawner,
    senders: &Senders,
    queue: &Arc<OnceLock<Runs>>,
) -> (Store<Repository>, Store<ForgetRequest>) {
    let name = |kind: &str| format!("{OWN_GROUP}/{kind}");
    let wake = senders.forgets.clone();
    let each = move |request: &ForgetRequest| {
        let _closed = wake.send(ObjectRef::from_obj(request)).is_err();
    };
    let forgets = spawn_runs(spawner, &name("forgetrequests"), senders, queue, each, |_: &ForgetRequest| {});
    let (senders, waiting) = (senders.clone(), forgets.clone());
    let api = Api::all(spawner.client.clone());
    let repositories = spawner.spawn(&name("repositories"), api, any(), move |object: &Repository| {
        let _closed = senders.repositories.send(ObjectRef::from_obj(object)).is_err();
        for request in waiting.state_filter(|request| {
            request.namespace() == object.namespace() && waits_for_repository(request)
        }) {
            let _closed = senders.forgets.send(ObjectRef::from_obj(request.as_ref())).is_err();
        }
    });
    (repositories, forgets)
}

fn any() -> watcher::Config {
    watcher::Config::default()
}

/// Contents that remember a restored snapshot.
pub fn keepers(contents: &Store<VolumeSnapshotContent>) -> Vec<Arc<VolumeSnapshotContent>> {
    contents.state_filter(|content| has_role(&content.metadata, Role::Keeper))
}

/// A run that changed wakes those that `each` wakes, itself above all; one that holds no slot (any more) calls `also`, and everybody who waits
/// for one is woken.
fn spawn_runs<K>(
    spawner: &Spawner,
    name: &str,
    senders: &Senders,
    queue: &Arc<OnceLock<Runs>>,
    each: impl Fn(&K) + Send + 'static,
    also: impl Fn(&K) + Send + 'static,
) -> Store<K>
where
    K: Queued + Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    // The watch needs the stores that only the starts of all kinds return.
    let own: Arc<OnceLock<Store<K>>> = Arc::default();
    let (reader, senders, queue) = (own.clone(), senders.clone(), queue.clone());
    let store = spawner.spawn(name, Api::all(spawner.client.clone()), any(), move |object: &K| {
        let reference = ObjectRef::from_obj(object);
        let is_gone = reader.get().is_some_and(|store| store.get(&reference).is_none());
        each(object);
        if !is_gone && (is_waiting(object) || is_working(object)) {
            return;
        }
        also(object);
        if let Some(runs) = queue.get() {
            senders.wake_waiting(runs);
        }
    });
    // Set before the first event can be handled in any case that matters: a run that waits is looked at when it is first seen.
    let _already_set = own.set(store.clone());
    store
}

/// A content wakes its run, itself if it is a keeper, the keeper that waits for it to go, the backups that wait for it, and the
/// restore whose snapshot it holds.
fn spawn_contents(
    spawner: &Spawner,
    senders: &Senders,
    backups: Store<VolumeSnapshotBackup>,
) -> Store<VolumeSnapshotContent> {
    let senders = senders.clone();
    let api = Api::all(spawner.client.clone());
    // The watch needs the store that only its start returns.
    let own: Arc<OnceLock<Store<VolumeSnapshotContent>>> = Arc::default();
    let reader = own.clone();
    let store = spawner.spawn("volumesnapshotcontents", api, any(), move |object: &VolumeSnapshotContent| {
        senders.wake_run(object);
        if has_role(&object.metadata, Role::Keeper) {
            senders.wake_keeper(object);
        } else if let Some(uid) = label(&object.metadata, RUN_UID) {
            let all = reader.get().map(keepers).unwrap_or_default();
            let same_run = all.iter().filter(|keeper| belongs_to(&keeper.metadata, uid));
            same_run.for_each(|keeper| senders.wake_keeper(keeper));
        }
        for backup in
            backups.state_filter(|backup| crate::slots::waits_for_content(backup, &object.name_any()))
        {
            let _closed = senders.backups.send(ObjectRef::from_obj(backup.as_ref())).is_err();
        }
    });
    // Set before the first content can be handled in any case that matters: a keeper is looked at when it is first seen.
    let _already_set = own.set(store.clone());
    store
}

fn spawn_protected(
    spawner: &Spawner,
    senders: &Senders,
    namespace: &str,
    claims: &Store<PersistentVolumeClaim>,
) -> ProtectedStores {
    let client = &spawner.client;
    let ours = || watcher::Config::default().labels(RUN_UID);
    let name = |kind: &str| format!("{namespace}/{kind}");
    let wake = senders.clone();
    let jobs =
        spawner.spawn(&name("jobs"), Api::namespaced(client.clone(), namespace), ours(), move |job: &Job| {
            wake.wake_run(job);
        });
    let wake = senders.clone();
    let pods =
        spawner.spawn(&name("pods"), Api::namespaced(client.clone(), namespace), ours(), move |pod: &Pod| {
            wake.wake_run(pod);
        });
    let (wake, owners) = (senders.clone(), (jobs.clone(), pods.clone(), claims.clone()));
    let warnings = watcher::Config::default().fields("type=Warning");
    let api = Api::namespaced(client.clone(), namespace);
    let events = spawner.spawn(&name("events"), api, warnings, move |event: &Event| {
        let uid = event.involved_object.uid.as_deref();
        if let Some(job) = owners.0.find(|job| job.metadata.uid.as_deref() == uid) {
            wake.wake_run(job.as_ref());
        } else if let Some(pod) = owners.1.find(|pod| pod.metadata.uid.as_deref() == uid) {
            wake.wake_run(pod.as_ref());
        } else if let Some(claim) = owners.2.find(|claim| claim.metadata.uid.as_deref() == uid) {
            wake.wake_run(claim.as_ref());
        }
    });
    ProtectedStores { jobs, pods, events }
}

/// Selects the temporary children of one run.
pub fn temporary_children(uid: &str) -> String {
    format!("{RUN_UID}={uid},{ROLE}={}", Role::Temporary.as_str())
}
