//! Reads the cluster into [`Seen`].

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Api, Resource, ResourceExt};
use longshore_api::{DataDownload, DataMovePhase, VeleroRestore};
use longshore_job::{ReferenceError, RestorePointReference, RestoreTask};

use super::decide::{Request, Seen, Target, Volume};
use super::volume;
use crate::children::{Child, claim_child};
use crate::cluster::{Error, classify};
use crate::context::Context;
use crate::kinds::data_move::{
    DataMoveStatus, SECRET, VOLUME, owner_over, record, repository_secret, why_cancel,
};
use crate::mover::claim_warning;
use crate::names::RunId;
use crate::reason::{OperatorReason, Reason, Trouble};
use crate::repository_volume::claim_for;
use crate::temporary::{Temporary, named};

/// Annotation of a PVC: the node that its first pod was placed on.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// What was seen, with the objects behind it.
pub struct Observed {
    /// For the decision.
    pub seen: Seen,
    /// For acting on it.
    pub run: RunId,
    /// The restore point, if the DataDownload makes sense.
    pub task: Option<RestoreTask>,
    /// Temporary objects.
    pub temporary: Temporary,
    /// The application's PVC.
    pub target: Option<Arc<PersistentVolumeClaim>>,
    /// The volume with the data.
    pub volume: Option<PersistentVolume>,
    /// PVC with the repository, if it is on a volume; looked for only before a mover is made.
    pub repository: Option<String>,
}

/// Namespace and name of the application's PVC.
pub fn target_name(download: &DataDownload) -> (String, String) {
    let target = download.spec.target_volume.clone().unwrap_or_default();
    (target.namespace.unwrap_or_default(), target.pvc.unwrap_or_default())
}

/// Looks at a DataDownload and everything that belongs to it.
pub async fn observe(context: &Context, download: &DataDownload) -> Result<Observed, Error> {
    let run = super::run_id(download);
    let record = record(download, download.status.as_ref());
    let phase = record.status.phase();
    let deleting = download.meta().deletion_timestamp.is_some();
    let stores = &context.stores;
    let inside = stores.protected.contains_key(&run.namespace);
    let outside = (!inside).then(|| {
        let message = format!("namespace {} is not a protected namespace", run.namespace);
        Trouble::new(OperatorReason::NamespaceNotProtected, message)
    });
    let at_work = record.finalizer && !phase.is_terminal() && inside;
    let owner = if at_work {
        let status = |restore: &VeleroRestore| restore.status.clone();
        owner_over(context, &stores.velero.restores, download.meta(), status).await?
    } else {
        None
    };
    let cancel = why_cancel(deleting, download.spec.cancel, owner).filter(|_| at_work);
    let (task, request, secret) =
        request(context, download, record.notes.text(SECRET), at_work && cancel.is_none()).await?;
    let mut temporary = Temporary::from_stores(context, &run, &run.namespace);
    let noted = record.notes.text(VOLUME).map(str::to_owned);
    let leaves =
        phase.is_terminal() || phase == DataMovePhase::Canceling || cancel.is_some() || noted.is_some();
    if inside && record.finalizer && leaves && temporary.names().is_empty() {
        // Before anything is said to be gone, the API server is asked: a watch may not know yet what we have just made.
        temporary = Temporary::from_server(context, &run, &run.namespace).await?;
    }
    let claim = temporary.claims.first().cloned();
    let foreign = named(&stores.claims, Some(&run.namespace), &run.child_name());
    let warning = claim_warning(claim.as_ref().and_then(|claim| claim.uid()).as_deref(), &temporary.warnings);
    let claim_state =
        claim_child(claim.as_deref().or(foreign.as_deref().filter(|_| noted.is_none())), &run.uid, warning);
    let (namespace, name) = target_name(download);
    let target = named(&stores.claims, Some(&namespace), &name);
    let mut found = None;
    let mut volume = Volume::None;
    if let (Some(noted), true) = (&noted, record.finalizer) {
        found = volume::read(context, noted).await?;
        let bound = target.as_deref().is_some_and(|target| is_bound(target) && names(target) == noted);
        let claim_gone = claim.is_none();
        volume = volume::state(found.as_ref(), &run, (&namespace, &name), bound, claim_gone);
    }
    let begins = phase == DataMovePhase::InProgress && noted.is_none() && temporary.jobs.is_empty();
    let wanted = secret.as_deref().filter(|_| begins && at_work && claim.is_some());
    let (repository, busy) = repository(context, &run.namespace, wanted).await?;
    let seen = Seen {
        busy,
        deleting,
        outside,
        cancel,
        has_slot: at_work && context.has_slot(download),
        target: target_state(context, download, target.as_deref(), noted.as_deref(), task.as_ref(), phase)
            .await?,
        claim: if claim.is_none() && claim_state != Child::Foreign { Child::Absent } else { claim_state },
        claim_volume: claim.as_deref().map(names).filter(|name| !name.is_empty()).map(str::to_owned),
        mover: temporary.mover(context, &run.namespace).await,
        mover_gone: temporary.jobs.is_empty() && temporary.pods.is_empty(),
        volume,
        leftovers: temporary.names(),
        blocked: stores.blocked(&run.namespace),
        request,
        secret,
        record,
    };
    Ok(Observed { seen, run, task, temporary, target, volume: found, repository })
}

/// The PVC with the repository, if it is on a volume; or why no mover of it may begin.
async fn repository(
    context: &Context,
    namespace: &str,
    secret: Option<&str>,
) -> Result<(Option<String>, Option<Trouble>), Error> {
    let Some(secret) = secret else { return Ok((None, None)) };
    match claim_for(context, namespace, secret).await {
        Ok(repository) => Ok((repository, None)),
        Err(Error::Refused(trouble)) => Ok((None, Some(trouble))),
        Err(error) => Err(error),
    }
}

fn names(claim: &PersistentVolumeClaim) -> &str {
    claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default()
}

fn is_bound(claim: &PersistentVolumeClaim) -> bool {
    claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"))
}

/// The restore point, and the Secret if `wanted`.
async fn request(
    context: &Context,
    download: &DataDownload,
    noted: Option<&str>,
    wanted: bool,
) -> Result<(Option<RestoreTask>, Request, Option<String>), Error> {
    let task = match read(download) {
        Ok(task) => task,
        Err(trouble) => return Ok((None, Request::Refused(trouble), None)),
    };
    if !wanted {
        return Ok((Some(task), Request::Accepted, None));
    }
    if let Some(secret) = noted {
        return Ok((Some(task), Request::Accepted, Some(secret.to_owned())));
    }
    let namespace = download.namespace().unwrap_or_default();
    let location = download.spec.backup_storage_location.as_deref().unwrap_or_default();
    Ok(match repository_secret(context, &namespace, location).await? {
        Ok(secret) => (Some(task), Request::Accepted, Some(secret)),
        Err(trouble) => (Some(task), Request::Refused(trouble), None),
    })
}

/// Reads what the DataDownload asks for.
pub(super) fn read(download: &DataDownload) -> Result<RestoreTask, Trouble> {
    let (namespace, name) = target_name(download);
    if namespace.is_empty() || name.is_empty() {
        let message = "spec.targetVolume lacks the namespace or the name of the PVC";
        return Err(Trouble::new(OperatorReason::DataMoveInvalid, message));
    }
    let text = download.spec.snapshot_id.as_deref().unwrap_or_default();
    let reference: RestorePointReference = text.parse().map_err(|error: ReferenceError| {
        let reason = match error {
            ReferenceError::ResticRepository => OperatorReason::OldResticRepository,
            _ => OperatorReason::RepositoryReferenceInvalid,
        };
        Trouble::new(reason, format!("spec.snapshotID: {error}"))
    })?;
    // Velero's Restore maps this one namespace to the target's, and only administrators make DataDownloads here.
    let source = download.spec.source_namespace.clone().unwrap_or_default();
    let task = RestoreTask { reference, allowed_source_namespaces: vec![source] };
    if !task.is_allowed_for(&namespace) {
        let point = &task.reference.namespace;
        let message =
            format!("the point is of namespace {point}, which is neither source nor target of the restore");
        return Err(Trouble::new(OperatorReason::NamespaceNotAllowed, message));
    }
    Ok(task)
}

async fn target_state(
    context: &Context,
    download: &DataDownload,
    target: Option<&PersistentVolumeClaim>,
    noted: Option<&str>,
    task: Option<&RestoreTask>,
    phase: DataMovePhase,
) -> Result<Target, Error> {
    let state = claim_state(download, target, noted, task);
    let (Target::Waiting { .. }, Some(target)) = (&state, target) else { return Ok(state) };
    if phase > DataMovePhase::Accepted || target.annotations().contains_key(SELECTED_NODE) {
        return Ok(state);
    }
    let class = target.spec.as_ref().and_then(|spec| spec.storage_class_name.clone()).unwrap_or_default();
    if class.is_empty() {
        let message = format!("PVC {} names no StorageClass", target.name_any());
        return Ok(Target::Missing(Trouble::new(OperatorReason::StorageClassNotFound, message)));
    }
    let found = Api::<StorageClass>::all(context.client.clone()).get_opt(&class).await;
    Ok(match found.map_err(|source| classify("read the StorageClass", source))? {
        None => {
            let message = format!("there is no StorageClass {class}");
            Target::Missing(Trouble::new(OperatorReason::StorageClassNotFound, message))
        }
        Some(found) if found.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer") => {
            let message = format!("no node is selected for PVC {}: no pod uses it yet", target.name_any());
            Target::Unused(Trouble::new(OperatorReason::TargetPVCUnused, message))
        }
        Some(_) => state,
    })
}

/// Where the application's PVC stands, its class aside.
pub(super) fn claim_state(
    download: &DataDownload,
    target: Option<&PersistentVolumeClaim>,
    noted: Option<&str>,
    task: Option<&RestoreTask>,
) -> Target {
    let (namespace, name) = target_name(download);
    let Some(target) = target.filter(|target| target.metadata.deletion_timestamp.is_none()) else {
        let message = format!("PVC {name} is not in namespace {namespace}");
        return Target::Missing(Trouble::new(OperatorReason::TargetPVCNotFound, message));
    };
    let named = names(target);
    if !named.is_empty() || is_bound(target) {
        return match noted {
            Some(noted) if named == noted && is_bound(target) => Target::Bound,
            Some(noted) if named == noted => Target::Waiting { names_volume: true },
            _ => Target::Taken,
        };
    }
    let mode = target.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()).unwrap_or("Filesystem");
    match task {
        Some(task) if task.reference.volume_mode.as_str() != mode => {
            let point = task.reference.volume_mode.as_str();
            let message = format!("the point has volume mode {point}, PVC {name} has {mode}");
            Target::Unfit(Trouble::new(Reason::Mover(longshore_job::Reason::VolumeModeMismatch), message))
        }
        _ => Target::Waiting { names_volume: false },
    }
}
