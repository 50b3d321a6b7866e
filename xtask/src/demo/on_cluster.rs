//! The demo on the user's own cluster, in namespaces of its own; the restore goes into a second one.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::Arguments;
use super::kubectl::Kubectl;
use super::story::{self, Credentials, Site};
use crate::step::{self, Steps};
use crate::workspace;

const OPERATOR_NAMESPACE: &str = "longshore-demo";
const PROTECTED_NAMESPACE: &str = "longshore-demo-movers";
const ORIGIN_NAMESPACE: &str = "longshore-demo-shop";
const FRESH_NAMESPACE: &str = "longshore-demo-shop-restored";

/// Plays on the cluster of `kubeconfig` and removes everything the demo made there, whatever happens. What it put into the bucket stays.
///
/// # Errors
/// As the story's; also when the cluster lacks what the demo needs, before anything is made.
pub fn play(kubeconfig: &Path, image: &str, credentials: &Path, arguments: &Arguments) -> Result<()> {
    let steps = Steps::start();
    let kubectl = Kubectl {
        program: "kubectl".into(),
        kubeconfig: kubeconfig.to_owned(),
        context: arguments.context.clone(),
    };
    let credentials = read_credentials(credentials)?;
    let (storage_class, snapshot_class) =
        steps.run("look at the cluster", || preflight(&kubectl, arguments))?;
    let longshore = steps.run("build longshore", || workspace::program("longshore-cli", "longshore"))?;
    let helm = steps.run("build helm", || {
        longshore_lab::gobuild::helm(
            &longshore_lab::Paths::from_environment()?,
            &longshore_lab::Console::new(),
        )
    })?;
    let origin = Site {
        kubectl: kubectl.clone(),
        helm: helm.clone(),
        image: image.to_owned(),
        workload_image: arguments.workload_image.clone(),
        storage_class,
        snapshot_class,
        namespace: ORIGIN_NAMESPACE.to_owned(),
        operator_namespace: OPERATOR_NAMESPACE.to_owned(),
        protected_namespace: PROTECTED_NAMESPACE.to_owned(),
        allow_restore: vec![format!("{ORIGIN_NAMESPACE}={FRESH_NAMESPACE}")],
    };
    let fresh = Site { namespace: FRESH_NAMESPACE.to_owned(), ..origin.clone() };
    let told = story::play(&steps, (&origin, &fresh), &credentials, &longshore, || {
        kubectl.run(&["delete", "namespace", ORIGIN_NAMESPACE]).map(drop)
    });
    let cleaned = steps.run("clean up", || clean_up(&kubectl, &helm));
    told.and(cleaned)
}

fn clean_up(kubectl: &Kubectl, helm: &Path) -> Result<()> {
    for namespace in [ORIGIN_NAMESPACE, FRESH_NAMESPACE] {
        kubectl.run(&["delete", "namespace", namespace, "--ignore-not-found"])?;
    }
    let mut uninstall = std::process::Command::new(helm);
    uninstall.args([
        "uninstall",
        "longshore",
        "--namespace",
        OPERATOR_NAMESPACE,
        "--wait",
        "--ignore-not-found",
        "--kubeconfig",
    ]);
    uninstall.arg(&kubectl.kubeconfig);
    if let Some(context) = &kubectl.context {
        uninstall.args(["--kube-context", context]);
    }
    step::run(uninstall.stdout(std::process::Stdio::null()))?;
    kubectl.run(&["delete", "namespace", OPERATOR_NAMESPACE, PROTECTED_NAMESPACE, "--ignore-not-found"])?;
    // The chart keeps its definitions, so that an uninstall loses nobody's resources; the preflight saw that these are the demo's own.
    let ours = ["--selector", "app.kubernetes.io/part-of=longshore", "--ignore-not-found"];
    kubectl.run(&[&["delete", "customresourcedefinition"], &ours[..]].concat()).map(drop)
}

/// Finds the classes to use, and says what is missing.
fn preflight(kubectl: &Kubectl, arguments: &Arguments) -> Result<(String, String)> {
    for namespace in [OPERATOR_NAMESPACE, PROTECTED_NAMESPACE, ORIGIN_NAMESPACE, FRESH_NAMESPACE] {
        if kubectl.get("default", "namespace", namespace)?.is_some() {
            bail!(
                "namespace {namespace} exists already: the demo only uses namespaces that it made; delete it first"
            );
        }
    }
    let definition = "volumesnapshotbackups.datamover.oadp.openshift.io";
    if kubectl.get("default", "customresourcedefinition", definition)?.is_some() {
        bail!(
            "{definition} exists already: another data mover works on this cluster, and two would act on the same resources"
        );
    }
    let list = |kind: &str| -> Result<Vec<Value>> {
        let text = kubectl
            .run(&["get", kind, "--output", "json"])
            .with_context(|| format!("cannot list {kind}: is the snapshot controller installed?"))?;
        let listing: Value = serde_json::from_str(&text)?;
        Ok(listing["items"].as_array().cloned().unwrap_or_default())
    };
    let is_default = |class: &Value| {
        class["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
    };
    let classes = list("storageclass")?;
    let class = classes
        .iter()
        .find(|class| {
            arguments
                .storage_class
                .as_ref()
                .map_or(is_default(class), |name| class["metadata"]["name"] == name.as_str())
        })
        .context("no such StorageClass, or no default one: name one with --storage-class")?;
    let driver = &class["provisioner"];
    let snapshot_classes = list("volumesnapshotclass")?;
    let of_driver: Vec<&Value> = snapshot_classes
        .iter()
        .filter(|candidate| &candidate["driver"] == driver)
        .filter(|candidate| {
            arguments
                .volume_snapshot_class
                .as_ref()
                .is_none_or(|name| candidate["metadata"]["name"] == name.as_str())
        })
        .collect();
    let [snapshot_class] = of_driver[..] else {
        bail!(
            "{} VolumeSnapshotClasses fit driver {driver}: name one with --volume-snapshot-class",
            of_driver.len()
        );
    };
    let name = |object: &Value| {
        object["metadata"]["name"].as_str().map(str::to_owned).context("a class has no name")
    };
    Ok((name(class)?, name(snapshot_class)?))
}

fn read_credentials(path: &Path) -> Result<Credentials> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            line.split_once('=')
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .context("a line is not KEY=VALUE")
        })
        .collect()
}
