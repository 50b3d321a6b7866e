//! Golden files under `testdata/v1`. Set `LONGSHORE_WRITE_GOLDEN=1` to write those that are missing; one that exists is
//! never rewritten by a test.

use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/v1")
}

/// Requires `bytes` to be the golden file, and returns that file's bytes.
pub fn check(name: &str, bytes: &[u8]) -> Vec<u8> {
    let path = folder().join(name);
    if !path.exists() && std::env::var_os("LONGSHORE_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    let golden = std::fs::read(&path).unwrap_or_else(|error| panic!("golden file {name}: {error}"));
    assert!(
        golden == bytes,
        "the bytes of {name} have changed: old repositories would no longer be readable"
    );
    golden
}
