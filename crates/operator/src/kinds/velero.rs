//! What DataUploads and DataDownloads have in common: a status without conditions, notes of ours beside it, an owner that may give up.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::reflector::Store;
use kube::{Api, Resource, ResourceExt};
use longshore_api::{
    DATA_MOVER_FINALIZER, DataDownloadStatus, DataMovePhase, DataUploadStatus, Repository, VeleroPhase,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cluster::{Context, Error, FIELD_MANAGER, changed_fields, classify};
use crate::reason::{MESSAGE_BYTES_MAX, OperatorReason, Trouble, truncate};
use crate::status::{REQUEUE_MAX, REQUEUE_OVER};
use crate::temporary::named;

/// Note: when it was accepted.
pub const ACCEPTED: &str = "longshore.dev/accepted-at";
/// Note: when all was there that the mover needs.
pub const PREPARED: &str = "longshore.dev/prepared-at";
/// Note: when it was told to end.
pub const CANCELING: &str = "longshore.dev/canceling-at";
/// Note: the volume that holds the restored data.
pub const VOLUME: &str = "longshore.dev/restored-volume";
/// Note: when the data was on that volume.
pub const RESTORED: &str = "longshore.dev/restored-at";
/// Note: how often the mover was started again because its result was lost.
pub const RESTARTS: &str = "longshore.dev/mover-restarts";

const NOTES: &[&str] = &[ACCEPTED, PREPARED, CANCELING, VOLUME, RESTORED, RESTARTS];

/// How long the objects of a canceled run may take to go before it is called canceled without that.
pub const CANCEL_LIMIT: SignedDuration = SignedDuration::from_secs(600);

/// What the operator must remember of a DataUpload or DataDownload and Velero's status has no field for: annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes(BTreeMap<&'static str, String>);

impl Notes {
    /// Reads the notes of an object.
    pub fn read(metadata: &ObjectMeta) -> Self {
        let annotations = metadata.annotations.as_ref();
        let note = |key: &&'static str| Some((*key, annotations?.get(*key)?.clone()));
        Self(NOTES.iter().filter_map(note).collect())
    }

    /// A note.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A note that is a time.
    pub fn time(&self, key: &str) -> Option<Timestamp> {
        self.text(key)?.parse().ok()
    }

    /// Writes a note.
    pub fn set(&mut self, key: &'static str, text: impl Into<String>) {
        self.0.insert(key, text.into());
    }

    /// Notes the time, unless it was noted before.
    pub fn set_time(&mut self, key: &'static str, now: Timestamp) {
        if self.time(key).is_none() {
            self.set(key, now.to_string());
        }
    }
}

/// Status fields that both kinds have.
pub trait DataMoveStatus: Clone + Default + PartialEq + Serialize {
    /// `status.phase`.
    fn phase(&self) -> DataMovePhase;
    /// `status.phase`.
    fn phase_mut(&mut self) -> &mut Option<String>;
    /// `status.message`.
    fn message(&self) -> Option<&str>;
    /// `status.message`.
    fn message_mut(&mut self) -> &mut Option<String>;
    /// `status.acceptedTimestamp`.
    fn accepted_mut(&mut self) -> &mut Option<Time>;
    /// `status.startTimestamp`.
    fn start_mut(&mut self) -> &mut Option<Time>;
    /// `status.completionTimestamp`.
    fn completion_mut(&mut self) -> &mut Option<Time>;
}

macro_rules! data_move_status {
    ($($kind:ty),*) => {$(
        impl DataMoveStatus for $kind {
            fn phase(&self) -> DataMovePhase { DataMovePhase::parse(self.phase.as_deref()) }
            fn phase_mut(&mut self) -> &mut Option<String> { &mut self.phase }
            fn message(&self) -> Option<&str> { self.message.as_deref() }
            fn message_mut(&mut self) -> &mut Option<String> { &mut self.message }
            fn accepted_mut(&mut self) -> &mut Option<Time> { &mut self.accepted_timestamp }
            fn start_mut(&mut self) -> &mut Option<Time> { &mut self.start_timestamp }
            fn completion_mut(&mut self) -> &mut Option<Time> { &mut self.completion_timestamp }
        }
    )*};
}
data_move_status!(DataUploadStatus, DataDownloadStatus);

/// What is written of a DataUpload or DataDownload, all of it in one write.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Record<S> {
    /// Its status.
    pub status: S,
    /// Our notes.
    pub notes: Notes,
    /// Our finalizer is on it.
    pub finalizer: bool,
}

/// What a pass will do: steps first, then one write.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<S, T> {
    /// Changes to the cluster, in this order.
    pub steps: Vec<T>,
    /// The object as it shall be.
    pub record: Record<S>,
    /// Latest time of the next pass.
    pub requeue: Duration,
}

impl<S: DataMoveStatus, T> Plan<S, T> {
    /// Nothing to do yet.
    pub fn new(seen: &Record<S>) -> Self {
        Self { steps: Vec::new(), record: seen.clone(), requeue: REQUEUE_MAX }
    }

    /// Adds a step.
    pub fn step(&mut self, step: T) {
        self.steps.push(step);
    }

    /// Looks again after this time at the latest.
    pub fn again(&mut self, seconds: u64) {
        self.requeue = self.requeue.min(Duration::from_secs(seconds));
    }

    /// Moves to a phase.
    pub fn enter(&mut self, phase: DataMovePhase) {
        *self.record.status.phase_mut() = Some(phase.as_str().to_owned());
    }

    /// Says what it waits for, or nothing.
    pub fn say(&mut self, message: &str) {
        let mut text = message.to_owned();
        truncate(&mut text, MESSAGE_BYTES_MAX);
        let message = self.record.status.message_mut();
        // A field that was never there is not written as an empty one.
        if message.as_deref().unwrap_or_default() != text {
            *message = Some(text);
        }
    }

    /// Takes it: finalizer, phase and times in one write.
    pub fn accept(&mut self, now: Timestamp) {
        self.record.finalizer = true;
        self.record.notes.set_time(ACCEPTED, now);
        self.record.status.accepted_mut().get_or_insert(Time(now));
        if self.record.status.phase() == DataMovePhase::New {
            self.enter(DataMovePhase::Accepted);
        }
        self.again(1);
    }

    /// Begins the copy.
    pub fn start(&mut self, now: Timestamp) {
        self.enter(DataMovePhase::InProgress);
        self.record.status.start_mut().get_or_insert(Time(now));
    }

    fn end(&mut self, now: Timestamp, phase: DataMovePhase, message: &str) {
        self.enter(phase);
        self.record.status.start_mut().get_or_insert(Time(now));
        self.record.status.completion_mut().get_or_insert(Time(now));
        self.say(message);
        self.again(1);
    }

    /// Ends with the result; the caller has put everything else that is final into the status.
    pub fn complete(&mut self, now: Timestamp) {
        self.end(now, DataMovePhase::Completed, "");
    }

    /// Ends without a result.
    pub fn fail(&mut self, now: Timestamp, trouble: &Trouble) {
        self.end(now, DataMovePhase::Failed, &text(trouble));
    }

    /// Ends because it was told to.
    pub fn canceled(&mut self, now: Timestamp, why: &str) {
        self.end(now, DataMovePhase::Canceled, why);
    }

    /// Waits for a trouble to go away, until `limit` after `since`, and fails then.
    pub fn wait_or_fail(
        &mut self,
        now: Timestamp,
        since: Option<Timestamp>,
        limit: SignedDuration,
        trouble: &Trouble,
    ) {
        let left = limit - now.duration_since(since.unwrap_or(now));
        if left <= SignedDuration::ZERO {
            self.fail(now, trouble);
            return;
        }
        self.say(&text(trouble));
        let left = Duration::try_from(left).unwrap_or_default() + Duration::from_millis(500);
        self.requeue = self.requeue.min(left);
    }

    /// Nothing of it is in the cluster any more.
    pub fn release(&mut self) {
        self.record.finalizer = false;
        self.requeue = REQUEUE_OVER;
    }
}

/// Reason, message and advice in one text.
pub fn text(trouble: &Trouble) -> String {
    let mut text = format!("{}: {}", trouble.reason, trouble.text());
    truncate(&mut text, MESSAGE_BYTES_MAX);
    text
}

/// The record of an object.
pub fn record<K, S>(object: &K, status: Option<&S>) -> Record<S>
where
    K: Resource,
    S: DataMoveStatus,
{
    Record {
        status: status.cloned().unwrap_or_default(),
        notes: Notes::read(object.meta()),
        finalizer: object.finalizers().iter().any(|finalizer| finalizer == DATA_MOVER_FINALIZER),
    }
}

/// Writes what differs, provided that nobody changed the object since it was seen. False when somebody did: the next pass sees that.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn write<K, S>(api: &Api<K>, object: &K, old: &Record<S>, new: &Record<S>) -> Result<bool, Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    S: Serialize + PartialEq,
{
    let Some(patch) = patch(object.meta(), old, new).map_err(Error::Document)? else { return Ok(true) };
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch(&object.name_any(), &parameters, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(false),
        Err(source) => Err(classify(&format!("write {} {}", K::kind(&()), object.name_any()), source)),
    }
}

fn patch<S: Serialize + PartialEq>(
    metadata: &ObjectMeta,
    old: &Record<S>,
    new: &Record<S>,
) -> Result<Option<serde_json::Value>, serde_json::Error> {
    if old == new {
        return Ok(None);
    }
    let mut patched = serde_json::json!({ "resourceVersion": metadata.resource_version });
    if old.finalizer != new.finalizer {
        let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
        finalizers.retain(|finalizer| finalizer != DATA_MOVER_FINALIZER);
        if new.finalizer {
            finalizers.push(DATA_MOVER_FINALIZER.to_owned());
        }
        patched["finalizers"] = serde_json::to_value(finalizers)?;
    }
    if old.notes != new.notes {
        patched["annotations"] = serde_json::to_value(&new.notes.0)?;
    }
    let mut patch = serde_json::json!({ "metadata": patched });
    let changes = changed_fields(&old.status, &new.status)?;
    if !changes.is_empty() {
        patch["status"] = serde_json::Value::Object(changes);
    }
    Ok(Some(patch))
}

/// Why nobody waits for the result any more: the Velero Backup or Restore that owns the object is gone or over. Velero does not tell movers.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn owner_over<K>(
    context: &Context,
    store: &Store<K>,
    object: &ObjectMeta,
    phase: fn(&K) -> Option<VeleroPhase>,
) -> Result<Option<String>, Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + 'static,
{
    let kind = K::kind(&());
    let owners = object.owner_references.as_deref().unwrap_or_default();
    let of_velero = |owner: &&k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference| {
        owner.kind == kind && owner.api_version.starts_with("velero.io/")
    };
    let Some(owner) = owners.iter().find(of_velero) else { return Ok(None) };
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let is_owner = |found: &K| found.meta().uid.as_deref() == Some(owner.uid.as_str());
    let mut found =
        named(store, Some(namespace), &owner.name).filter(|found| is_owner(found)).map(|k| (*k).clone());
    if found.is_none() {
        // The watch may be behind: only the API server knows what is gone.
        let api = Api::<K>::namespaced(context.client.clone(), namespace);
        let read = api.get_opt(&owner.name).await;
        found = read.map_err(|source| classify("read the owner in Velero", source))?.filter(is_owner);
    }
    Ok(match found.as_ref().map(|found| phase(found).filter(|phase| phase.is_over())) {
        None => Some(format!("Velero {kind} {} is gone", owner.name)),
        Some(Some(over)) => Some(format!(
            "Velero {kind} {} is over: {}",
            owner.name,
            over.phase.as_deref().unwrap_or_default()
        )),
        Some(None) => None,
    })
}

/// Tells users that a DataUpload or DataDownload entered another phase.
pub async fn tell_phase<K, S>(context: &Context, object: &K, old: &S, new: &S)
where
    K: Resource<DynamicType = ()>,
    S: DataMoveStatus,
{
    let phase = new.phase();
    if old.phase() == phase {
        return;
    }
    let message = new.message().unwrap_or_default();
    tracing::info!(from = old.phase().as_str(), to = phase.as_str(), message, "it enters a phase");
    let note = if message.is_empty() { phase.as_str() } else { message };
    match phase {
        DataMovePhase::Failed => context.tell(object, true, "Failed", note).await,
        DataMovePhase::Accepted | DataMovePhase::Completed | DataMovePhase::Canceled => {
            context.tell(object, false, phase.as_str(), note).await;
        }
        _ => {}
    }
}

/// Why it shall end, if it shall.
pub fn why_cancel(deleting: bool, cancel: Option<bool>, owner_over: Option<String>) -> Option<String> {
    if cancel == Some(true) {
        return Some("canceled on request".to_owned());
    }
    if deleting {
        return Some("canceled because it was deleted".to_owned());
    }
    owner_over.map(|why| format!("canceled because {why}"))
}

/// Name of the Secret of the repository that serves a BackupStorageLocation.
///
/// # Errors
/// Whatever the API server refuses; inside, [`OperatorReason::RepositoryNotConfigured`].
pub async fn repository_secret(
    context: &Context,
    namespace: &str,
    location: &str,
) -> Result<Result<String, Trouble>, Error> {
    let api = Api::<Repository>::namespaced(context.client.clone(), namespace);
    let all = match api.list(&ListParams::default()).await {
        Ok(all) => all.items,
        // The kind is not installed.
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(source) => return Err(classify("list Repositories", source)),
    };
    Ok(secret_for(&all, namespace, location))
}

fn secret_for(all: &[Repository], namespace: &str, location: &str) -> Result<String, Trouble> {
    let listed = |repository: &&Repository| {
        !location.is_empty()
            && repository.metadata.deletion_timestamp.is_none()
            && repository.spec.backup_storage_locations.iter().any(|listed| listed == location)
    };
    let serving: Vec<&Repository> = all.iter().filter(listed).collect();
    let trouble = |message: String| Err(Trouble::new(OperatorReason::RepositoryNotConfigured, message));
    match &serving[..] {
        [] => trouble(format!("no Repository in namespace {namespace} lists the location {location:?}")),
        [repository] => {
            let named = repository.spec.secret_ref.as_ref().and_then(|secret| secret.name.clone());
            match named.filter(|name| !name.is_empty()) {
                Some(name) => Ok(name),
                None => {
                    trouble(format!("Repository {} names no Secret in spec.secretRef", repository.name_any()))
                }
            }
        }
        several => {
            let names: Vec<String> = several.iter().map(|one| one.name_any()).collect();
            trouble(format!("the Repositories {} all list the location {location:?}", names.join(", ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use longshore_api::{LocalReference, RepositorySpec};

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + second).unwrap()
    }

    #[test]
    fn vsm_34_finalizer_notes_and_status_are_one_guarded_write() {
        let metadata = ObjectMeta {
            resource_version: Some("7".into()),
            finalizers: Some(vec!["theirs".into()]),
            ..Default::default()
        };
        let old = Record::<DataUploadStatus>::default();
        assert_eq!(patch(&metadata, &old, &old).unwrap(), None);
        let mut plan = Plan::<_, ()>::new(&old);
        plan.accept(at(0));
        let time = at(0).to_string();
        assert_eq!(
            patch(&metadata, &old, &plan.record).unwrap().unwrap(),
            serde_json::json!({
                "metadata": {
                    "resourceVersion": "7",
                    "finalizers": ["theirs", DATA_MOVER_FINALIZER],
                    "annotations": { ACCEPTED: time },
                },
                "status": { "phase": "Accepted", "acceptedTimestamp": time },
            })
        );
        let accepted = plan.record.clone();
        plan.fail(at(5), &Trouble::new(OperatorReason::BackupRunDeleted, "gone"));
        let written = patch(&metadata, &accepted, &plan.record).unwrap().unwrap();
        assert_eq!(written["status"]["phase"], "Failed");
        assert!(written["status"]["message"].as_str().unwrap().starts_with("BackupRunDeleted: gone"));
        assert!(written["status"]["completionTimestamp"].is_string());
        assert!(written["metadata"].get("finalizers").is_none());
    }

    #[test]
    fn vsm_34_a_location_without_exactly_one_repository_is_refused_by_name() {
        let repository = |name: &str, locations: &[&str], secret: Option<&str>| {
            let spec = RepositorySpec {
                backup_storage_locations: locations.iter().map(|one| (*one).to_owned()).collect(),
                secret_ref: secret.map(|name| LocalReference { name: Some(name.into()) }),
                ..Default::default()
            };
            Repository::new(name, spec)
        };
        let all = [
            repository("a", &["default", "both"], Some("secret-a")),
            repository("b", &["both"], Some("secret-b")),
            repository("c", &["bare"], None),
        ];
        assert_eq!(secret_for(&all, "velero", "default"), Ok("secret-a".to_owned()));
        for (location, told) in
            [("none", "no Repository"), ("both", "a, b"), ("bare", "names no Secret"), ("", "no Repository")]
        {
            let trouble = secret_for(&all, "velero", location).unwrap_err();
            assert_eq!(trouble.reason.as_str(), "RepositoryNotConfigured", "{location}");
            assert!(trouble.message.contains(told), "{}", trouble.message);
        }
    }

    #[test]
    fn vsm_34_every_way_to_cancel_is_told() {
        assert_eq!(why_cancel(false, Some(false), None), None);
        for (why, told) in [
            (why_cancel(false, Some(true), None), "request"),
            (why_cancel(true, None, None), "deleted"),
            (why_cancel(false, None, Some("Velero Backup b is gone".into())), "is gone"),
        ] {
            assert!(why.unwrap().contains(told));
        }
    }
}
