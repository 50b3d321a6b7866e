//! What OADP's administrators may set: options per StorageClass, and several default classes.

use anyhow::{Result, ensure};
use longshore_e2e::{
    Cluster, Kind, Outcome, PROTECTED_NAMESPACE, Run, Scenario, VolumeMode, WORK, eventually, kinds, text,
};
use serde_json::{Value, json};

use crate::oadp_replay::{Generation, Plugins};

const MODE: VolumeMode = VolumeMode::Filesystem;

/// A copy of a StorageClass under another name, as an administrator makes one for movers.
fn copy_class(cluster: &Cluster, of: &str, name: &str) -> Result<()> {
    let mut class = cluster.need(&kinds::STORAGE_CLASS, "", of)?;
    class["metadata"] = json!({"name": name});
    cluster.create(&class).map(drop)
}

/// The ConfigMap as OADP's operator writes it.
fn config(cluster: &Cluster, class: &str, data: &Value) -> Result<()> {
    cluster
        .create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data, "metadata": {
            "name": format!("{class}-config"), "namespace": PROTECTED_NAMESPACE, "labels": {
                "openshift.io/oadp": "True", "openshift.io/volume-snapshot-mover": "True",
                "openshift.io/vsm-storageclass": class}}}))
        .map(drop)
}

/// Class and access modes of the mover's volume.
fn volume(cluster: &Cluster, run: &Run) -> Result<(String, Value)> {
    let claim = eventually("the mover's volume", WORK, || {
        let found = cluster.list(&kinds::PVC, PROTECTED_NAMESPACE, &run.selector())?;
        Ok(found.into_iter().next().ok_or_else(|| "none yet".to_owned()))
    })?;
    Ok((text(&claim, "/spec/storageClassName")?.to_owned(), claim["spec"]["accessModes"].clone()))
}

#[test]
fn vsm_26_two_classes_have_different_options_in_one_backup() -> Outcome {
    Scenario::play("oadp-classes", |scenario| {
        let origin = &scenario.site.origin;
        // Classes of the scenario's own, so that no other one meets the options.
        let [plain, shaped, movers] =
            ["plain", "shaped", "movers"].map(|kind| format!("e2e-{kind}-{}", scenario.site.run));
        for name in [&plain, &shaped, &movers] {
            copy_class(origin, "lab-ext4", name)?;
        }
        config(
            origin,
            &plain,
            &json!({"SourceAccessMode": "ReadWriteOncePod", "SourceCacheCapacity": "2Gi"}),
        )?;
        config(
            origin,
            &shaped,
            &json!({"SourceStorageClassName": movers, "DestinationStorageClassName": movers,
                "DestinationAccessMode": "ReadWriteOncePod", "SourceMoverSecurityContext": "true"}),
        )?;
        let plugins = Plugins::install(scenario, Generation::C)?;
        let (mut runs, mut seen) = (Vec::new(), Vec::new());
        for (claim, class) in [("one", &plain), ("two", &shaped)] {
            scenario.fill(claim, class, MODE, "16Mi", "echo some > /data/file; sync")?;
            let run = plugins.create_vsb(&plugins.snapshot(claim, claim)?)?;
            // At once: the volume goes with the end of its run.
            seen.push(volume(origin, &run)?);
            runs.push(run);
        }
        ensure!(seen[0] == (plain.clone(), json!(["ReadWriteOncePod"])), "{seen:?}");
        ensure!(seen[1] == (movers.clone(), json!(["ReadWriteOnce"])), "{seen:?}");
        for run in &runs {
            run.completed()?;
        }
        let tarball = plugins.tarball_of(&runs[1])?;
        let vsr = plugins.create_vsr(origin, "restore-1", &tarball)?;
        let seen = volume(origin, &vsr)?;
        ensure!(seen == (movers.clone(), json!(["ReadWriteOncePod"])), "{seen:?}");
        vsr.completed()?;
        for name in [&plain, &shaped] {
            origin.delete(&kinds::CONFIG_MAP, PROTECTED_NAMESPACE, &format!("{name}-config"))?;
        }
        [&plain, &shaped, &movers]
            .into_iter()
            .try_for_each(|name| origin.delete(&kinds::STORAGE_CLASS, "", name))
    })
}

#[test]
fn vsm_31_several_default_classes_stop_nothing_and_a_choice_is_asked_for_by_name() -> Outcome {
    Scenario::play_alone("oadp-defaults", |scenario| {
        let origin = &scenario.site.origin;
        let snapshots = (&kinds::VOLUME_SNAPSHOT_CLASS, "snapshot.storage.kubernetes.io/is-default-class");
        let volumes = (&kinds::STORAGE_CLASS, "storageclass.kubernetes.io/is-default-class");
        let before = [defaults(origin, snapshots)?, defaults(origin, volumes)?];
        let outcome = all_default(origin, snapshots)
            .and_then(|()| all_default(origin, volumes))
            .and_then(|()| with_many_defaults(scenario));
        for ((kind, key), marks) in [snapshots, volumes].into_iter().zip(&before) {
            for (name, mark) in marks {
                mark_class(origin, kind, key, name, mark)?;
            }
        }
        outcome
    })
}

fn with_many_defaults(scenario: &Scenario) -> Result<()> {
    let plugins = Plugins::install(scenario, Generation::C)?;
    let origin = &scenario.site.origin;
    scenario.fill("data", "lab-ext4", MODE, "16Mi", "echo some > /data/file; sync")?;
    let vsb = plugins.create_vsb(&plugins.snapshot("first", "data")?)?;
    vsb.completed()?;
    let mut tarball = plugins.tarball_of(&vsb)?;
    plugins.create_vsr(origin, "restore-1", &tarball)?.completed()?;
    // Another cluster's class: the driver has several here, all default, and the message asks for a name.
    tarball["metadata"]["annotations"]["datamover.io/source-pvc-volumesnapshotclass"] = "unknown-here".into();
    let vsr = plugins.create_vsr(origin, "restore-2", &tarball)?;
    let failed = vsr.failed("VolumeSnapshotClassNotFound")?;
    ensure!(failed["status"].to_string().contains("csi.lab.longshore.dev"), "{}", failed["status"]);
    Ok(())
}

fn defaults(cluster: &Cluster, (kind, key): (&Kind, &str)) -> Result<Vec<(String, Value)>> {
    let classes = cluster.list(kind, "", "")?;
    classes
        .iter()
        .map(|class| {
            let mark = class["metadata"]["annotations"][key].clone();
            Ok((text(class, "/metadata/name")?.to_owned(), mark))
        })
        .collect()
}

fn mark_class(cluster: &Cluster, kind: &Kind, key: &str, name: &str, mark: &Value) -> Result<()> {
    cluster.patch(kind, "", name, &json!({"metadata": {"annotations": {key: mark}}}))
}

fn all_default(cluster: &Cluster, (kind, key): (&Kind, &str)) -> Result<()> {
    for (name, _) in defaults(cluster, (kind, key))? {
        mark_class(cluster, kind, key, &name, &"true".into())?;
    }
    Ok(())
}
