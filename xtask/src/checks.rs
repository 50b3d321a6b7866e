//! Checks of the source that come from other programs: rustfmt, clippy, rustdoc, cargo-deny.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::step::{self, Steps};
use crate::workspace;

/// The cargo-deny that reads deny.toml; another version may judge differently.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// Runs them all.
///
/// # Errors
/// At the first that finds something.
pub fn run(steps: &Steps) -> Result<()> {
    steps.run("formatting", || step::run(workspace::cargo().args(["fmt", "--all", "--check"])))?;
    steps.run("lints", || {
        step::run(workspace::cargo().args([
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--features",
            "longshore-e2e/long",
            "--",
            "--deny",
            "warnings",
        ]))
    })?;
    steps.run("documentation of the crates", || {
        let mut command = workspace::cargo();
        command.args(["doc", "--quiet", "--workspace", "--no-deps", "--lib"]);
        step::run(command.env("RUSTDOCFLAGS", "--deny warnings"))
    })?;
    let deny = steps.run("cargo-deny, installed if missing", install_deny)?;
    steps.run("dependencies and the arrows between crates", || {
        step::run(
            Command::new(deny).current_dir(workspace::root()).args(["check", "bans", "licenses", "sources"]),
        )
    })
}

fn install_deny() -> Result<PathBuf> {
    let tools = workspace::cache()?.join("tools");
    let program = tools.join(format!("cargo-deny-{CARGO_DENY_VERSION}/bin/cargo-deny"));
    if !program.exists() {
        let folder = tools.join(format!("cargo-deny-{CARGO_DENY_VERSION}"));
        let mut install = workspace::cargo();
        install
            .args(["install", "--quiet", "--locked", "--version", CARGO_DENY_VERSION, "--root"])
            .arg(folder);
        step::run(install.arg("cargo-deny"))?;
    }
    Ok(program)
}
