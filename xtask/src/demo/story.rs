//! The story that the demo tells on a cluster: back up, change, back up again, lose everything, restore elsewhere, compare.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::kubectl::Kubectl;
use super::manifests::{self, Claim, RestorePoint};
use super::progress::Bar;
use super::report::{Report, Row};
use crate::step::{Steps, output, run};

const SECRET: &str = "demo-repository";
/// Bounds every wait for pods, snapshots and claims; a slow machine pulls images and formats disks well within it.
const DEADLINE: Duration = Duration::from_secs(300);
/// Bounds one backup or restore.
const MOVE_DEADLINE: Duration = Duration::from_secs(900);

/// A cluster and the names to use on it.
#[derive(Debug, Clone)]
pub struct Site {
    /// The cluster.
    pub kubectl: Kubectl,
    /// The helm program.
    pub helm: PathBuf,
    /// Longshore's image.
    pub image: String,
    /// Image with a shell, coreutils, findutils, tar, xfsprogs.
    pub workload_image: String,
    /// StorageClass of the demo's volumes.
    pub storage_class: String,
    /// VolumeSnapshotClass of their driver.
    pub snapshot_class: String,
    /// The application's namespace.
    pub namespace: String,
    /// Namespace of Longshore's operator.
    pub operator_namespace: String,
    /// Namespace of the movers and of the repository's Secret; the chart makes it.
    pub protected_namespace: String,
    /// `source=target` pairs of namespaces that an administrator allows.
    pub allow_restore: Vec<String>,
}

/// The demo's two volumes.
pub const VOLUMES: [Claim<'static>; 2] = [
    Claim { name: "files", volume_mode: "Filesystem", size: "2Gi", storage_class: "", snapshot: None },
    Claim { name: "disk", volume_mode: "Block", size: "1Gi", storage_class: "", snapshot: None },
];

/// Keys of the repository's Secret, as the operator of OADP names them.
pub type Credentials = BTreeMap<String, String>;

impl Site {
    /// Installs Longshore with helm and puts the repository's Secret where movers find it.
    ///
    /// # Errors
    /// helm's and kubectl's.
    pub fn install(&self, credentials: &Credentials) -> Result<()> {
        let (repository, tag) = self.image.rsplit_once(':').context("the image needs a tag")?;
        let mut helm = Command::new(&self.helm);
        helm.args(["upgrade", "--install", "longshore"])
            .arg(crate::workspace::root().join("charts/longshore"));
        helm.args([
            "--namespace",
            &self.operator_namespace,
            "--create-namespace",
            "--wait",
            "--timeout",
            "5m",
        ]);
        helm.arg("--kubeconfig").arg(&self.kubectl.kubeconfig);
        if let Some(context) = &self.kubectl.context {
            helm.args(["--kube-context", context]);
        }
        helm.args(["--set", &format!("image.repository={repository},image.tag={tag}")]);
        helm.args(["--set", &format!("protectedNamespaces={{{}}}", self.protected_namespace)]);
        if !self.allow_restore.is_empty() {
            helm.args(["--set", &format!("allowRestore={{{}}}", self.allow_restore.join(","))]);
        }
        run(helm.stdout(Stdio::null()))?;
        let data: Vec<(&str, &str)> =
            credentials.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        self.kubectl.apply(&[
            manifests::namespace(&self.namespace, "privileged"),
            manifests::secret(&self.protected_namespace, SECRET, &data),
        ])
    }

    /// Starts the application on two new volumes and fills the file volume with `tree`.
    ///
    /// # Errors
    /// kubectl's and tar's.
    pub fn start_application(&self, tree: &[PathBuf]) -> Result<()> {
        let claims = VOLUMES.map(|claim| Claim { storage_class: &self.storage_class, ..claim });
        let mut objects: Vec<Value> =
            claims.iter().map(|claim| manifests::claim(&self.namespace, *claim)).collect();
        objects.push(manifests::workload(&self.namespace, &self.workload_image, "files", "disk"));
        self.kubectl.apply(&objects)?;
        self.kubectl.wait(&self.namespace, "pod", "shop", DEADLINE, |pod| {
            Ok((pod["status"]["containerStatuses"][0]["ready"] == true).then_some(()))
        })?;
        self.in_application("until [ -e /tmp/ready ]; do sleep 0.1; done")?;
        for folder in tree {
            let mut tar = Command::new("tar")
                .arg("-C")
                .arg(folder)
                .args(["-cf", "-", "."])
                .stdout(Stdio::piped())
                .spawn()?;
            let stream = tar.stdout.take().context("tar has no stdout")?;
            let name = folder.file_name().context("a source folder without a name")?.to_string_lossy();
            let script = format!("mkdir -p /data/{name}; tar -xpf - -C /data/{name}");
            let mut exec = self.kubectl.command();
            exec.args(["--namespace", &self.namespace, "exec", "-i", "shop", "--", "sh", "-ec", &script]);
            run(exec.stdin(stream))?;
            ensure!(tar.wait()?.success(), "tar of {} failed", folder.display());
        }
        // A part of the tree goes onto the live XFS, so that the device holds real data too.
        self.in_application("cp -a /data/*/src /mnt/xfs/ 2>/dev/null || cp -a /data/*/bin /mnt/xfs/; sync")
    }

    /// Runs a script in the application's pod.
    ///
    /// # Errors
    /// The script's.
    pub fn in_application(&self, script: &str) -> Result<()> {
        self.kubectl
            .run(&["--namespace", &self.namespace, "exec", "shop", "--", "sh", "-ec", script])
            .map(drop)
    }

    /// Takes a VolumeSnapshot of each volume, in use as it is, backs each up, and fingerprints a second clone of the same VolumeSnapshot.
    ///
    /// # Errors
    /// That something did not become ready, or a backup failed; the reason is in the message.
    pub fn back_up(&self, round: u32, report: &mut Report) -> Result<()> {
        for volume in VOLUMES {
            let snapshot = format!("{}-{round}", volume.name);
            self.kubectl.apply(&[manifests::volume_snapshot(
                &self.namespace,
                &snapshot,
                &self.snapshot_class,
                volume.name,
            )])?;
            let content =
                self.kubectl.wait(&self.namespace, "volumesnapshot", &snapshot, DEADLINE, |object| {
                    let ready = object["status"]["readyToUse"] == true;
                    Ok(object["status"]["boundVolumeSnapshotContentName"]
                        .as_str()
                        .filter(|_| ready)
                        .map(str::to_owned))
                })?;
            let begun = Instant::now();
            self.kubectl.apply(&[manifests::backup(
                &self.namespace,
                &snapshot,
                &content,
                &self.protected_namespace,
                SECRET,
            )])?;
            let status = self.follow("vsb", &snapshot)?;
            let row = report.row(volume.name);
            let figure = |name: &str| {
                status["progress"][name].as_u64().with_context(|| format!("the VSB's progress lacks {name}"))
            };
            let uploaded = figure("bytesTransferred")?;
            if round == 1 {
                *row = Row {
                    read: figure("bytesRead")?,
                    uploaded_first: uploaded,
                    seconds_first: begun.elapsed().as_secs_f64(),
                    ..row.clone()
                };
            } else {
                row.uploaded_second = uploaded;
                row.seconds_second = begun.elapsed().as_secs_f64();
            }
            row.fingerprint_origin = self.fingerprint(&snapshot, volume)?;
        }
        Ok(())
    }

    /// Fingerprints a clone of a VolumeSnapshot, then removes the clone.
    fn fingerprint(&self, snapshot: &str, volume: Claim<'_>) -> Result<String> {
        let name = format!("{snapshot}-reference");
        let clone =
            Claim { name: &name, storage_class: &self.storage_class, snapshot: Some(snapshot), ..volume };
        self.kubectl.apply(&[manifests::claim(&self.namespace, clone)])?;
        let text = self.checksum(&name, volume.volume_mode)?;
        self.kubectl.run(&["--namespace", &self.namespace, "delete", "pvc", &name])?;
        Ok(text)
    }

    /// What a pod says a volume holds.
    fn checksum(&self, claim: &str, volume_mode: &str) -> Result<String> {
        let pod = format!("checksum-{claim}");
        self.kubectl.apply(&[manifests::checksum(
            &self.namespace,
            &pod,
            &self.workload_image,
            claim,
            volume_mode,
        )])?;
        let text = self.kubectl.pod_output(&self.namespace, &pod, DEADLINE)?;
        self.kubectl.run(&["--namespace", &self.namespace, "delete", "pod", &pod])?;
        ensure!(!text.trim().is_empty(), "the checksum of {claim} is empty");
        Ok(text)
    }

    /// Follows a VSB or VSR to its end with a bar.
    fn follow(&self, kind: &str, name: &str) -> Result<Value> {
        let mut bar = Bar::start(&format!("  {kind} {name}"));
        let status = self.kubectl.wait(&self.namespace, kind, name, MOVE_DEADLINE, |object| {
            let status = &object["status"];
            bar.show(&status["progress"]);
            match status["phase"].as_str() {
                Some("Completed") => Ok(Some(status.clone())),
                Some(phase @ ("Failed" | "PartiallyFailed")) => {
                    bail!("{kind} {name}: {phase}: {}", status["conditions"])
                }
                _ => Ok(None),
            }
        })?;
        bar.finish();
        Ok(status)
    }

    /// Restores the newest point of each volume, as the repository itself lists them, into PVCs of this site's namespace, and compares.
    ///
    /// # Errors
    /// That a restore failed or its PVC never became usable.
    pub fn restore(&self, points: &[RestorePoint], report: &mut Report) -> Result<()> {
        for (volume, point) in VOLUMES.iter().zip(points) {
            let begun = Instant::now();
            let name = format!("restore-{}", volume.name);
            self.kubectl.apply(&[manifests::restore(
                &self.namespace,
                &name,
                &self.protected_namespace,
                SECRET,
                point,
            )])?;
            self.follow("vsr", &name)?;
            let seconds = begun.elapsed().as_secs_f64();
            let found = self.checksum(volume.name, volume.volume_mode)?;
            self.kubectl.wait(&self.namespace, "pvc", volume.name, DEADLINE, |pvc| {
                Ok((pvc["status"]["phase"] == "Bound").then_some(()))
            })?;
            let row = report.row(volume.name);
            row.seconds_restore = seconds;
            row.fingerprint_restored = found;
        }
        Ok(())
    }
}

/// The newest restore point of each volume, from bucket and password alone.
///
/// # Errors
/// The command line's, or that a point is missing.
pub fn list_points(
    longshore: &PathBuf,
    credentials: &Credentials,
    namespace: &str,
) -> Result<Vec<RestorePoint>> {
    let value = |key: &str| credentials.get(key).with_context(|| format!("the credentials lack {key}"));
    let mut command = Command::new(longshore);
    command.args(["snapshots", "--output", "json", "--repo", value("RESTIC_REPOSITORY")?]);
    command.env("LONGSHORE_PASSWORD", value("RESTIC_PASSWORD")?);
    command.envs(credentials.iter().filter(|(key, _)| key.starts_with("AWS_")));
    let listing: Value = serde_json::from_str(&output(&mut command)?)?;
    let snapshots = listing["snapshots"].as_array().context("`longshore snapshots` printed no list")?;
    VOLUMES
        .iter()
        .map(|volume| {
            let is_of_volume = |point: &&Value| {
                point["kubernetes"]["namespace"] == namespace && point["kubernetes"]["pvcName"] == volume.name
            };
            // The list is ordered by time.
            let newest = snapshots.iter().rfind(is_of_volume);
            let newest = newest.with_context(|| {
                format!("the repository holds no restore point of {namespace}/{}", volume.name)
            })?;
            let text =
                |value: &Value| value.as_str().map(str::to_owned).context("a restore point lacks a field");
            let source = &newest["kubernetes"];
            Ok(RestorePoint {
                reference: text(&newest["reference"])?,
                pvc: text(&source["pvcName"])?,
                size: source["requestedBytes"].to_string(),
                storage_class: text(&source["storageClass"])?,
                snapshot_class: text(&source["volumeSnapshotClass"])?,
            })
        })
        .collect()
}

/// Plays the whole story. `lose_origin` is the disaster between backup and restore.
///
/// # Errors
/// At the first thing that goes wrong; also when a restored volume differs.
pub fn play(
    steps: &Steps,
    (origin, fresh): (&Site, &Site),
    credentials: &Credentials,
    longshore: &PathBuf,
    lose_origin: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let mut report = Report::new(VOLUMES.map(|volume| volume.name));
    steps.run("install Longshore", || origin.install(credentials))?;
    steps.run("start an application on two volumes and fill them with real data", || {
        origin.start_application(&source_trees()?)
    })?;
    steps.run("first backup of both volumes, in use", || origin.back_up(1, &mut report))?;
    steps.run("change something", || {
        origin.in_application("rm -rf /data/*/doc; for i in 1 2 3; do head -c 1000000 /dev/urandom > /data/new-$i; done; head -c 3000000 /dev/urandom > /mnt/xfs/new; sync")
    })?;
    steps.run("second backup", || origin.back_up(2, &mut report))?;
    steps.run("lose the origin", lose_origin)?;
    steps.run("install Longshore in the fresh place: bucket and password are all it gets", || {
        fresh.install(credentials)
    })?;
    let points = steps
        .run("list what the repository holds", || list_points(longshore, credentials, &origin.namespace))?;
    steps.run("restore", || fresh.restore(&points, &mut report))?;
    report.print();
    report.verdict()
}

/// Real trees to back up: the Go toolchain, and the Rust toolchain's programs if that is less than 300 MB.
fn source_trees() -> Result<Vec<PathBuf>> {
    let go = PathBuf::from(output(Command::new("go").args(["env", "GOROOT"]))?.trim());
    let rust = PathBuf::from(output(Command::new("rustc").args(["--print", "sysroot"]))?.trim());
    Ok(vec![go, rust.join("bin"), rust.join("libexec"), rust.join("share")]
        .into_iter()
        .filter(|path| path.exists())
        .collect())
}
