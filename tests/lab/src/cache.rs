//! Foreign programs, each in a folder of the cache that is named by what it is made of.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};

use crate::report::{Reporter, while_saying};

/// Returns the folder `key` below `parent`; if it is not there, `fill` makes it, once for all who ask at the same time.
///
/// # Errors
/// When `fill` fails, or the cache cannot be written.
pub(crate) fn ensure(
    parent: &Path,
    label: &str,
    key: &str,
    reporter: &dyn Reporter,
    fill: impl FnOnce(&Path) -> Result<()> + Send,
) -> Result<PathBuf> {
    let finished = parent.join(key);
    if finished.is_dir() {
        return Ok(finished);
    }
    fs::create_dir_all(parent)?;
    // Held until the end of this function, also across its failure; a killed process holds none.
    let lock = File::create(parent.join(format!(".lock-{label}")))?;
    flock(&lock, FlockOperation::LockExclusive)?;
    if finished.is_dir() {
        return Ok(finished);
    }
    reporter.line(&format!("building {label} (once; kept in the cache)"));
    let half = parent.join(format!(".half-{label}"));
    if half.exists() {
        fs::remove_dir_all(&half)?;
    }
    fs::create_dir(&half)?;
    while_saying(reporter, &format!("building {label}"), || fill(&half))?;
    // A rename after the data: whatever has the final name is whole.
    File::open(&half)?.sync_all()?;
    fs::rename(&half, &finished).context("could not move what was built into the cache")?;
    reporter.line(&format!("built {label}"));
    Ok(finished)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use super::*;
    use crate::report::Silent;

    #[test]
    fn a_half_built_folder_is_neither_used_nor_kept() {
        let cache = tempfile::tempdir().unwrap();
        let half = cache.path().join(".half-thing");
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("program"), "half a program").unwrap();
        let failed = ensure(cache.path(), "thing", "thing-1", &Silent, |_| anyhow::bail!("no compiler"));
        assert!(failed.is_err() && !cache.path().join("thing-1").exists());
        let fill = |folder: &Path| Ok(fs::write(folder.join("other"), "whole")?);
        let built = ensure(cache.path(), "thing", "thing-1", &Silent, fill).unwrap();
        let names: Vec<_> = fs::read_dir(built).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["other"]);
        assert!(!half.exists());
    }

    /// Two tests of one process once built MinIO at the same time, in one folder.
    #[test]
    fn what_many_ask_for_is_built_once() {
        let cache = tempfile::tempdir().unwrap();
        let builds = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let fill = |folder: &Path| {
                        builds.fetch_add(1, SeqCst);
                        std::thread::sleep(std::time::Duration::from_millis(50));
                        Ok(fs::write(folder.join("program"), "whole")?)
                    };
                    let built = ensure(cache.path(), "thing", "thing-1", &Silent, fill).unwrap();
                    assert_eq!(fs::read(built.join("program")).unwrap(), b"whole");
                });
            }
        });
        assert_eq!(builds.load(SeqCst), 1);
    }
}
