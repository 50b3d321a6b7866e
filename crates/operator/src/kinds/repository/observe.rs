//! Reads the cluster into [`Seen`].

use jiff::Timestamp;
use kube::ResourceExt;
use longshore_api::Repository;
use longshore_job::{KnownBackups, Retention};

use super::decide::Seen;
use super::retention::retention;
use crate::cluster::Error;
use crate::context::Context;
use crate::mover::MoverState;
use crate::names::{MAINTAIN_NOW, RunId};
use crate::reason::{OperatorReason, Trouble};
use crate::repositories::{maintenance_secret, own_claim};
use crate::repository_volume::others_at_work;
use crate::schedule::{DAILY, Schedule};
use crate::temporary::Temporary;
use crate::velero::known_backups;
use longshore_job::chain;

/// What was seen, with the objects behind it.
pub struct Observed {
    /// For the decision.
    pub seen: Seen,
    /// For acting on it.
    pub run: RunId,
    /// What the specification asks for, empty if it makes no sense.
    pub settings: Settings,
    /// Job and pods.
    pub temporary: Temporary,
    /// Velero's Backups, as they were just now; only before a Job is made.
    pub backups: Option<KnownBackups>,
}

/// What a Repository's specification asks for.
#[derive(Debug, Default)]
pub struct Settings {
    /// Name of the Secret for maintenance.
    pub secret: String,
    /// When maintenance is due by the schedule.
    due: Option<Timestamp>,
    /// PVC with the repository, if it is on a volume.
    pub claim: Option<String>,
    /// What maintenance forgets.
    pub retention: Option<Retention>,
}

/// Looks at a Repository and its maintenance's Job.
///
/// # Errors
/// Whatever the API server refuses.
pub async fn observe(context: &Context, repository: &Repository) -> Result<Observed, Error> {
    let run = super::run_id(repository);
    let temporary = Temporary::from_stores(context, &run, &run.namespace);
    let (settings, due) = match settings(context, repository) {
        Ok(settings) => {
            let due = settings.due;
            (settings, Ok(due))
        }
        Err(trouble) => (Settings::default(), Err(trouble)),
    };
    let mut seen = Seen {
        deleting: repository.metadata.deletion_timestamp.is_some(),
        generation: repository.metadata.generation,
        status: repository.status.clone().unwrap_or_default(),
        suspended: repository.spec.suspend == Some(true),
        due,
        request: repository.annotations().get(MAINTAIN_NOW).filter(|text| !text.is_empty()).cloned(),
        mover: temporary.mover(context, &run.namespace).await,
        leftovers: !temporary.names().is_empty(),
        blocked: context.stores.blocked(&run.namespace),
        others_at_work: 0,
    };
    let begins = seen.status.is_maintaining() && seen.mover == MoverState::Absent;
    let mut backups = None;
    if begins && !seen.deleting {
        if let Some(claim) = &settings.claim {
            seen.others_at_work = others_at_work(context, &run.namespace, claim, &run.uid).await?;
        }
        if seen.others_at_work == 0 {
            backups = known_backups(&context.client, &context.cluster_uid, crate::runner::now()).await;
        }
    }
    Ok(Observed { seen, run, settings, temporary, backups })
}

fn settings(context: &Context, repository: &Repository) -> Result<Settings, Trouble> {
    let namespace = repository.namespace().unwrap_or_default();
    if !context.options.protected_namespaces.contains(&namespace) {
        let message = format!("namespace {namespace} is not a protected namespace");
        return Err(Trouble::new(OperatorReason::NamespaceNotProtected, message));
    }
    Ok(Settings {
        secret: maintenance_secret(repository)?,
        due: due(repository)?,
        claim: own_claim(repository)?,
        retention: retention(repository, &context.cluster_uid)?,
    })
}

/// The first time of the schedule after the last maintenance; after the Repository was made, if there was none yet.
pub(super) fn due(repository: &Repository) -> Result<Option<Timestamp>, Trouble> {
    let policy = repository.spec.maintenance.clone().unwrap_or_default();
    let text = policy.schedule.filter(|text| !text.is_empty());
    let schedule = Schedule::parse(text.as_deref().unwrap_or(DAILY)).map_err(|error| {
        Trouble::new(OperatorReason::ScheduleInvalid, format!("spec.maintenance.schedule: {}", chain(&error)))
    })?;
    let status = repository.status.as_ref();
    let last = status.and_then(|status| status.last_maintenance_time.as_ref()).map(|time| time.0);
    let since = last.or_else(|| repository.creation_timestamp().map(|time| time.0)).unwrap_or_default();
    Ok(schedule.next_after(since))
}
