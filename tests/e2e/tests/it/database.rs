//! A real application: rows of a PostgreSQL, written while its snapshot is taken, read in the fresh cluster.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use longshore_e2e::{Cluster, Outcome, SETTLE, SHORT, Scenario, VolumeMode, eventually, kinds};
use longshore_lab::{Image, Silent, packages};
use serde_json::{Value, json};

const IMAGE: &str = "localhost/postgres:dev";
/// Debian's user of PostgreSQL need not exist in the image; any but root will do.
const USER: u32 = 65534;

#[test]
fn vsm_22_rows_of_a_postgresql_are_there_after_the_restore() -> Outcome {
    Scenario::play("database", |scenario| {
        let (origin, fresh) = (&scenario.site.origin, &scenario.site.fresh);
        let archive = image(scenario)?;
        for cluster in [origin, fresh] {
            cluster.lab.load_image(&archive)?;
        }
        origin.create(&longshore_e2e::application::claim(
            &scenario.namespace,
            "data",
            "lab-ext4",
            VolumeMode::Filesystem,
            "160Mi",
        ))?;
        start(scenario, origin)?;
        fill(scenario, origin)?;
        let before = state(scenario, origin)?;
        // The snapshot is taken of a running database, which goes on writing.
        let snapshot = scenario.snapshot("first", "data")?;
        query(scenario, origin, "insert into later values (1)")?;
        let backup = scenario.back_up("first", &snapshot)?.completed()?;
        scenario.restore_to(fresh, "back", &backup, "data")?.completed()?;
        start(scenario, fresh)?;
        let after = state(scenario, fresh)?;
        ensure!(before == after, "rows before: {before}; after: {after}");
        Ok(())
    })
}

/// Makes tables and rows.
pub(crate) fn fill(scenario: &Scenario, cluster: &Cluster) -> Result<()> {
    query(scenario, cluster, "create table account (id int primary key, name text, euros numeric)")?;
    query(
        scenario,
        cluster,
        "insert into account select i, 'account ' || i, i * 1.01 from generate_series(1, 20000) i",
    )?;
    query(scenario, cluster, "create table later (id int)").map(drop)
}

/// Counts and a hash over all rows; what was written after the snapshot must not be there.
pub(crate) fn state(scenario: &Scenario, cluster: &Cluster) -> Result<String> {
    query(
        scenario,
        cluster,
        "select count(*), sum(euros), md5(string_agg(account::text, ',' order by id)), (select count(*) from later) from account",
    )
}

/// Starts the database on claim `data` and waits until it answers.
pub(crate) fn start(scenario: &Scenario, cluster: &Cluster) -> Result<()> {
    let script = "export PATH=/postgres/bin:$PATH
if [ ! -e /data/database/PG_VERSION ]; then initdb -D /data/database -A trust --no-locale -E UTF8 -U postgres; fi
rm -f /data/database/postmaster.pid
exec postgres -D /data/database -c listen_addresses= -c unix_socket_directories=/tmp -c jit=off -c shared_buffers=16MB -c max_connections=10";
    let prepare =
        format!("mkdir -p /data/database; chown {USER}:{USER} /data/database; chmod 700 /data/database");
    let mount = json!([{"name": "volume", "mountPath": "/data"}]);
    cluster.create(&json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "database", "namespace": scenario.namespace},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 5, "automountServiceAccountToken": false,
            "initContainers": [{"name": "owner", "image": longshore_e2e::WORKLOAD_IMAGE, "imagePullPolicy": "Never",
                "command": ["sh", "-ec", prepare], "volumeMounts": mount}],
            "containers": [{"name": "main", "image": IMAGE, "imagePullPolicy": "Never", "command": ["bash", "-ec", script],
                "securityContext": {"runAsUser": USER, "runAsGroup": USER}, "volumeMounts": mount}],
            "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": "data"}}]}}))?;
    answers(scenario, cluster)
}

/// Waits until the database's pod runs and answers.
pub(crate) fn answers(scenario: &Scenario, cluster: &Cluster) -> Result<()> {
    cluster.watch(
        "a running database",
        (&kinds::POD, &scenario.namespace, "database"),
        SETTLE,
        |object| {
            let status = object.map_or(&Value::Null, |object| &object["status"]);
            ensure!(status["phase"] != "Failed", "{:?}", cluster.logs(&scenario.namespace, "database"));
            Ok((status["containerStatuses"][0]["ready"] == true).then_some(()))
        },
    )?;
    eventually("the database to answer", SHORT, || {
        Ok(query(scenario, cluster, "select 1").map(drop).map_err(|error| format!("{error:#}")))
    })
}

fn query(scenario: &Scenario, cluster: &Cluster, text: &str) -> Result<String> {
    let command = [
        "-n",
        &scenario.namespace,
        "exec",
        "database",
        "-c",
        "main",
        "--",
        "/postgres/bin/psql",
        "-h",
        "/tmp",
    ];
    let words = ["-U", "postgres", "-v", "ON_ERROR_STOP=1", "-At", "-c", text];
    cluster.lab.kubectl(&[command.as_slice(), words.as_slice()].concat())
}

/// Debian's PostgreSQL in an image.
pub(crate) fn image(scenario: &Scenario) -> Result<PathBuf> {
    packages::install_for("postgresql", Path::new("/usr/lib/postgresql"), &Silent)?;
    let root = newest(Path::new("/usr/lib/postgresql"))?;
    let version = root.file_name().context("no version")?.to_owned();
    let share = Path::new("/usr/share/postgresql").join(version);
    let mut programs = BTreeMap::new();
    for tool in ["bash", "rm", "cat", "locale"] {
        if let Some(file) = packages::find(tool) {
            programs.insert(format!("/usr/bin/{tool}"), file);
        }
    }
    // Where they look for each other is compiled in, so that they keep their places.
    for folder in [&root, &share] {
        add(&mut programs, folder)?;
    }
    let links = BTreeMap::from([
        ("/usr/bin/sh".to_owned(), "bash".to_owned()),
        ("/postgres".to_owned(), root.to_string_lossy().into_owned()),
    ]);
    let image =
        Image { name: IMAGE.into(), programs, links, base: true, entrypoint: vec!["/usr/bin/bash".into()] };
    let folder = scenario.site.lab.paths().cache().join("images");
    let archive = folder.join("postgres-dev.tar");
    image.write_archive(&archive)?;
    Ok(archive)
}

fn newest(folder: &Path) -> Result<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.join("bin/postgres").exists());
    found.sort();
    found.pop().context("no PostgreSQL server")
}

fn add(programs: &mut BTreeMap<String, PathBuf>, folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            // Byte code of the compiler that is left out, and documents.
            if name != "bitcode" && name != "man" {
                add(programs, &path)?;
            }
        } else if !name.starts_with("llvmjit") && path.exists() {
            programs.insert(path.to_string_lossy().into_owned(), path);
        }
    }
    Ok(())
}
