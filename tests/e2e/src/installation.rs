//! One installation of Longshore per run, in both clusters, by its own chart.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use longshore_lab::{ClusterName, DEFAULT_DRIVER, Lab, Minio, Silent};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::kinds;
use crate::wait::SETTLE;

/// Where the operator lives.
pub const OPERATOR_NAMESPACE: &str = "longshore";
/// Where movers and Secrets live.
pub const PROTECTED_NAMESPACE: &str = "longshore-movers";
/// A second protected namespace, for scenarios that put a quota on it.
pub const QUOTA_NAMESPACE: &str = "longshore-movers-quota";
/// Where Velero and its objects live; protected too, since movers of its volumes run there.
pub const VELERO_NAMESPACE: &str = "velero";
/// Longshore's image on the nodes.
pub const IMAGE: &str = "localhost/longshore:dev";
/// Image with a shell and tools.
pub const WORKLOAD_IMAGE: &str = "localhost/workload:dev";

/// Marks namespaces that scenarios made.
pub(crate) const SCENARIO_LABEL: &str = "longshore-e2e";

/// The lab with Longshore installed.
pub struct Site {
    /// The lab.
    pub lab: Lab,
    /// Where backups are made.
    pub origin: Cluster,
    /// Where most restores are made.
    pub fresh: Cluster,
    /// The object store.
    pub minio: Minio,
    /// A few letters that no other run has.
    pub run: String,
    /// The command line program, built from this checkout.
    pub longshore: PathBuf,
    helm: PathBuf,
    /// Names the image's content.
    version: String,
    /// Nobody takes the lab away while scenarios run on it.
    _lock: File,
}

static SITE: OnceLock<std::result::Result<Site, String>> = OnceLock::new();

/// The lab with Longshore installed; the first caller installs it.
///
/// # Errors
/// When the lab is not up, or the installation fails.
pub fn site() -> Result<&'static Site> {
    SITE.get_or_init(|| Site::prepare().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|error| anyhow::anyhow!("the installation failed: {error}"))
}

/// Source and target namespace of the one pair that the installation allows to restore across.
pub fn allowed_pair(run: &str) -> (String, String) {
    (format!("e2e-allowed-source-{run}"), format!("e2e-allowed-target-{run}"))
}

impl Site {
    fn prepare() -> Result<Self> {
        let lab = Lab::open(&Silent)?;
        let lock = lab.lock()?;
        let minio = lab.minio();
        let [origin, fresh] = [ClusterName::Origin, ClusterName::Fresh].map(|name| lab.cluster(name));
        let down: Vec<String> = [&origin, &fresh].into_iter().flat_map(what_is_down).collect();
        ensure!(
            minio.is_running() && down.is_empty(),
            "the lab is not up: run `cargo xtask lab up` (`cargo xtask test` does it by itself); down: {}",
            down.join(", ")
        );
        let (origin, fresh) = (Cluster::connect(origin)?, Cluster::connect(fresh)?);
        let archive = lab.longshore_archive(&Silent)?;
        let version = archive.file_name().context("the archive has no name")?.to_string_lossy().into_owned();
        let longshore = longshore_lab::cargo::build(&[("longshore-cli", "longshore")], &Silent)?;
        let site = Self {
            longshore: longshore.into_iter().next().context("the command line was not built")?,
            run: run_name()?,
            helm: lab.helm(&Silent)?,
            version,
            _lock: lock,
            lab,
            origin,
            fresh,
            minio,
        };
        for cluster in [&site.origin, &site.fresh] {
            remove_leftovers(cluster)?;
            cluster.lab.load_image(&archive)?;
            site.install(cluster, &json!({}))
                .with_context(|| format!("could not install Longshore in {}", cluster.lab.name))?;
        }
        Ok(site)
    }

    /// Installs Longshore, or changes it. `changes` are values of the chart that differ from what all scenarios share; without them the
    /// shared ones come back.
    ///
    /// # Errors
    /// Helm's, with what the operator's pod says.
    pub fn install(&self, cluster: &Cluster, changes: &Value) -> Result<()> {
        let (repository, tag) = IMAGE.rsplit_once(':').context("the image has no tag")?;
        let (source, target) = allowed_pair(&self.run);
        let mut values = json!({
            "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
            "protectedNamespaces": [PROTECTED_NAMESPACE, QUOTA_NAMESPACE, VELERO_NAMESPACE],
            "allowRestore": [format!("{source}={target}")],
            // A new image under the old tag must give a new pod.
            "podAnnotations": {"longshore-e2e/image": self.version},
            // Every scenario runs at trace level, so that the search for secrets sees all there is to see.
            "logLevel": "trace",
        });
        for (name, value) in changes.as_object().into_iter().flatten() {
            values[name] = value.clone();
        }
        let file = ValuesFile::write(&values)?;
        let chart = longshore_lab::Paths::checkout().join("charts/longshore");
        let mut command = Command::new(&self.helm);
        command.args(["upgrade", "--install", "longshore"]).arg(chart).arg("--values").arg(&file.0);
        command.args(["--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--wait", "--timeout", "2m"]);
        command.arg("--kubeconfig").arg(cluster.lab.kubeconfig());
        let output = command.output().context("could not start helm")?;
        if !output.status.success() {
            let pods = cluster.lab.kubectl(&["-n", OPERATOR_NAMESPACE, "get", "pods", "-o", "wide"]);
            let logs =
                cluster.lab.kubectl(&["-n", OPERATOR_NAMESPACE, "logs", "--tail=20", "deployment/longshore"]);
            bail!("helm: {}\n{pods:?}\n{logs:?}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// The cluster's operator pod that lives now.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn operator_pod(&self, cluster: &Cluster) -> Result<Value> {
        let pods = cluster.list(&kinds::POD, OPERATOR_NAMESPACE, "app.kubernetes.io/component=operator")?;
        let mut living = pods.into_iter().filter(|pod| {
            pod["metadata"]["deletionTimestamp"].is_null() && pod["status"]["phase"] == "Running"
        });
        let pod = living.next().context("no operator runs")?;
        ensure!(living.next().is_none(), "more than one operator runs");
        Ok(pod)
    }
}

/// The parts of a cluster that do not run, or the cluster's name when nothing does.
fn what_is_down(cluster: &longshore_lab::Cluster) -> Vec<String> {
    let components = cluster.components().unwrap_or_default();
    let driver = cluster.driver(DEFAULT_DRIVER).process("driver");
    if !components.iter().any(|(name, _)| *name == driver) {
        return vec![format!("{}: its CSI driver", cluster.name)];
    }
    if cluster.is_healthy() {
        return Vec::new();
    }
    let down = components.iter().filter(|(_, process)| process.is_none());
    let names: Vec<String> = down.map(|(name, _)| format!("{}: {name}", cluster.name)).collect();
    if names.is_empty() { vec![cluster.name.to_string()] } else { names }
}

/// What an earlier run left: its scenarios' namespaces, and Secrets in the protected ones.
fn remove_leftovers(cluster: &Cluster) -> Result<()> {
    let left = cluster.list(&kinds::NAMESPACE, "", SCENARIO_LABEL)?;
    let names: Vec<&str> =
        left.iter().filter_map(|namespace| namespace["metadata"]["name"].as_str()).collect();
    for name in &names {
        cluster.delete(&kinds::NAMESPACE, "", name)?;
    }
    for name in names {
        cluster.wait_gone(&kinds::NAMESPACE, "", name, SETTLE).context(
            "namespaces of an earlier run do not go; if its runs need an operator that is broken, take the lab down",
        )?;
    }
    for namespace in [PROTECTED_NAMESPACE, QUOTA_NAMESPACE, VELERO_NAMESPACE] {
        for secret in cluster.list(&kinds::SECRET, namespace, SCENARIO_LABEL)? {
            let name = secret["metadata"]["name"].as_str().context("a Secret without name")?;
            cluster.delete(&kinds::SECRET, namespace, name)?;
        }
    }
    Ok(())
}

fn run_name() -> Result<String> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let letters = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut rest = seconds;
    let mut name = String::new();
    for _ in 0..5 {
        let digit = usize::try_from(rest % 36)?;
        name.insert(0, char::from(letters[digit]));
        rest /= 36;
    }
    Ok(name)
}

/// A file for helm, gone when it is no longer needed.
struct ValuesFile(PathBuf);

impl ValuesFile {
    fn write(values: &Value) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("longshore-e2e-{}.json", std::process::id()));
        std::fs::write(&path, values.to_string())?;
        Ok(Self(path))
    }
}

impl Drop for ValuesFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
