//! `kubectl longshore restore`

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use longshore_api::{
    BackupReference, LocalReference, Phase, SourcePVCData, TargetPVC, VolumeSnapshotBackup,
    VolumeSnapshotRestore, VolumeSnapshotRestoreSpec,
};
use longshore_job::RestorePointReference;

use crate::arguments::{DryRun, GlobalArguments, OutputForm, RestoreArguments};
use crate::cluster::{Session, get};
use crate::failure::Failure;
use crate::output;
use crate::place::{Place, find};
use crate::run::{announce, end_of, make, name_for, value};

/// The restore point with what is known of its volume, and the place that the backup used.
#[derive(Debug, Clone, PartialEq)]
struct Point {
    backup: BackupReference,
    place: Option<Place>,
}

fn filled(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

/// What a backup's status says of its restore point. Pure.
fn point_of(backup: &VolumeSnapshotBackup) -> Result<Point, Failure> {
    let name = backup.name_any();
    let status = backup.status.clone().unwrap_or_default();
    let phase = Phase::parse(status.phase.as_deref());
    if phase != Phase::Completed {
        let shown = if phase == Phase::New { "New" } else { phase.as_str() };
        return Err(Failure::Refused {
            message: format!("backup {name} is {shown}, not Completed"),
            advice: format!("Look at it with `kubectl longshore status vsb/{name}`."),
        });
    }
    let (Some(reference), Some(pvc)) =
        (filled(status.restic_repository.as_ref()), status.source_pvc_data.clone())
    else {
        return Err(Failure::Refused {
            message: format!("the status of backup {name} names no restore point"),
            advice: "Find the point with `longshore snapshots`, and use --reference and --size.".to_owned(),
        });
    };
    let place = Place {
        protected_namespace: filled(backup.spec.protected_namespace.as_ref()).unwrap_or_default(),
        secret: backup
            .spec
            .restic_secret_ref
            .as_ref()
            .and_then(|secret| secret.name.clone())
            .unwrap_or_default(),
    };
    Ok(Point {
        backup: BackupReference {
            source_pvc_data: Some(pvc),
            restic_repository: Some(reference),
            volume_snapshot_class_name: filled(status.volume_snapshot_class_name.as_ref()),
        },
        place: Some(place),
    })
}

/// A point that is named by its reference. Pure.
fn point_by(reference: &str) -> Result<Point, Failure> {
    let read: RestorePointReference =
        reference.parse().map_err(|error| Failure::usage(format!("--reference: {error}")))?;
    let pvc = SourcePVCData { name: Some(read.pvc_name), size: None, storage_class_name: None };
    Ok(Point {
        backup: BackupReference {
            source_pvc_data: Some(pvc),
            restic_repository: Some(reference.to_owned()),
            volume_snapshot_class_name: None,
        },
        place: None,
    })
}

/// The run for a point. Pure.
fn restore_of(
    verb: &RestoreArguments,
    namespace: &str,
    point: Point,
    place: &Place,
    now: Timestamp,
) -> VolumeSnapshotRestore {
    let mut backup = point.backup;
    let mut pvc = backup.source_pvc_data.take().unwrap_or_default();
    if verb.reference.is_some() {
        pvc.size = verb.size.clone();
        pvc.storage_class_name = verb.storage_class.clone();
    } else if verb.target_pvc.is_none() {
        pvc.size = verb.size.clone().or(pvc.size);
        pvc.storage_class_name = verb.storage_class.clone().or(pvc.storage_class_name);
    }
    let stem = verb.target_pvc.clone().or_else(|| pvc.name.clone()).unwrap_or_else(|| "restore".to_owned());
    let target = verb.target_pvc.clone().map(|name| TargetPVC {
        name,
        storage_class_name: verb.storage_class.clone(),
        access_modes: Some(verb.access_modes.clone()).filter(|modes| !modes.is_empty()),
        size: verb.size.clone(),
        labels: None,
    });
    backup.source_pvc_data = Some(pvc);
    backup.volume_snapshot_class_name = verb.snapshot_class.clone().or(backup.volume_snapshot_class_name);
    VolumeSnapshotRestore {
        metadata: ObjectMeta {
            name: Some(verb.run.name.clone().unwrap_or_else(|| name_for(&stem, now))),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        spec: VolumeSnapshotRestoreSpec {
            restic_secret_ref: Some(LocalReference { name: Some(place.secret.clone()) }),
            volume_snapshot_mover_backup_ref: Some(backup),
            protected_namespace: Some(place.protected_namespace.clone()),
            target_pvc: target,
            snapshot_ttl: verb.snapshot_ttl.clone(),
        },
        status: None,
    }
}

pub async fn run(global: &GlobalArguments, verb: &RestoreArguments) -> Result<(), Failure> {
    // What is wrong with the command line is said before anybody is asked.
    let by_reference = verb.reference.as_deref().map(point_by).transpose()?;
    let session = Session::connect(global).await?;
    let point = match (by_reference, &verb.backup) {
        (Some(point), _) => point,
        (None, Some(name)) => read_backup(&session, verb, name).await?,
        (None, None) => return Err(Failure::usage("name a backup, or a point with --reference")),
    };
    let place = find(&session, &verb.run, point.place.clone()).await?;
    let write = verb.run.write;
    let restore = restore_of(verb, &session.namespace, point, &place, Timestamp::now());
    let mut restore = make(&session, write, restore).await?;
    announce(write, &restore, "created")?;
    if verb.run.wait && write.dry_run == DryRun::None {
        let api = session.here::<VolumeSnapshotRestore>();
        restore = end_of(&api, &restore.name_any(), verb.run.timeout).await?;
        announce(write, &restore, "completed")?;
    }
    match write.output {
        OutputForm::Json | OutputForm::Yaml => output::objects(write.output, vec![value(&restore)?]),
        OutputForm::Table | OutputForm::Wide | OutputForm::Name => Ok(()),
    }
}

async fn read_backup(session: &Session, verb: &RestoreArguments, name: &str) -> Result<Point, Failure> {
    let namespace = verb.backup_namespace.as_deref().unwrap_or(&session.namespace);
    let found = get(&session.within::<VolumeSnapshotBackup>(namespace), name).await?;
    let backup = found.ok_or_else(|| Failure::NotFound {
        message: format!("there is no VolumeSnapshotBackup {name} in namespace {namespace}"),
        advice:
            "List them with `kubectl longshore status`; a point without its backup is named with --reference."
                .to_owned(),
    })?;
    point_of(&backup)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, json};

    use super::*;
    use crate::arguments::{Arguments, Command};

    const REFERENCE: &str = "longshore://c/shop/data/5f0e5b52-6cd9-4a63-9a4e-0a5b1b1f3c11?mode=Filesystem";

    fn verb(arguments: &[&str]) -> RestoreArguments {
        let all = ["kubectl-longshore", "restore"].iter().chain(arguments);
        let Command::Restore(verb) = Arguments::parse_from(all).command else { panic!() };
        verb
    }

    fn backup(phase: &str) -> VolumeSnapshotBackup {
        serde_json::from_value(json!({
            "apiVersion": "datamover.oadp.openshift.io/v1alpha1", "kind": "VolumeSnapshotBackup",
            "metadata": {"name": "b", "namespace": "shop"},
            "spec": {"protectedNamespace": "vault", "resticSecretRef": {"name": "store"}},
            "status": {"phase": phase, "resticrepository": REFERENCE, "volumeSnapshotClassName": "snap",
                       "sourcePVCData": {"name": "data", "size": "1Gi", "storageClassName": "fast"}}}))
        .unwrap()
    }

    fn spec(arguments: &[&str], point: Point) -> (String, Value) {
        let place = Place { protected_namespace: "vault".into(), secret: "store".into() };
        let now = "2026-11-26T08:49:53Z".parse().unwrap();
        let object = restore_of(&verb(arguments), "shop", point, &place, now);
        (object.name_any(), serde_json::to_value(object.spec).unwrap())
    }

    #[test]
    fn a_completed_backup_gives_all_that_a_restore_needs() {
        let point = point_of(&backup("Completed")).unwrap();
        let place = point.place.clone().unwrap();
        assert_eq!((place.protected_namespace.as_str(), place.secret.as_str()), ("vault", "store"));
        let (name, spec) =
            spec(&["b", "--target-pvc=copy", "--size=2Gi", "--access-mode=ReadWriteMany"], point);
        assert_eq!(name, "copy-20261126-084953");
        assert_eq!(
            spec,
            json!({
                "protectedNamespace": "vault", "resticSecretRef": {"name": "store"},
                "volumeSnapshotMoverBackupRef": {
                    "resticrepository": REFERENCE, "volumeSnapshotClassName": "snap",
                    "sourcePVCData": {"name": "data", "size": "1Gi", "storageClassName": "fast"}},
                "targetPVC": {"name": "copy", "size": "2Gi", "accessModes": ["ReadWriteMany"]}})
        );
    }

    #[test]
    fn a_backup_that_is_not_completed_is_refused() {
        for phase in ["", "InProgress", "Failed"] {
            let failure = point_of(&backup(phase)).unwrap_err();
            assert!(failure.to_string().contains("not Completed"), "{failure}");
        }
        let mut empty = backup("Completed");
        if let Some(status) = &mut empty.status {
            status.restic_repository = None;
        }
        assert!(point_of(&empty).unwrap_err().advice().is_some_and(|advice| advice.contains("--reference")));
    }

    #[test]
    fn a_reference_takes_its_volume_from_the_flags() {
        let arguments =
            ["--reference", REFERENCE, "--size=3Gi", "--storage-class=slow", "--snapshot-class=s"];
        let (name, spec) = spec(&arguments, point_by(REFERENCE).unwrap());
        assert_eq!(name, "data-20261126-084953");
        let point = &spec["volumeSnapshotMoverBackupRef"];
        assert_eq!(
            point["sourcePVCData"],
            json!({"name": "data", "size": "3Gi", "storageClassName": "slow"})
        );
        assert_eq!(point["volumeSnapshotClassName"], "s");
        assert!(spec.get("targetPVC").is_none());
        assert_eq!(point_by("s3:somewhere").unwrap_err().exit_code(), 2);
    }
}
