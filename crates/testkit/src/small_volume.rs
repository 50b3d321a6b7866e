//! A file system that is soon full, for as long as one test runs.

use std::{path::PathBuf, process::Command};

const FOLDER: &str = "LONGSHORE_TEST_SMALL_VOLUME";

/// What a small file system is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmallVolume {
    /// Memory.
    Tmpfs,
    /// An image of a disk, without blocks that are kept for root.
    Ext4,
}

impl SmallVolume {
    /// Runs another test of the calling program again, as a process of its own, in a mount namespace that ends with it. That test
    /// finds the mounted file system by [`small_volume`]. It must print `proof` when it is through. Needs root.
    ///
    /// # Panics
    /// If the test failed or did not print `proof`.
    pub fn run(self, mebibytes: u32, test: &str, proof: &str) {
        let place = tempfile::tempdir().expect("a folder to mount at");
        let mount = match self {
            Self::Tmpfs => format!("mount -t tmpfs -o size={mebibytes}m tmpfs \"$1\""),
            Self::Ext4 => format!(
                "truncate -s {mebibytes}M \"$1.img\" && mkfs.ext4 -q -m 0 \"$1.img\" \
                 && mount -o loop \"$1.img\" \"$1\" && rm \"$1.img\""
            ),
        };
        let script = format!("{mount} && exec \"$2\" --exact \"$3\" --nocapture");
        let output = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-ec", &script, "sh"])
            .arg(place.path())
            .arg(std::env::current_exe().expect("this program has a path"))
            .arg(test)
            .env(FOLDER, place.path())
            .output()
            .expect("unshare can be started");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains(proof), "{out}\n{err}");
    }
}

/// The file system, in a test that [`SmallVolume::run`] runs. In any other run there is none, and such a test has nothing to do.
pub fn small_volume() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}
