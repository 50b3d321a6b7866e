//! Restores that ask for what cannot be had, or must not be had.

use anyhow::{Context, Result, ensure};
use longshore_e2e::{
    Outcome, PROTECTED_NAMESPACE, SHORT, Scenario, VolumeMode, allowed_pair, kinds, text, tree,
};
use longshore_lab::{DriverOptions, Silent};
use serde_json::{Value, json};

#[test]
fn vsm_7_each_missing_or_wrong_field_of_a_restore_has_its_own_reason() -> Outcome {
    Scenario::play("restore-fields", |scenario| {
        let fresh = &scenario.site.fresh;
        let backup = made(scenario, VolumeMode::Block, "head -c 8000000 /dev/urandom > /dev/disk; sync")?;
        let good = scenario.restore_spec(&backup)?;
        let reference = text(&backup, "/status/resticrepository")?;
        let set = |pointer: &str, value: Value| -> Result<Value> {
            let mut spec = good.clone();
            *spec.pointer_mut(pointer).with_context(|| format!("no {pointer}"))? = value;
            Ok(spec)
        };
        let source = "/volumeSnapshotMoverBackupRef/sourcePVCData";
        let reference_at = "/volumeSnapshotMoverBackupRef/resticrepository";
        let other_run =
            reference.replacen(text(&backup, "/metadata/uid")?, "00000000-0000-4000-8000-000000000000", 1);
        let stolen = reference.replacen(&scenario.namespace, "somebody-else", 1);
        let restic = "s3:s3.example.com/bucket/openshift-adp/app/snapcontent-1-pvc";
        let mut cases = vec![
            ("no-backup", "RepositoryReferenceMissing", set("/volumeSnapshotMoverBackupRef", Value::Null)?),
            ("no-namespace", "ProtectedNamespaceNotNamed", set("/protectedNamespace", Value::Null)?),
            ("no-reference", "RepositoryReferenceMissing", set(reference_at, Value::Null)?),
            ("no-size", "SourceSizeInvalid", set(&format!("{source}/size"), Value::Null)?),
            ("bad-size", "SourceSizeInvalid", set(&format!("{source}/size"), "much".into())?),
            ("unprotected", "NamespaceNotProtected", set("/protectedNamespace", "default".into())?),
            ("malformed", "RepositoryReferenceInvalid", set(reference_at, "longshore://half".into())?),
            ("restic", "OldResticRepository", set(reference_at, restic.into())?),
            ("unknown", "RestorePointNotFound", set(reference_at, other_run.into())?),
            ("stolen", "NamespaceNotAllowed", set(reference_at, stolen.into())?),
            ("small", "VolumeTooSmall", set(&format!("{source}/size"), "12Mi".into())?),
        ];
        let with = |field: &str, value: Value| {
            let mut spec = good.clone();
            spec[field] = value;
            spec
        };
        cases.push(("nameless", "TargetPVCInvalid", with("targetPVC", json!({"name": ""}))));
        cases.push(("odd-time", "SnapshotTTLInvalid", with("snapshotTTL", "soon".into())));
        let mut taken = good.clone();
        taken["targetPVC"] = json!({"name": "taken"});
        cases.push(("taken", "TargetPVCExists", taken));
        let claim = longshore_e2e::application::claim(
            &scenario.namespace,
            "taken",
            "lab-ext4-wait",
            VolumeMode::Filesystem,
            "16Mi",
        );
        let claim = fresh.create(&claim)?;
        let unknown_class = set(&format!("{source}/storageClassName"), "nobody-knows".into())?;
        let waiting = scenario.start(fresh, &kinds::RESTORE, "no-class", &unknown_class)?;
        let mut runs = Vec::new();
        for (name, _, spec) in &cases {
            runs.push(scenario.start(fresh, &kinds::RESTORE, name, spec)?);
        }
        for (run, (_, reason, _)) in runs.iter().zip(&cases) {
            run.failed(reason)?;
            run.left_nothing()?;
        }
        // A class may still come.
        waiting.shows("StorageClassNotFound", SHORT)?;
        waiting.remove()?;
        waiting.left_nothing()?;
        let after = fresh.need(&kinds::PVC, &scenario.namespace, "taken")?;
        ensure!(claim["metadata"]["uid"] == after["metadata"]["uid"], "somebody's PVC was replaced");
        ensure!(claim["spec"] == after["spec"], "somebody's PVC was changed");
        scenario.repository().check()
    })
}

#[test]
fn a_tree_that_does_not_fit_its_new_volume_fails_by_name() -> Outcome {
    Scenario::play("small-tree", |scenario| {
        let backup =
            made(scenario, VolumeMode::Filesystem, "head -c 24000000 /dev/urandom > /data/random; sync")?;
        let mut spec = scenario.restore_spec(&backup)?;
        spec["volumeSnapshotMoverBackupRef"]["sourcePVCData"]["size"] = "16Mi".into();
        let restore = scenario.start(&scenario.site.fresh, &kinds::RESTORE, "small", &spec)?;
        restore.failed("VolumeTooSmall")?;
        restore.left_nothing()?;
        scenario.repository().check()
    })
}

#[test]
fn a_class_whose_driver_takes_no_snapshots_is_refused_before_data_moves() -> Outcome {
    Scenario::play("no-snapshots", |scenario| {
        let options = DriverOptions {
            name: "plain.lab.longshore.dev".into(),
            prefix: "plain".into(),
            disable: vec!["snapshot".into(), "clone".into()],
            default_class: false,
            ..DriverOptions::default()
        };
        let driver = scenario.site.fresh.lab.start_driver(&options, &Silent)?;
        let outcome = restore_onto(scenario, "plain-ext4").and_then(|()| {
            let asked = driver.calls()?.iter().any(|call| call["method"] == "CreateVolume");
            ensure!(!asked, "a volume was made although it could never become a snapshot");
            Ok(())
        });
        outcome.and(driver.remove("plain"))
    })
}

/// A restore onto a class of a driver without snapshots, whether the backup names a VolumeSnapshotClass or not.
fn restore_onto(scenario: &Scenario, class: &str) -> Result<()> {
    let backup = made(scenario, VolumeMode::Filesystem, "echo some > /data/file")?;
    let mut spec = scenario.restore_spec(&backup)?;
    spec["volumeSnapshotMoverBackupRef"]["sourcePVCData"]["storageClassName"] = class.into();
    for name in ["plain", "plain-without-class"] {
        let restore = scenario.start(&scenario.site.fresh, &kinds::RESTORE, name, &spec)?;
        restore.failed("VolumeSnapshotClassNotFound")?;
        restore.left_nothing()?;
        spec["volumeSnapshotMoverBackupRef"]["volumeSnapshotClassName"] = Value::Null;
    }
    Ok(())
}

#[test]
fn a_point_of_another_namespace_is_restored_only_where_an_administrator_allowed_it() -> Outcome {
    Scenario::play("allowed", |scenario| {
        let (origin, fresh) = (&scenario.site.origin, &scenario.site.fresh);
        let (source, target) = allowed_pair(&scenario.site.run);
        scenario.make_namespace(origin, &source, "privileged")?;
        scenario.make_namespace(fresh, &target, "privileged")?;
        let (claim, mode) = ("data", VolumeMode::Filesystem);
        origin.create(&longshore_e2e::application::claim(&source, claim, "lab-ext4", mode, "16Mi"))?;
        let script = format!("seq 1 1000 > /data/numbers; sync\n{}", tree::fingerprint(mode));
        let run = |cluster, namespace: &str, pod: &str, script: &str| {
            longshore_e2e::application::run_script(cluster, namespace, pod, script, Some((claim, mode)))
        };
        let before = run(origin, &source, "fill", &script)?;
        let snapshot = longshore_e2e::application::snapshot(origin, &source, "first", "lab-delete", claim)?;
        let spec = json!({"volumeSnapshotContent": {"name": snapshot.content},
            "protectedNamespace": PROTECTED_NAMESPACE, "resticSecretRef": {"name": scenario.secret}});
        let backup = scenario.start_in(origin, &kinds::BACKUP, (&source, "first"), &spec)?.completed()?;
        let mut spec = scenario.restore_spec(&backup)?;
        spec["targetPVC"] = json!({"name": claim});

        let refused = scenario.start(fresh, &kinds::RESTORE, "theft", &spec)?;
        refused.failed("NamespaceNotAllowed")?;
        refused.left_nothing()?;
        scenario.start_in(fresh, &kinds::RESTORE, (&target, "allowed"), &spec)?.completed()?;
        let after = run(fresh, &target, "look", tree::fingerprint(mode))?;
        ensure!(tree::difference(&before, &after).is_none(), "{:?}", tree::difference(&before, &after));
        Ok(())
    })
}

#[test]
fn restores_that_a_plugin_could_swap_are_refused() -> Outcome {
    Scenario::play("ambiguous", |scenario| {
        let fresh = &scenario.site.fresh;
        let backup = made(scenario, VolumeMode::Filesystem, "echo some > /data/file")?;
        let good = scenario.restore_spec(&backup)?;
        let mut other = good.clone();
        other["volumeSnapshotMoverBackupRef"]["resticrepository"] =
            text(&backup, "/status/resticrepository")?
                .replacen(text(&backup, "/metadata/uid")?, "00000000-0000-4000-8000-000000000000", 1)
                .into();
        let start = |name: &str, spec: &Value| {
            let labels =
                json!({"velero.io/restore-name": "all", "velero.io/persistent-volume-claim-name": "data"});
            let metadata = json!({"name": name, "namespace": scenario.namespace, "labels": labels});
            scenario.start_object(fresh, &kinds::RESTORE, &json!({"metadata": metadata, "spec": spec}))
        };
        let (first, second) = (start("first", &good)?, start("second", &other)?);
        for restore in [&first, &second] {
            restore.failed("AmbiguousRestore")?;
            restore.left_nothing()?;
        }
        // Of the same point there may be several, and what was refused stands in nobody's way once it is gone.
        first.remove()?;
        second.remove()?;
        let twins = [start("third", &good)?, start("fourth", &good)?];
        twins.iter().try_for_each(|twin| twin.completed().map(drop))
    })
}

/// A backup of a small volume.
fn made(scenario: &Scenario, mode: VolumeMode, script: &str) -> Result<Value> {
    scenario.fill("data", "lab-ext4", mode, "32Mi", script)?;
    let snapshot = scenario.snapshot("first", "data")?;
    scenario.back_up("first", &snapshot)?.completed()
}
