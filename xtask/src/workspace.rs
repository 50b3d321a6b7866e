//! Where things are: the checkout, the cache, cargo.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result};

/// The root of the checkout.
pub fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(longshore_lab::Paths::checkout)
}

/// What outlives a checkout: built tools, results of the last test run.
///
/// # Errors
/// When there is neither `LONGSHORE_CACHE` nor `XDG_CACHE_HOME` nor `HOME`.
pub fn cache() -> Result<PathBuf> {
    if let Some(folder) = env::var_os("LONGSHORE_CACHE") {
        return Ok(folder.into());
    }
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => {
            PathBuf::from(env::var_os("HOME").context("HOME is not set: name a folder in LONGSHORE_CACHE")?)
                .join(".cache")
        }
    };
    Ok(base.join("longshore"))
}

/// The cargo that runs this program, in the root of the checkout.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Files that git knows or would add, relative to the root, that end with one of `extensions`.
///
/// # Errors
/// When git cannot list them.
pub fn files(extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let listing = crate::step::output(Command::new("git").current_dir(root()).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    Ok(listing
        .lines()
        .map(PathBuf::from)
        .filter(|path| path.extension().is_some_and(|found| extensions.iter().any(|wanted| found == *wanted)))
        .filter(|path| root().join(path).exists())
        .collect())
}

/// A program of the workspace, built if need be.
///
/// # Errors
/// When it cannot be built.
pub fn program(package: &str, binary: &str) -> Result<PathBuf> {
    let built = longshore_lab::cargo::build(&[(package, binary)], &longshore_lab::Silent)?;
    built.into_iter().next().with_context(|| format!("cargo did not build {binary}"))
}
