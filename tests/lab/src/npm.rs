//! Foreign programs that are written for Node.js, at the versions of the lock files under `tests/lab/npm`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::cache;
use crate::hash::sha256_hex;
use crate::paths::Paths;
use crate::report::Reporter;
use crate::shell::output_of;

/// Bump when the way of installing changes without a change of the lock files.
const RECIPE: &str = "1";

/// The script of Azurite's blob service, an emulator of Azure Blob Storage, to be run by `node`; installed when the cache does
/// not have it.
pub fn azurite(paths: &Paths, reporter: &dyn Reporter) -> Result<PathBuf> {
    Ok(install(paths, "azurite", reporter)?.join("node_modules/azurite/dist/src/blob/main.js"))
}

fn install(paths: &Paths, package: &str, reporter: &dyn Reporter) -> Result<PathBuf> {
    let sources = Paths::checkout().join("tests/lab/npm").join(package);
    let files = ["package.json", "package-lock.json"];
    let version = output_of(Command::new("node").arg("--version"))
        .context("the emulator of Azure needs Node.js 20 or newer")?;
    let mut text = format!("{RECIPE}\n{version}");
    for file in files {
        text.push_str(&fs::read_to_string(sources.join(file))?);
    }
    let key = format!("{package}-{}", &sha256_hex(text.as_bytes())[..20]);
    cache::ensure(&paths.cache().join("bin"), package, &key, reporter, |folder: &Path| {
        for file in files {
            fs::copy(sources.join(file), folder.join(file))?;
        }
        // Exactly what the lock file says, checked against its hashes; nobody's install script runs.
        let arguments = ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund"];
        output_of(Command::new("npm").args(arguments).current_dir(folder)).map(drop)
    })
}
