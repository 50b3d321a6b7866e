//! Files made from the code: custom resource definitions and reference pages.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::{chart, step, workspace};

/// Reference pages: file, program's package, arguments that print the page.
const PAGES: &[(&str, &str, &[&str])] = &[
    ("docs/reference/command-line.md", "longshore-cli", &["reference"]),
    ("docs/reference/resources.md", "longshore-operator", &["reference", "resources"]),
    ("docs/reference/reasons.md", "longshore-operator", &["reference", "reasons"]),
];

/// Holds one YAML file per custom resource definition.
const CRD_FOLDER: &str = "config/crd";

/// Writes all generated files, or with `check` only compares them.
///
/// # Errors
/// With `check`, when a file is not what the code would write.
pub fn run(check: bool) -> Result<()> {
    let mut stale = Vec::new();
    for (path, package, arguments) in PAGES {
        put(Path::new(path), &program(package, arguments)?, check, &mut stale)?;
    }
    let definitions = program("longshore-operator", &["crds"])?;
    for document in definitions.split("---\n").filter(|document| !document.trim().is_empty()) {
        let name = document
            .lines()
            .find_map(|line| line.strip_prefix("  name: "))
            .context("a custom resource definition has no name")?;
        put(&Path::new(CRD_FOLDER).join(format!("{}.yaml", name.trim())), document, check, &mut stale)?;
    }
    if !check {
        chart::copy_files(workspace::root())?;
    }
    if !stale.is_empty() {
        bail!("not what the code generates; run `cargo xtask generate`: {}", stale.join(", "));
    }
    Ok(())
}

fn program(package: &str, arguments: &[&str]) -> Result<String> {
    step::output(workspace::cargo().args(["run", "--quiet", "--package", package, "--"]).args(arguments))
}

fn put(path: &Path, text: &str, check: bool, stale: &mut Vec<String>) -> Result<()> {
    let full = workspace::root().join(path);
    if fs::read_to_string(&full).is_ok_and(|present| present == text) {
        return Ok(());
    }
    if check {
        stale.push(path.display().to_string());
        return Ok(());
    }
    fs::create_dir_all(full.parent().context("a generated file has no folder")?)?;
    fs::write(&full, text).with_context(|| format!("cannot write {}", path.display()))
}
