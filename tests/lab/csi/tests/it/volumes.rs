//! Volumes, snapshots and clones with real content.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use longshore_lab_csi::proto::csi_v1::volume_capability::access_mode::Mode;
use longshore_lab_csi::proto::csi_v1::*;
use longshore_lab_csi::{filesystem::detect, loop_device};
use tonic::Code;

use crate::bench::{Bench, MIB, TestDriver, block, filesystem, from_snapshot, from_volume, in_mode, volume};

fn uuid_of(path: &Path) -> String {
    let arguments = ["-p", "-s", "UUID", "-o", "value"].map(std::ffi::OsStr::new);
    longshore_lab_csi::command::run("blkid", &[&arguments[..], &[path.as_os_str()]].concat()).unwrap()
}

fn bytes_of(path: &str) -> u64 {
    let numbers = rustix::fs::statvfs(path).unwrap();
    numbers.f_blocks * numbers.f_frsize
}

/// A file system is written, taken a snapshot of while in use, and restored into a larger volume beside the original.
async fn a_file_system_goes_through_its_life(fs_type: &str) {
    let bench = Bench::new();
    let driver = bench.driver("life.longshore.dev", &[]).await;
    let capability = filesystem(fs_type);
    let origin = driver.create(volume("origin", 400 * MIB, &capability)).await.unwrap();
    let (staging, target) = (bench.path("origin-staging"), bench.path("origin-target"));
    driver.stage(&origin, &staging, &capability).await.unwrap();
    driver.publish(&origin, &staging, &target, &capability).await.unwrap();
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(format!("{target}/numbers"), &content).unwrap();
    let snapshot = driver.snapshot("first", &origin).await.unwrap();
    assert!(snapshot.ready_to_use);
    fs::write(format!("{target}/numbers"), b"changed later").unwrap();

    let request = from_snapshot(volume("restored", 800 * MIB, &capability), &snapshot);
    let restored = driver.create(request).await.unwrap();
    assert_eq!(restored.capacity_bytes, 800 * MIB);
    let (staging2, target2) = (bench.path("restored-staging"), bench.path("restored-target"));
    driver.stage(&restored, &staging2, &capability).await.unwrap();
    driver.publish(&restored, &staging2, &target2, &capability).await.unwrap();
    assert_eq!(fs::read(format!("{target2}/numbers")).unwrap(), content);
    assert!(bytes_of(&target2) > 600 * MIB as u64, "the file system fills the larger volume");
    let image = |volume: &Volume| bench.state().join(format!("pool/volumes/{}.img", volume.volume_id));
    assert_ne!(uuid_of(&image(&origin)), uuid_of(&image(&restored)));
    assert_eq!(detect(&image(&restored)).unwrap().unwrap(), fs_type);

    // Staging and publishing again changes nothing.
    driver.stage(&restored, &staging2, &capability).await.unwrap();
    driver.publish(&restored, &staging2, &target2, &capability).await.unwrap();
    let error = driver.delete(&restored).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    for (volume, staging, target) in [(&origin, &staging, &target), (&restored, &staging2, &target2)] {
        for _ in 0..2 {
            driver.unpublish(volume, target).await.unwrap();
        }
        for _ in 0..2 {
            driver.unstage(volume, staging).await.unwrap();
        }
        assert!(!Path::new(target).exists());
        driver.delete(volume).await.unwrap();
        driver.delete(volume).await.unwrap();
    }
    assert_eq!(
        loop_device::all().unwrap().iter().filter(|one| one.backing.starts_with(bench.state())).count(),
        1
    );
    assert_eq!(fs::read_dir(bench.state().join("pool/volumes")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_ext4_volume_goes_through_its_life() {
    a_file_system_goes_through_its_life("ext4").await;
}

#[tokio::test]
async fn an_xfs_volume_goes_through_its_life() {
    a_file_system_goes_through_its_life("xfs").await;
}

async fn stage_and_publish(
    bench: &Bench,
    driver: &TestDriver,
    volume: &Volume,
    capability: &VolumeCapability,
) -> String {
    let (staging, target) = (
        bench.path(&format!("{}-staging", volume.volume_id)),
        bench.path(&format!("{}-target", volume.volume_id)),
    );
    driver.stage(volume, &staging, capability).await.unwrap();
    driver.publish(volume, &staging, &target, capability).await.unwrap();
    target
}

#[tokio::test]
async fn a_device_is_cloned_at_once_and_grows_in_use() {
    let bench = Bench::new();
    let driver = bench.driver("block.longshore.dev", &[]).await;
    let origin = driver.create(volume("device", 2048 * MIB, &block())).await.unwrap();
    let target = stage_and_publish(&bench, &driver, &origin, &block()).await;
    let mut device = File::options().read(true).write(true).open(&target).unwrap();
    let content: Vec<u8> =
        (0..4_000_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    device.write_all(&content).unwrap();
    let snapshot = driver.snapshot("device", &origin).await.unwrap();
    device.seek(SeekFrom::Start(0)).unwrap();
    device.write_all(&[7; 4096]).unwrap();

    let clone = driver.create(from_snapshot(volume("clone", 0, &block()), &snapshot)).await.unwrap();
    assert_eq!(clone.capacity_bytes, 2048 * MIB);
    let twin = driver.create(from_volume(volume("twin", 0, &block()), &origin)).await.unwrap();
    let read = |path: String| {
        let mut bytes = vec![0; content.len()];
        File::open(path).unwrap().read_exact(&mut bytes).unwrap();
        bytes
    };
    assert!(
        read(stage_and_publish(&bench, &driver, &clone, &block()).await) == content,
        "the snapshot's instant"
    );
    assert_eq!(read(stage_and_publish(&bench, &driver, &twin, &block()).await)[..4096], [7; 4096]);

    let range = Some(CapacityRange { required_bytes: 3000 * MIB, limit_bytes: 0 });
    let expand = ControllerExpandVolumeRequest {
        volume_id: origin.volume_id.clone(),
        capacity_range: range,
        ..Default::default()
    };
    let expanded = driver.controller().controller_expand_volume(expand).await.unwrap().into_inner();
    assert!(expanded.node_expansion_required && expanded.capacity_bytes == 3000 * MIB);
    let expand = NodeExpandVolumeRequest {
        volume_id: origin.volume_id.clone(),
        volume_path: target.clone(),
        capacity_range: range,
        ..Default::default()
    };
    driver.node().node_expand_volume(expand).await.unwrap();
    assert_eq!(device.seek(SeekFrom::End(0)).unwrap(), 3000 * MIB as u64);
}

#[tokio::test]
async fn a_file_system_grows_in_use() {
    let bench = Bench::new();
    let driver = bench.driver("grow.longshore.dev", &[]).await;
    for fs_type in ["ext4", "xfs"] {
        let origin = driver.create(volume(fs_type, 400 * MIB, &filesystem(fs_type))).await.unwrap();
        let target = stage_and_publish(&bench, &driver, &origin, &filesystem(fs_type)).await;
        let capacity_range = Some(CapacityRange { required_bytes: 900 * MIB, limit_bytes: 0 });
        let volume_id = origin.volume_id.clone();
        let expand = ControllerExpandVolumeRequest { volume_id, capacity_range, ..Default::default() };
        driver.controller().controller_expand_volume(expand).await.unwrap();
        let (volume_id, volume_path) = (origin.volume_id.clone(), target.clone());
        let expand = NodeExpandVolumeRequest { volume_id, volume_path, capacity_range, ..Default::default() };
        let grown = driver.node().node_expand_volume(expand.clone()).await;
        // Linux lets only CAP_SYS_RESOURCE grow a mounted ext4, and a container's root need not have it.
        if fs_type == "ext4" && !may_grow_mounted_ext4() {
            assert_eq!(grown.unwrap_err().code(), Code::FailedPrecondition);
            driver.unpublish(&origin, &target).await.unwrap();
            driver.unstage(&origin, &bench.path(&format!("{}-staging", origin.volume_id))).await.unwrap();
            stage_and_publish(&bench, &driver, &origin, &filesystem(fs_type)).await;
            driver.node().node_expand_volume(expand).await.unwrap();
        } else {
            grown.unwrap();
        }
        assert!(bytes_of(&target) > 700 * MIB as u64, "{fs_type}");
    }
}

fn may_grow_mounted_ext4() -> bool {
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    u64::from_str_radix(effective.trim(), 16).unwrap() & CAP_SYS_RESOURCE != 0
}

#[tokio::test]
async fn access_modes_are_kept() {
    let bench = Bench::new();
    let driver = bench.driver("modes.longshore.dev", &[]).await;
    let origin = driver.create(volume("origin", 64 * MIB, &filesystem("ext4"))).await.unwrap();
    let target = stage_and_publish(&bench, &driver, &origin, &filesystem("ext4")).await;
    fs::write(format!("{target}/file"), b"content").unwrap();
    let snapshot = driver.snapshot("modes", &origin).await.unwrap();

    // Readers on many nodes: a second node's driver mounts the same volume.
    let readers = in_mode(filesystem("ext4"), Mode::MultiNodeReaderOnly);
    let other = bench.driver("other-node.longshore.dev", &[]).await;
    let shared = driver.create(from_snapshot(volume("shared", 0, &readers), &snapshot)).await.unwrap();
    let mut seen = Vec::new();
    for (node, driver) in [("one", &driver), ("two", &other)] {
        let (staging, target) =
            (bench.path(&format!("{node}-staging")), bench.path(&format!("{node}-target")));
        driver.stage(&shared, &staging, &readers).await.unwrap();
        driver.publish(&shared, &staging, &target, &readers).await.unwrap();
        assert_eq!(fs::read(format!("{target}/file")).unwrap(), b"content");
        let error = fs::write(format!("{target}/file"), b"x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        seen.push((staging, target));
    }
    driver.unpublish(&shared, &seen[0].1).await.unwrap();
    driver.unstage(&shared, &seen[0].0).await.unwrap();
    assert_eq!(
        fs::read(format!("{}/file", seen[1].1)).unwrap(),
        b"content",
        "one node leaves, the other goes on"
    );

    // One writer only: a second target is refused, the first is free again after it was unpublished.
    let alone = in_mode(filesystem("ext4"), Mode::SingleNodeSingleWriter);
    let single = driver.create(volume("single", 64 * MIB, &alone)).await.unwrap();
    let target = stage_and_publish(&bench, &driver, &single, &alone).await;
    let staging = bench.path(&format!("{}-staging", single.volume_id));
    let second = bench.path("second");
    let error = driver.publish(&single, &staging, &second, &alone).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    driver.unpublish(&single, &target).await.unwrap();
    driver.publish(&single, &staging, &second, &alone).await.unwrap();

    // A read-only request on a writable volume: this target only.
    let request = NodePublishVolumeRequest {
        volume_id: origin.volume_id.clone(),
        staging_target_path: bench.path(&format!("{}-staging", origin.volume_id)),
        target_path: bench.path("reader"),
        volume_capability: Some(filesystem("ext4")),
        readonly: true,
        ..Default::default()
    };
    driver.node().node_publish_volume(request.clone()).await.unwrap();
    assert!(fs::write(bench.folder.join("reader/file"), b"x").is_err());
    let writable = NodePublishVolumeRequest { readonly: false, ..request };
    let error = driver.node().node_publish_volume(writable).await.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error}");
}

#[tokio::test]
async fn the_same_name_gives_the_same_volume_or_a_conflict() {
    let bench = Bench::new();
    let driver = bench.driver("names.longshore.dev", &[]).await;
    let request = volume("name", 64 * MIB, &filesystem("ext4"));
    let first = driver.create(request.clone()).await.unwrap();
    assert_eq!(driver.create(request.clone()).await.unwrap(), first);
    assert_eq!(driver.create(volume("name", 10 * MIB, &filesystem(""))).await.unwrap(), first);
    let snapshot = driver.snapshot("name", &first).await.unwrap();
    assert_eq!(driver.snapshot("name", &first).await.unwrap(), snapshot);
    let second = driver.create(volume("other", 64 * MIB, &filesystem("ext4"))).await.unwrap();
    assert_eq!(driver.snapshot("name", &second).await.unwrap_err().code(), Code::AlreadyExists);
    for conflicting in [
        volume("name", 65 * MIB, &filesystem("ext4")),
        volume("name", 64 * MIB, &filesystem("xfs")),
        volume("name", 64 * MIB, &block()),
        from_snapshot(volume("name", 64 * MIB, &filesystem("ext4")), &snapshot),
    ] {
        let error = driver.create(conflicting).await.unwrap_err();
        assert_eq!(error.code(), Code::AlreadyExists, "{error}");
    }
    // Eight callers at once, two drivers: one volume.
    let other = bench.driver("names-too.longshore.dev", &[]).await;
    let request = volume("race", 64 * MIB, &filesystem("ext4"));
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..8 {
        let mut controller = if number % 2 == 0 { driver.controller() } else { other.controller() };
        let request = request.clone();
        callers.spawn(async move { controller.create_volume(request).await.unwrap().into_inner() });
    }
    let made = callers.join_all().await;
    assert!(made.iter().all(|response| *response == made[0]));
}

#[tokio::test]
async fn a_second_driver_understands_the_handles_of_the_first() {
    let bench = Bench::new();
    let mut first = bench.driver("first.longshore.dev", &[]).await;
    let origin = first.create(volume("origin", 64 * MIB, &filesystem("ext4"))).await.unwrap();
    let target = stage_and_publish(&bench, &first, &origin, &filesystem("ext4")).await;
    fs::write(format!("{target}/file"), b"content").unwrap();
    let snapshot = first.snapshot("handed over", &origin).await.unwrap();
    first.unpublish(&origin, &target).await.unwrap();
    first.unstage(&origin, &bench.path(&format!("{}-staging", origin.volume_id))).await.unwrap();
    first.delete(&origin).await.unwrap();
    first.stop().await;
    assert!(!first.socket.exists(), "a driver that ends takes its socket away");

    let second = bench.driver("second.longshore.dev", &[]).await;
    let request = ListSnapshotsRequest { snapshot_id: snapshot.snapshot_id.clone(), ..Default::default() };
    let listed = second.controller().list_snapshots(request).await.unwrap().into_inner();
    assert_eq!(listed.entries[0].snapshot.as_ref(), Some(&snapshot));
    let request = from_snapshot(volume("restored", 0, &filesystem("ext4")), &snapshot);
    let restored = second.create(request).await.unwrap();
    let target = stage_and_publish(&bench, &second, &restored, &filesystem("ext4")).await;
    assert_eq!(fs::read(format!("{target}/file")).unwrap(), b"content");
}

/// Kubernetes asks for deletion when the pod is gone, and the kubelet unstages a little later.
#[tokio::test]
async fn a_deletion_waits_for_the_kubelet() {
    let bench = Bench::new();
    let driver = bench.driver("wait.longshore.dev", &[]).await;
    let origin = driver.create(volume("origin", 64 * MIB, &filesystem("ext4"))).await.unwrap();
    let target = stage_and_publish(&bench, &driver, &origin, &filesystem("ext4")).await;
    let staging = bench.path(&format!("{}-staging", origin.volume_id));
    let leave = async {
        driver.unpublish(&origin, &target).await.unwrap();
        driver.unstage(&origin, &staging).await.unwrap();
    };
    let (deleted, ()) = tokio::join!(driver.delete(&origin), leave);
    deleted.unwrap();
}

#[tokio::test]
async fn a_file_system_is_never_made_over_data() {
    let bench = Bench::new();
    let driver = bench.driver("data.longshore.dev", &[]).await;
    let raw = driver.create(volume("raw", 64 * MIB, &block())).await.unwrap();
    let target = stage_and_publish(&bench, &driver, &raw, &block()).await;
    fs::OpenOptions::new().write(true).open(&target).unwrap().write_all(&[42; 1 << 20]).unwrap();
    let snapshot = driver.snapshot("raw", &raw).await.unwrap();
    let request = from_snapshot(volume("not a file system", 0, &filesystem("ext4")), &snapshot);
    let clone = driver.create(request).await.unwrap();
    let error = driver.stage(&clone, &bench.path("staging"), &filesystem("ext4")).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error}");
    // And one file system is not taken for another.
    let ext4 = driver.create(volume("ext4", 400 * MIB, &filesystem(""))).await.unwrap();
    stage_and_publish(&bench, &driver, &ext4, &filesystem("ext4")).await;
    let snapshot = driver.snapshot("ext4", &ext4).await.unwrap();
    let clone = driver.create(from_snapshot(volume("xfs", 0, &filesystem("xfs")), &snapshot)).await.unwrap();
    let error = driver.stage(&clone, &bench.path("staging"), &filesystem("xfs")).await.unwrap_err();
    assert!(error.message().contains("holds ext4, not xfs"), "{error}");
}

#[tokio::test]
async fn a_blocks_snapshot_is_small() {
    let bench = Bench::new();
    let driver = bench.driver("small.longshore.dev", &[]).await;
    let origin = driver.create(volume("origin", 4096 * MIB, &block())).await.unwrap();
    let image = bench.state().join(format!("pool/volumes/{}.img", origin.volume_id));
    assert_eq!(image.metadata().unwrap().size(), 4096 * MIB as u64);
    assert_eq!(image.metadata().unwrap().blocks(), 0, "a new volume takes no room");
}
