//! Reads and writes what is ours of a DataUpload or DataDownload, and tells its users.

use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use longshore_api::{DATA_MOVER_FINALIZER, DataMovePhase};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::notes::Notes;
use super::plan::{DataMoveStatus, Record};
use crate::cluster::{Error, FIELD_MANAGER, changed_fields, classify};
use crate::context::Context;

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
        let gone = old.notes.0.keys().filter(|key| !new.notes.0.contains_key(*key));
        patched["annotations"] = serde_json::to_value(&new.notes.0)?;
        gone.for_each(|key| patched["annotations"][*key] = serde_json::Value::Null);
    }
    let mut patch = serde_json::json!({ "metadata": patched });
    let changes = changed_fields(&old.status, &new.status)?;
    if !changes.is_empty() {
        patch["status"] = serde_json::Value::Object(changes);
    }
    Ok(Some(patch))
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use longshore_api::DataUploadStatus;

    use super::super::{ACCEPTED, Plan};
    use super::*;
    use crate::reason::{OperatorReason, Trouble};

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
        plan.record.notes.remove(ACCEPTED);
        plan.fail(at(5), &Trouble::new(OperatorReason::BackupRunDeleted, "gone"));
        let written = patch(&metadata, &accepted, &plan.record).unwrap().unwrap();
        assert_eq!(written["status"]["phase"], "Failed");
        assert!(written["status"]["message"].as_str().unwrap().starts_with("BackupRunDeleted: gone"));
        assert!(written["status"]["completionTimestamp"].is_string());
        assert!(written["metadata"].get("finalizers").is_none());
        assert!(written["metadata"]["annotations"][ACCEPTED].is_null());
    }
}
