//! Peers, installed as the registries serve them, once per machine.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Versions are pinned, so that two tables can be compared.
const RUSTIC_VERSION: &str = "0.11.4";
const BORG: &str = "borgbackup==1.4.4";

fn folder() -> Result<PathBuf> {
    let cache = match env::var_os("LONGSHORE_CACHE") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(".cache/longshore"),
    };
    let folder = cache.join("peers");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn run(command: &mut Command) -> Result<()> {
    ensure!(
        command.status().with_context(|| format!("cannot start {command:?}"))?.success(),
        "{command:?} failed"
    );
    Ok(())
}

/// restic, Debian's: no registry that a bare machine reaches serves a newer one.
///
/// # Errors
/// When it cannot be installed.
pub fn restic() -> Result<PathBuf> {
    let program = PathBuf::from("/usr/bin/restic");
    if !program.exists() {
        run(Command::new("apt-get").args(["install", "-y", "-qq", "restic"]))?;
    }
    Ok(program)
}

/// rustic, built from crates.io.
///
/// # Errors
/// When it cannot be installed.
pub fn rustic() -> Result<PathBuf> {
    let program = folder()?.join("bin/rustic");
    if !program.exists() {
        let mut install = Command::new("cargo");
        install
            .args(["install", "--quiet", "--locked", "--version", RUSTIC_VERSION, "--root"])
            .arg(folder()?)
            .arg("rustic-rs");
        run(install.env_remove("CARGO_TARGET_DIR"))?;
    }
    Ok(program)
}

/// borg, from PyPI in a virtual environment of its own; Debian's headers are needed to build it.
///
/// # Errors
/// When it cannot be installed.
pub fn borg() -> Result<PathBuf> {
    let environment = folder()?.join("borg");
    let program = environment.join("bin/borg");
    if !program.exists() {
        run(Command::new("apt-get").args([
            "install",
            "-y",
            "-qq",
            "libacl1-dev",
            "libssl-dev",
            "liblz4-dev",
            "libzstd-dev",
            "libxxhash-dev",
            "pkg-config",
        ]))?;
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment))?;
        run(Command::new(environment.join("bin/pip")).args(["install", "--quiet", BORG]))?;
    }
    Ok(program)
}
