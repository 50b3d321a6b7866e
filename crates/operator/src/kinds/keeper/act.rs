//! Carries a keeper's step out.

use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use longshore_api::{DeletionPolicy, VolumeSnapshot, VolumeSnapshotContent};

use super::decide::{Decision, Step};
use super::observe::Observed;
use crate::cluster::{Error, create, delete, merge};
use crate::context::Context;
use crate::names::{RUN_UID, Role, RunId, RunKind, label, run_of};
use crate::objects::snapshot_of_content;
use crate::runner::requeue;

/// Carries `decision` out.
pub async fn act(
    context: &Context,
    keeper: &VolumeSnapshotContent,
    observed: &Observed,
    decision: Decision,
) -> Result<Action, Error> {
    let client = &context.client;
    let contents = Api::<VolumeSnapshotContent>::all(client.clone());
    let namespace = keeper.spec.volume_snapshot_ref.namespace.clone().unwrap_or_default();
    let snapshots = Api::<VolumeSnapshot>::namespaced(client.clone(), &namespace);
    match decision.step {
        Step::Wait => {}
        Step::DeleteOthers => {
            for snapshot in &observed.other_snapshots {
                let namespace = snapshot.namespace().unwrap_or_default();
                delete(&Api::<VolumeSnapshot>::namespaced(client.clone(), &namespace), snapshot.as_ref())
                    .await?;
            }
            for content in &observed.other_contents {
                delete(&contents, content.as_ref()).await?;
            }
        }
        Step::CreateSnapshot => {
            let run = run_id(keeper);
            let class = keeper.spec.volume_snapshot_class_name.as_deref();
            let name = keeper.spec.volume_snapshot_ref.name.clone().unwrap_or_default();
            let object =
                snapshot_of_content(&run, Role::Keeper, (&namespace, &name), class, &keeper.name_any());
            create(&snapshots, &object, &run.uid).await?;
        }
        Step::TakeSnapshot => {
            tracing::info!(
                keeper = keeper.name_any(),
                "the restored snapshot is used or its time is over; it goes"
            );
            let patch = serde_json::json!({ "spec": { "deletionPolicy": DeletionPolicy::Delete.as_str() } });
            merge(&contents, &keeper.name_any(), &patch).await?;
        }
        Step::DeleteSnapshot => delete_snapshot(&snapshots, observed).await?,
        Step::DeleteKeeper => delete(&contents, keeper).await?,
        Step::Forget => {
            tracing::warn!(
                keeper = keeper.name_any(),
                "the storage does not know the restored snapshot any more"
            );
            delete_snapshot(&snapshots, observed).await?;
            delete(&contents, keeper).await?;
        }
    }
    Ok(requeue(decision.requeue))
}

async fn delete_snapshot(snapshots: &Api<VolumeSnapshot>, observed: &Observed) -> Result<(), Error> {
    match &observed.snapshot {
        Some(snapshot) => delete(snapshots, snapshot.as_ref()).await,
        None => Ok(()),
    }
}

/// The run that made the keeper, which may be gone.
fn run_id(keeper: &VolumeSnapshotContent) -> RunId {
    let (namespace, name) =
        run_of(&keeper.metadata).map(|(_, namespace, name)| (namespace, name)).unwrap_or_default();
    RunId {
        kind: RunKind::Restore,
        uid: label(&keeper.metadata, RUN_UID).unwrap_or_default().to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    }
}
