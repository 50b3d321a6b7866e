//! Faults on request, and the call log.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use longshore_lab_csi::proto::csi_v1::*;
use tonic::Code;

use crate::bench::{Bench, MIB, block, volume};

#[tokio::test]
async fn faults_come_as_the_file_says_and_end() {
    let bench = Bench::new();
    let driver = bench.driver("faults.longshore.dev", &[]).await;
    let origin = driver.create(volume("origin", 64 * MIB, &block())).await.unwrap();
    let faults = r#"[
        {"method":"CreateSnapshot","action":"error","code":"UNAVAILABLE","count":2},
        {"method":"CreateVolume","requestContains":"late","action":"delay","delayMs":300}]"#;
    fs::write(bench.folder.join("faults.json"), faults).unwrap();
    for _ in 0..2 {
        assert_eq!(driver.snapshot("one", &origin).await.unwrap_err().code(), Code::Unavailable);
    }
    driver.snapshot("one", &origin).await.unwrap();
    let started = Instant::now();
    driver.create(volume("late", 64 * MIB, &block())).await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(300));
    let lines = driver.logged("CreateSnapshot");
    let codes: Vec<Option<&str>> = lines.iter().map(|line| line["code"].as_str()).collect();
    assert_eq!(codes, [Some("UNAVAILABLE"), Some("UNAVAILABLE"), None]);
    assert_eq!(lines[0]["faults"], serde_json::json!(["error"]));
    assert!(driver.logged("CreateVolume").pop().unwrap()["milliseconds"].as_u64().unwrap() >= 300);
    fs::write(bench.folder.join("faults.json"), "not JSON").unwrap();
    assert_eq!(driver.snapshot("two", &origin).await.unwrap_err().code(), Code::Internal);
}

#[tokio::test]
async fn the_log_tells_each_call_and_no_secret() {
    let bench = Bench::new();
    let driver = bench.driver("log.longshore.dev", &[]).await;
    let secrets = HashMap::from([("password".to_owned(), "hunter2-in-the-clear".to_owned())]);
    let request = CreateVolumeRequest { secrets: secrets.clone(), ..volume("logged", 64 * MIB, &block()) };
    let made = driver.create(request).await.unwrap();
    let stage = NodeStageVolumeRequest { volume_id: made.volume_id.clone(), secrets, ..Default::default() };
    assert_eq!(driver.node().node_stage_volume(stage).await.unwrap_err().code(), Code::InvalidArgument);
    let text = fs::read_to_string(&driver.log).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let line = driver.logged("CreateVolume").pop().unwrap();
    assert_eq!(line["request"]["secrets"]["password"], "***stripped***");
    assert_eq!(line["request"]["name"], "logged");
    assert_eq!(line["response"]["volume"]["volume_id"], made.volume_id);
    assert_eq!((&line["driver"], &line["node"]), (&"log.longshore.dev".into(), &"log.longshore.dev".into()));
    assert!(line["time"].is_string() && line["milliseconds"].is_u64());
    assert_eq!(driver.logged("NodeStageVolume").pop().unwrap()["code"], "INVALID_ARGUMENT");
}

/// A caller that gives up leaves a call that is finished and logged all the same.
#[tokio::test]
async fn a_call_whose_caller_went_away_is_finished_and_logged() {
    let bench = Bench::new();
    let driver = bench.driver("gone.longshore.dev", &[]).await;
    let faults = r#"[{"method":"CreateVolume","action":"delay","delayMs":200}]"#;
    fs::write(bench.folder.join("faults.json"), faults).unwrap();
    let mut request = tonic::Request::new(volume("abandoned", 64 * MIB, &block()));
    request.set_timeout(Duration::from_millis(50));
    driver.controller().create_volume(request).await.unwrap_err();
    let deadline = Instant::now() + Duration::from_secs(10);
    while driver.logged("CreateVolume").is_empty() {
        assert!(Instant::now() < deadline, "the call is not logged");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(driver.logged("CreateVolume")[0]["response"]["volume"]["volume_id"].is_string());
}
