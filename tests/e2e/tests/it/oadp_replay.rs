//! OADP's plugins played call by call, in the two generations that had a data mover: 1.1 (B) and 1.2 (C). What they create, read, wait for and delete
//! is theirs; that a backup comes back and stays in the repository is ours.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use longshore_e2e::{
    Cluster, Outcome, PROTECTED_NAMESPACE, Run, SETTLE, SHORT, Scenario, Snapshot, VolumeMode, WORK,
    application, condition, eventually, kinds, phase, text, tree,
};
use serde_json::{Value, json};

const CLAIM: &str = "data";
const CLASS: &str = "lab-ext4";
const SIZE: &str = "32Mi";
const MODE: VolumeMode = VolumeMode::Filesystem;

/// Which plugins are played.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// OADP 1.1: everything inline, Velero's fork waits.
    B,
    /// OADP 1.2: asynchronous item operations.
    C,
}

/// Velero with OADP's plugins, as far as a data mover sees them.
pub struct Plugins<'a> {
    scenario: &'a Scenario,
    generation: Generation,
    /// Name of the Velero Backup.
    backup: String,
    /// Secret of the storage location: `<bsl>-volsync-restic`.
    secret: String,
}

impl<'a> Plugins<'a> {
    /// Installs the Secret as OADP's operator writes it, in both clusters.
    pub fn install(scenario: &'a Scenario, generation: Generation) -> Result<Self> {
        let secret = format!("{}-volsync-restic", scenario.namespace);
        let mut data = scenario.credentials()?;
        for (key, value) in [
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("RESTIC_CUSTOM_CA", ""),
            ("restic-prune-interval", "1"),
            ("SnapshotRetainPolicyHourly", "1"),
            ("SnapshotScheduleCron", ""),
        ] {
            data[key] = value.into();
        }
        for cluster in [&scenario.site.origin, &scenario.site.fresh] {
            scenario.make_secret(cluster, PROTECTED_NAMESPACE, &secret, &data)?;
            let labels = json!({"metadata": {"labels": {"openshift.io/oadp": "True",
                "openshift.io/oadp-bsl-name": scenario.namespace, "openshift.io/oadp-bsl-provider": "aws"}}});
            cluster.patch(&kinds::SECRET, PROTECTED_NAMESPACE, &secret, &labels)?;
        }
        Ok(Self { scenario, generation, backup: format!("backup-{}", scenario.site.run), secret })
    }

    fn uninstall(&self) -> Result<()> {
        let clusters = [&self.scenario.site.origin, &self.scenario.site.fresh];
        clusters
            .into_iter()
            .try_for_each(|cluster| cluster.delete(&kinds::SECRET, PROTECTED_NAMESPACE, &self.secret))
    }

    /// `csi-pvc-backupper` and what follows it: VolumeSnapshot and content carry the Backup's label.
    pub fn snapshot(&self, name: &str, claim: &str) -> Result<Snapshot> {
        let origin = &self.scenario.site.origin;
        let snapshot = self.scenario.snapshot(name, claim)?;
        let label = json!({"metadata": {"labels": {"velero.io/backup-name": self.backup}}});
        origin.patch(&kinds::VOLUME_SNAPSHOT, &self.scenario.namespace, name, &label)?;
        origin.patch(&kinds::VOLUME_SNAPSHOT_CONTENT, "", &snapshot.content, &label)?;
        Ok(snapshot)
    }

    /// The backup action on a VolumeSnapshotContent: the VSB, and nothing in it that OADP's plugin does not write.
    pub fn create_vsb(&self, snapshot: &Snapshot) -> Result<Run> {
        let secret = self.scenario.site.origin.get(&kinds::SECRET, PROTECTED_NAMESPACE, &self.secret)?;
        ensure!(secret.is_some(), "the plugin requires the location's Secret");
        let object = json!({
            "metadata": {"generateName": "vsb-", "namespace": self.scenario.namespace, "labels": {
                "velero.io/backup-name": self.backup, "datamover.io/vsb-volumesnapshotcontent": snapshot.content}},
            "spec": {"volumeSnapshotContent": {"name": snapshot.content},
                "protectedNamespace": PROTECTED_NAMESPACE, "resticSecretRef": {"name": self.secret}},
        });
        self.scenario.start_object(&self.scenario.site.origin, &kinds::BACKUP, &object)
    }

    /// The backup action on the VSB: its object as it goes into the tarball.
    pub fn tarball_of(&self, vsb: &Run) -> Result<Value> {
        let object = vsb.watch("the VSB's metadata", WORK, |object| {
            metadata(object).map(|found| found.map(|annotations| (object.clone(), annotations)))
        });
        let (mut object, annotations) = object?;
        object["metadata"]["annotations"] = annotations;
        object["status"] = Value::Null;
        Ok(object)
    }

    /// What Velero's fork does when the Backup is finalized: VSBs, VolumeSnapshots and contents go.
    pub fn finalize_backup(&self, vsb: &Run, snapshot: &Snapshot) -> Result<()> {
        vsb.remove()?;
        let origin = &self.scenario.site.origin;
        let namespace = &self.scenario.namespace;
        origin.delete(&kinds::VOLUME_SNAPSHOT, namespace, &snapshot.name)?;
        origin.wait_gone(&kinds::VOLUME_SNAPSHOT, namespace, &snapshot.name, SETTLE)?;
        origin.delete(&kinds::VOLUME_SNAPSHOT_CONTENT, "", &snapshot.content)?;
        origin.wait_gone(&kinds::VOLUME_SNAPSHOT_CONTENT, "", &snapshot.content, SETTLE)
    }

    /// Velero's Restores share one namespace, so those of scenarios that run at a time have different names.
    fn restore_name(&self, restore: &str) -> String {
        format!("{}-{restore}", self.scenario.namespace)
    }

    /// The restore action on a VSB of the tarball.
    pub fn create_vsr(&self, cluster: &'static Cluster, restore: &str, tarball: &Value) -> Result<Run> {
        let note = |key: &str| text(tarball, &format!("/metadata/annotations/datamover.io~1{key}"));
        let mut labels = json!({
            "velero.io/restore-name": self.restore_name(restore),
            "velero.io/persistent-volume-claim-name": note("source-pvc-name")?,
            "velero.io/vsb-name": text(tarball, "/metadata/name")?,
        });
        if self.generation == Generation::C {
            labels["velero.io/backup-name"] = self.backup.clone().into();
        }
        let object = json!({
            "metadata": {"generateName": "vsr-", "namespace": text(tarball, "/metadata/namespace")?, "labels": labels},
            "spec": {
                "resticSecretRef": {"name": text(tarball, "/spec/resticSecretRef/name")?},
                "protectedNamespace": text(tarball, "/spec/protectedNamespace")?,
                "volumeSnapshotMoverBackupRef": {
                    "sourcePVCData": {"name": note("source-pvc-name")?, "size": note("source-pvc-size")?,
                        "storageClassName": note("source-pvc-storageclass")?},
                    "resticrepository": note("restic-repository")?,
                    "volumeSnapshotClassName": note("source-pvc-volumesnapshotclass")?,
                },
            },
        });
        self.scenario.start_object(cluster, &kinds::RESTORE, &object)
    }

    /// The restore action on a VolumeSnapshot: its own content from the handle, the VolumeSnapshot bound to it, and in generation C the end of the
    /// content that the VSR names.
    pub fn restore_snapshot(
        &self,
        cluster: &Cluster,
        restore: &str,
        name: &str,
        driver: &str,
    ) -> Result<String> {
        let restore = self.restore_name(restore);
        let selector =
            format!("velero.io/restore-name={restore},velero.io/persistent-volume-claim-name={CLAIM}");
        let found = cluster.list(&kinds::RESTORE, "", &selector)?;
        let vsr = found.first().context("index out of range: no VSR of the restore")?;
        let (namespace, vsr) = (text(vsr, "/metadata/namespace")?, text(vsr, "/metadata/name")?);
        let status = cluster.watch("the handle", (&kinds::RESTORE, namespace, vsr), WORK, |object| {
            let object = object.context("the VSR is gone")?;
            ensure!(!matches!(phase(object), "Failed" | "PartiallyFailed"), "{}", object["status"]);
            let ready = !phase(object).is_empty() && object["status"]["snapshotHandle"].is_string();
            Ok(ready.then(|| object.clone()))
        })?;
        let handle = text(&status, "/status/snapshotHandle")?;
        let namespace = &self.scenario.namespace;
        let content = format!("{namespace}-{name}");
        cluster.create(
            &json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent",
            "metadata": {"name": content, "labels": {"velero.io/restore-name": restore}},
            "spec": {"deletionPolicy": "Retain", "driver": driver, "source": {"snapshotHandle": handle},
                "volumeSnapshotRef": {"name": name, "namespace": namespace}}}),
        )?;
        cluster.create(&json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"source": {"volumeSnapshotContentName": content}}}))?;
        if self.generation == Generation::C {
            let published = text(&status, "/status/volumeSnapshotContentName")?;
            let object = cluster.need(&kinds::VOLUME_SNAPSHOT_CONTENT, "", published)?;
            ensure!(object["spec"]["deletionPolicy"] == "Retain", "{}", object["spec"]);
            cluster.delete(&kinds::VOLUME_SNAPSHOT_CONTENT, "", published)?;
        }
        Ok(content)
    }
}

/// `Progress()` of the asynchronous operation: whether it is done. Nothing is looked at unless both words are there.
pub fn progress(object: &Value) -> Result<bool> {
    let batching = object["status"]["batchingStatus"].as_str().unwrap_or_default();
    match phase(object) {
        "" => Ok(false),
        _ if batching.is_empty() => Ok(false),
        "Completed" => Ok(true),
        "Failed" => bail!("VolumeSnapshotBackup has a failed status: {}", object["status"]),
        _ => Ok(false),
    }
}

/// The annotations that the plugin makes of a VSB's status; nothing while something is missing. Its three errors are errors here.
pub fn metadata(object: &Value) -> Result<Option<Value>> {
    let status = &object["status"];
    let conditions = status["conditions"].as_array().map(Vec::len).unwrap_or_default();
    if let Some(reconciled) = condition(object, "Reconciled") {
        let error = reconciled["status"] == "False" && reconciled["reason"] == "Error";
        ensure!(!error, "the plugin gives up: {reconciled}");
    }
    if conditions == 0 {
        let over = matches!(phase(object), "Completed" | "Failed" | "PartiallyFailed");
        ensure!(!over, "the plugin gives up on an end without conditions: {status}");
        return Ok(None);
    }
    let fields = [
        ("restic-repository", &status["resticrepository"]),
        ("source-pvc-name", &status["sourcePVCData"]["name"]),
        ("source-pvc-size", &status["sourcePVCData"]["size"]),
        ("source-pvc-storageclass", &status["sourcePVCData"]["storageClassName"]),
        ("source-pvc-volumesnapshotclass", &status["volumeSnapshotClassName"]),
    ];
    let mut annotations = json!({});
    for (key, value) in fields {
        match value.as_str().filter(|text| !text.is_empty()) {
            Some(value) => annotations[format!("datamover.io/{key}")] = value.into(),
            None => return Ok(None),
        }
    }
    Ok(Some(annotations))
}

/// Every state that a poll could have met is one that the plugin goes on with, and the metadata is there before the run works.
fn check_states(states: &[Value]) -> Result<()> {
    for state in states {
        progress(state)?;
        let there = metadata(state)?.is_some();
        let queued = state["status"]["batchingStatus"].is_string();
        ensure!(there == queued, "metadata comes with the place in the queue: {}", state["status"]);
    }
    ensure!(states.last().is_some_and(|last| progress(last).is_ok_and(|done| done)), "not done");
    Ok(())
}

fn play(topic: &str, generation: Generation) -> Outcome {
    Scenario::play(topic, |scenario| {
        let plugins = Plugins::install(scenario, generation)?;
        there_and_back(&plugins)?;
        plugins.uninstall()
    })
}

#[test]
fn vsm_5_vsm_14_vsm_18_vsm_19_vsm_21_the_plugins_of_oadp_1_2_back_up_and_restore() -> Outcome {
    play("oadp-c", Generation::C)
}

#[test]
fn vsm_14_vsm_18_vsm_21_the_plugins_of_oadp_1_1_back_up_and_restore() -> Outcome {
    play("oadp-b", Generation::B)
}

fn there_and_back(plugins: &Plugins<'_>) -> Result<()> {
    let scenario = plugins.scenario;
    let fresh = &scenario.site.fresh;
    let before = scenario.fill(CLAIM, CLASS, MODE, SIZE, "echo some > /data/file; sync")?;
    let snapshot = plugins.snapshot("velero-data-1", CLAIM)?;
    let driver = driver_of(&scenario.site.origin, &snapshot)?;
    let vsb = plugins.create_vsb(&snapshot)?;
    // 1.1 reads the metadata while everything else waits, 1.2 when all is done.
    let early = (plugins.generation == Generation::B).then(|| plugins.tarball_of(&vsb)).transpose()?;
    check_states(&vsb.history(WORK)?)?;
    let tarball = early.map_or_else(|| plugins.tarball_of(&vsb), Ok)?;
    plugins.finalize_backup(&vsb, &snapshot)?;

    let restore = "restore-1";
    let vsr = plugins.create_vsr(fresh, restore, &tarball)?;
    if plugins.generation == Generation::B {
        // The class action blocks until every VSR of the restore is completed and has a handle.
        let done = vsr.completed()?;
        text(&done, "/status/snapshotHandle")?;
    }
    let content = plugins.restore_snapshot(fresh, restore, "velero-data-1", &driver)?;
    fresh.create(&application::claim_from(&scenario.namespace, CLAIM, CLASS, MODE, SIZE, "velero-data-1"))?;
    let after = scenario.fingerprint(fresh, CLAIM, MODE)?;
    if let Some(difference) = tree::difference(&before, &after) {
        bail!("the restored volume differs: {difference}");
    }
    vsr.completed()?;
    vsr.remove()?;
    check_remote(plugins, &tarball)?;
    fresh.delete(&kinds::VOLUME_SNAPSHOT, &scenario.namespace, "velero-data-1")?;
    fresh.delete(&kinds::VOLUME_SNAPSHOT_CONTENT, "", &content)
}

fn driver_of(cluster: &Cluster, snapshot: &Snapshot) -> Result<String> {
    let content = cluster.need(&kinds::VOLUME_SNAPSHOT_CONTENT, "", &snapshot.content)?;
    Ok(text(&content, "/spec/driver")?.to_owned())
}

/// Rule 8: neither resource took remote data along; what the tarball names restores again.
fn check_remote(plugins: &Plugins<'_>, tarball: &Value) -> Result<()> {
    let scenario = plugins.scenario;
    ensure!(scenario.repository().snapshots()?.len() == 1, "the restore point is there");
    scenario.repository().check()?;
    let again = plugins.create_vsr(&scenario.site.origin, "restore-2", tarball)?;
    again.completed()?;
    again.remove()
}

#[test]
fn vsm_28_a_run_that_is_deleted_at_work_or_in_the_queue_is_stopped_and_cleaned() -> Outcome {
    Scenario::play("oadp-deleted", |scenario| {
        let plugins = Plugins::install(scenario, Generation::C)?;
        let origin = &scenario.site.origin;
        let script = "head -c 24000000 /dev/urandom > /data/random; sync";
        scenario.fill(CLAIM, CLASS, MODE, "48Mi", script)?;
        let snapshot = plugins.snapshot("first", CLAIM)?;
        let vsb = plugins.create_vsb(&snapshot)?;
        stop_at_work(origin, &vsb)?;
        // Deleted at once: before it was accepted, or while it queues.
        let hasty = plugins.create_vsb(&snapshot)?;
        hasty.remove()?;
        hasty.left_nothing()?;
        let whole = plugins.create_vsb(&snapshot)?;
        whole.completed()?;
        let tarball = plugins.tarball_of(&whole)?;
        let vsr = plugins.create_vsr(origin, "restore-1", &tarball)?;
        stop_at_work(origin, &vsr)?;
        let hasty = plugins.create_vsr(origin, "restore-2", &tarball)?;
        hasty.remove()?;
        hasty.left_nothing()?;
        scenario.repository().check()?;
        plugins.uninstall()
    })
}

fn stop_at_work(cluster: &Cluster, run: &Run) -> Result<()> {
    eventually("the mover's pod", WORK, || {
        let pods = cluster.list(&kinds::POD, PROTECTED_NAMESPACE, &run.selector())?;
        Ok(if pods.is_empty() { Err("no pod".to_owned()) } else { Ok(()) })
    })?;
    let finalizers = run.object()?["metadata"]["finalizers"].to_string();
    ensure!(finalizers.contains("oadp.openshift.io/oadp-datamover"), "finalizers: {finalizers}");
    run.remove()?;
    // The pod is gone with its run, not later: the finalizer waits for it.
    let pods = cluster.list(&kinds::POD, PROTECTED_NAMESPACE, &run.selector())?;
    ensure!(pods.is_empty(), "a mover outlived its run: {pods:?}");
    run.left_nothing()
}

#[test]
fn vsm_29_vsm_33_a_run_shows_its_columns_and_has_a_status_within_a_second() -> Outcome {
    Scenario::play("oadp-seen", |scenario| {
        let plugins = Plugins::install(scenario, Generation::C)?;
        let origin = &scenario.site.origin;
        scenario.fill(CLAIM, CLASS, MODE, SIZE, "echo some > /data/file; sync")?;
        let snapshot = plugins.snapshot("first", CLAIM)?;
        // A VolumeSnapshot that another backup left behind, and that will never be ready.
        let stale = json!({"apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot",
            "metadata": {"name": "stale", "namespace": scenario.namespace, "labels": {"velero.io/backup-name": "older"}},
            "spec": {"volumeSnapshotClassName": "lab-delete", "source": {"persistentVolumeClaimName": "gone"}}});
        origin.create(&stale)?;
        let mut waits = Vec::new();
        let mut last = None;
        for _ in 0..3 {
            let begun = Instant::now();
            let vsb = plugins.create_vsb(&snapshot)?;
            vsb.watch("a status", SHORT, |object| {
                Ok((!phase(object).is_empty() && condition(object, "Progressing").is_some()).then_some(()))
            })?;
            waits.push(begun.elapsed());
            last = Some(vsb);
        }
        waits.sort();
        ensure!(waits[1].as_secs_f64() <= 1.0, "a status within a second of the creation: {waits:?}");
        let vsb = last.context("no run")?;
        vsb.completed()?;
        let vsr = plugins.create_vsr(origin, "restore-1", &plugins.tarball_of(&vsb)?)?;
        let done = vsr.completed()?;
        let table = |kind: &str| origin.lab.kubectl(&["--namespace", &scenario.namespace, "get", kind]);
        let columns = |table: &str| {
            table.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let (backups, restores) = (table("vsb")?, table("vsr")?);
        let wanted = "NAME PVC NAME VOLUMESNAPSHOTCONTENT PHASE BATCHINGSTATUS AGE";
        ensure!(columns(&backups) == wanted && columns(&restores) == wanted, "{backups}\n{restores}");
        let content = text(&done, "/status/volumeSnapshotContentName")?;
        for (table, name, content) in
            [(&backups, &vsb.name, snapshot.content.as_str()), (&restores, &vsr.name, content)]
        {
            let row = table.lines().find(|line| line.starts_with(name.as_str())).unwrap_or_default();
            let cells: Vec<&str> = row.split_whitespace().collect();
            ensure!(cells.get(1..5) == Some(&[CLAIM, content, "Completed", "Completed"][..]), "{table}");
        }
        origin.need(&kinds::VOLUME_SNAPSHOT, &scenario.namespace, "stale")?;
        plugins.uninstall()
    })
}
