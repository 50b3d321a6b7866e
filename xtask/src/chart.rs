//! `cargo xtask chart`: the chart renders, says what config/ says, and grants no more than it must.
//!
//! Owns the rules that the chart is held to; the files themselves live in charts/longshore. Must not know a cluster: installing the chart is
//! the end-to-end tests' affair. First item to read: [`inspect`].

mod pod_security;
mod render;
mod rights;
mod samples;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{step, workspace};
use render::Helm;

/// Folders that the chart holds a copy of, because Helm reads nothing outside the chart: (source, copy), from the checkout's root.
const COPIES: &[(&str, &str)] =
    &[("config/crd", "charts/longshore/crds-generated"), ("config/rbac", "charts/longshore/rbac-generated")];
/// Values that must be refused, and a word of the complaint.
const REFUSED: &[(&[&str], &str)] = &[
    (&["replicas=2"], "replicas"),
    (&["image.pullPolicy=Sometimes"], "pullPolicy"),
    (&["protectedNamespaces=null"], "protectedNamespaces"),
    (&["allowRestore={shop}"], "allowRestore"),
    (&["replicaCount=2", "leaderElection.enabled=false"], "leaderElection"),
    (&["metrics.service.enabled=false", "metrics.serviceMonitor.enabled=true"], "metrics.service"),
];

/// Arguments of `cargo xtask chart`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Changes nothing; fails when the chart's copies of config/ are old.
    #[arg(long)]
    check: bool,
    /// The helm program; by default the one that the lab builds.
    #[arg(long)]
    helm: Option<PathBuf>,
}

/// Copies CRDs and rights into the chart (unless `--check`), then holds the chart to its rules.
///
/// # Errors
/// The first rule that does not hold.
pub fn run(arguments: &Arguments) -> Result<()> {
    if !arguments.check {
        copy_files(workspace::root())?;
    }
    let helm = arguments.helm.clone().map_or_else(crate::lab::helm, Ok)?;
    hold_to_rules(&helm)
}

/// Holds the chart to its rules, with the helm that the lab builds.
///
/// # Errors
/// The first rule that does not hold.
pub fn check() -> Result<()> {
    hold_to_rules(&crate::lab::helm()?)
}

fn hold_to_rules(helm: &Path) -> Result<()> {
    let operator = workspace::program("longshore-operator", "longshore-operator")?;
    let help = step::output(Command::new(operator).arg("--help"))?;
    println!("chart: {}", inspect(workspace::root(), helm, &help)?);
    Ok(())
}

/// Brings the chart's copies of config/ up to date, and removes those whose source is gone.
///
/// # Errors
/// When a folder cannot be read or written.
pub fn copy_files(root: &Path) -> Result<()> {
    for (source, copy) in COPIES {
        let (source, copy) = (root.join(source), root.join(copy));
        fs::create_dir_all(&copy)?;
        for old in yaml_files(&copy)?.difference(&yaml_files(&source)?) {
            fs::remove_file(copy.join(old))?;
        }
        for name in yaml_files(&source)? {
            fs::copy(source.join(&name), copy.join(&name))
                .with_context(|| format!("copy {name} into the chart"))?;
        }
    }
    Ok(())
}

/// One line that says what was looked at, or the first rule that does not hold.
fn inspect(root: &Path, helm: &Path, operator_help: &str) -> Result<String> {
    check_copies(root)?;
    let helm = Helm::new(helm, &root.join("charts/longshore"));
    let full = root.join("charts/longshore/ci/full-values.yaml");
    let mut objects = 0;
    for values in [None, Some(full.as_path())] {
        helm.lint(values)?;
        let rendered = helm.template(values)?;
        let label = if values.is_some() { "full values" } else { "default values" };
        check_rendered(root, &rendered, operator_help).with_context(|| format!("the chart with {label}"))?;
        objects += rendered.len();
    }
    for (values, word) in REFUSED {
        helm.is_refused(values, word)?;
    }
    let samples = samples::check(root)?;
    let refused = REFUSED.len();
    Ok(format!("2 sets of values, {objects} objects, {refused} bad values refused, {samples} samples"))
}

fn check_copies(root: &Path) -> Result<()> {
    for (source_name, copy_name) in COPIES {
        let (source, copy) = (root.join(source_name), root.join(copy_name));
        let names = yaml_files(&source)?;
        ensure!(!names.is_empty(), "{source_name} is empty");
        ensure!(
            names == yaml_files(&copy)?,
            "{copy_name} and {source_name} hold different files: cargo xtask generate"
        );
        for name in names {
            ensure!(
                fs::read(source.join(&name))? == fs::read(copy.join(&name))?,
                "{copy_name}/{name} is old: cargo xtask generate"
            );
        }
    }
    Ok(())
}

fn check_rendered(root: &Path, objects: &[Value], operator_help: &str) -> Result<()> {
    let mut seen = BTreeSet::new();
    for object in objects {
        let name = render::name_of(object)?;
        ensure!(seen.insert(name.clone()), "{name} is rendered twice");
    }
    let installed: BTreeSet<_> = of_kind(objects, "CustomResourceDefinition")
        .map(|object| &object["metadata"]["name"])
        .map(Value::to_string)
        .collect();
    ensure!(
        installed.len() == yaml_files(&root.join("config/crd"))?.len(),
        "not every CRD of config/crd is rendered: {installed:?}"
    );
    for definition in of_kind(objects, "CustomResourceDefinition") {
        let policy = &definition["metadata"]["annotations"]["helm.sh/resource-policy"];
        ensure!(policy == "keep", "{} would go when the release is removed", definition["metadata"]["name"]);
    }
    let written = render::read_documents(&root.join("config/rbac/operator.yaml"))?;
    rights::check(&written, objects)?;
    let Some(deployment) = of_kind(objects, "Deployment").next() else { bail!("there is no Deployment") };
    check_flags(deployment, operator_help)?;
    pod_security::check_restricted(&deployment["spec"]["template"]["spec"])
        .context("the operator's pod breaks Pod Security `restricted`")
}

/// The operator knows every flag that the chart gives it.
fn check_flags(deployment: &Value, operator_help: &str) -> Result<()> {
    let known: BTreeSet<&str> =
        operator_help.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-').collect();
    let arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"].as_array();
    for argument in arguments.into_iter().flatten().filter_map(Value::as_str) {
        let flag = argument.split('=').next().unwrap_or_default();
        ensure!(known.contains(flag), "the operator has no flag {flag}");
    }
    Ok(())
}

fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

fn yaml_files(folder: &Path) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".yaml") {
            names.insert(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_flag_that_the_operator_lacks_is_found() {
        let deployment =
            |flag: &str| json!({"spec": {"template": {"spec": {"containers": [{"args": [flag]}]}}}});
        let help = "      --image <IMAGE>\n          Image [default: x]\n      --leader-elect\n";
        check_flags(&deployment("--image=a:b"), help).unwrap();
        check_flags(&deployment("--leader-elect"), help).unwrap();
        assert!(check_flags(&deployment("--imag=a"), help).is_err());
    }
}
