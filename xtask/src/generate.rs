//! Files made from the code: custom resource definitions, reference pages, and the rights for OADP's operator.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{chart, oadp, step, workspace};

/// A program: its package and its name.
type Program = (&'static str, &'static str);

const LONGSHORE: Program = ("longshore-cli", "longshore");
const OPERATOR: Program = ("longshore-operator", "longshore-operator");

/// Reference pages: file, program, arguments that print the page.
const PAGES: &[(&str, Program, &[&str])] = &[
    ("docs/reference/command-line.md", LONGSHORE, &["reference"]),
    ("docs/reference/resources.md", OPERATOR, &["reference", "resources"]),
    ("docs/reference/reasons.md", OPERATOR, &["reference", "reasons"]),
];

/// Holds one YAML file per custom resource definition.
const CRD_FOLDER: &str = "config/crd";

/// Writes all generated files, or with `check` only compares them.
///
/// # Errors
/// With `check`, when a file is not what the code would write.
pub fn run(check: bool) -> Result<()> {
    let mut stale = Vec::new();
    for (path, program, arguments) in PAGES {
        put(Path::new(path), &printed(*program, arguments)?, check, &mut stale)?;
    }
    let definitions = printed(OPERATOR, &["crds"])?;
    for document in definitions.split("---\n").filter(|document| !document.trim().is_empty()) {
        let name = document
            .lines()
            .find_map(|line| line.strip_prefix("  name: "))
            .context("a custom resource definition has no name")?;
        put(&Path::new(CRD_FOLDER).join(format!("{}.yaml", name.trim())), document, check, &mut stale)?;
    }
    let rights =
        fs::read_to_string(workspace::root().join(oadp::SOURCE)).context("cannot read the rights")?;
    put(Path::new(oadp::TARGET), &oadp::rights(&rights)?, check, &mut stale)?;
    if !check {
        chart::copy_files(workspace::root())?;
    }
    if !stale.is_empty() {
        bail!("not what the code generates; run `cargo xtask generate`: {}", stale.join(", "));
    }
    Ok(())
}

fn printed((package, name): Program, arguments: &[&str]) -> Result<String> {
    step::output(Command::new(workspace::program(package, name)?).args(arguments))
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
