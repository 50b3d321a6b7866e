//! The driver killed with SIGKILL at any instant: what was promised stays, what was half-made goes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use longshore_lab_csi::{loop_device, mounts};
use tonic::Code;

use crate::bench::{Bench, MIB, block, filesystem, from_snapshot, volume};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Images and records of a kind belong together, one to one.
fn assert_sound(bench: &Bench) {
    for kind in ["volumes", "snapshots"] {
        let stems = |folder: &Path| -> Vec<String> {
            let names = names(folder).into_iter();
            names.map(|name| name.rsplit_once('.').unwrap().0.to_owned()).collect()
        };
        let images = bench.state().join("pool").join(kind);
        assert!(names(&images).iter().all(|name| name.ends_with(".img")), "{:?}", names(&images));
        let records = bench.state().join(kind);
        assert_eq!(stems(&images), stems(&records));
    }
}

/// The kill comes at many different instants of the call; afterwards the same call succeeds and there is one volume of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_volume_from_a_snapshot_survives_kills_at_any_instant() {
    let bench = Bench::new();
    let mut driver = bench.driver("crash.longshore.dev", &[]).await;
    let origin = driver.create(volume("origin", 256 * MIB, &block())).await.unwrap();
    let image = bench.state().join(format!("pool/volumes/{}.img", origin.volume_id));
    fs::write(&image, vec![9; 20 << 20]).unwrap();
    fs::File::options().write(true).open(&image).unwrap().set_len(256 << 20).unwrap();
    let snapshot = driver.snapshot("crash", &origin).await.unwrap();
    let (mut cut, mut answered) = (0, 0);
    for round in 0_u64..40 {
        let request = from_snapshot(volume(&format!("round {round}"), 0, &block()), &snapshot);
        let call = tokio::spawn({
            let (mut controller, request) = (driver.controller(), request.clone());
            async move { controller.create_volume(request).await }
        });
        // From before the call arrives to after it is answered, in steps; a sleep is the point here, not a wait.
        tokio::time::sleep(Duration::from_micros(round * 250)).await;
        driver.kill();
        let first = call.await.unwrap();
        driver = bench.driver("crash.longshore.dev", &[]).await;
        let again = driver.create(request).await.unwrap();
        match first {
            Ok(first) => {
                assert_eq!(first.into_inner().volume.unwrap(), again, "what was answered stays");
                answered += 1;
            }
            Err(_) => cut += 1,
        }
        assert_sound(&bench);
        let image = fs::read(bench.state().join(format!("pool/volumes/{}.img", again.volume_id))).unwrap();
        assert!(image.len() == 256 << 20 && image[..20 << 20].iter().all(|byte| *byte == 9));
        driver.delete(&again).await.unwrap();
    }
    assert!(cut > 0 && answered > 0, "the instants were badly chosen: {cut} cut, {answered} answered");
    assert_eq!(names(&bench.state().join("volumes")).len(), 1);
}

/// A driver that dies while it formats, renews a UUID or mounts: the next one stages the volume whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staging_survives_kills_at_any_instant() {
    let bench = Bench::new();
    let mut driver = bench.driver("stage.longshore.dev", &[]).await;
    let staging = bench.path("staging");
    let mut cut = 0;
    for (kind, fs_type) in ["xfs", "ext4"].into_iter().enumerate() {
        let capability = filesystem(fs_type);
        let origin = driver.create(volume(fs_type, 320 * MIB, &capability)).await.unwrap();
        driver.stage(&origin, &staging, &capability).await.unwrap();
        fs::write(format!("{staging}/file"), fs_type).unwrap();
        let snapshot = driver.snapshot(fs_type, &origin).await.unwrap();
        driver.unstage(&origin, &staging).await.unwrap();
        for round in 0_u64..12 {
            let request = volume(&format!("{fs_type} {round}"), 340 * MIB, &capability);
            let clone = driver.create(from_snapshot(request, &snapshot)).await.unwrap();
            let blank = driver
                .create(volume(&format!("blank {kind} {round}"), 320 * MIB, &capability))
                .await
                .unwrap();
            for (volume, content) in [(&clone, Some(fs_type)), (&blank, None)] {
                let call = tokio::spawn({
                    let (volume, staging, capability) = (volume.clone(), staging.clone(), capability.clone());
                    let node = driver.node();
                    async move { crate::bench::stage(node, &volume, &staging, &capability).await }
                });
                tokio::time::sleep(Duration::from_millis(round * 5)).await;
                driver.kill();
                cut += usize::from(call.await.unwrap().is_err());
                driver = bench.driver("stage.longshore.dev", &[]).await;
                driver.stage(volume, &staging, &capability).await.unwrap();
                let found = fs::read_to_string(format!("{staging}/file")).ok();
                assert_eq!(found.as_deref(), content, "{fs_type} round {round}");
                driver.unstage(volume, &staging).await.unwrap();
                driver.delete(volume).await.unwrap();
            }
            assert_sound(&bench);
        }
    }
    assert!(cut > 0);
    let attached = loop_device::all().unwrap();
    let left = attached.iter().filter(|one| one.backing.starts_with(bench.state().join("pool"))).count();
    assert_eq!(left, 0, "{attached:?}");
    assert!(mounts::all().unwrap().iter().all(|mount| !mount.point.starts_with(bench.state().join("work"))));
}

/// A crash after the work and before the answer, on request.
#[tokio::test]
async fn a_crash_on_request_comes_after_the_work_if_asked() {
    let bench = Bench::new();
    let mut driver = bench.driver("request.longshore.dev", &[]).await;
    let faults = r#"[{"method":"CreateVolume","action":"crash","when":"after"}]"#;
    fs::write(bench.folder.join("faults.json"), faults).unwrap();
    let request = volume("made", 64 * MIB, &block());
    assert_ne!(driver.create(request.clone()).await.unwrap_err().code(), Code::Ok);
    assert!(!driver.ended().await.success());
    let line = driver.logged("CreateVolume").pop().unwrap();
    assert_eq!(line["faults"], serde_json::json!(["crash"]));
    fs::remove_file(bench.folder.join("faults.json")).unwrap();
    let made = names(&bench.state().join("volumes"));
    assert_eq!(made.len(), 1);
    driver = bench.driver("request.longshore.dev", &[]).await;
    let volume = driver.create(request).await.unwrap();
    assert_eq!(names(&bench.state().join("volumes")), [format!("{}.json", volume.volume_id)]);
}
