//! Runs the controllers and does what all of them do around a pass: spans, metrics, events, the next try.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use jiff::Timestamp;
use kube::Resource;
use kube::runtime::controller::{Action, Config, Error as PassError, applier};
use kube::runtime::reflector::{ObjectRef, Store};
use longshore_api::{Phase, RunProgress};
use longshore_job::Outcome;
use longshore_telemetry::metrics::{Ended as EndedLabels, Kind, Namespace, Pass, RunMetrics, Source};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::cluster::{Error, ErrorClass};
use crate::context::Context;
use crate::mover::MoverState;
use crate::reason::Trouble;
use crate::status::{
    PROGRESSING, RunStatus, failure, progressing_reason, set_condition, set_generation, trouble,
};
use crate::sweep::Sweep;
use longshore_job::chain;

/// Passes at once, of one controller.
const PASSES_AT_ONCE: u16 = 16;

/// Now, in whole seconds, as Kubernetes writes times.
pub fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

/// The next pass at the latest after this time.
pub fn requeue(after: Duration) -> Action {
    Action::requeue(after.max(Duration::from_millis(200)))
}

/// The status that was seen of a run of this generation, with the trouble that acting met.
pub fn with_trouble<S: RunStatus>(seen: &S, generation: Option<i64>, trouble: &Trouble) -> S {
    let mut status = seen.clone();
    let reason = trouble.reason.as_str();
    set_condition(status.conditions_mut(), now(), PROGRESSING, true, reason, &trouble.text());
    set_generation(&mut status, generation);
    status
}

/// What the end of a run means for metrics.
pub struct Ended<'a> {
    /// Series of the kind.
    pub metrics: &'a RunMetrics,
    /// Namespace of the run.
    pub namespace: &'a str,
    /// The application's PVC.
    pub pvc: &'a str,
    /// Final figures.
    pub progress: Option<&'a RunProgress>,
}

/// Writes down what a mover reported, since its own log goes with its pod.
pub fn tell_result(mover: &MoverState) {
    match mover {
        MoverState::Succeeded(Outcome::BackedUp(result)) => tracing::info!(?result, "the mover is done"),
        MoverState::Succeeded(Outcome::Restored(result)) => tracing::info!(?result, "the mover is done"),
        MoverState::Succeeded(Outcome::Forgotten(result)) => tracing::info!(?result, "the mover is done"),
        MoverState::Succeeded(Outcome::Maintained(result)) => tracing::info!(?result, "the mover is done"),
        _ => {}
    }
}

/// Tells users and metrics that a run entered another phase.
pub async fn after_write<K, S>(context: &Context, object: &K, old: &S, new: &S, ended: &Ended<'_>)
where
    K: Resource<DynamicType = ()>,
    S: RunStatus,
{
    let phase = new.phase();
    if old.phase() == phase {
        let waits = trouble(new).filter(|(reason, _)| progressing_reason(old) != *reason);
        if let Some((reason, message)) = waits {
            tracing::warn!(reason, message, "the run waits");
            context.tell(object, true, reason, message).await;
        }
        return;
    }
    let (reason, message) = failure(new).unwrap_or_default();
    tracing::info!(
        from = old.phase().as_str(),
        to = phase.as_str(),
        reason,
        message,
        "the run enters a phase"
    );
    match phase {
        Phase::InProgress => context.tell(object, false, "Accepted", "the run was accepted").await,
        Phase::SnapshotBackupDone => {
            context.tell(object, false, "RestorePointCreated", "the data is in the repository").await;
        }
        Phase::SnapshotRestoreDone => {
            context.tell(object, false, "SnapshotRestored", "the restored snapshot is published").await;
        }
        Phase::Completed => context.tell(object, false, "Completed", "the run is complete").await,
        Phase::Failed => context.tell(object, true, reason, message).await,
        _ => {}
    }
    if phase.is_terminal() {
        count(ended, old, new);
    }
}

fn count<S: RunStatus>(ended: &Ended<'_>, old: &S, new: &S) {
    let (namespace, pvc) = (ended.namespace.to_owned(), ended.pvc.to_owned());
    let completed = new.phase() == Phase::Completed;
    let result = if completed { "Completed" } else { failure(new).map_or("Failed", |(reason, _)| reason) };
    let labels = EndedLabels { namespace: namespace.clone(), pvc: pvc.clone(), result: result.to_owned() };
    ended.metrics.total.get_or_create(&labels).inc();
    let by_namespace = Namespace { namespace: namespace.clone() };
    if let Some(start) = new.start().or(old.start()) {
        let seconds = now().duration_since(start).as_secs_f64();
        ended.metrics.duration.get_or_create(&by_namespace).observe(seconds);
    }
    if completed {
        let source = Source { namespace, pvc };
        ended.metrics.last_success.get_or_create(&source).set(now().as_second() as f64);
        let bytes = |value: Option<i64>| u64::try_from(value.unwrap_or(0)).unwrap_or(0);
        let progress = ended.progress.cloned().unwrap_or_default();
        ended.metrics.bytes_handled.get_or_create(&by_namespace).inc_by(bytes(progress.bytes_done));
        ended
            .metrics
            .bytes_transferred
            .get_or_create(&by_namespace)
            .inc_by(bytes(progress.bytes_transferred));
    }
}

/// A controller: what it is called, what it looks at, and what wakes it.
pub struct Controller<K: Resource<DynamicType = ()> + Clone + 'static> {
    /// `backup`, `restore`, `keeper`, `repository` or `forget`.
    pub kind: &'static str,
    /// Its objects.
    pub store: Store<K>,
    /// Objects to look at.
    pub woken: UnboundedReceiver<ObjectRef<K>>,
}

/// Runs a controller until `shutdown`; passes that have begun end first.
pub async fn run<K, F>(
    controller: Controller<K>,
    context: Arc<Context>,
    shutdown: CancellationToken,
    pass: fn(Arc<K>, Arc<Context>) -> F,
) where
    K: Resource<DynamicType = ()> + Sweep + Clone + Debug + Send + Sync + 'static,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let Controller { kind, store, woken } = controller;
    let queue = UnboundedReceiverStream::new(woken)
        .map(Ok::<_, Infallible>)
        .take_until(async move { shutdown.cancelled().await });
    let swept = context.clone();
    let passes = applier(
        move |object: Arc<K>, context: Arc<Context>| Box::pin(one_pass(kind, object, context, pass)),
        |_, error, _| retry(error),
        context,
        store,
        queue,
        Config::default().concurrency(PASSES_AT_ONCE),
    );
    passes
        .for_each(|result| {
            let context = swept.clone();
            async move {
                // A pass that failed has said so itself.
                if let Err(PassError::ObjectNotFound(missing)) = result {
                    let missing = ObjectRef::<K>::new(&missing.name).within(missing.namespace.as_deref().unwrap_or_default());
                    if let Err(error) = K::sweep(context, missing).await {
                        tracing::warn!(kind, error = %chain(&error), "orphans could not be removed; the next start tries again");
                    }
                }
            }
        })
        .await;
}

async fn one_pass<K, F>(
    kind: &'static str,
    object: Arc<K>,
    context: Arc<Context>,
    pass: fn(Arc<K>, Arc<Context>) -> F,
) -> Result<Action, Error>
where
    K: Resource<DynamicType = ()>,
    F: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let span = tracing::info_span!(
        "run",
        kind,
        namespace = object.meta().namespace.as_deref().unwrap_or_default(),
        name = object.meta().name.as_deref().unwrap_or_default(),
        uid = object.meta().uid.as_deref().unwrap_or_default(),
    );
    let started = Instant::now();
    let metrics = context.metrics.clone();
    let result = pass(object, context).instrument(span.clone()).await;
    let outcome = if result.is_ok() { "ok" } else { "error" };
    metrics.reconciles.get_or_create(&Pass { kind: kind.to_owned(), result: outcome.to_owned() }).inc();
    metrics
        .reconcile_duration
        .get_or_create(&Kind { kind: kind.to_owned() })
        .observe(started.elapsed().as_secs_f64());
    if let Err(error) = &result {
        span.in_scope(|| tracing::warn!(error = %chain(error), class = ?error.class(), "a pass failed"));
    }
    result
}

fn retry(error: &Error) -> Action {
    match error.class() {
        ErrorClass::Transient => Action::requeue(Duration::from_secs(3)),
        ErrorClass::Refused | ErrorClass::Internal => Action::requeue(Duration::from_secs(30)),
    }
}
