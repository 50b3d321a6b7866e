//! What the death of a mover costs: at most a gigabyte, or a minute, of repeated work.

use std::fs;
use std::os::unix::fs::FileExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use longshore_job::{JobResult, Outcome};

use super::scene::{Place, Scene};
use crate::failures::walk;
use crate::sandbox::noise;

/// More than is stored between two progress records, and a quarter more.
const IMAGE_BYTES: u64 = 1600 << 20;
const PORTION_BYTES: usize = 16 << 20;

/// Kills a mover once it has said how far it is, and counts what the next one reads.
pub fn play() -> String {
    let scene = Scene::new(Place::Folder);
    let source = scene.sandbox.path("large");
    let image = fs::File::create(&source).unwrap();
    for portion in 0..IMAGE_BYTES / PORTION_BYTES as u64 {
        image.write_all_at(&noise(portion + 1, PORTION_BYTES), portion * PORTION_BYTES as u64).unwrap();
    }
    let run = uuid::Uuid::now_v7().to_string();
    let started = Instant::now();
    let mut mover = scene.mover(&source, &run).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let sessions = scene.sandbox.path("store").join("sess");
    let has_progress = || walk(&sessions).iter().any(|path| path.to_string_lossy().contains("/progress/"));
    while !has_progress() {
        assert!(mover.try_wait().unwrap().is_none(), "it ended before it said how far it was");
        assert!(started.elapsed() < Duration::from_secs(300));
        std::thread::sleep(Duration::from_millis(1));
    }
    mover.kill().unwrap();
    mover.wait().unwrap();
    let output = scene.mover(&source, &run).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let message = fs::read_to_string(scene.sandbox.path("result")).unwrap();
    let Some(JobResult { outcome: Outcome::BackedUp(summary), .. }) =
        JobResult::from_termination_message(&message)
    else {
        panic!("{message}")
    };
    // The first record comes after a gigabyte or a minute; what it names is not read again.
    assert!(summary.bytes_read <= IMAGE_BYTES - (512 << 20), "{summary:?}");
    format!(
        "a mover of {} MiB was killed after its first progress record; the next one read {} MiB and stored {} MiB",
        IMAGE_BYTES >> 20,
        summary.bytes_read >> 20,
        summary.bytes_new >> 20
    )
}
