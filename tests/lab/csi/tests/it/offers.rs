//! What can be switched off or limited, the pool, and the kubelet's registration.

use std::fs;

use longshore_lab_csi::proto::csi_v1::*;
use longshore_lab_csi::proto::plugin_registration::InfoRequest;
use longshore_lab_csi::proto::plugin_registration::registration_client::RegistrationClient;
use longshore_lab_csi::{loop_device, mounts, pool};
use tonic::Code;
use tonic::transport::Endpoint;

use crate::bench::{Bench, MIB, block, filesystem, from_snapshot, from_volume, volume};

#[tokio::test]
async fn what_is_switched_off_is_refused() {
    let bench = Bench::new();
    let full = bench.driver("full.longshore.dev", &[]).await;
    let origin = full.create(volume("origin", 64 * MIB, &filesystem("ext4"))).await.unwrap();
    let snapshot = full.snapshot("origin", &origin).await.unwrap();
    let all = "snapshot clone expand list-snapshots list-volumes get-capacity stage block";
    let options: Vec<&str> = all.split(' ').flat_map(|capability| ["--disable", capability]).collect();
    let bare = bench.driver("bare.longshore.dev", &options).await;
    let mut codes = vec![
        bare.snapshot("two", &origin).await.unwrap_err().code(),
        bare.stage(&origin, &bench.path("staging"), &filesystem("ext4")).await.unwrap_err().code(),
        bare.controller().list_snapshots(ListSnapshotsRequest::default()).await.unwrap_err().code(),
        bare.controller().list_volumes(ListVolumesRequest::default()).await.unwrap_err().code(),
        bare.controller().get_capacity(GetCapacityRequest::default()).await.unwrap_err().code(),
    ];
    let clone = volume("clone", 0, &filesystem("ext4"));
    codes.push(bare.create(from_snapshot(clone.clone(), &snapshot)).await.unwrap_err().code());
    codes.push(bare.create(from_volume(clone, &origin)).await.unwrap_err().code());
    assert!(codes.iter().all(|code| *code == Code::Unimplemented), "{codes:?}");
    assert_eq!(bare.create(volume("block", MIB, &block())).await.unwrap_err().code(), Code::InvalidArgument);

    // Without NodeStageVolume, publishing does both, and unpublishing undoes both.
    let target = bench.path("target");
    bare.publish(&origin, "", &target, &filesystem("ext4")).await.unwrap();
    fs::write(format!("{target}/file"), b"content").unwrap();
    bare.unpublish(&origin, &target).await.unwrap();
    let image = bench.state().join(format!("pool/volumes/{}.img", origin.volume_id));
    assert_eq!(loop_device::find(&image).unwrap(), None);
}

#[tokio::test]
async fn a_volume_with_snapshots_is_kept_if_so_told() {
    let bench = Bench::new();
    let driver = bench.driver("keep.longshore.dev", &["--refuse-delete-with-snapshots"]).await;
    let origin = driver.create(volume("origin", 64 * MIB, &block())).await.unwrap();
    let snapshot = driver.snapshot("origin", &origin).await.unwrap();
    assert_eq!(driver.delete(&origin).await.unwrap_err().code(), Code::FailedPrecondition);
    let request = DeleteSnapshotRequest { snapshot_id: snapshot.snapshot_id.clone(), ..Default::default() };
    for _ in 0..2 {
        driver.controller().delete_snapshot(request.clone()).await.unwrap();
    }
    driver.delete(&origin).await.unwrap();
}

#[tokio::test]
async fn the_capacity_is_a_limit() {
    let bench = Bench::new();
    let driver = bench.driver("limit.longshore.dev", &["--capacity-bytes", "1073741824"]).await;
    let first = driver.create(volume("first", 600 * MIB, &block())).await.unwrap();
    let free = driver.controller().get_capacity(GetCapacityRequest::default()).await.unwrap().into_inner();
    assert_eq!(free.available_capacity, 424 * MIB);
    assert_eq!(
        driver.create(volume("second", 425 * MIB, &block())).await.unwrap_err().code(),
        Code::OutOfRange
    );
    let capacity_range = Some(CapacityRange { required_bytes: 1025 * MIB, limit_bytes: 0 });
    let volume_id = first.volume_id.clone();
    let expand = ControllerExpandVolumeRequest { volume_id, capacity_range, ..Default::default() };
    let error = driver.controller().controller_expand_volume(expand).await.unwrap_err();
    assert_eq!(error.code(), Code::OutOfRange);
    driver.delete(&first).await.unwrap();
    driver.create(volume("second", 425 * MIB, &block())).await.unwrap();
}

#[tokio::test]
async fn pages_go_on_after_the_last_one_was_deleted() {
    let bench = Bench::new();
    let driver = bench.driver("pages.longshore.dev", &[]).await;
    let mut made = Vec::new();
    for number in 0..5 {
        made.push(driver.create(volume(&format!("number {number}"), MIB, &block())).await.unwrap());
    }
    let list = |starting_token: String, max_entries| {
        let mut controller = driver.controller();
        async move {
            let request = ListVolumesRequest { max_entries, starting_token };
            controller.list_volumes(request).await.map(tonic::Response::into_inner)
        }
    };
    let page = list(String::new(), 2).await.unwrap();
    assert_eq!(page.entries.len(), 2);
    driver.delete(&made[1]).await.unwrap();
    driver.create(volume("number 5", MIB, &block())).await.unwrap();
    let rest = list(page.next_token, 0).await.unwrap();
    let ids: Vec<&str> =
        rest.entries.iter().map(|entry| entry.volume.as_ref().unwrap().volume_id.as_str()).collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(ids[0], made[2].volume_id);
    assert_eq!(rest.next_token, "");
    assert_eq!(list("../../etc".to_owned(), 0).await.unwrap_err().code(), Code::Aborted);
}

#[tokio::test]
async fn handles_that_are_paths_are_unknown_handles() {
    let bench = Bench::new();
    let driver = bench.driver("paths.longshore.dev", &[]).await;
    fs::write(bench.state().join("volumes/x.json"), "{}").unwrap();
    for volume_id in ["../volumes/x", "x", "/etc/passwd", "vol-../../x", "\0"] {
        let request = ControllerGetVolumeRequest { volume_id: volume_id.to_owned() };
        let error = driver.controller().controller_get_volume(request).await.unwrap_err();
        assert_eq!(error.code(), Code::NotFound, "{volume_id}");
        let request = DeleteVolumeRequest { volume_id: volume_id.to_owned(), ..Default::default() };
        driver.controller().delete_volume(request).await.unwrap();
    }
    let mut request = volume("misspelt", MIB, &block());
    request.parameters.insert("fstype".to_owned(), "xfs".to_owned());
    assert_eq!(driver.create(request.clone()).await.unwrap_err().code(), Code::InvalidArgument);
    request.parameters = [("csi.storage.k8s.io/pvc/name".to_owned(), "a".to_owned())].into();
    driver.create(request).await.unwrap();
}

#[tokio::test]
async fn the_pool_goes_down_under_used_volumes_and_comes_back_with_them() {
    let bench = Bench::new();
    let mut driver = bench.driver("pool.longshore.dev", &[]).await;
    let capability = filesystem("xfs");
    let origin = driver.create(volume("origin", 320 * MIB, &capability)).await.unwrap();
    let (staging, target) = (bench.path("staging"), bench.path("target"));
    driver.stage(&origin, &staging, &capability).await.unwrap();
    driver.publish(&origin, &staging, &target, &capability).await.unwrap();
    fs::write(format!("{target}/file"), b"content").unwrap();
    let device = driver.create(volume("device", 64 * MIB, &block())).await.unwrap();
    driver.stage(&device, &bench.path("device-staging"), &block()).await.unwrap();
    driver.publish(&device, &bench.path("device-staging"), &bench.path("device"), &block()).await.unwrap();
    driver.kill();
    for _ in 0..2 {
        pool::down(&bench.state()).unwrap();
    }
    assert!(mounts::all().unwrap().iter().all(|mount| !mount.point.starts_with(&bench.folder)));
    assert!(loop_device::all().unwrap().iter().all(|attached| !attached.backing.starts_with(&bench.folder)));
    // A `pool up` that was killed while it made the image leaves an unfinished one.
    fs::write(bench.state().join("pool.unfinished"), b"half").unwrap();
    for _ in 0..2 {
        pool::up(&bench.state(), 8 << 30).unwrap();
    }
    let driver = bench.driver("pool.longshore.dev", &[]).await;
    driver.stage(&origin, &staging, &capability).await.unwrap();
    driver.publish(&origin, &staging, &target, &capability).await.unwrap();
    assert_eq!(fs::read(format!("{target}/file")).unwrap(), b"content");
}

#[tokio::test]
async fn the_kubelet_finds_the_driver() {
    let bench = Bench::new();
    let socket = bench.path("registry/driver-reg.sock");
    fs::create_dir_all(bench.folder.join("registry")).unwrap();
    // A killed driver leaves its socket; the kubelet must meet the new one.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let mut driver = bench.driver("registered.longshore.dev", &["--registration-socket", &socket]).await;
    let channel = Endpoint::try_from(format!("unix://{socket}")).unwrap().connect().await.unwrap();
    let info = RegistrationClient::new(channel).get_info(InfoRequest {}).await.unwrap().into_inner();
    assert_eq!((info.r#type.as_str(), info.name.as_str()), ("CSIPlugin", "registered.longshore.dev"));
    assert_eq!(info.endpoint, driver.socket.display().to_string());
    assert_eq!(info.supported_versions, ["1.0.0"]);
    driver.stop().await;
    assert!(!std::path::Path::new(&socket).exists());
}

#[tokio::test]
async fn a_driver_without_a_pool_does_not_start() {
    let bench = Bench::new();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_longshore-lab-csi"));
    command.args([
        "serve",
        "--driver-name",
        "none",
        "--node-id",
        "none",
        "--endpoint",
        "unix:///nonexistent/csi.sock",
    ]);
    let output = command.arg("--state-dir").arg(bench.folder.join("elsewhere")).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("pool up"), "{output:?}");
}
