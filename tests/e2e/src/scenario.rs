//! One scenario: its own namespaces, Secret and bucket, and an end that proves that nothing is left.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::application::{self, Snapshot, VolumeMode};
use crate::cluster::Cluster;
use crate::installation::{PROTECTED_NAMESPACE, SCENARIO_LABEL, Site, site};
use crate::kinds;
use crate::run::{Run, text};
use crate::storage::{Bucket, Repository};
use crate::wait::SETTLE;
use crate::{diagnosis, leftovers, tree};

/// How a scenario ended.
pub type Outcome = std::result::Result<(), Failure>;

/// Why a scenario failed: the causes, without the trace that the test runner would print of an error of anyhow.
pub struct Failure(anyhow::Error);

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let causes: Vec<String> = self.0.chain().map(ToString::to_string).collect();
        f.write_str(&causes.join("\n  because: "))
    }
}

/// Scenarios that disturb all others (they kill the operator, stop the store, break the driver) hold it alone.
static PEACE: RwLock<()> = RwLock::new(());

/// A scenario at work.
pub struct Scenario {
    /// The lab.
    pub site: &'static Site,
    /// Name of its application namespace in both clusters.
    pub namespace: String,
    /// Name of its Secret in the protected namespace of both clusters.
    pub secret: String,
    /// Password of its repository.
    pub password: String,
    /// Its bucket.
    pub bucket: Bucket,
    namespaces: Mutex<Vec<(&'static Cluster, String)>>,
    runs: Mutex<Vec<Run>>,
}

impl Scenario {
    /// Plays a scenario beside others. `topic` is a short word that no other scenario has.
    ///
    /// # Errors
    /// What went wrong, with the state of the clusters; or what was left behind.
    pub fn play(topic: &str, body: impl FnOnce(&Self) -> Result<()>) -> Outcome {
        let _peace = PEACE.read().unwrap_or_else(PoisonError::into_inner);
        Self::begin(topic).and_then(|scenario| scenario.tell(body)).map_err(Failure)
    }

    /// Plays a scenario while no other one runs.
    ///
    /// # Errors
    /// As [`Self::play`].
    pub fn play_alone(topic: &str, body: impl FnOnce(&Self) -> Result<()>) -> Outcome {
        let _peace = PEACE.write().unwrap_or_else(PoisonError::into_inner);
        Self::begin(topic).and_then(|scenario| scenario.tell(body)).map_err(Failure)
    }

    fn begin(topic: &str) -> Result<Self> {
        let site = site()?;
        let name = format!("e2e-{topic}-{}", site.run);
        let scenario = Self {
            site,
            namespace: name.clone(),
            secret: name.clone(),
            password: format!("password of {name}"),
            bucket: Bucket::create(site, &name)?,
            namespaces: Mutex::default(),
            runs: Mutex::default(),
        };
        for cluster in [&site.origin, &site.fresh] {
            scenario.make_namespace(cluster, &name, "privileged")?;
            scenario.make_secret(cluster, PROTECTED_NAMESPACE, &scenario.secret, &scenario.credentials()?)?;
        }
        Ok(scenario)
    }

    fn tell(&self, body: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        let outcome = body(self).and_then(|()| self.end().context("the scenario itself went well"));
        outcome.map_err(|error| {
            let states =
                [&self.site.origin, &self.site.fresh].map(|cluster| diagnosis::of(cluster, &self.namespace));
            let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
            anyhow::anyhow!("{}\n{}", causes.join("\n  because: "), states.join("\n"))
        })
    }

    /// Removes what the scenario made, as its users would, and proves that nothing else is left.
    fn end(&self) -> Result<()> {
        let runs = lock(&self.runs).clone();
        for (cluster, namespace) in lock(&self.namespaces).iter() {
            cluster.delete(&kinds::NAMESPACE, "", namespace)?;
        }
        for (cluster, namespace) in lock(&self.namespaces).iter() {
            cluster.wait_namespace_gone(namespace, SETTLE)?;
        }
        for run in &runs {
            // A restored snapshot that no PVC was made from is kept for a day; that is its purpose.
            run.left_nothing_but(&["result", "keeper"])?;
            self.drop_kept(run)?;
        }
        for cluster in [&self.site.origin, &self.site.fresh] {
            leftovers::no_orphans(cluster)?;
            cluster.delete(&kinds::SECRET, PROTECTED_NAMESPACE, &self.secret)?;
        }
        self.bucket.empty()
    }

    /// Ends the keeping of a restored snapshot as the passing of its time does: the date is moved into the past.
    fn drop_kept(&self, run: &Run) -> Result<()> {
        let contents = run.cluster.list(&kinds::VOLUME_SNAPSHOT_CONTENT, "", &run.selector())?;
        for content in &contents {
            let past =
                json!({"metadata": {"annotations": {"longshore.dev/release-after": "2020-01-01T00:00:00Z"}}});
            if content["metadata"]["labels"]["longshore.dev/role"] == "keeper" {
                run.cluster.patch(
                    &kinds::VOLUME_SNAPSHOT_CONTENT,
                    "",
                    text(content, "/metadata/name")?,
                    &past,
                )?;
            }
        }
        run.left_nothing().context("after the time of a kept snapshot had passed")
    }

    /// Makes a namespace that goes with the scenario. `level` is of Pod Security.
    ///
    /// # Errors
    /// The server's.
    pub fn make_namespace(&self, cluster: &'static Cluster, name: &str, level: &str) -> Result<()> {
        cluster.create(
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {
            SCENARIO_LABEL: "scenario", "pod-security.kubernetes.io/enforce": level}}}),
        )?;
        lock(&self.namespaces).push((cluster, name.to_owned()));
        Ok(())
    }

    /// Content of the scenario's Secret.
    ///
    /// # Errors
    /// When the store was never started.
    pub fn credentials(&self) -> Result<Value> {
        let keys = self.site.minio.credentials()?;
        Ok(json!({
            "RESTIC_REPOSITORY": format!("s3:{}/{}", self.site.minio.endpoint(), self.bucket.name),
            "RESTIC_PASSWORD": self.password,
            "AWS_ACCESS_KEY_ID": keys.access_key,
            "AWS_SECRET_ACCESS_KEY": keys.secret_key,
        }))
    }

    /// Makes a Secret in a protected namespace.
    ///
    /// # Errors
    /// The server's.
    pub fn make_secret(&self, cluster: &Cluster, namespace: &str, name: &str, data: &Value) -> Result<()> {
        cluster
            .create(&json!({"apiVersion": "v1", "kind": "Secret", "stringData": data, "metadata": {
                "name": name, "namespace": namespace, "labels": {SCENARIO_LABEL: "scenario"}}}))
            .map(drop)
    }

    /// Makes a PVC in the origin, fills it by a script and returns its fingerprint.
    ///
    /// # Errors
    /// The server's or the script's.
    pub fn fill(
        &self,
        claim: &str,
        class: &str,
        mode: VolumeMode,
        size: &str,
        script: &str,
    ) -> Result<String> {
        let origin = &self.site.origin;
        origin.create(&application::claim(&self.namespace, claim, class, mode, size))?;
        let script = format!("{script}\n{}", tree::fingerprint(mode));
        self.script(origin, &format!("fill-{claim}"), &script, claim, mode)
    }

    /// Runs a script on a claim and returns what it printed.
    ///
    /// # Errors
    /// The script's.
    pub fn script(
        &self,
        cluster: &Cluster,
        pod: &str,
        script: &str,
        claim: &str,
        mode: VolumeMode,
    ) -> Result<String> {
        application::run_script(cluster, &self.namespace, pod, script, Some((claim, mode)))
    }

    /// What a claim holds.
    ///
    /// # Errors
    /// The script's.
    pub fn fingerprint(&self, cluster: &Cluster, claim: &str, mode: VolumeMode) -> Result<String> {
        self.script(cluster, &format!("look-{claim}"), tree::fingerprint(mode), claim, mode)
    }

    /// Takes a VolumeSnapshot of a claim in the origin.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn snapshot(&self, name: &str, claim: &str) -> Result<Snapshot> {
        application::snapshot(&self.site.origin, &self.namespace, name, "lab-delete", claim)
    }

    /// Starts a backup of a VolumeSnapshot in the origin.
    ///
    /// # Errors
    /// The server's.
    pub fn back_up(&self, name: &str, snapshot: &Snapshot) -> Result<Run> {
        self.start(
            &self.site.origin,
            &kinds::BACKUP,
            name,
            &json!({
                "volumeSnapshotContent": {"name": snapshot.content},
                "protectedNamespace": PROTECTED_NAMESPACE, "resticSecretRef": {"name": self.secret}
            }),
        )
    }

    /// Spec of a restore from a backup's object, with nothing of ours in it.
    ///
    /// # Errors
    /// When the backup's status lacks a field.
    pub fn restore_spec(&self, backup: &Value) -> Result<Value> {
        Ok(json!({
            "protectedNamespace": PROTECTED_NAMESPACE, "resticSecretRef": {"name": self.secret},
            "volumeSnapshotMoverBackupRef": {
                "sourcePVCData": {
                    "name": text(backup, "/status/sourcePVCData/name")?,
                    "size": text(backup, "/status/sourcePVCData/size")?,
                    "storageClassName": text(backup, "/status/sourcePVCData/storageClassName")?,
                },
                "resticrepository": text(backup, "/status/resticrepository")?,
                "volumeSnapshotClassName": text(backup, "/status/volumeSnapshotClassName")?,
            },
        }))
    }

    /// Starts a restore of a backup into a new claim of the scenario's namespace.
    ///
    /// # Errors
    /// The server's.
    pub fn restore_to(
        &self,
        cluster: &'static Cluster,
        name: &str,
        backup: &Value,
        claim: &str,
    ) -> Result<Run> {
        let mut spec = self.restore_spec(backup)?;
        spec["targetPVC"] = json!({"name": claim});
        self.start(cluster, &kinds::RESTORE, name, &spec)
    }

    /// Starts a run in the scenario's namespace.
    ///
    /// # Errors
    /// The server's.
    pub fn start(
        &self,
        cluster: &'static Cluster,
        kind: &'static crate::Kind,
        name: &str,
        spec: &Value,
    ) -> Result<Run> {
        self.start_in(cluster, kind, (&self.namespace, name), spec)
    }

    /// Starts a run in another namespace of the scenario.
    ///
    /// # Errors
    /// The server's.
    pub fn start_in(
        &self,
        cluster: &'static Cluster,
        kind: &'static crate::Kind,
        (namespace, name): (&str, &str),
        spec: &Value,
    ) -> Result<Run> {
        let metadata = json!({"name": name, "namespace": namespace});
        self.start_object(cluster, kind, &json!({"metadata": metadata, "spec": spec}))
    }

    /// Starts a run from all of its object but version and kind.
    ///
    /// # Errors
    /// The server's.
    pub fn start_object(
        &self,
        cluster: &'static Cluster,
        kind: &'static crate::Kind,
        object: &Value,
    ) -> Result<Run> {
        let mut object = object.clone();
        object["apiVersion"] = "datamover.oadp.openshift.io/v1alpha1".into();
        object["kind"] = kind.name.into();
        let run = Run::create(cluster, kind, &object)?;
        lock(&self.runs).push(run.clone());
        Ok(run)
    }

    /// Takes charge of a run that somebody else started in the scenario's namespace: that it left nothing is proven at the end.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn adopt(&self, cluster: &'static Cluster, kind: &'static crate::Kind, name: &str) -> Result<Run> {
        let object = cluster.need(kind, &self.namespace, name)?;
        let run = Run::of(cluster, kind, &object)?;
        lock(&self.runs).push(run.clone());
        Ok(run)
    }

    /// The command line on the scenario's repository.
    pub fn repository(&self) -> Repository<'_> {
        Repository::new(self.site, &self.bucket.name, &self.password)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
