//! `kubectl longshore backup`
//!
//! A VolumeSnapshot that the command takes is only the way to a restore point, so somebody must remove it. The run owns it: whoever deletes
//! the run, at once or in a year, removes it too. With `--wait` it goes as soon as the run is completed. After a failure it stays, since
//! another try can begin from it; `--keep-snapshot` leaves it alone altogether.

use futures::future::join_all;
use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use longshore_api::{VolumeSnapshot, VolumeSnapshotBackup};
use serde_json::{Value, json};

use crate::arguments::{BackupArguments, DryRun, GlobalArguments, OutputForm};
use crate::cluster::{Session, delete, get, merge};
use crate::failure::Failure;
use crate::output;
use crate::place::{Place, find};
use crate::run::{announce, end_of, make, name_for, value};
use crate::source::{SnapshotClass, backup_of, class_for, ready, ready_content, snapshot_of};

/// One backup of the several that a command line may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    /// Name of the run.
    name: String,
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// A PVC, of which a snapshot of the run's name is taken.
    Claim(String),
    /// A VolumeSnapshot that exists.
    Snapshot(String),
}

/// What is asked for, each with the name of its run. Pure.
fn wishes(verb: &BackupArguments, now: Timestamp) -> Result<Vec<Wish>, Failure> {
    let claims = verb.claims.iter().cloned().map(Source::Claim);
    let snapshots = verb.volume_snapshots.iter().cloned().map(Source::Snapshot);
    let mut sources: Vec<Source> = Vec::new();
    for source in claims.chain(snapshots) {
        if sources.contains(&source) {
            return Err(Failure::usage(format!("named twice: {}", source.name())));
        }
        sources.push(source);
    }
    if verb.run.name.is_some() && sources.len() > 1 {
        return Err(Failure::usage("--name names one run, but several are asked for"));
    }
    let name = |source: &Source| verb.run.name.clone().unwrap_or_else(|| name_for(source.name(), now));
    Ok(sources.into_iter().map(|source| Wish { name: name(&source), source }).collect())
}

impl Source {
    fn name(&self) -> &str {
        match self {
            Self::Claim(name) | Self::Snapshot(name) => name,
        }
    }
}

pub async fn run(global: &GlobalArguments, verb: &BackupArguments) -> Result<(), Failure> {
    // What is wrong with the command line is said before anybody is asked.
    let wishes = wishes(verb, Timestamp::now())?;
    start_all(&Session::connect(global).await?, verb, &wishes).await
}

async fn start_all(session: &Session, verb: &BackupArguments, wishes: &[Wish]) -> Result<(), Failure> {
    let place = find(session, &verb.run, None).await?;
    let ended = join_all(wishes.iter().map(|wish| one(session, verb, &place, wish))).await;
    let (all, mut made, mut failures) = (ended.len(), Vec::new(), Vec::new());
    for outcome in ended {
        match outcome {
            Ok(objects) => made.extend(objects),
            Err(failure) => failures.push(failure),
        }
    }
    let form = verb.run.write.output;
    if matches!(form, OutputForm::Json | OutputForm::Yaml) && !made.is_empty() {
        output::objects(form, made)?;
    }
    match failures.len() {
        0 => Ok(()),
        1 if all == 1 => Err(failures.remove(0)),
        failed => {
            failures.iter().for_each(|failure| failure.print(form == OutputForm::Json));
            Err(Failure::Several { failed, all })
        }
    }
}

/// From snapshot to run, and to its end when that is waited for. Returns the objects for the document.
async fn one(
    session: &Session,
    verb: &BackupArguments,
    place: &Place,
    wish: &Wish,
) -> Result<Vec<Value>, Failure> {
    let write = verb.run.write;
    let (snapshot, class) = match &wish.source {
        Source::Snapshot(name) => (existing(session, name).await?, None),
        Source::Claim(claim) => {
            let class = class_for(session, claim, verb.snapshot_class.as_deref()).await?;
            let snapshot = snapshot_of(&session.namespace, &wish.name, claim, &class);
            let snapshot = make(session, write, snapshot).await?;
            announce(write, &snapshot, "created")?;
            (snapshot, Some(class))
        }
    };
    if write.dry_run != DryRun::None {
        let content = ready_content(&snapshot);
        if content.is_none() {
            eprintln!(
                "note: the VolumeSnapshotContent's name is known only when the snapshot is ready; it is left out"
            );
        }
        let run = make(session, write, backup_of(&session.namespace, &wish.name, content, place)).await?;
        announce(write, &run, "created")?;
        let mut objects = vec![value(&run)?];
        if class.is_some() {
            objects.insert(0, value(&snapshot)?);
        }
        return Ok(objects);
    }
    let started = start(session, verb, place, wish, &snapshot).await;
    let run = match (started, &class) {
        (Ok(run), _) => run,
        (Err(failure), None) => return Err(failure),
        // Nobody else knows this snapshot, and no run needs it.
        (Err(failure), Some(_)) => {
            remove(session, &snapshot).await?;
            return Err(failure);
        }
    };
    announce(write, &run, "created")?;
    follow(session, verb, run, class.map(|class| (snapshot, class))).await
}

async fn existing(session: &Session, name: &str) -> Result<VolumeSnapshot, Failure> {
    let found = get(&session.here::<VolumeSnapshot>(), name).await?;
    found.ok_or_else(|| Failure::NotFound {
        message: format!("there is no VolumeSnapshot {name} in namespace {}", session.namespace),
        advice: "Name its namespace with -n, or name a PVC to take a new one.".to_owned(),
    })
}

async fn start(
    session: &Session,
    verb: &BackupArguments,
    place: &Place,
    wish: &Wish,
    snapshot: &VolumeSnapshot,
) -> Result<VolumeSnapshotBackup, Failure> {
    let content = ready(session, &snapshot.name_any(), verb.run.timeout).await?;
    let run = backup_of(&session.namespace, &wish.name, Some(&content), place);
    make(session, verb.run.write, run).await
}

/// Gives the snapshot its owner, and waits if that was asked for. `own` is a snapshot that this command took.
async fn follow(
    session: &Session,
    verb: &BackupArguments,
    run: VolumeSnapshotBackup,
    own: Option<(VolumeSnapshot, SnapshotClass)>,
) -> Result<Vec<Value>, Failure> {
    let own = own.filter(|_| !verb.keep_snapshot);
    if let Some((snapshot, class)) = &own {
        if let Err(failure) = give_to(session, snapshot, &run).await {
            eprintln!("warning: VolumeSnapshot {} will not go with its run: {failure}", snapshot.name_any());
        }
        if class.retains {
            eprintln!(
                "note: class {} is of policy Retain: when VolumeSnapshot {} goes, the snapshot stays in the storage",
                class.name.as_deref().unwrap_or_default(),
                snapshot.name_any()
            );
        }
    }
    if !verb.run.wait {
        return Ok(vec![value(&run)?]);
    }
    let api = session.here::<VolumeSnapshotBackup>();
    match end_of(&api, &run.name_any(), verb.run.timeout).await {
        Ok(over) => {
            if let Some((snapshot, _)) = &own {
                remove(session, snapshot).await?;
            }
            announce(verb.run.write, &over, "completed")?;
            Ok(vec![value(&over)?])
        }
        Err(failure) => {
            if let (Some((snapshot, _)), Failure::RunFailed { .. }) = (&own, &failure) {
                let name = snapshot.name_any();
                eprintln!(
                    "note: VolumeSnapshot {name} stays until its run is deleted; try again with --volume-snapshot {name}"
                );
            }
            Err(failure)
        }
    }
}

/// Makes the run the owner of the snapshot, so that it goes with the run.
async fn give_to(
    session: &Session,
    snapshot: &VolumeSnapshot,
    run: &VolumeSnapshotBackup,
) -> Result<(), Failure> {
    let Some(owner) = run.owner_ref(&()) else { return Ok(()) };
    let change = json!({"metadata": {"ownerReferences": [owner]}});
    merge(&session.here::<VolumeSnapshot>(), &snapshot.name_any(), &change, DryRun::None).await.map(drop)
}

async fn remove(session: &Session, snapshot: &VolumeSnapshot) -> Result<(), Failure> {
    let api = session.here::<VolumeSnapshot>();
    delete(&api, &snapshot.name_any(), snapshot.uid(), DryRun::None).await
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};
    use crate::testing::{Asked, Server, block_on, list};

    fn wished(arguments: &[&str]) -> Result<Vec<Wish>, String> {
        let all = ["kubectl-longshore", "backup"].iter().chain(arguments);
        let Command::Backup(verb) = Arguments::parse_from(all).command else { panic!() };
        let now = "2026-11-26T08:49:53Z".parse().unwrap();
        wishes(&verb, now).map_err(|failure| failure.to_string())
    }

    #[test]
    fn each_source_gets_a_run_of_its_own() {
        let all = wished(&["data", "logs", "--volume-snapshot", "old"]).unwrap();
        let names: Vec<&str> = all.iter().map(|wish| wish.name.as_str()).collect();
        assert_eq!(names, ["data-20261126-084953", "logs-20261126-084953", "old-20261126-084953"]);
        assert_eq!(all[2].source, Source::Snapshot("old".into()));
        assert_eq!(wished(&["data", "--name=mine"]).unwrap()[0].name, "mine");
    }

    const SNAPSHOTS: &str = "/apis/snapshot.storage.k8s.io/v1/namespaces/shop/volumesnapshots";
    const RUNS: &str = "/apis/datamover.oadp.openshift.io/v1alpha1/namespaces/shop/volumesnapshotbackups";

    /// A namespace with the bound PVC `data`; every VolumeSnapshot in it is ready.
    fn shop() -> Server {
        let claim = json!({"metadata": {"name": "data", "namespace": "shop", "annotations":
            {"volume.kubernetes.io/storage-provisioner": "csi.one"}}, "status": {"phase": "Bound"}});
        let class = json!([{"metadata": {"name": "fast"}, "driver": "csi.one", "deletionPolicy": "Delete"}]);
        let snapshot = json!([{"metadata": {"name": "mine", "namespace": "shop", "uid": "s"}, "spec": {"source": {}},
            "status": {"readyToUse": true, "boundVolumeSnapshotContentName": "content-1"}}]);
        let patched = json!({"metadata": {"name": "mine"}, "spec": {"source": {}}});
        const ONE: &str = "/apis/snapshot.storage.k8s.io/v1/namespaces/shop/volumesnapshots/mine";
        Server::new(
            vec![
                ("GET", "/api/v1/namespaces/shop/persistentvolumeclaims/data", 200, claim),
                ("GET", "/apis/snapshot.storage.k8s.io/v1/volumesnapshotclasses", 200, list(class)),
                ("POST", SNAPSHOTS, 201, Value::Null),
                ("GET", SNAPSHOTS, 200, list(snapshot)),
                ("PATCH", ONE, 200, patched),
                ("POST", RUNS, 201, Value::Null),
            ],
            404,
        )
    }

    /// What a command line changes there.
    fn changes(arguments: &[&str]) -> Vec<Asked> {
        let place = ["--name=mine", "--protected-namespace=vault", "--secret=store"];
        let all = ["kubectl-longshore", "backup"].iter().chain(arguments).chain(&place);
        let Command::Backup(verb) = Arguments::parse_from(all).command else { panic!() };
        let server = shop();
        let wishes = wishes(&verb, Timestamp::UNIX_EPOCH).unwrap();
        block_on(async { start_all(&server.session(), &verb, &wishes).await }).unwrap();
        server.changes()
    }

    #[test]
    fn a_pvc_becomes_a_snapshot_and_a_run_of_its_content() {
        let done = changes(&["data"]);
        assert_eq!(done[0].what, format!("POST {SNAPSHOTS}"));
        assert_eq!(done[0].body["spec"]["volumeSnapshotClassName"], "fast");
        assert_eq!(done[1].what, format!("POST {RUNS}"));
        assert_eq!(done[1].body["spec"]["volumeSnapshotContent"]["name"], "content-1");
        assert_eq!(done[1].body["spec"]["resticSecretRef"]["name"], "store");
        // The answer of this server has no UID, so that there is no owner to name.
        assert_eq!(done.len(), 2, "{done:?}");
    }

    #[test]
    fn a_dry_run_asks_the_server_for_a_check_at_most() {
        assert_eq!(changes(&["data", "--dry-run=client"]), []);
        let checked = changes(&["data", "--dry-run=server", "-o", "json"]);
        assert_eq!(checked.len(), 2);
        assert!(checked.iter().all(|one| one.query.contains("dryRun=All")), "{checked:?}");
    }

    #[test]
    fn a_name_for_several_and_a_source_named_twice_are_wrong_usage() {
        assert!(wished(&["data", "logs", "--name=mine"]).unwrap_err().contains("--name"));
        assert!(wished(&["data", "data"]).unwrap_err().contains("twice"));
    }
}
