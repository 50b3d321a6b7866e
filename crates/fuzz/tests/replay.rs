//! What fuzzing found interesting, again: every corpus and every golden file through every decoder.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use longshore_fuzz::{TARGETS, find};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// No decoder takes longer over one of these inputs, on the slowest machine.
const TIME_MAX: Duration = Duration::from_secs(2);

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(listing) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = listing.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}

fn golden() -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = files(&root().join("crates/format/testdata/v1"));
    assert!(all.len() > 10, "the golden files are gone");
    all.push((PathBuf::from("nothing"), Vec::new()));
    all
}

#[test]
fn every_decoder_holds_against_what_was_kept() {
    for target in TARGETS {
        let mut accepted = 0;
        for (path, bytes) in files(&root().join("fuzz/corpus").join(target.name)).into_iter().chain(golden())
        {
            let begun = Instant::now();
            let result = std::panic::catch_unwind(|| (target.run)(&bytes));
            let Ok(taken) = result else { panic!("{} breaks on {}", target.name, path.display()) };
            assert!(begun.elapsed() < TIME_MAX, "{} is slow on {}", target.name, path.display());
            accepted += usize::from(taken);
        }
        assert!(accepted > 0, "no input that {} accepts: its corpus proves little", target.name);
    }
}

#[test]
fn corpora_and_targets_belong_together_and_stay_small() {
    let names: BTreeSet<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names.len(), TARGETS.len(), "two targets of one name");
    for (folder, _) in
        std::fs::read_dir(root().join("fuzz/corpus")).unwrap().map(|entry| (entry.unwrap(), ()))
    {
        let name = folder.file_name().into_string().unwrap();
        assert!(find(&name).is_some(), "fuzz/corpus/{name} belongs to no target");
        let bytes: usize = files(&folder.path()).iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(bytes <= 16 << 10, "fuzz/corpus/{name} holds {bytes} bytes");
    }
}
