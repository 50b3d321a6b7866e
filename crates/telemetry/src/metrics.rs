//! What the operator counts. Labels name namespaces and PVCs, never runs, so that the number of series stays bounded.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Whose run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Source {
    /// Namespace of the run.
    pub namespace: String,
    /// The application's PVC.
    pub pvc: String,
}

/// How whose run ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Ended {
    /// Namespace of the run.
    pub namespace: String,
    /// The application's PVC.
    pub pvc: String,
    /// `Completed`, or the reason of the failure.
    pub result: String,
}

/// Namespace alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Namespace {
    /// Namespace of the run.
    pub namespace: String,
}

/// Which Repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct RepositoryName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub repository: String,
}

/// How a maintenance of which Repository ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MaintenanceEnded {
    /// Namespace of the Repository.
    pub namespace: String,
    /// Its name.
    pub repository: String,
    /// `Completed`, or the reason of the failure.
    pub result: String,
}

/// Which kind of run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Kind {
    /// `backup`, `restore`, `keeper`, `repository` or `forget`.
    pub kind: String,
}

/// Which kind of run, and what became of one pass over it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Pass {
    /// `backup`, `restore`, `keeper`, `repository` or `forget`.
    pub kind: String,
    /// `ok` or `error`.
    pub result: String,
}

type Durations = Family<Namespace, Histogram, fn() -> Histogram>;
type Seconds = Gauge<f64, AtomicU64>;

/// The series of one direction.
#[derive(Debug, Clone)]
pub struct RunMetrics {
    /// Runs that ended.
    pub total: Family<Ended, Counter>,
    /// When the last run of a PVC completed, in seconds since 1970.
    pub last_success: Family<Source, Seconds>,
    /// From acceptance to the end.
    pub duration: Durations,
    /// Bytes of volumes handled by completed runs.
    pub bytes_handled: Family<Namespace, Counter>,
    /// Bytes exchanged with repositories by completed runs.
    pub bytes_transferred: Family<Namespace, Counter>,
}

/// The series of repositories and their maintenance.
#[derive(Debug, Clone)]
pub struct MaintenanceMetrics {
    /// Maintenances that ended.
    pub total: Family<MaintenanceEnded, Counter>,
    /// From the start of the mover to its end.
    pub duration: Durations,
    /// Bytes that came back.
    pub bytes_freed: Family<RepositoryName, Counter>,
    /// When the last maintenance ended well, in seconds since 1970.
    pub last_success: Family<RepositoryName, Seconds>,
    /// When the last check ended well, in seconds since 1970.
    pub last_check: Family<RepositoryName, Seconds>,
    /// Bytes in the store.
    pub size_bytes: Family<RepositoryName, Gauge>,
    /// Restore points.
    pub restore_points: Family<RepositoryName, Gauge>,
    /// 1 while the Repository is not as it should be.
    pub degraded: Family<RepositoryName, Gauge>,
    /// Requests to forget that are not over.
    pub forgets_pending: Family<Namespace, Gauge>,
}

/// All series of the operator.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Backups.
    pub backup: RunMetrics,
    /// Restores.
    pub restore: RunMetrics,
    /// Repositories and their maintenance.
    pub maintenance: MaintenanceMetrics,
    /// Runs that hold a slot.
    pub active: Family<Kind, Gauge>,
    /// Runs that wait for one.
    pub queued: Family<Kind, Gauge>,
    /// Passes of the controllers.
    pub reconciles: Family<Pass, Counter>,
    /// Time of one pass.
    pub reconcile_duration: Family<Kind, Histogram, fn() -> Histogram>,
    /// 1 while this process leads.
    pub leader: Gauge,
    registry: Arc<Registry>,
}

fn run_histogram() -> Histogram {
    Histogram::new([1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 4.0 * 3_600.0, 24.0 * 3_600.0])
}

fn pass_histogram() -> Histogram {
    Histogram::new([0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0])
}

impl RunMetrics {
    fn register(registry: &mut Registry, kind: &str) -> Self {
        let metrics = Self {
            total: Family::default(),
            last_success: Family::default(),
            duration: Family::new_with_constructor(run_histogram),
            bytes_handled: Family::default(),
            bytes_transferred: Family::default(),
        };
        // The encoder appends `_total` to counters.
        registry.register(kind.to_owned(), format!("{kind}s that ended"), metrics.total.clone());
        registry.register(
            format!("{kind}_last_success_timestamp_seconds"),
            format!("when the last {kind} of a PVC completed"),
            metrics.last_success.clone(),
        );
        registry.register(
            format!("{kind}_duration_seconds"),
            format!("duration of {kind}s"),
            metrics.duration.clone(),
        );
        registry.register(
            format!("{kind}_bytes_handled"),
            format!("bytes of volumes handled by completed {kind}s"),
            metrics.bytes_handled.clone(),
        );
        registry.register(
            format!("{kind}_bytes_transferred"),
            format!("bytes exchanged with repositories by completed {kind}s"),
            metrics.bytes_transferred.clone(),
        );
        metrics
    }
}

impl MaintenanceMetrics {
    fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            total: Family::default(),
            duration: Family::new_with_constructor(run_histogram),
            bytes_freed: Family::default(),
            last_success: Family::default(),
            last_check: Family::default(),
            size_bytes: Family::default(),
            restore_points: Family::default(),
            degraded: Family::default(),
            forgets_pending: Family::default(),
        };
        registry.register("maintenance", "maintenances of repositories that ended", metrics.total.clone());
        let duration = metrics.duration.clone();
        registry.register("maintenance_duration_seconds", "duration of maintenances", duration);
        let freed = metrics.bytes_freed.clone();
        registry.register("maintenance_bytes_freed", "bytes that maintenance gave back", freed);
        let last = metrics.last_success.clone();
        registry.register(
            "maintenance_last_success_timestamp_seconds",
            "when the last maintenance ended well",
            last,
        );
        let last = metrics.last_check.clone();
        registry.register("repository_last_check_timestamp_seconds", "when the last check ended well", last);
        registry.register("repository_size_bytes", "bytes in the store", metrics.size_bytes.clone());
        registry.register("repository_restore_points", "restore points", metrics.restore_points.clone());
        let degraded = metrics.degraded.clone();
        registry.register("repository_degraded", "1 while a repository is not as it should be", degraded);
        let pending = metrics.forgets_pending.clone();
        registry.register("forget_pending", "requests to forget that are not over", pending);
        metrics
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All series, registered, at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("longshore");
        let backup = RunMetrics::register(&mut registry, "backup");
        let restore = RunMetrics::register(&mut registry, "restore");
        let maintenance = MaintenanceMetrics::register(&mut registry);
        let active = Family::<Kind, Gauge>::default();
        registry.register("mover_active", "runs that hold a slot", active.clone());
        let queued = Family::<Kind, Gauge>::default();
        registry.register("mover_queued", "runs that wait for a slot", queued.clone());
        let reconciles = Family::<Pass, Counter>::default();
        registry.register("reconcile", "passes of the controllers", reconciles.clone());
        let reconcile_duration: Family<Kind, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(pass_histogram);
        registry.register("reconcile_duration_seconds", "time of one pass", reconcile_duration.clone());
        let leader = Gauge::default();
        registry.register("leader", "1 while this process leads", leader.clone());
        Self {
            backup,
            restore,
            maintenance,
            active,
            queued,
            reconciles,
            reconcile_duration,
            leader,
            registry: Arc::new(registry),
        }
    }

    /// The series in the text format of OpenMetrics.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail; an empty page is what a scraper would see if it did.
        if encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }

    /// `/metrics`.
    pub fn router(&self) -> Router {
        let metrics = self.clone();
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        Router::new().route(
            "/metrics",
            get(move || {
                let page = metrics.render();
                async move { ([(CONTENT_TYPE, content_type)], page) }
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_carry_the_names_that_dashboards_use() {
        let metrics = Metrics::new();
        let ended = Ended { namespace: "shop".into(), pvc: "data".into(), result: "Completed".into() };
        metrics.backup.total.get_or_create(&ended).inc();
        let source = Source { namespace: "shop".into(), pvc: "data".into() };
        metrics.backup.last_success.get_or_create(&source).set(5.0);
        metrics.leader.set(1);
        let repository = RepositoryName { namespace: "velero".into(), repository: "main".into() };
        metrics.maintenance.size_bytes.get_or_create(&repository).set(7);
        metrics.maintenance.restore_points.get_or_create(&repository).set(2);
        metrics.maintenance.bytes_freed.get_or_create(&repository).inc_by(3);
        let result = "Completed".into();
        let ended = MaintenanceEnded { namespace: "velero".into(), repository: "main".into(), result };
        metrics.maintenance.total.get_or_create(&ended).inc();
        let page = metrics.render();
        for line in [
            "longshore_backup_total{namespace=\"shop\",pvc=\"data\",result=\"Completed\"} 1",
            "longshore_backup_last_success_timestamp_seconds{namespace=\"shop\",pvc=\"data\"} 5.0",
            "longshore_leader 1",
            "longshore_repository_size_bytes{namespace=\"velero\",repository=\"main\"} 7",
            "longshore_repository_restore_points{namespace=\"velero\",repository=\"main\"} 2",
            "longshore_maintenance_bytes_freed_total{namespace=\"velero\",repository=\"main\"} 3",
            "longshore_maintenance_total{namespace=\"velero\",repository=\"main\",result=\"Completed\"} 1",
        ] {
            assert!(page.contains(line), "{line} is missing in\n{page}");
        }
    }
}
