//! Reads the cluster into [`Seen`].

use std::sync::Arc;

use k8s_openapi::api::storage::v1::StorageClass;
use kube::{Api, ResourceExt};
use longshore_api::{
    BatchingStatus, DeletionPolicy, FINALIZER, Phase, VolumeSnapshot, VolumeSnapshotClass,
    VolumeSnapshotContent, VolumeSnapshotRestore, VolumeSnapshotRestoreStatus,
};

use super::decide::{Request, ResultContent, Seen, Target};
use super::request::{Asked, read, rival};
use crate::children::{Child, claim_child, content_child, snapshot_child};
use crate::class_options::{self, ClassOptions, Side};
use crate::cluster::{Error, classify, list};
use crate::context::Context;
use crate::kinds::backup::only_snapshot_class;
use crate::mover::claim_warning;
use crate::names::{RUN_UID, Role, RunId, belongs_to, has_role};
use crate::reason::{OperatorReason, Reason, Trouble};
use crate::status::RunStatus;
use crate::temporary::{Temporary, named};
use crate::velero;
use longshore_job::parse_bytes;

/// What was seen, with the objects behind it.
pub struct Observed {
    /// For the decision.
    pub seen: Seen,
    /// For acting on it.
    pub run: RunId,
    /// Protected namespace, empty if the run names none.
    pub namespace: String,
    /// What the run asks for, if it makes sense.
    pub asked: Option<Asked>,
    /// What was chosen for volumes of the source's class; looked for only before something is made of it.
    pub class_options: ClassOptions,
    /// VolumeSnapshotClass for the restored volume, when it was looked for.
    pub snapshot_class: Option<String>,
    /// Temporary objects.
    pub temporary: Temporary,
    /// Content of the restored volume's snapshot.
    pub result: Option<Arc<VolumeSnapshotContent>>,
    /// The keeper, which describes the snapshot as well.
    pub keeper: Option<Arc<VolumeSnapshotContent>>,
    /// Keepers that must go, because nothing was published.
    pub unpublished: Vec<Arc<VolumeSnapshotContent>>,
    /// VolumeSnapshots of the target.
    pub target_snapshots: Vec<Arc<VolumeSnapshot>>,
    /// Contents of the target.
    pub target_contents: Vec<Arc<VolumeSnapshotContent>>,
}

/// Looks at a restore and everything that belongs to it.
pub async fn observe(context: &Context, restore: &VolumeSnapshotRestore) -> Result<Observed, Error> {
    let run = super::run_id(restore);
    let namespace = restore.spec.protected_namespace.clone().unwrap_or_default();
    let status = restore.status.clone().unwrap_or_default();
    let deleting = restore.metadata.deletion_timestamp.is_some();
    let finalizer = restore.finalizers().iter().any(|finalizer| finalizer == FINALIZER);
    let stores = &context.stores;
    let (mut asked, mut request) = match requested(context, restore, &run.namespace).await? {
        Ok(asked) => (Some(asked), Request::Accepted),
        Err(trouble) => (None, Request::Refused(trouble)),
    };
    let found = objects(context, restore, &run, &namespace, finalizer).await?;
    let name = run.child_name();
    let snapshot = snapshot_child(named(&stores.snapshots, Some(&namespace), &name).as_deref(), &run.uid);
    let unfinished = !deleting && finalizer && stores.protected.contains_key(&namespace);
    let to_choose =
        asked.as_mut().filter(|_| unfinished && makes_volumes(restore, &status, &found.temporary));
    let (class_options, class_trouble) = choose_class(context, &namespace, to_choose).await?;
    let mover_gone = found.temporary.jobs.is_empty() && found.temporary.pods.is_empty();
    let unaccepted = matches!(status.phase(), Phase::New | Phase::InProgress) && status.batching().is_none();
    let takes_snapshot = status.snapshot_id.is_some() && snapshot == Child::Absent && mover_gone;
    let due = (unaccepted && finalizer) || (takes_snapshot && status.phase() == Phase::InProgress);
    let mut snapshot_class = None;
    if let Some(asked) = asked.as_ref().filter(|_| due && !deleting) {
        match resolve(context, asked, &run).await? {
            Ok(class) => snapshot_class = Some(class),
            Err(trouble) => request = wait_or_refuse(trouble),
        }
    }
    let claim = named(&stores.claims, Some(&namespace), &name);
    let warning =
        claim_warning(claim.as_ref().and_then(|claim| claim.uid()).as_deref(), &found.temporary.warnings);
    let keeper = named(&stores.contents, None, &run.keeper_name());
    let seen = Seen {
        deleting,
        finalizer,
        request,
        requester: velero::requester(&context.client, &context.velero, restore, &namespace, unfinished).await,
        has_slot: !deleting && context.has_slot(restore),
        claim: claim_child(claim.as_deref(), &run.uid, warning),
        request_bytes: asked.as_ref().and_then(|asked| parse_bytes(&asked.size)),
        mover: found.temporary.mover(context, &namespace).await,
        mover_gone,
        snapshot,
        result: found.result.as_deref().map(|content| describe(content, &run)),
        keeper: content_child(keeper.as_deref(), &run.uid),
        target: target(context, restore, &run).await?,
        leftovers: found.leftovers(),
        target_leftovers: found.target_leftovers(),
        blocked: stores.blocked(&namespace).or(class_trouble),
        status,
    };
    Ok(Observed {
        seen,
        run,
        namespace,
        asked,
        class_options,
        snapshot_class,
        temporary: found.temporary,
        result: found.result,
        keeper,
        unpublished: found.unpublished,
        target_snapshots: found.target_snapshots,
        target_contents: found.target_contents,
    })
}

/// What is asked for, or why it is refused.
async fn requested(
    context: &Context,
    restore: &VolumeSnapshotRestore,
    namespace: &str,
) -> Result<Result<Asked, Trouble>, Error> {
    let mapped = super::velero::mapped_sources(context, restore).await?;
    let restores = context.stores.restores.state();
    let rival = || rival(restore, restores.iter().map(AsRef::as_ref));
    Ok(read(&restore.spec, namespace, &context.options, &mapped)
        .and_then(|asked| rival().map_or(Ok(asked), Err)))
}

/// Whether this pass may make something whose StorageClass matters, or look for its snapshots' class.
fn makes_volumes(
    restore: &VolumeSnapshotRestore,
    status: &VolumeSnapshotRestoreStatus,
    temporary: &Temporary,
) -> bool {
    match status.phase() {
        Phase::New => true,
        Phase::InProgress => status.batching() != Some(BatchingStatus::Queued) && temporary.jobs.is_empty(),
        Phase::SnapshotRestoreDone => restore.spec.target_pvc.is_some(),
        _ => false,
    }
}

/// Puts the class that was chosen for restores in the place of the source's.
async fn choose_class(
    context: &Context,
    protected_namespace: &str,
    asked: Option<&mut Asked>,
) -> Result<(ClassOptions, Option<Trouble>), Error> {
    let Some(asked) = asked else { return Ok(Default::default()) };
    let class = asked.storage_class.clone();
    match class_options::find(context, protected_namespace, class.as_deref(), Side::Destination).await {
        Ok(chosen) => {
            asked.storage_class = chosen.storage_class.clone().or(class);
            Ok((chosen, None))
        }
        Err(Error::Refused(trouble)) => Ok((ClassOptions::default(), Some(trouble))),
        Err(error) => Err(error),
    }
}

/// The objects of a run, temporary and others.
struct Found {
    temporary: Temporary,
    result: Option<Arc<VolumeSnapshotContent>>,
    unpublished: Vec<Arc<VolumeSnapshotContent>>,
    target_snapshots: Vec<Arc<VolumeSnapshot>>,
    target_contents: Vec<Arc<VolumeSnapshotContent>>,
}

impl Found {
    fn leftovers(&self) -> Vec<String> {
        let contents = self.unpublished.iter().map(|one| format!("VolumeSnapshotContent {}", one.name_any()));
        self.temporary.names().into_iter().chain(contents).collect()
    }

    fn target_leftovers(&self) -> Vec<String> {
        let contents =
            self.target_contents.iter().map(|one| format!("VolumeSnapshotContent {}", one.name_any()));
        let snapshots = self.target_snapshots.iter().map(|one| format!("VolumeSnapshot {}", one.name_any()));
        contents.chain(snapshots).collect()
    }
}

async fn objects(
    context: &Context,
    restore: &VolumeSnapshotRestore,
    run: &RunId,
    namespace: &str,
    finalizer: bool,
) -> Result<Found, Error> {
    let stores = &context.stores;
    let status = restore.status.clone().unwrap_or_default();
    let phase = status.phase();
    let published = status.snapshot_handle.is_some();
    let of_role = |role: Role| {
        stores.contents.state_filter(|content| {
            belongs_to(&content.metadata, &run.uid) && has_role(&content.metadata, role)
        })
    };
    let name = run.child_name();
    // Made by the snapshot controller for our VolumeSnapshot, and found by what it points back to until it carries our label.
    let result = stores.contents.find(|content| {
        let reference = &content.spec.volume_snapshot_ref;
        content.spec.source.volume_handle.is_some()
            && reference.namespace.as_deref() == Some(namespace)
            && reference.name.as_deref() == Some(name.as_str())
    });
    let mut found = Found {
        temporary: Temporary::from_stores(context, run, namespace),
        unpublished: Vec::new(),
        target_snapshots: stores.snapshots.state_filter(|snapshot| {
            belongs_to(&snapshot.metadata, &run.uid) && has_role(&snapshot.metadata, Role::Target)
        }),
        target_contents: of_role(Role::Target),
        result,
    };
    let leaving =
        restore.metadata.deletion_timestamp.is_some() || phase.is_terminal() || phase == Phase::Cleanup;
    if leaving && !published {
        found.unpublished = of_role(Role::Keeper);
        found.unpublished.extend(found.result.clone());
    }
    let protected = stores.protected.contains_key(namespace);
    if protected && finalizer && leaving && found.leftovers().is_empty() {
        // Before anything is said to be gone, the API server is asked: a watch may not know yet what we have just made.
        found.temporary = Temporary::from_server(context, run, namespace).await?;
        if !published {
            let contents = Api::<VolumeSnapshotContent>::all(context.client.clone());
            let ours = list(&contents, &format!("{RUN_UID}={}", run.uid)).await?;
            found.unpublished = ours
                .into_iter()
                .filter(|one| has_role(&one.metadata, Role::Keeper) || has_role(&one.metadata, Role::Result))
                .collect();
        }
    }
    Ok(found)
}

fn describe(content: &VolumeSnapshotContent, run: &RunId) -> ResultContent {
    let status = content.status.clone().unwrap_or_default();
    ResultContent {
        name: content.name_any(),
        ready_handle: status.snapshot_handle.filter(|_| status.ready_to_use == Some(true)),
        bytes: status.restore_size,
        adopted: belongs_to(&content.metadata, &run.uid)
            && has_role(&content.metadata, Role::Result)
            && content.spec.deletion_policy == DeletionPolicy::Retain.as_str(),
    }
}

fn wait_or_refuse(trouble: Trouble) -> Request {
    match trouble.reason {
        Reason::Operator(OperatorReason::TargetPVCExists) => Request::Refused(trouble),
        _ => Request::Missing(trouble),
    }
}

/// Whether the classes that the run needs exist and the target's name is free; the VolumeSnapshotClass if so.
async fn resolve(context: &Context, asked: &Asked, run: &RunId) -> Result<Result<String, Trouble>, Error> {
    if let Some(target) = &asked.target {
        let existing = named(&context.stores.claims, Some(&run.namespace), &target.name);
        if existing.is_some_and(|claim| !belongs_to(&claim.metadata, &run.uid)) {
            let message = format!("PVC {} exists in namespace {}", target.name, run.namespace);
            return Ok(Err(Trouble::new(OperatorReason::TargetPVCExists, message)));
        }
    }
    let Some(class) = storage_class(context, asked.storage_class.as_deref()).await? else {
        let name = asked.storage_class.as_deref().unwrap_or("(default)");
        let message = format!("there is no StorageClass {name}");
        return Ok(Err(Trouble::new(OperatorReason::StorageClassNotFound, message)));
    };
    if let Some(name) = &asked.snapshot_class {
        let named = Api::<VolumeSnapshotClass>::all(context.client.clone())
            .get_opt(name)
            .await
            .map_err(|error| classify("read the VolumeSnapshotClass", error))?;
        if named.is_some_and(|named| named.driver == class.provisioner) {
            return Ok(Ok(name.clone()));
        }
    }
    // Names come from the cluster of the backup; another cluster may name the driver's class otherwise.
    Ok(match only_snapshot_class(context, &class.provisioner).await? {
        Some(name) => Ok(name),
        None => {
            let message = format!("driver {} has not just one VolumeSnapshotClass", class.provisioner);
            Err(Trouble::new(OperatorReason::VolumeSnapshotClassNotFound, message))
        }
    })
}

async fn storage_class(context: &Context, name: Option<&str>) -> Result<Option<StorageClass>, Error> {
    const DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";
    let api = Api::<StorageClass>::all(context.client.clone());
    if let Some(name) = name {
        return api.get_opt(name).await.map_err(|error| classify("read the StorageClass", error));
    }
    let all = api.list(&Default::default()).await.map_err(|error| classify("list StorageClasses", error))?;
    Ok(all
        .items
        .into_iter()
        .find(|class| class.annotations().get(DEFAULT).is_some_and(|value| value == "true")))
}

/// What is there of the target, also of a restore that would be refused now: a PVC that waits for its pod needs its snapshot for as long as it
/// waits, and by then the permission of a Velero Restore is over.
async fn target(context: &Context, restore: &VolumeSnapshotRestore, run: &RunId) -> Result<Target, Error> {
    let Some(wanted) = &restore.spec.target_pvc else { return Ok(Target::Unwanted) };
    let (stores, name) = (&context.stores, run.target_name());
    let claim = named(&stores.claims, Some(&run.namespace), &wanted.name);
    let made_of = claim.as_ref().and_then(|claim| claim.spec.as_ref()?.storage_class_name.clone());
    let claim = claim_child(claim.as_deref(), &run.uid, None);
    let mut waits_for_consumer = false;
    if matches!(claim, Child::Pending { .. }) {
        let class =
            storage_class(context, made_of.as_deref().or(wanted.storage_class_name.as_deref())).await?;
        waits_for_consumer =
            class.is_some_and(|class| class.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer"));
    }
    Ok(Target::Wanted {
        content: content_child(named(&stores.contents, None, &name).as_deref(), &run.uid),
        snapshot: snapshot_child(named(&stores.snapshots, Some(&run.namespace), &name).as_deref(), &run.uid),
        claim,
        waits_for_consumer,
    })
}
