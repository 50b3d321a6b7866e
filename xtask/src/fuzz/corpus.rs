use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Place;

/// What a target keeps in the checkout; enough for every branch of a decoder, small enough to read.
const KEPT_BYTES_MAX: u64 = 8 << 10;
/// Longer inputs are not kept.
const INPUT_BYTES_MAX: u64 = 2 << 10;

/// Reduces what runs found to as few inputs as reach the same code, and adds the smallest of them to the checkout's corpus.
pub(super) fn keep(program: &Path, place: &Place, name: &str) -> Result<()> {
    let reduced = place.cache.join("reduced").join(name);
    if reduced.exists() {
        fs::remove_dir_all(&reduced)?;
    }
    fs::create_dir_all(&reduced)?;
    let kept = Place::kept(name);
    fs::create_dir_all(&kept)?;
    let mut command = Command::new(program);
    command
        .arg("-merge=1")
        .arg(&reduced)
        .args([kept.clone(), Place::golden(), place.corpus(name)])
        .env("LONGSHORE_FUZZ_TARGET", name)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if !command.status().context("cannot start the program")?.success() {
        bail!("the corpus of {name} cannot be reduced");
    }
    let mut found = sizes(&reduced)?;
    found.sort();
    let mut held: u64 = sizes(&kept)?.iter().map(|(size, _)| size).sum();
    for (size, path) in found {
        let target = kept.join(path.file_name().context("an input has no name")?);
        if size > INPUT_BYTES_MAX || held + size > KEPT_BYTES_MAX {
            break;
        }
        if !target.exists() {
            fs::copy(&path, target)?;
            held += size;
        }
    }
    Ok(())
}

fn sizes(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    fs::read_dir(folder)?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.metadata()?.len(), entry.path()))
        })
        .collect()
}
