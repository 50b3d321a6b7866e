//! Runs helm and reads what it renders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// Without `--kube-version` helm assumes an ancient cluster.
const TEMPLATE: &[&str] = &["template", "longshore", "--namespace", "longshore", "--kube-version", "1.34.0"];

/// A helm program and the chart it works on.
pub struct Helm {
    program: PathBuf,
    chart: PathBuf,
}

impl Helm {
    pub fn new(program: &Path, chart: &Path) -> Self {
        Self { program: program.to_owned(), chart: chart.to_owned() }
    }

    /// `helm lint --strict`: warnings are errors.
    pub fn lint(&self, values: Option<&Path>) -> Result<()> {
        self.succeed(self.command(&["lint", "--strict"], values)).map(drop)
    }

    /// Every object that the chart renders for a release `longshore` in the namespace `longshore`.
    pub fn template(&self, values: Option<&Path>) -> Result<Vec<Value>> {
        let output = self.succeed(self.command(TEMPLATE, values))?;
        parse_documents(&String::from_utf8(output.stdout)?)
    }

    /// Fails unless the chart refuses `settings` with a complaint that holds `word`.
    pub fn is_refused(&self, settings: &[&str], word: &str) -> Result<()> {
        let mut command = self.command(TEMPLATE, None);
        for setting in settings {
            command.args(["--set", setting]);
        }
        let output = run(command)?;
        ensure!(!output.status.success(), "the chart accepts {settings:?}");
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(
            complaint.contains(word),
            "the chart refuses {settings:?} without saying {word}: {complaint}"
        );
        Ok(())
    }

    fn command(&self, verb: &[&str], values: Option<&Path>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(verb).arg(&self.chart);
        if let Some(values) = values {
            command.arg("--values").arg(values);
        }
        command
    }

    fn succeed(&self, command: Command) -> Result<Output> {
        let text = format!("{command:?}");
        let output = run(command)?;
        if !output.status.success() {
            bail!(
                "{text}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(output)
    }
}

fn run(mut command: Command) -> Result<Output> {
    // Nothing of the user's own Helm settings, repositories or plugins may matter here.
    command.env_remove("KUBECONFIG").env("HELM_PLUGINS", "/nonexistent");
    command.output().with_context(|| format!("run {command:?}"))
}

/// The documents of a YAML file.
pub fn read_documents(path: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    parse_documents(&text).with_context(|| format!("read {}", path.display()))
}

fn parse_documents(text: &str) -> Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).context("not YAML")?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// `kind namespace/name` of an object.
pub fn name_of(object: &Value) -> Result<String> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let kind = text(&object["kind"]).with_context(|| format!("no kind: {object}"))?;
    ensure!(object["apiVersion"].is_string(), "no apiVersion: {object}");
    let name = text(&object["metadata"]["name"]).with_context(|| format!("a {kind} without a name"))?;
    let namespace = text(&object["metadata"]["namespace"]).unwrap_or_default();
    Ok(format!("{kind} {namespace}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_told_apart_and_empty_ones_dropped() {
        let documents = parse_documents("---\n# nothing\n---\na: 1\n---\nb: [x]\n").unwrap();
        assert_eq!(documents, [serde_json::json!({"a": 1}), serde_json::json!({"b": ["x"]})]);
        assert!(parse_documents("a: [").is_err());
    }
}
