//! The program: connects, waits for its turn, runs the controllers, ends in order.

use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, Client};
use longshore_telemetry::health::{self, Readiness};
use longshore_telemetry::metrics::Metrics;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::context::Context;
use crate::kinds;
use crate::leader::Election;
use crate::options::Options;
use crate::runner::{self, Controller};
use crate::watches;

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
    let (cluster_uid, options) = tokio::select! {
        found = async { anyhow::Ok((cluster_uid(&client).await?, with_own_place(&client, options).await)) } => found?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let (stores, wakes, velero_watches) = watches::start(&client, &options.protected_namespaces);
    let context = Context::new(client, options, stores.clone(), cluster_uid, metrics);
    readiness.set(true);
    let backups = Controller { kind: "backup", store: stores.backups.clone(), woken: wakes.backups };
    let restores = Controller { kind: "restore", store: stores.restores.clone(), woken: wakes.restores };
    let keepers = Controller { kind: "keeper", store: stores.contents.clone(), woken: wakes.keepers };
    let repositories =
        Controller { kind: "repository", store: stores.repositories.clone(), woken: wakes.repositories };
    let forgets = Controller { kind: "forget", store: stores.forgets.clone(), woken: wakes.forgets };
    let all = async {
        tokio::join!(
            crate::gauges::keep_true(context.clone(), shutdown.clone()),
            runner::run(backups, context.clone(), shutdown.clone(), kinds::backup::reconcile),
            runner::run(restores, context.clone(), shutdown.clone(), kinds::restore::reconcile),
            runner::run(keepers, context.clone(), shutdown.clone(), kinds::keeper::reconcile),
            runner::run(repositories, context.clone(), shutdown.clone(), kinds::repository::reconcile),
            runner::run(forgets, context.clone(), shutdown.clone(), kinds::forget::reconcile),
            kinds::data_move::serve(
                context.clone(),
                velero_watches,
                wakes.uploads,
                wakes.downloads,
                shutdown.clone()
            ),
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
    own_namespace().context("outside a pod --leader-elect needs --leader-election-namespace")
}

fn own_namespace() -> Option<String> {
    let text = std::fs::read_to_string("/var/run/secrets/kubernetes.io/serviceaccount/namespace").ok()?;
    Some(text.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Fills in what an operator that was started without flags takes from its own pod, as OADP starts it: the protected namespace and the image.
async fn with_own_place(client: &Client, mut options: Options) -> Options {
    let Some(namespace) = own_namespace() else { return options };
    if options.protected_namespaces.is_empty() {
        tracing::info!(namespace, "no protected namespace is named; the own one is taken");
        options.protected_namespaces.push(namespace.clone());
    }
    if options.image.is_none() {
        let name = std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_default();
        let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
        match pods.get_opt(&name).await {
            Ok(pod) => options.image = pod.as_ref().and_then(image_of),
            Err(error) => {
                tracing::warn!(name, error = %longshore_job::chain(&error), "the own pod cannot be read");
            }
        }
        tracing::info!(image = options.mover().image, "no image is named; the own pod's is taken");
    }
    options
}

/// The image of the operator's container: OADP's name of it, or the only one.
fn image_of(pod: &Pod) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    let named = containers.iter().find(|container| container.name == "data-mover-controller-container");
    named.or(containers.first())?.image.clone()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_movers_image_is_that_of_the_operators_container() {
        let pod = |names: &[&str]| -> Pod {
            let containers: Vec<_> = names
                .iter()
                .map(|name| serde_json::json!({"name": name, "image": format!("image-of-{name}")}))
                .collect();
            serde_json::from_value(serde_json::json!({"spec": {"containers": containers}})).unwrap()
        };
        let ours = "data-mover-controller-container";
        assert_eq!(
            image_of(&pod(&["sidecar", ours])).as_deref(),
            Some("image-of-data-mover-controller-container")
        );
        assert_eq!(image_of(&pod(&["operator"])).as_deref(), Some("image-of-operator"));
        assert_eq!(image_of(&Pod::default()), None);
    }
}
