//! Objects as they are sent.

use longshore_job::{
    BackupTask, CONTRACT_VERSION, ForgetTask, JobDocument, RestoreTask, RunIdentity, SourceVolume, Task,
    VolumeMode,
};

use super::*;
use crate::names::{Role, RunId, RunKind};

fn run() -> RunId {
    RunId {
        kind: RunKind::Backup,
        uid: "6f9619ff-8b86-4d01-b42d-00cf4fc964ff".into(),
        namespace: "shop".into(),
        name: "vsb-x".into(),
    }
}

fn document(task: Task) -> JobDocument {
    let run = RunIdentity { uid: run().uid, namespace: "shop".into(), name: "vsb-x".into() };
    JobDocument { version: CONTRACT_VERSION, run, task }
}

fn backup(volume_mode: VolumeMode) -> JobDocument {
    document(Task::Backup(Box::new(BackupTask {
        source: SourceVolume {
            cluster_uid: "c".into(),
            namespace: "shop".into(),
            pvc_name: "data".into(),
            pvc_uid: "p".into(),
            pvc_size: "1Gi".into(),
            storage_class_name: "fast".into(),
            volume_mode,
            access_modes: vec!["ReadWriteOnce".into()],
            labels: [("app".to_owned(), "$(PATH)".to_owned())].into(),
            driver: "csi.example.com".into(),
            fs_type: "ext4".into(),
            volume_snapshot_class_name: "snap".into(),
            snapshot_handle: "handle".into(),
            snapshot_time: String::new(),
        },
        labels: Default::default(),
    })))
}

fn options() -> MoverOptions {
    MoverOptions {
        image: "longshore:test".into(),
        image_pull_policy: "IfNotPresent".into(),
        memory: "512Mi".into(),
        service_account: "longshore-mover".into(),
        maintenance_service_account: "longshore-maintenance".into(),
        deadline_seconds: None,
        log_level: "info".into(),
        protected_namespaces: vec!["vault".into()],
    }
}

fn pod(volume_mode: VolumeMode) -> MoverPod<'static> {
    MoverPod {
        namespace: "vault",
        volume: Some(("longshore-6f9619ff8b86", volume_mode)),
        secret: "credentials",
        repository: None,
        lane: None,
    }
}

#[test]
fn the_job_of_a_filesystem_backup() {
    let job =
        mover_job(&run(), &options(), pod(VolumeMode::Filesystem), &backup(VolumeMode::Filesystem)).unwrap();
    insta::assert_json_snapshot!(job);
}

#[test]
fn movers_get_the_least_that_their_work_needs() {
    let restore = document(Task::Restore(Box::new(RestoreTask {
        reference: "longshore://c/shop/data/run?mode=Block".parse().unwrap(),
        allowed_source_namespaces: Vec::new(),
    })));
    let added = |mode, document: &JobDocument| {
        let job = mover_job(&run(), &options(), pod(mode), document).unwrap();
        let spec = job.spec.unwrap().template.spec.unwrap();
        assert_eq!(spec.automount_service_account_token, Some(false));
        let container = spec.containers.into_iter().next().unwrap();
        let context = container.security_context.unwrap();
        assert_eq!(context.privileged, None);
        let capabilities = context.capabilities.unwrap();
        assert_eq!(capabilities.drop.unwrap(), ["ALL"]);
        capabilities.add.unwrap_or_default()
    };
    assert_eq!(added(VolumeMode::Filesystem, &backup(VolumeMode::Filesystem)), ["DAC_OVERRIDE"]);
    assert!(added(VolumeMode::Block, &backup(VolumeMode::Block)).is_empty());
    assert!(added(VolumeMode::Block, &restore).is_empty());
    assert_eq!(
        added(VolumeMode::Filesystem, &restore),
        ["DAC_OVERRIDE", "CHOWN", "FOWNER", "FSETID", "SETFCAP", "MKNOD"]
    );
}

#[test]
fn a_block_volume_is_a_device_and_no_mount() {
    let job = mover_job(&run(), &options(), pod(VolumeMode::Block), &backup(VolumeMode::Block)).unwrap();
    let container = job.spec.unwrap().template.spec.unwrap().containers.into_iter().next().unwrap();
    assert_eq!(container.volume_devices.unwrap()[0].device_path, "/dev/longshore-volume");
    assert!(container.volume_mounts.unwrap().iter().all(|mount| mount.name != "volume"));
}

#[test]
fn vsm_25_two_movers_of_one_lane_never_share_a_node() {
    let mut place = pod(VolumeMode::Block);
    place.lane = Some(1);
    let job = mover_job(&run(), &options(), place, &backup(VolumeMode::Block)).unwrap();
    let template = job.spec.unwrap().template;
    let labels = template.metadata.unwrap().labels.unwrap();
    let apart = template.spec.unwrap().affinity.unwrap().pod_anti_affinity.unwrap();
    let term = apart.required_during_scheduling_ignored_during_execution.unwrap().remove(0);
    let wanted = term.label_selector.unwrap().match_labels.unwrap();
    assert!(wanted.iter().all(|(key, value)| labels.get(key) == Some(value)) && !wanted.is_empty());
    assert_eq!(
        (term.topology_key.as_str(), term.namespaces.unwrap()),
        ("kubernetes.io/hostname", vec!["vault".into()])
    );
    assert_eq!(job.metadata.labels.unwrap()[crate::names::LANE], "1");
}

#[test]
fn a_pod_without_a_volume_is_nobodys_and_fits_pod_security_restricted() {
    let reference = "longshore://c/shop/data/run?mode=Block".parse().unwrap();
    let document = document(Task::Forget(Box::new(ForgetTask { reference })));
    let pod = MoverPod { volume: None, ..pod(VolumeMode::Block) };
    let spec = mover_job(&run(), &options(), pod, &document).unwrap().spec.unwrap().template.spec.unwrap();
    assert_eq!(spec.service_account_name.as_deref(), Some("longshore-maintenance"));
    let volumes: Vec<String> = spec.volumes.unwrap().into_iter().map(|volume| volume.name).collect();
    assert_eq!(volumes, ["credentials", "temporary"]);
    assert_eq!(spec.security_context.unwrap().fs_group, Some(65_532));
    let container = spec.containers.into_iter().next().unwrap();
    assert!(container.volume_devices.is_none());
    assert!(container.volume_mounts.unwrap().iter().all(|mount| mount.name != "volume"));
    let context = container.security_context.unwrap();
    assert_eq!((context.run_as_user, context.run_as_non_root), (Some(65_532), Some(true)));
    assert_eq!(context.allow_privilege_escalation, Some(false));
    let capabilities = context.capabilities.unwrap();
    assert_eq!((capabilities.drop.unwrap(), capabilities.add), (vec!["ALL".to_owned()], None));
}

#[test]
fn a_repository_on_a_volume_is_mounted_by_every_mover_and_read_only_by_restores() {
    let reference = || "longshore://c/shop/data/run?mode=Filesystem".parse().unwrap();
    let restore = RestoreTask { reference: reference(), allowed_source_namespaces: Vec::new() };
    let forget = document(Task::Forget(Box::new(ForgetTask { reference: reference() })));
    let maintain: Task = serde_json::from_str(r#"{"maintain":{"prune":true,"check":true}}"#).unwrap();
    let volume = pod(VolumeMode::Filesystem).volume;
    for (volume, document, read_only) in [
        (volume, backup(VolumeMode::Filesystem), None),
        (volume, document(Task::Restore(Box::new(restore))), Some(true)),
        (None, forget, None),
        (None, document(maintain), None),
    ] {
        let pod = MoverPod { volume, repository: Some("export"), ..pod(VolumeMode::Filesystem) };
        let job = mover_job(&run(), &options(), pod, &document).unwrap();
        assert!(mounts_repository(&job, "export") && !mounts_repository(&job, "longshore-6f9619ff8b86"));
        let spec = job.spec.unwrap().template.spec.unwrap();
        // One owner for all files, which nothing changes.
        assert_eq!(spec.security_context.unwrap().fs_group, None);
        let container = spec.containers.into_iter().next().unwrap();
        assert_eq!(container.security_context.unwrap().run_as_user, Some(0));
        assert_eq!(container.command.unwrap()[2..], ["--repository", "/repository/longshore"]);
        let mounts = container.volume_mounts.unwrap();
        let mount = mounts.iter().find(|mount| mount.name == "repository").unwrap();
        assert_eq!((mount.mount_path.as_str(), mount.read_only), ("/repository", read_only));
    }
    let job = mover_job(&run(), &options(), pod(VolumeMode::Filesystem), &backup(VolumeMode::Filesystem));
    assert!(!mounts_repository(&job.unwrap(), "export"));
}

#[test]
fn storage_objects() {
    let handle = SnapshotHandle {
        driver: "csi.example.com",
        handle: "handle",
        class: Some("snap"),
        volume_mode: Some("Block"),
    };
    let place = ("vault", "longshore-6f9619ff8b86");
    let request = ClaimRequest {
        storage_class: Some("fast"),
        volume_mode: "Block",
        access_modes: vec!["ReadWriteOnce".into()],
        size: k8s_openapi::apimachinery::pkg::api::resource::Quantity("1Gi".into()),
        snapshot: Some(place.1),
        labels: [(crate::names::RUN_UID.to_owned(), "forged".to_owned())].into(),
    };
    let claim = claim(&run(), Role::Temporary, place, request);
    assert_eq!(claim.metadata.labels.as_ref().unwrap()[crate::names::RUN_UID], run().uid, "ours win");
    insta::assert_json_snapshot!((
        content(&run(), Role::Temporary, place.1, &handle, place),
        snapshot_of_content(&run(), Role::Temporary, place, Some("snap"), place.1),
        snapshot_of_claim(&run(), Role::Temporary, place, "snap", place.1),
        claim,
    ));
}
