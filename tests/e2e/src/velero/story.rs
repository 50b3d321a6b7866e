//! One scenario told through Velero's command line.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{DATA_MOVER, Installation, OBJECTS, installation};
use crate::cluster::Cluster;
use crate::installation::{SCENARIO_LABEL, VELERO_NAMESPACE};
use crate::kinds::{self, Kind};
use crate::run::{Run, phase, text};
use crate::scenario::{Outcome, Scenario};
use crate::storage::Bucket;
use crate::wait::{SETTLE, SHORT, WORK, eventually};

/// A scenario with a BackupStorageLocation and a Repository in both clusters.
pub struct Story<'a> {
    /// Its namespaces and its repository.
    pub scenario: &'a Scenario,
    /// Name of the BackupStorageLocation, and the beginning of all names of its backups.
    pub location: String,
    velero: &'static Installation,
    bucket: Bucket,
}

/// A DataUpload or DataDownload, and the run that Longshore made for it.
pub struct Moved {
    /// Velero's object.
    pub object: Value,
    /// What moves the data.
    pub run: Run,
}

impl<'a> Story<'a> {
    /// Tells a story beside other scenarios.
    ///
    /// # Errors
    /// As [`Scenario::play`].
    pub fn tell(topic: &str, body: impl FnOnce(&Story) -> Result<()>) -> Outcome {
        Scenario::play(topic, |scenario| Story::begin(scenario)?.run(body))
    }

    /// Tells a story that stops servers, while no other scenario runs.
    ///
    /// # Errors
    /// As [`Scenario::play_alone`].
    pub fn tell_alone(topic: &str, body: impl FnOnce(&Story) -> Result<()>) -> Outcome {
        Scenario::play_alone(topic, |scenario| Story::begin(scenario)?.run(body))
    }

    fn begin(scenario: &'a Scenario) -> Result<Self> {
        let site = scenario.site;
        let velero = installation(site)?;
        let location = scenario.namespace.clone();
        let bucket = Bucket::create(site, &format!("{location}-velero"))?;
        let story = Self { scenario, location, velero, bucket };
        for cluster in [&site.origin, &site.fresh] {
            story.make_location(cluster)?;
            story.make_repository(cluster)?;
        }
        Ok(story)
    }

    fn secret_of_velero(&self) -> String {
        format!("{}-velero", self.location)
    }

    fn make_location(&self, cluster: &Cluster) -> Result<()> {
        let keys = self.scenario.site.minio.credentials()?;
        let file = format!(
            "[default]\naws_access_key_id={}\naws_secret_access_key={}\n",
            keys.access_key, keys.secret_key
        );
        let secret = self.secret_of_velero();
        self.scenario.make_secret(cluster, VELERO_NAMESPACE, &secret, &json!({"cloud": file}))?;
        let endpoint = self.scenario.site.minio.endpoint();
        let config = format!("region=us-east-1,s3ForcePathStyle=true,s3Url={endpoint}");
        let credential = format!("{secret}=cloud");
        self.cli(
            cluster,
            &[
                "backup-location",
                "create",
                &self.location,
                "--provider=aws",
                "--bucket",
                &self.bucket.name,
                "--config",
                &config,
                "--credential",
                &credential,
                "--backup-sync-period=5s",
            ],
        )?;
        self.watch_phase(cluster, &kinds::VELERO_LOCATION, &self.location, SHORT, &["Available"]).map(drop)
    }

    fn make_repository(&self, cluster: &Cluster) -> Result<()> {
        let scenario = self.scenario;
        scenario.make_secret(cluster, VELERO_NAMESPACE, &scenario.secret, &scenario.credentials()?)?;
        cluster
            .create(&json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "Repository",
            "metadata": {"name": self.location, "namespace": VELERO_NAMESPACE, "labels": {SCENARIO_LABEL: "scenario"}},
            "spec": {"backupStorageLocations": [self.location], "secretRef": {"name": scenario.secret}}}))
            .map(drop)
    }

    fn run(&self, body: impl FnOnce(&Story) -> Result<()>) -> Result<()> {
        let outcome = body(self).and_then(|()| self.end().context("Velero's part itself went well"));
        outcome.map_err(|error| {
            let site = self.scenario.site;
            let seen = [&site.origin, &site.fresh].map(|cluster| self.diagnosis(cluster));
            error.context(seen.join("\n"))
        })
    }

    /// Velero's objects of this story and what its server complained of.
    fn diagnosis(&self, cluster: &Cluster) -> String {
        let kinds = "backups.velero.io,restores.velero.io,datauploads,datadownloads,vsb,vsr";
        let objects = cluster.lab.kubectl(&["-n", VELERO_NAMESPACE, "get", kinds, "-o", "wide"]);
        let log = fs::read_to_string(self.velero.of(cluster).log()).unwrap_or_default();
        let complaints: Vec<&str> = log
            .lines()
            .filter(|line| line.contains("level=error") || line.contains("level=warning"))
            .filter(|line| line.contains(&self.location))
            .collect();
        let last = complaints[complaints.len().saturating_sub(10)..].join("\n");
        format!("--- Velero in {}\n{}\n{last}", cluster.lab.name, objects.unwrap_or_else(|e| e.to_string()))
    }

    /// A cluster's server.
    pub fn server(&self, cluster: &Cluster) -> &longshore_lab::Velero {
        self.velero.of(cluster)
    }

    /// Runs Velero's command line.
    ///
    /// # Errors
    /// Its own.
    pub fn cli(&self, cluster: &Cluster, arguments: &[&str]) -> Result<String> {
        self.velero.of(cluster).run(arguments)
    }

    /// The full name of a backup or restore.
    pub fn name(&self, short: &str) -> String {
        format!("{}-{short}", self.location)
    }

    /// Starts a backup of the scenario's namespace in the origin by Longshore, and returns its full name.
    ///
    /// # Errors
    /// The command line's.
    pub fn back_up(&self, short: &str, further: &[&str]) -> Result<String> {
        self.back_up_by(DATA_MOVER, short, further)
    }

    /// The same by another mover.
    ///
    /// # Errors
    /// The command line's.
    pub fn back_up_by(&self, mover: &str, short: &str, further: &[&str]) -> Result<String> {
        let name = self.name(short);
        let words = ["backup", "create", &name];
        self.cli(&self.scenario.site.origin, &[&words[..], &self.how_by(mover), further].concat())?;
        Ok(name)
    }

    /// What a backup of the scenario's namespace by Longshore is told.
    pub fn how(&self) -> Vec<&str> {
        self.how_by(DATA_MOVER)
    }

    fn how_by<'b>(&'b self, mover: &'b str) -> Vec<&'b str> {
        let what = ["--include-namespaces", &self.scenario.namespace, "--storage-location", &self.location];
        [&what[..], &["--snapshot-move-data", "--data-mover", mover]].concat()
    }

    /// The same through the plugin: a volume policy gives it all volumes.
    ///
    /// # Errors
    /// The command line's.
    pub fn back_up_through_plugin(&self, short: &str) -> Result<String> {
        let origin = &self.scenario.site.origin;
        let policies = format!("{}-{short}", self.location);
        let policy = json!({"conditions": {"csi": {}}, "action": {"type": "custom", "parameters": {"dataMover": DATA_MOVER}}});
        origin.create(&json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": policies, "namespace": VELERO_NAMESPACE, "labels": {SCENARIO_LABEL: "scenario"}},
            "data": {"policies": json!({"version": "v1", "volumePolicies": [policy]}).to_string()}}))?;
        let name = self.name(short);
        let words = ["backup", "create", &name, "--include-namespaces", &self.scenario.namespace];
        let how = ["--storage-location", &self.location, "--resource-policies-configmap", &policies];
        self.cli(origin, &[&words[..], &how].concat())?;
        Ok(name)
    }

    /// Runs the repository's maintenance now.
    ///
    /// # Errors
    /// When it does not come to its end.
    pub fn maintain(&self) -> Result<()> {
        self.scenario.site.origin.maintain(VELERO_NAMESPACE, &self.location).map(drop)
    }

    /// Waits for the end of a backup in the origin, which must be this phase.
    ///
    /// # Errors
    /// When it ends otherwise; what Velero says of it is in the message.
    pub fn backup_ends(&self, name: &str, wanted: &str) -> Result<Value> {
        self.ends(&self.scenario.site.origin, &kinds::VELERO_BACKUP, name, wanted)
    }

    /// Starts a restore of a backup and waits for its end, which must be `Completed`.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub fn restore(
        &self,
        cluster: &'static Cluster,
        short: &str,
        backup: &str,
        further: &[&str],
    ) -> Result<Value> {
        let name = self.start_restore(cluster, short, backup, further)?;
        self.ends(cluster, &kinds::VELERO_RESTORE, &name, "Completed")
    }

    /// Starts a restore and returns its full name. In a cluster that did not make the backup, its object comes from the store first.
    ///
    /// # Errors
    /// The command line's.
    pub fn start_restore(
        &self,
        cluster: &'static Cluster,
        short: &str,
        backup: &str,
        further: &[&str],
    ) -> Result<String> {
        self.watch_phase(cluster, &kinds::VELERO_BACKUP, backup, SHORT, &["Completed", "PartiallyFailed"])?;
        let name = self.name(short);
        let words = ["restore", "create", &name, "--from-backup", backup];
        self.cli(cluster, &[&words, further].concat())?;
        Ok(name)
    }

    /// Waits for the end of a backup or restore, which must be this phase.
    ///
    /// # Errors
    /// When it ends otherwise.
    pub fn ends(&self, cluster: &Cluster, kind: &Kind, name: &str, wanted: &str) -> Result<Value> {
        const ENDS: [&str; 5] = ["Completed", "PartiallyFailed", "Failed", "FailedValidation", "Deleting"];
        let object = self.watch_phase(cluster, kind, name, WORK, &ENDS)?;
        if phase(&object) != wanted {
            let word = if kind.name == "Backup" { "backup" } else { "restore" };
            let log = self.cli(cluster, &[word, "logs", name]).unwrap_or_else(|error| error.to_string());
            let told: Vec<&str> = log
                .lines()
                .filter(|line| line.contains("level=error") || line.contains("level=warning"))
                .collect();
            let moved = self.moved_objects(cluster, name)?;
            let ends: Vec<String> = moved.iter().map(|object| object["status"].to_string()).collect();
            anyhow::bail!(
                "{} {name} should have ended {wanted}: {}\n{}\n{}",
                kind.name,
                object["status"],
                told.join("\n"),
                ends.join("\n")
            );
        }
        Ok(object)
    }

    /// Waits until an object of Velero is in one of these phases.
    ///
    /// # Errors
    /// When it does not get there.
    pub fn watch_phase(
        &self,
        cluster: &Cluster,
        kind: &Kind,
        name: &str,
        limit: Duration,
        wanted: &[&str],
    ) -> Result<Value> {
        cluster.watch(&format!("{wanted:?}"), (kind, VELERO_NAMESPACE, name), limit, |object| {
            Ok(object.filter(|object| wanted.contains(&phase(object))).cloned())
        })
    }

    /// DataUploads of a backup, or DataDownloads of a restore.
    fn moved_objects(&self, cluster: &Cluster, name: &str) -> Result<Vec<Value>> {
        let mut found =
            cluster.list(&kinds::DATA_UPLOAD, VELERO_NAMESPACE, &format!("velero.io/backup-name={name}"))?;
        found.extend(cluster.list(
            &kinds::DATA_DOWNLOAD,
            VELERO_NAMESPACE,
            &format!("velero.io/restore-name={name}"),
        )?);
        Ok(found)
    }

    /// Waits until a backup has this many DataUploads, or a restore so many DataDownloads, and returns them.
    ///
    /// # Errors
    /// When they do not come.
    pub fn moves(&self, cluster: &Cluster, name: &str, count: usize) -> Result<Vec<Value>> {
        eventually(&format!("{count} movements of {name}"), SETTLE, || {
            let found = self.moved_objects(cluster, name)?;
            Ok(if found.len() == count { Ok(found) } else { Err(format!("{} of them", found.len())) })
        })
    }

    /// What Longshore runs for a DataUpload, a run of the same name that is waited for, or for a DataDownload, which is served without one.
    ///
    /// # Errors
    /// When there is none.
    pub fn run_of(&self, cluster: &'static Cluster, object: Value) -> Result<Moved> {
        let name = text(&object, "/metadata/name")?.to_owned();
        let (kind, uid) = if object["kind"] == "DataUpload" {
            let place = (&kinds::BACKUP, VELERO_NAMESPACE, name.as_str());
            let uid = cluster.watch("Longshore's run", place, SHORT, |run| {
                Ok(run.and_then(|run| run["metadata"]["uid"].as_str()).map(str::to_owned))
            })?;
            (&kinds::BACKUP, uid)
        } else {
            (&kinds::DATA_DOWNLOAD, text(&object, "/metadata/uid")?.to_owned())
        };
        let run = Run { cluster, kind, namespace: VELERO_NAMESPACE.to_owned(), name, uid };
        Ok(Moved { object, run })
    }

    /// Proves that no VolumeSnapshot, no content and no temporary object of the scenario's volumes is left in a cluster.
    ///
    /// # Errors
    /// What is left.
    pub fn no_copies_left(&self, cluster: &Cluster) -> Result<()> {
        let own = self.scenario.namespace.as_str();
        eventually("snapshots and copies to be gone", SHORT, || {
            let mut left = Vec::new();
            for content in cluster.list(&kinds::VOLUME_SNAPSHOT_CONTENT, "", "")? {
                let claimant = &content["spec"]["volumeSnapshotRef"];
                let of_ours = claimant["name"].as_str().is_some_and(|name| name.contains(own));
                if claimant["namespace"] == own || of_ours {
                    left.push(format!("content {}", content["metadata"]["name"]));
                }
            }
            for kind in [&kinds::VOLUME_SNAPSHOT, &kinds::PVC, &kinds::POD, &kinds::JOB] {
                let namespaces = if kind.name == "VolumeSnapshot" {
                    &[own, VELERO_NAMESPACE][..]
                } else {
                    &[VELERO_NAMESPACE]
                };
                for namespace in namespaces {
                    let found = cluster.list(kind, namespace, "")?;
                    let ours =
                        found.iter().filter(|object| *namespace == own || object.to_string().contains(own));
                    left.extend(ours.map(|object| format!("{} {}", kind.name, object["metadata"]["name"])));
                }
            }
            Ok(if left.is_empty() { Ok(()) } else { Err(left.join(", ")) })
        })
    }

    /// Deletes a backup as a user does and waits until it is gone.
    ///
    /// # Errors
    /// When it does not go.
    pub fn delete_backup(&self, name: &str) -> Result<()> {
        let origin = &self.scenario.site.origin;
        self.cli(origin, &["backup", "delete", name, "--confirm"])?;
        origin.wait_gone(&kinds::VELERO_BACKUP, VELERO_NAMESPACE, name, SETTLE)
    }

    /// Removes the story's objects as users do, and proves that Longshore has none left.
    fn end(&self) -> Result<()> {
        let site = self.scenario.site;
        for backup in self.own(&site.origin, &kinds::VELERO_BACKUP)? {
            self.delete_backup(&backup)?;
        }
        for cluster in [&site.origin, &site.fresh] {
            for restore in self.own(cluster, &kinds::VELERO_RESTORE)? {
                self.cli(cluster, &["restore", "delete", &restore, "--confirm"])?;
            }
            let gone: [&Kind; 6] = [
                &kinds::VELERO_RESTORE,
                &kinds::VELERO_BACKUP,
                &kinds::DATA_UPLOAD,
                &kinds::DATA_DOWNLOAD,
                &kinds::BACKUP,
                &kinds::RESTORE,
            ];
            for kind in gone {
                eventually(&format!("no {} to be left", kind.name), SETTLE, || {
                    let left = self.own(cluster, kind)?;
                    Ok(if left.is_empty() { Ok(()) } else { Err(left.join(", ")) })
                })?;
            }
            self.cli(cluster, &["backup-location", "delete", &self.location, "--confirm"])?;
            for kind in OBJECTS {
                for name in self.own(cluster, kind)? {
                    cluster.delete(kind, VELERO_NAMESPACE, &name)?;
                }
            }
            self.remove_requests(cluster)?;
            cluster.delete(&kinds::REPOSITORY, VELERO_NAMESPACE, &self.location)?;
            cluster.delete(&kinds::SECRET, VELERO_NAMESPACE, &self.scenario.secret)?;
            cluster.delete(&kinds::SECRET, VELERO_NAMESPACE, &self.secret_of_velero())?;
        }
        self.bucket.empty()
    }

    /// Requests to forget what this story's backups made, carried out or not, and what their backups were told with.
    fn remove_requests(&self, cluster: &Cluster) -> Result<()> {
        for kind in [&kinds::FORGET_REQUEST, &kinds::CONFIG_MAP] {
            for object in cluster.list(kind, VELERO_NAMESPACE, "")? {
                let name = text(&object, "/metadata/name")?;
                let backup = object["metadata"]["labels"]["velero.io/backup-name"].as_str().unwrap_or(name);
                if backup.starts_with(&self.location) {
                    cluster.delete(kind, VELERO_NAMESPACE, name)?;
                }
            }
        }
        Ok(())
    }

    /// Names of a kind's objects in Velero's namespace that are this story's.
    fn own(&self, cluster: &Cluster, kind: &Kind) -> Result<Vec<String>> {
        let found = cluster.list(kind, VELERO_NAMESPACE, "")?;
        let names = found.iter().filter_map(|object| object["metadata"]["name"].as_str());
        let own = names.filter(|name| name.starts_with(&self.location)).map(str::to_owned);
        Ok(own.collect())
    }

    /// The bytes that two fingerprints must have in common are all of them.
    ///
    /// # Errors
    /// The first differences.
    pub fn same(&self, what: &str, before: &str, after: &str) -> Result<()> {
        let difference = crate::tree::difference(before, after);
        ensure!(difference.is_none(), "{what} differs: {}", difference.unwrap_or_default());
        Ok(())
    }
}
