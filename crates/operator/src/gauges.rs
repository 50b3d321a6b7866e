//! Gauges that follow from the runs themselves, so that a restart changes none of them.

use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use longshore_api::Phase;
use longshore_telemetry::metrics::{Kind, Source};
use tokio_util::sync::CancellationToken;

use crate::cluster::Context;
use crate::slots::{Queued, is_waiting, is_working};

/// Memory only is read, so this costs the API server nothing.
const INTERVAL: Duration = Duration::from_secs(5);

/// Keeps the gauges true until `shutdown`.
pub async fn keep_true(context: Arc<Context>, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => update(&context),
            () = shutdown.cancelled() => return,
        }
    }
}

fn update(context: &Context) {
    let (backups, restores) = (context.stores.backups.state(), context.stores.restores.state());
    count(context, "backup", &backups);
    count(context, "restore", &restores);
    for backup in &backups {
        let status = backup.status.clone().unwrap_or_default();
        if backup.place().0 == Phase::Completed {
            let pvc = status.source_pvc_data.and_then(|pvc| pvc.name);
            let (source, own) =
                (status.resolved_source.unwrap_or_default(), backup.namespace().unwrap_or_default());
            let namespace = crate::kinds::backup::source_namespace(&source, &own);
            last_success(&context.metrics.backup, namespace, pvc, status.completion_timestamp);
        }
    }
    for restore in &restores {
        let status = restore.status.clone().unwrap_or_default();
        if restore.place().0 == Phase::Completed {
            let backup = restore.spec.volume_snapshot_mover_backup_ref.clone().unwrap_or_default();
            let pvc = backup.source_pvc_data.and_then(|pvc| pvc.name);
            let namespace = restore.namespace().unwrap_or_default();
            last_success(&context.metrics.restore, &namespace, pvc, status.completion_timestamp);
        }
    }
}

fn count<K: Queued>(context: &Context, kind: &str, runs: &[Arc<K>]) {
    let number = |all: usize| i64::try_from(all).unwrap_or(i64::MAX);
    let label = Kind { kind: kind.to_owned() };
    let working = runs.iter().filter(|run| is_working(run.as_ref())).count();
    let waiting = runs.iter().filter(|run| is_waiting(run.as_ref()).is_some()).count();
    context.metrics.active.get_or_create(&label).set(number(working));
    context.metrics.queued.get_or_create(&label).set(number(waiting));
}

fn last_success(
    metrics: &longshore_telemetry::metrics::RunMetrics,
    namespace: &str,
    pvc: Option<String>,
    time: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>,
) {
    let (Some(pvc), Some(time)) = (pvc, time) else { return };
    let source = Source { namespace: namespace.to_owned(), pvc };
    let gauge = metrics.last_success.get_or_create(&source);
    gauge.set(gauge.get().max(time.0.as_second() as f64));
}
