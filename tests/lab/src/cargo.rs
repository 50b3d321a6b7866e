//! The project's own programs, built by cargo from the checkout with the profile that tests use.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::paths::Paths;
use crate::report::{Reporter, while_saying};

/// Builds programs, given as package and binary, and returns their paths in that order. Cargo's own messages go to standard error.
/// All programs of the workspace are built in one go: cargo chooses features of dependencies by what is built together, and
/// would compile the large ones anew for each other selection.
pub fn build(programs: &[(&str, &str)], reporter: &dyn Reporter) -> Result<Vec<PathBuf>> {
    build_with(programs, &[], reporter)
}

/// The same for an image, whose programs are without what only people at a terminal want: the mover needs no client of Kubernetes. The next
/// [`build`] puts the full programs at the same paths again, so take a copy.
pub fn build_for_image(programs: &[(&str, &str)], reporter: &dyn Reporter) -> Result<Vec<PathBuf>> {
    build_with(programs, &["--no-default-features"], reporter)
}

fn build_with(programs: &[(&str, &str)], features: &[&str], reporter: &dyn Reporter) -> Result<Vec<PathBuf>> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(Paths::checkout()).args([
        "build",
        "--quiet",
        "--workspace",
        "--bins",
        "--message-format=json-render-diagnostics",
    ]);
    command.args(features);
    let what =
        format!("building {}", programs.iter().map(|(_, binary)| *binary).collect::<Vec<_>>().join(", "));
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = while_saying(reporter, &what, || command.output()).context("could not start cargo")?;
    if !output.status.success() {
        bail!("cargo build failed: {}", output.status);
    }
    let messages: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let find = |binary: &str| {
        let found = messages.iter().find(|message| {
            message["target"]["name"] == binary
                && message["executable"].is_string()
                && message["target"]["kind"][0] == "bin"
        });
        found.and_then(|message| message["executable"].as_str()).map(PathBuf::from)
    };
    let named = |(_, binary): &(&str, &str)| {
        find(binary).with_context(|| format!("cargo did not say where {binary} is"))
    };
    programs.iter().map(named).collect()
}
