//! Memory is a setting, not a consequence of the volume's size.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use crate::sandbox::{Sandbox, assert_same_bytes, image};

/// Runs to the end and returns the largest peak (`VmHWM`) that was seen, in bytes.
fn peak_bytes(sandbox: &Sandbox, arguments: &[&str]) -> u64 {
    let mut child = sandbox.command(arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        if let Some(line) = text.lines().find(|line| line.starts_with("VmHWM:")) {
            let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            peak = peak.max(kilobytes * 1024);
        }
        if let Some(ended) = child.try_wait().unwrap() {
            let mut err = String::new();
            child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
            assert!(ended.success(), "{err}");
            return peak;
        }
        // A sampling interval, not a wait for a result: the kernel keeps the peak.
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn backup_and_restore_of_a_large_volume_stay_within_512_mib() {
    let sandbox = Sandbox::new();
    let (source, target) = (sandbox.path("image"), sandbox.path("target"));
    let islands: Vec<(u64, usize)> = (0..64).map(|number| (number * (1 << 30) + 12_345, 5 << 20)).collect();
    image(&source, 64 << 30, &islands);
    let backup = peak_bytes(&sandbox, &["--progress", "none", "backup", source.to_str().unwrap()]);
    let restore =
        peak_bytes(&sandbox, &["--progress", "none", "restore", "latest", target.to_str().unwrap()]);
    assert!(backup > 1 << 20 && restore > 1 << 20, "nothing was measured");
    assert!(backup < 512 << 20, "backup: {} MiB", backup >> 20);
    assert!(restore < 512 << 20, "restore: {} MiB", restore >> 20);
    for island in 0..64_u64 {
        let part = |file: &std::path::Path| {
            use std::os::unix::fs::FileExt;
            let mut bytes = vec![0; 6 << 20];
            std::fs::File::open(file).unwrap().read_exact_at(&mut bytes, island << 30).unwrap();
            bytes
        };
        assert!(part(&source) == part(&target), "island {island}");
    }
    let small = (sandbox.path("small"), sandbox.path("small-target"));
    image(&small.0, 1 << 20, &[(0, 1 << 20)]);
    sandbox.backup(&small.0);
    sandbox.restore("latest", &small.1);
    assert_same_bytes(&small.0, &small.1);
}
