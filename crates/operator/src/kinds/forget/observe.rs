//! Reads the cluster into [`Seen`].

use std::sync::Arc;

use kube::ResourceExt;
use longshore_api::{ForgetRequest, VolumeSnapshotBackup};
use longshore_job::{ReferenceError, RestorePointReference};

use super::decide::{Asked, Seen};
use crate::context::Context;
use crate::names::RunId;
use crate::reason::{OperatorReason, Trouble};
use crate::repositories;
use crate::slots::Queued;
use crate::temporary::Temporary;

/// What was seen, with the objects behind it.
pub struct Observed {
    /// For the decision.
    pub seen: Seen,
    /// For acting on it.
    pub run: RunId,
    /// Job and pods.
    pub temporary: Temporary,
}

/// Looks at a request and its Job.
pub async fn observe(context: &Context, request: &ForgetRequest) -> Observed {
    let run = super::run_id(request);
    let stores = &context.stores;
    let temporary = Temporary::from_stores(context, &run, &run.namespace);
    let deleting = request.metadata.deletion_timestamp.is_some();
    let seen = Seen {
        deleting,
        status: request.status.clone().unwrap_or_default(),
        asked: asked(context, request),
        has_slot: !deleting && context.has_slot(request),
        mover: temporary.mover(context, &run.namespace).await,
        leftovers: !temporary.names().is_empty(),
        blocked: stores.blocked(&run.namespace),
    };
    Observed { seen, run, temporary }
}

fn asked(context: &Context, request: &ForgetRequest) -> Asked {
    let namespace = request.namespace().unwrap_or_default();
    if !context.options.protected_namespaces.contains(&namespace) {
        let message = format!("namespace {namespace} is not a protected namespace");
        return Asked::Never(Trouble::new(OperatorReason::NamespaceNotProtected, message));
    }
    let reference = match reference(request.spec.reference.as_deref().unwrap_or_default()) {
        Ok(reference) => reference,
        Err(trouble) => return Asked::Never(trouble),
    };
    if let Some(trouble) = still_at_work(&context.stores.backups.state(), &reference) {
        return Asked::NotYet(trouble);
    }
    let repositories = context.stores.repositories.state();
    let secret = repositories::secret_of(&repositories, &namespace, request.spec.location.as_ref());
    let free = secret.and_then(|secret| {
        repositories::claim_of(repositories.iter().map(AsRef::as_ref), &namespace, &secret).map(|_| secret)
    });
    match free {
        Ok(secret) => Asked::Point { reference, secret },
        Err(trouble) => Asked::NotYet(trouble),
    }
}

/// The run that makes the point, if it is not over: it could commit after the point was found to be gone.
pub(super) fn still_at_work(
    backups: &[Arc<VolumeSnapshotBackup>],
    reference: &RestorePointReference,
) -> Option<Trouble> {
    let run = backups.iter().find(|backup| backup.uid().as_deref() == Some(reference.run.as_str()))?;
    let (phase, _) = run.place();
    let message = format!(
        "VolumeSnapshotBackup {}/{} is still at work",
        run.namespace().unwrap_or_default(),
        run.name_any()
    );
    (!phase.is_terminal()).then(|| Trouble::new(OperatorReason::BackupNotOver, message))
}

/// Reads the reference; one that may mean different points at different times is none.
///
/// # Errors
/// What is wrong with it.
pub(super) fn reference(text: &str) -> Result<RestorePointReference, Trouble> {
    if text.is_empty() {
        return Err(Trouble::new(OperatorReason::RepositoryReferenceMissing, "spec.reference is empty"));
    }
    let reference: RestorePointReference = text.parse().map_err(|error: ReferenceError| {
        let reason = match error {
            ReferenceError::ResticRepository => OperatorReason::OldResticRepository,
            _ => OperatorReason::RepositoryReferenceInvalid,
        };
        Trouble::new(reason, error.to_string())
    })?;
    if reference.names_one_run() {
        return Ok(reference);
    }
    let message = format!("spec.reference must name one run by its UID, not {:?}", reference.run);
    Err(Trouble::new(OperatorReason::RepositoryReferenceInvalid, message))
}
