//! `kubectl longshore` as its users type it: the real kubectl finds it, and every verb meets the real cluster.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use longshore_e2e::{
    Outcome, PROTECTED_NAMESPACE, Plugin, SETTLE, Scenario, VolumeMode, eventually, kinds, processes, tree,
};
use serde_json::{Value, json};

const MODE: VolumeMode = VolumeMode::Filesystem;
const DEFAULT_CLASS: &str = "snapshot.storage.kubernetes.io/is-default-class";

/// The doctor looks at the whole cluster, and a default is taken away from a class: nobody else may be at work.
#[test]
fn a_user_backs_up_restores_and_looks_after_runs_with_kubectl_alone() -> Outcome {
    Scenario::play_alone("kubectl", |scenario| {
        let site = scenario.site;
        let plugin = Plugin::install(site, &site.origin, &scenario.namespace)?;
        let repository = &scenario.namespace;
        site.origin.create(&json!({"apiVersion": "longshore.dev/v1alpha1", "kind": "Repository",
            "metadata": {"name": repository, "namespace": PROTECTED_NAMESPACE},
            "spec": {"secretRef": {"name": scenario.secret}, "maintenance": {"schedule": "0 0 1 1 *"}}}))?;
        let outcome = story(scenario, &plugin);
        // It lives in the protected namespace, which stays.
        site.origin.delete(&kinds::REPOSITORY, PROTECTED_NAMESPACE, repository)?;
        outcome
    })
}

fn story(scenario: &Scenario, plugin: &Plugin) -> Result<()> {
    let before = scenario.fill("data", "lab-ext4", MODE, "96Mi", tree::NASTY)?;
    there_and_back(scenario, plugin, &before)?;
    what_is_shown(scenario, plugin)?;
    nothing_happens_in_a_dry_run(scenario, plugin)?;
    health_and_its_loss(scenario, plugin)?;
    a_run_that_waits(scenario, plugin)?;
    a_run_that_is_cancelled(scenario, plugin)
}

/// Flags that lead to the scenario's repository.
fn place(scenario: &Scenario) -> [&str; 4] {
    ["--protected-namespace", PROTECTED_NAMESPACE, "--repository", &scenario.namespace]
}

fn there_and_back(scenario: &Scenario, plugin: &Plugin, before: &str) -> Result<()> {
    let origin = &scenario.site.origin;
    let arguments = ["backup", "data", "--name=first", "--wait", "--timeout=5m"];
    let ended = plugin.run(&[&arguments[..], &place(scenario)].concat())?;
    ensure!(ended.code == Some(0), "{ended:?}");
    ensure!(
        ended.out.contains("volumesnapshotbackup.datamover.oadp.openshift.io/first created"),
        "{ended:?}"
    );
    ensure!(
        ended.out.contains("volumesnapshotbackup.datamover.oadp.openshift.io/first completed"),
        "{ended:?}"
    );
    ensure!(ended.err.contains("vsb/first: Completed"), "progress goes to stderr: {ended:?}");
    scenario.adopt(origin, &kinds::BACKUP, "first")?.completed()?;
    origin.wait_gone(&kinds::VOLUME_SNAPSHOT, &scenario.namespace, "first", SETTLE)?;
    ensure!(scenario.repository().snapshots()?.len() == 1, "one backup, one restore point");

    // Protected namespace and Secret are those of the backup.
    let restored =
        plugin.json(&["restore", "first", "--target-pvc=copy", "--name=back", "--wait", "--timeout=5m"])?;
    ensure!(restored["status"]["phase"] == "Completed", "the object at its end is printed: {restored}");
    scenario.adopt(origin, &kinds::RESTORE, "back")?.completed()?;
    let after = scenario.fingerprint(origin, "copy", MODE)?;
    ensure!(tree::difference(before, &after).is_none(), "{:?}", tree::difference(before, &after));
    Ok(())
}

fn what_is_shown(scenario: &Scenario, plugin: &Plugin) -> Result<()> {
    let table = plugin.ok(&["status"])?;
    let line = |start: &str| table.lines().find(|line| line.starts_with(start)).map(str::to_owned);
    let backup = line("vsb").with_context(|| format!("no backup in {table}"))?;
    ensure!(backup.contains("first") && backup.contains("Completed"), "{table}");
    ensure!(line("vsr").is_some_and(|line| line.contains("back")), "{table}");
    let names = plugin.ok(&["status", "-o", "name"])?;
    ensure!(names.contains("volumesnapshotrestore.datamover.oadp.openshift.io/back\n"), "{names}");
    let detail = plugin.ok(&["status", "vsb/first"])?;
    ensure!(detail.contains("longshore://") && detail.contains("CONDITION"), "{detail}");
    let document = plugin.json(&["status", "--all-namespaces"])?;
    ensure!(document["kind"] == "Status" && document["version"] == 1, "{document}");
    let items = document["items"].as_array().context("no items")?;
    let repository = items.iter().find(|item| item["name"] == scenario.namespace.as_str());
    ensure!(repository.is_some_and(|item| item["kind"] == "Repository"), "{document}");
    let gone = plugin.fails(1, &["logs", "first"])?;
    ensure!(gone.err.contains("vsb/first is Completed"), "{gone:?}");
    plugin.fails(1, &["status", "there-is-none"])?;
    plugin.fails(2, &["backup"]).map(drop)
}

fn nothing_happens_in_a_dry_run(scenario: &Scenario, plugin: &Plugin) -> Result<()> {
    let origin = &scenario.site.origin;
    for place_of_check in ["client", "server"] {
        let flag = format!("--dry-run={place_of_check}");
        let arguments = ["backup", "data", "--name=dry", &flag];
        let list = plugin.json(&[&arguments[..], &place(scenario)].concat())?;
        let kinds: Vec<&Value> =
            list["items"].as_array().into_iter().flatten().map(|item| &item["kind"]).collect();
        ensure!(kinds == ["VolumeSnapshot", "VolumeSnapshotBackup"], "{list}");
        let said = plugin.ok(&["cancel", "vsb/first", &flag])?;
        ensure!(said.contains("nothing was done"), "{said}");
    }
    for kind in [&kinds::BACKUP, &kinds::VOLUME_SNAPSHOT] {
        ensure!(origin.get(kind, &scenario.namespace, "dry")?.is_none(), "a dry run made a {}", kind.name);
    }
    Ok(())
}

/// The findings of this severity and check.
fn findings(document: &Value, check: &str) -> Vec<String> {
    let all = document["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wanted = all.iter().filter(|one| one["severity"] == "error" && one["check"] == check);
    wanted.map(Value::to_string).collect()
}

fn health_and_its_loss(scenario: &Scenario, plugin: &Plugin) -> Result<()> {
    let origin = &scenario.site.origin;
    let healthy = plugin.json(&["doctor"])?;
    ensure!(healthy["errors"] == 0 && healthy["kind"] == "Doctor", "{healthy}");
    let mark = |value: &str| {
        let change = json!({"metadata": {"annotations": {DEFAULT_CLASS: value}}});
        origin.patch(&kinds::VOLUME_SNAPSHOT_CLASS, "", "lab-delete", &change)
    };
    mark("false")?;
    let ill = plugin.run(&["doctor", "-o", "json"]);
    let told = plugin.run(&[
        "backup",
        "data",
        "--name=none",
        "--dry-run=client",
        "--secret=any",
        "--protected-namespace",
        PROTECTED_NAMESPACE,
    ]);
    mark("true")?;
    let ill = ill?;
    ensure!(ill.code == Some(1), "{ill:?}");
    let document: Value = serde_json::from_str(&ill.out)?;
    let found = findings(&document, "SnapshotClass");
    ensure!(found.len() == 1 && found[0].contains("lab-delete"), "{document}");
    let told = told?;
    ensure!(told.code == Some(1) && told.err.contains("--snapshot-class"), "{told:?}");
    plugin.ok(&["doctor"]).map(drop)
}

/// A Secret that is not there: the wait ends in time, and status and doctor say what is missing.
fn a_run_that_waits(scenario: &Scenario, plugin: &Plugin) -> Result<()> {
    let origin = &scenario.site.origin;
    let arguments = ["backup", "data", "--name=third", "--secret=there-is-none", "--wait", "--timeout=30s"];
    let ended =
        plugin.fails(1, &[&arguments[..], &["--protected-namespace", PROTECTED_NAMESPACE]].concat())?;
    ensure!(ended.err.contains("waited 30 s"), "{ended:?}");
    let run = scenario.adopt(origin, &kinds::BACKUP, "third")?;
    run.shows("SecretNotFound", SETTLE)?;
    let detail = plugin.ok(&["status", "third"])?;
    ensure!(detail.contains("What to do: Create the Secret"), "{detail}");
    let ill = plugin.fails(1, &["doctor", "-o", "json"])?;
    let document: Value = serde_json::from_str(&ill.out)?;
    ensure!(findings(&document, "Secret").len() == 1, "{document}");
    plugin.ok(&["cancel", "third"])?;
    origin.wait_gone(&kinds::BACKUP, &scenario.namespace, "third", SETTLE)?;
    // The snapshot was the run's.
    origin.wait_gone(&kinds::VOLUME_SNAPSHOT, &scenario.namespace, "third", SETTLE)
}

fn a_run_that_is_cancelled(scenario: &Scenario, plugin: &Plugin) -> Result<()> {
    let origin = &scenario.site.origin;
    let started =
        plugin.ok(&[&["backup", "data", "--name=second", "-o", "name"][..], &place(scenario)].concat())?;
    ensure!(started.ends_with("volumesnapshotbackup.datamover.oadp.openshift.io/second\n"), "{started}");
    let run = scenario.adopt(origin, &kinds::BACKUP, "second")?;
    let mover = processes::mover(&run, PROTECTED_NAMESPACE)?;
    mover.freeze()?;
    let log = eventually("lines of the mover", Duration::from_secs(30), || {
        let ended = plugin.run(&["logs", "second", "--tail=3"])?;
        if ended.out.is_empty() {
            // It may have been caught before its first line.
            mover.thaw()?;
            thread::sleep(Duration::from_millis(20));
            mover.freeze()?;
            return Ok(Err(format!("{ended:?}")));
        }
        Ok(Ok(ended))
    })?;
    ensure!(log.err.contains(&mover.pod) && log.out.lines().count() <= 3, "{log:?}");
    ensure!(plugin.fails(1, &["logs", "second", "--previous"])?.err.contains("one attempt"), "--previous");
    // The mover stays held until its grace is over: a cancel that comes after the commit would leave the point, and rightly.
    let followed = thread::scope(|scope| {
        let follower = scope.spawn(|| plugin.run(&["logs", "second", "--follow"]));
        let said = plugin.json(&["cancel", "second"])?;
        ensure!(said["cancelled"] == true && said["run"]["name"] == "second", "{said}");
        follower.join().map_err(|_| anyhow!("the follower panicked"))?
    })?;
    ensure!(followed.code.is_some(), "it ends with the mover: {followed:?}");
    origin.wait_gone(&kinds::BACKUP, &scenario.namespace, "second", SETTLE)?;
    origin.wait_gone(&kinds::VOLUME_SNAPSHOT, &scenario.namespace, "second", SETTLE)?;
    ensure!(scenario.repository().snapshots()?.len() == 1, "a cancelled backup leaves no restore point");
    plugin.fails(1, &["cancel", "second"]).map(drop)
}
