//! The door to the API server: idempotent creation and deletion, status writes, and what its refusals mean.

use std::fmt::Debug;
use std::sync::Arc;

use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::names::belongs_to;
use crate::reason::{OperatorReason, Trouble};

/// Field manager of everything that the operator writes.
pub const FIELD_MANAGER: &str = "longshore-operator";

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The API server did not do what was asked, and another try may help.
    #[error("cannot {action}")]
    Api {
        /// What was asked.
        action: String,
        /// The answer.
        #[source]
        source: kube::Error,
    },
    /// The API server refused for a reason that people must mend.
    #[error("{}: {}", .0.reason, .0.message)]
    Refused(Trouble),
    /// A job document could not be written.
    #[error("cannot write the job document")]
    Document(#[source] serde_json::Error),
}

/// Kinds of failure, for metrics and the choice of what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Another try may help.
    Transient,
    /// People must act.
    Refused,
    /// A mistake of ours.
    Internal,
}

impl Error {
    /// The kind of this failure.
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Api { .. } => ErrorClass::Transient,
            Self::Refused(_) => ErrorClass::Refused,
            Self::Document(_) => ErrorClass::Internal,
        }
    }
}

/// Reads a refusal: what the API server answered to `action`.
pub fn classify(action: &str, source: kube::Error) -> Error {
    let kube::Error::Api(status) = &source else { return Error::Api { action: action.to_owned(), source } };
    let message = format!("cannot {action}: {}", status.message);
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    let reason = match status.code {
        403 if status.message.contains("exceeded quota") || status.message.contains("failed quota") => {
            OperatorReason::QuotaExceeded
        }
        403 if causes.iter().any(|cause| cause.reason == "NamespaceTerminating") => {
            OperatorReason::ProtectedNamespaceUnavailable
        }
        403 => OperatorReason::MissingPermission,
        404 if status.details.as_ref().is_some_and(|details| details.kind == "namespaces") => {
            OperatorReason::ProtectedNamespaceUnavailable
        }
        422 | 400 => OperatorReason::ObjectRefused,
        _ => return Error::Api { action: action.to_owned(), source },
    };
    Error::Refused(Trouble::new(reason, message))
}

fn action<K: Resource<DynamicType = ()>>(verb: &str, name: &str) -> String {
    format!("{verb} {} {name}", K::kind(&()))
}

/// Creates a child. One that exists already and is of this run is a success.
///
/// # Errors
/// [`Error::Refused`] with `NameTaken` when somebody else's object has the name, and whatever the API server refuses.
pub async fn create<K>(api: &Api<K>, object: &K, run_uid: &str) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = object.name_any();
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&parameters, object).await {
        Ok(_) => {
            tracing::info!(kind = %K::kind(&()), child = name, "created");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.is_already_exists() => {
            let existing =
                api.get_opt(&name).await.map_err(|source| classify(&action::<K>("read", &name), source))?;
            match existing {
                Some(existing) if !belongs_to(existing.meta(), run_uid) => Err(Error::Refused(Trouble::new(
                    OperatorReason::NameTaken,
                    format!("{} {name} exists and is not of this run", K::kind(&())),
                ))),
                _ => Ok(()),
            }
        }
        Err(source) => Err(classify(&action::<K>("create", &name), source)),
    }
}

/// Deletes one object that was seen; the UID guards against one of the same name that came since. One that is gone is a success.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn delete<K>(api: &Api<K>, object: &K) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    if object.meta().deletion_timestamp.is_some() {
        return Ok(());
    }
    let name = object.name_any();
    let parameters = DeleteParams {
        preconditions: Some(Preconditions { uid: object.uid(), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(&name, &parameters).await {
        Ok(_) => {
            tracing::info!(kind = %K::kind(&()), child = name, "deleted");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(source) => Err(classify(&action::<K>("delete", &name), source)),
    }
}

/// Merge-patches an object that was seen; one that is gone is a success.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn merge<K>(api: &Api<K>, name: &str, patch: &serde_json::Value) -> Result<(), Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch(name, &parameters, &Patch::Merge(patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => Err(classify(&action::<K>("patch", name), source)),
    }
}

/// The objects that `selector` selects, straight from the API server.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn list<K>(api: &Api<K>, selector: &str) -> Result<Vec<Arc<K>>, Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let found = api
        .list(&ListParams::default().labels(selector))
        .await
        .map_err(|source| classify(&format!("list {}", K::plural(&())), source))?;
    Ok(found.items.into_iter().map(Arc::new).collect())
}

/// Writes the fields of a status that changed, provided that nobody changed the object since it was seen. False when somebody did: the next
/// pass sees that.
///
/// # Errors
/// Whatever the API server refuses, and a status that is no JSON object.
pub async fn write_status<K, S>(api: &Api<K>, object: &K, old: &S, new: &S) -> Result<bool, Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
    S: Serialize,
{
    let changes = changed_fields(old, new).map_err(Error::Document)?;
    if changes.is_empty() {
        return Ok(true);
    }
    let name = object.name_any();
    let patch = serde_json::json!({
        "metadata": { "resourceVersion": object.resource_version() },
        "status": changes,
    });
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch_status(&name, &parameters, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(false),
        Err(source) => Err(classify(&action::<K>("write the status of", &name), source)),
    }
}

/// Top-level fields whose value differs; a field that is gone becomes null.
pub(crate) fn changed_fields<S: Serialize>(
    old: &S,
    new: &S,
) -> Result<serde_json::Map<String, serde_json::Value>, serde_json::Error> {
    use serde_json::Value;
    let object =
        |value: Value| if let Value::Object(fields) = value { fields } else { serde_json::Map::new() };
    let old = object(serde_json::to_value(old)?);
    let new = object(serde_json::to_value(new)?);
    let mut changes: serde_json::Map<String, Value> =
        old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), Value::Null)).collect();
    changes.extend(new.into_iter().filter(|(key, value)| old.get(key) != Some(value)));
    Ok(changes)
}

/// Adds or removes the finalizer. False when the object changed since it was seen.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn set_finalizer<K>(api: &Api<K>, object: &K, present: bool) -> Result<bool, Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let ours = longshore_api::FINALIZER;
    let mut finalizers: Vec<String> =
        object.finalizers().iter().filter(|finalizer| *finalizer != ours).cloned().collect();
    if present {
        finalizers.push(ours.to_owned());
    }
    let name = object.name_any();
    let patch = serde_json::json!({
        // Other tools' finalizers stand in the same list, so it may only be written over what was seen.
        "metadata": { "resourceVersion": object.resource_version(), "finalizers": finalizers },
    });
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch(&name, &parameters, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(false),
        Err(source) => Err(classify(&action::<K>("write the finalizer of", &name), source)),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn answer(code: u16, message: &str) -> Error {
        let status = Status { code, message: message.to_owned(), ..Status::success() };
        classify("create Job x", kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn refusals_are_told_apart() {
        let reason = |error: Error| match error {
            Error::Refused(trouble) => trouble.reason.as_str().to_owned(),
            other => format!("{:?}", other.class()),
        };
        assert_eq!(reason(answer(403, "pods \"x\" is forbidden: exceeded quota: q")), "QuotaExceeded");
        assert_eq!(reason(answer(403, "cannot create resource")), "MissingPermission");
        assert_eq!(reason(answer(422, "invalid")), "ObjectRefused");
        assert_eq!(reason(answer(500, "etcd")), "Transient");
        assert_eq!(reason(answer(429, "slow down")), "Transient");
    }

    #[test]
    fn only_what_changed_is_written() {
        let old = serde_json::json!({"a": 1, "b": [1], "c": 3});
        let new = serde_json::json!({"a": 1, "b": [2]});
        let changes = changed_fields(&old, &new).unwrap();
        assert_eq!(serde_json::Value::Object(changes), serde_json::json!({"b": [2], "c": null}));
    }
}
