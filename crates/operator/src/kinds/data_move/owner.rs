//! Why a DataUpload or DataDownload shall end before it is done.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::runtime::reflector::Store;
use kube::{Api, Resource};
use longshore_api::VeleroPhase;
use serde::de::DeserializeOwned;

use crate::cluster::{Error, classify};
use crate::context::Context;
use crate::temporary::named;

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
    let of_velero =
        |owner: &&OwnerReference| owner.kind == kind && owner.api_version.starts_with("velero.io/");
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

#[cfg(test)]
mod tests {
    use super::*;

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
