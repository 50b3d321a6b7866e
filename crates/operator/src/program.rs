//! The program: connects, waits for its turn, runs the controllers, ends in order.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use longshore_telemetry::health::{self, Readiness};
use longshore_telemetry::metrics::Metrics;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cluster::Context;
use crate::kinds;
use crate::leader::Election;
use crate::options::Options;
use crate::runner::{self, Controller};
use crate::{velero, watches};

/// How long passes that have begun may take once the program is told to end.
const PATIENCE_AT_THE_END: Duration = Duration::from_secs(20);

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// When the cluster cannot be reached at the start, an address cannot be bound, or the lease is lost.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let shutdown = CancellationToken::new();
    end_on_signal(shutdown.clone())?;
    let metrics = Metrics::new();
    let readiness = Readiness::new();
    serve(&options, &metrics, &readiness, &shutdown)?;
    let client = Client::try_default().await.context("cannot find the cluster")?;
    let mut holding = None;
    if options.leader_elect {
        let namespace = election_namespace(&options)?;
        let identity = std::env::var("POD_NAME")
            .unwrap_or_else(|_| format!("longshore-operator-{}", std::process::id()));
        let mut election = Election::new(client.clone(), &namespace, identity);
        // A replica that waits for its turn is ready: it is all that it should be.
        readiness.set(true);
        if !election.acquire(&shutdown).await {
            return Ok(());
        }
        holding = Some(election);
    }
    tracing::info!("this process leads");
    metrics.leader.set(1);
    let controllers = tokio::spawn(lead(client, options, metrics, readiness, shutdown.clone()));
    let held = match holding {
        // The lease is given back only after the last pass, so that nobody else begins before.
        Some(election) => {
            let ended = CancellationToken::new();
            let hold = tokio::spawn(election.hold(ended.clone()));
            let result = finish(controllers, &shutdown, hold, &ended).await;
            return result;
        }
        None => controllers.await,
    };
    held.context("the controllers panicked")?
}

async fn finish(
    mut controllers: tokio::task::JoinHandle<anyhow::Result<()>>,
    shutdown: &CancellationToken,
    mut hold: tokio::task::JoinHandle<bool>,
    ended: &CancellationToken,
) -> anyhow::Result<()> {
    tokio::select! {
        result = &mut controllers => {
            ended.cancel();
            hold.await.context("the lease's task panicked")?;
            result.context("the controllers panicked")?
        }
        _ = &mut hold => {
            // Another may lead by now: nothing more may be written.
            shutdown.cancel();
            controllers.abort();
            anyhow::bail!("the lease was lost");
        }
    }
}

async fn lead(
    client: Client,
    options: Options,
    metrics: Metrics,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let cluster_uid = tokio::select! {
        uid = cluster_uid(&client) => uid?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let (stores, wakes, velero_watches) = watches::start(&client, &options.protected_namespaces);
    let context = Context::new(client, options, stores.clone(), cluster_uid, metrics);
    readiness.set(true);
    let backups = Controller { kind: "backup", store: stores.backups.clone(), woken: wakes.backups };
    let restores = Controller { kind: "restore", store: stores.restores.clone(), woken: wakes.restores };
    let keepers = Controller { kind: "keeper", store: stores.contents.clone(), woken: wakes.keepers };
    let all = async {
        tokio::join!(
            crate::gauges::keep_true(context.clone(), shutdown.clone()),
            runner::run(backups, context.clone(), shutdown.clone(), kinds::backup::reconcile),
            runner::run(restores, context.clone(), shutdown.clone(), kinds::restore::reconcile),
            runner::run(keepers, context.clone(), shutdown.clone(), kinds::keeper::reconcile),
            velero::serve(context.clone(), velero_watches, wakes.uploads, wakes.downloads, shutdown.clone()),
        );
    };
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(PATIENCE_AT_THE_END).await;
    };
    tokio::select! {
        () = all => {}
        () = late => tracing::warn!("passes did not end in time; the next start takes them up"),
    }
    Ok(())
}

async fn cluster_uid(client: &Client) -> anyhow::Result<String> {
    let namespaces = Api::<Namespace>::all(client.clone());
    let system = namespaces.get("kube-system").await.context("cannot read the namespace kube-system")?;
    system.metadata.uid.context("the namespace kube-system has no UID")
}

fn election_namespace(options: &Options) -> anyhow::Result<String> {
    if let Some(namespace) = options.leader_election_namespace.clone().filter(|name| !name.is_empty()) {
        return Ok(namespace);
    }
    std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
        .map(|name| name.trim().to_owned())
        .context("outside a pod --leader-elect needs --leader-election-namespace")
}

fn serve(
    options: &Options,
    metrics: &Metrics,
    readiness: &Readiness,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let pages = [
        (&options.metrics_bind_address, metrics.router()),
        (&options.health_probe_bind_address, health::router(readiness.clone())),
    ];
    for (text, router) in pages {
        // "0" switches a page off, as in other operators.
        if text == "0" {
            continue;
        }
        let address =
            health::bind_address(text).with_context(|| format!("cannot read the address {text}"))?;
        let stop = shutdown.clone();
        tokio::spawn(async move {
            if let Err(error) = health::serve(address, router, stop.clone().cancelled_owned()).await {
                tracing::error!(%address, %error, "cannot serve");
                stop.cancel();
            }
        });
    }
    Ok(())
}

fn end_on_signal(shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("told to end");
        shutdown.cancel();
    });
    Ok(())
}
