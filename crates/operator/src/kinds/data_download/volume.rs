//! The volume on its way from our PVC to the application's. Found by the note on the DataDownload, and by the label on the volume.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use longshore_api::DataDownload;

use super::decide::Volume;
use crate::cluster::{Error, classify, list, merge};
use crate::context::Context;
use crate::names::{RUN, RUN_UID, RunId, RunKind, belongs_to, run_of};
use crate::sweep::{Sweep, sweep_runs};
use crate::temporary::named;

/// Annotation of the volume: the reclaim policy that it had before.
const OWN_POLICY: &str = "longshore.dev/reclaim-policy";
/// Annotation of the volume: UID of the PVC that it was made for.
const FIRST_CLAIM: &str = "longshore.dev/restore-claim-uid";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";

/// Namespace and name of the application's PVC.
pub type TargetName<'a> = (&'a str, &'a str);

fn claim_is(volume: &PersistentVolume, place: (&str, &str)) -> bool {
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    reference.is_some_and(|reference| {
        reference.namespace.as_deref() == Some(place.0) && reference.name.as_deref() == Some(place.1)
    })
}

fn policy(volume: &PersistentVolume) -> &str {
    let spec = volume.spec.as_ref();
    spec.and_then(|spec| spec.persistent_volume_reclaim_policy.as_deref()).unwrap_or_default()
}

/// Where the volume stands. `claim_gone`: our PVC is not there any more.
pub fn state(
    volume: Option<&PersistentVolume>,
    run: &RunId,
    target: TargetName<'_>,
    bound: bool,
    claim_gone: bool,
) -> Volume {
    let Some(volume) = volume else { return Volume::Gone };
    let marked = belongs_to(&volume.metadata, &run.uid);
    let kept = policy(volume) == "Retain";
    if claim_is(volume, target) {
        return match (bound, marked) {
            (true, true) => Volume::Delivered,
            (false, true) => Volume::Offered,
            (_, false) => Volume::Free,
        };
    }
    if !claim_is(volume, (&run.namespace, &run.child_name())) {
        // Somebody took it in spite of our mark, or it never was ours.
        return Volume::Free;
    }
    if (claim_gone && !kept) || volume.metadata.deletion_timestamp.is_some() {
        return Volume::Leaving;
    }
    Volume::Ours { retained: marked && kept }
}

fn volumes(context: &Context) -> Api<PersistentVolume> {
    Api::all(context.client.clone())
}

/// The volume of this name.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn read(context: &Context, name: &str) -> Result<Option<PersistentVolume>, Error> {
    volumes(context).get_opt(name).await.map_err(|source| classify("read a PersistentVolume", source))
}

async fn patch(
    context: &Context,
    volume: &PersistentVolume,
    mut patch: serde_json::Value,
) -> Result<(), Error> {
    // What is done to a volume rests on what was seen of it.
    patch["metadata"]["resourceVersion"] =
        serde_json::to_value(volume.resource_version()).map_err(Error::Document)?;
    merge(&volumes(context), &volume.name_any(), &patch).await
}

/// Marks the volume as this run's and lets it outlive its PVC.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn retain(context: &Context, run: &RunId, volume: &PersistentVolume) -> Result<(), Error> {
    let first = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()?.uid.clone());
    // What was remembered first is the truth: by now the policy may be ours.
    let own = volume.annotations().get(OWN_POLICY).map_or(policy(volume), String::as_str);
    let change = serde_json::json!({
        "metadata": {
            "labels": run.volume_labels(),
            "annotations": { RUN: run.annotation(), OWN_POLICY: own, FIRST_CLAIM: first },
        },
        "spec": { "persistentVolumeReclaimPolicy": "Retain" },
    });
    patch(context, volume, change).await
}

/// The change that lets a volume name the target, with the labels that the target selects.
pub(super) fn offer(volume: &PersistentVolume, target: &PersistentVolumeClaim) -> serde_json::Value {
    let selector = target.spec.as_ref().and_then(|spec| spec.selector.clone()).unwrap_or_default();
    let mut labels = selector.match_labels.unwrap_or_default();
    labels.retain(|key, _| !volume.labels().contains_key(key));
    serde_json::json!({
        "metadata": { "labels": labels, "annotations": { BOUND_BY_CONTROLLER: null } },
        "spec": { "claimRef": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": target.namespace(),
            "name": target.name_any(),
            "uid": null,
            "resourceVersion": null,
        } },
    })
}

/// Lets the volume name the target.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn offer_to(
    context: &Context,
    volume: &PersistentVolume,
    target: &PersistentVolumeClaim,
) -> Result<(), Error> {
    patch(context, volume, offer(volume, target)).await
}

/// Lets the target name the volume.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn touch(context: &Context, target: &PersistentVolumeClaim, volume: &str) -> Result<(), Error> {
    let namespace = target.namespace().unwrap_or_default();
    let change = serde_json::json!({
        "metadata": {
            "resourceVersion": target.resource_version(),
            "annotations": { "pv.kubernetes.io/bind-completed": null, BOUND_BY_CONTROLLER: null },
        },
        "spec": { "volumeName": volume },
    });
    let claims = Api::<PersistentVolumeClaim>::namespaced(context.client.clone(), &namespace);
    merge(&claims, &target.name_any(), &change).await
}

/// Gives the volume its own policy back and takes our marks off.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn finish(context: &Context, volume: &PersistentVolume) -> Result<(), Error> {
    let own = volume.annotations().get(OWN_POLICY).map_or(policy(volume), String::as_str);
    let change = serde_json::json!({
        "metadata": {
            "labels": { RUN_UID: null, crate::names::MANAGED_BY.0: null },
            "annotations": { RUN: null, OWN_POLICY: null, FIRST_CLAIM: null },
        },
        "spec": { "persistentVolumeReclaimPolicy": own },
    });
    patch(context, volume, change).await
}

/// The change after which the cluster deletes a volume: released by a PVC that is gone, and not kept. A volume that only names a PVC, which may
/// never come, would stay for ever, and one whose object is deleted would stay in the storage.
pub(super) fn removal(run: &RunId, volume: &PersistentVolume) -> serde_json::Value {
    let first = volume.annotations().get(FIRST_CLAIM).cloned();
    let known = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()?.uid.clone());
    serde_json::json!({
        "metadata": {},
        "spec": {
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": run.namespace,
                "name": run.child_name(),
                "uid": first.or(known),
                "resourceVersion": null,
            },
            "persistentVolumeReclaimPolicy": "Delete",
        },
    })
}

/// Lets the cluster delete the volume.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn remove(context: &Context, run: &RunId, volume: &PersistentVolume) -> Result<(), Error> {
    patch(context, volume, removal(run, volume)).await
}

/// Volumes that carry a DataDownload's mark.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn volumes_on_their_way(context: &Context) -> Result<Vec<Arc<PersistentVolume>>, Error> {
    let all = list(&volumes(context), RUN_UID).await?;
    let of_download = |volume: &Arc<PersistentVolume>| {
        run_of(&volume.metadata).is_some_and(|(kind, ..)| kind == RunKind::DataDownload)
    };
    Ok(all.into_iter().filter(of_download).collect())
}

impl Sweep for DataDownload {
    async fn sweep(context: Arc<Context>, run: ObjectRef<Self>) -> Result<(), Error> {
        sweep_runs::<Self>(&context, RunKind::DataDownload, &run).await?;
        sweep_volumes(&context, &run).await
    }
}

/// Removes volumes whose DataDownload is gone; one that is bound to an application's PVC only loses our marks.
///
/// # Errors
/// Whatever the API server refuses.
async fn sweep_volumes(context: &Context, download: &ObjectRef<DataDownload>) -> Result<(), Error> {
    let namespace = download.namespace.as_deref().unwrap_or_default();
    let downloads = Api::<DataDownload>::namespaced(context.client.clone(), namespace);
    for volume in volumes_on_their_way(context).await? {
        let wanted = (RunKind::DataDownload, namespace, download.name.as_str());
        if run_of(&volume.metadata) != Some(wanted) {
            continue;
        }
        let uid = volume.labels().get(RUN_UID).cloned().unwrap_or_default();
        let existing = downloads.get_opt(&download.name).await;
        let existing = existing.map_err(|source| classify("read a DataDownload", source))?;
        if existing.and_then(|existing| existing.uid()).as_deref() == Some(uid.as_str()) {
            continue;
        }
        let run = RunId {
            kind: RunKind::DataDownload,
            uid,
            namespace: namespace.to_owned(),
            name: download.name.clone(),
        };
        let own = named(&context.stores.claims, Some(namespace), &run.child_name());
        let phase = volume.status.as_ref().and_then(|status| status.phase.as_deref());
        let is_own = claim_is(&volume, (namespace, &run.child_name()));
        if !is_own && phase == Some("Bound") {
            finish(context, &volume).await?;
        } else if own.is_none() && policy(&volume) == "Retain" {
            tracing::warn!(volume = volume.name_any(), "the DataDownload is gone; its volume is removed");
            remove(context, &run, &volume).await?;
        }
    }
    Ok(())
}
