//! Gauges that follow from the runs themselves, so that a restart changes none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use longshore_api::{Phase, Repository};
use longshore_telemetry::metrics::{Kind, MaintenanceMetrics, Namespace, RepositoryName, Source};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::slots::{Queued, is_waiting, is_working};

/// Memory only is read, so this costs the API server nothing.
const INTERVAL: Duration = Duration::from_secs(5);

/// Keeps the gauges true until `shutdown`.
pub async fn keep_true(context: Arc<Context>, shutdown: CancellationToken) {
    let mut known = Known::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {
                update(&context);
                update_repositories(&context, &mut known);
            }
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
            let namespace = source.namespace_or(&own);
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

/// Series that exist, so that those go whose object has gone.
#[derive(Default)]
struct Known {
    repositories: BTreeSet<RepositoryName>,
    namespaces: BTreeSet<String>,
}

fn update_repositories(context: &Context, known: &mut Known) {
    let metrics = &context.metrics.maintenance;
    let mut seen = BTreeSet::new();
    for repository in context.stores.repositories.state() {
        let name = RepositoryName {
            namespace: repository.namespace().unwrap_or_default(),
            repository: repository.name_any(),
        };
        set_repository(metrics, &name, &repository);
        seen.insert(name);
    }
    for gone in known.repositories.difference(&seen) {
        metrics.last_success.remove(gone);
        metrics.last_check.remove(gone);
        metrics.size_bytes.remove(gone);
        metrics.restore_points.remove(gone);
        metrics.degraded.remove(gone);
    }
    known.repositories = seen;
    let mut pending: BTreeMap<String, i64> = BTreeMap::new();
    for request in context.stores.forgets.state() {
        let open = i64::from(!request.place().0.is_terminal());
        *pending.entry(request.namespace().unwrap_or_default()).or_default() += open;
    }
    let label = |namespace: &str| Namespace { namespace: namespace.to_owned() };
    for (namespace, count) in &pending {
        metrics.forgets_pending.get_or_create(&label(namespace)).set(*count);
    }
    for gone in known.namespaces.iter().filter(|namespace| !pending.contains_key(*namespace)) {
        metrics.forgets_pending.remove(&label(gone));
    }
    known.namespaces = pending.into_keys().collect();
}

fn set_repository(metrics: &MaintenanceMetrics, name: &RepositoryName, repository: &Repository) {
    let status = repository.status.clone().unwrap_or_default();
    if let Some(bytes) = status.size_bytes {
        metrics.size_bytes.get_or_create(name).set(bytes);
    }
    if let Some(points) = status.restore_points {
        metrics.restore_points.get_or_create(name).set(points);
    }
    if let Some(time) = &status.last_maintenance_time {
        metrics.last_success.get_or_create(name).set(time.0.as_second() as f64);
    }
    if let Some(time) = &status.last_check_time {
        metrics.last_check.get_or_create(name).set(time.0.as_second() as f64);
    }
    let degraded = crate::kinds::repository::is_degraded(&status);
    metrics.degraded.get_or_create(name).set(i64::from(degraded));
}

fn count<K: Queued>(context: &Context, kind: &str, runs: &[Arc<K>]) {
    let number = |all: usize| i64::try_from(all).unwrap_or(i64::MAX);
    let label = Kind { kind: kind.to_owned() };
    let working = runs.iter().filter(|run| is_working(run.as_ref())).count();
    let waiting = runs.iter().filter(|run| is_waiting(run.as_ref())).count();
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
