//! The demo on the lab: two real clusters on this machine, one of which is destroyed.

use anyhow::Result;
use longshore_lab::{Cluster, ClusterName, Console, Lab, Options};

use super::kubectl::Kubectl;
use super::story::{self, Credentials, Site};
use crate::step::Steps;
use crate::{lab, workspace};

const BUCKET: &str = "demo";
/// The lab's classes: volumes bind when a pod comes, snapshots go with their objects.
const STORAGE_CLASS: &str = "lab-ext4-wait";
const SNAPSHOT_CLASS: &str = "lab-delete";

/// Brings both clusters up anew, plays the story, and takes the lab down, whatever happens.
///
/// # Errors
/// As the story's.
pub fn play() -> Result<()> {
    let steps = Steps::start();
    let lab = steps.run("packages and programs of the lab", lab::open)?;
    let told = steps
        .run("start two clusters and an object store", || {
            lab.up(&ClusterName::ALL, &Options { recreate: true, ..Options::default() }, &Console::new())
        })
        .and_then(|()| tell(&steps, &lab));
    let cleaned = steps.run("take the lab down", lab::down_after_tests);
    told.and(cleaned)
}

fn tell(steps: &Steps, lab: &Lab) -> Result<()> {
    let longshore = workspace::program("longshore-cli", "longshore")?;
    let helm = lab.helm(&Console::new())?;
    let minio = lab.minio();
    minio.create_bucket(BUCKET)?;
    let keys = minio.credentials()?;
    let credentials = Credentials::from([
        ("RESTIC_REPOSITORY".to_owned(), format!("s3:{}/{BUCKET}", minio.endpoint())),
        ("RESTIC_PASSWORD".to_owned(), "a password for the demo".to_owned()),
        ("AWS_ACCESS_KEY_ID".to_owned(), keys.access_key),
        ("AWS_SECRET_ACCESS_KEY".to_owned(), keys.secret_key),
    ]);
    let site = |cluster: &Cluster| Site {
        kubectl: Kubectl { program: lab.kubectl(), kubeconfig: cluster.kubeconfig(), context: None },
        helm: helm.clone(),
        image: "localhost/longshore:dev".to_owned(),
        workload_image: "localhost/workload:dev".to_owned(),
        storage_class: STORAGE_CLASS.to_owned(),
        snapshot_class: SNAPSHOT_CLASS.to_owned(),
        namespace: "shop".to_owned(),
        operator_namespace: "longshore".to_owned(),
        protected_namespace: "longshore-movers".to_owned(),
        allow_restore: Vec::new(),
    };
    let (origin, fresh) = (site(&lab.cluster(ClusterName::Origin)), site(&lab.cluster(ClusterName::Fresh)));
    story::play(steps, (&origin, &fresh), &credentials, &longshore, || {
        lab.destroy_cluster_and_driver_state(ClusterName::Origin)
    })
}
