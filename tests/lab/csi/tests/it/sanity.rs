//! The public CSI conformance suite against the driver.

use std::process::Command;

use longshore_lab::{Console, Paths, gobuild};

use crate::bench::Bench;

/// Runs the suite and returns how many of its cases passed. A case that fails fails the test.
async fn passed(access_type: &str, options: &[&str]) -> u32 {
    let suite = gobuild::csi_sanity(&Paths::from_environment().unwrap(), &Console::new()).unwrap();
    let bench = Bench::new();
    let driver = bench.driver("sanity.longshore.dev", options).await;
    let output = Command::new(suite)
        .args(["--ginkgo.no-color", "--csi.testvolumeaccesstype", access_type])
        .args(["--csi.testvolumesize", "67108864", "--csi.testvolumeexpandsize", "100663296"])
        .args(["--csi.endpoint", &driver.socket.display().to_string()])
        .args(["--csi.mountdir", &bench.path("mount"), "--csi.stagingdir", &bench.path("staging")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let count = text.split(" Passed").next().and_then(|head| head.rsplit(' ').next()?.parse().ok());
    count.unwrap_or_else(|| panic!("no summary in: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sanity_suite_passes_with_file_systems() {
    assert!(passed("mount", &["--capacity-bytes", "107374182400"]).await >= 71);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sanity_suite_passes_with_devices() {
    assert!(passed("block", &[]).await >= 71);
}

/// What is switched off must also be absent from the capabilities, or the suite would try it and fail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sanity_suite_passes_with_everything_switched_off() {
    let all = "snapshot clone expand list-snapshots list-volumes get-capacity stage block";
    let options: Vec<&str> = all.split(' ').flat_map(|capability| ["--disable", capability]).collect();
    let passed = passed("mount", &options).await;
    assert!((25..60).contains(&passed), "{passed}");
}
