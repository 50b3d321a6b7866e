//! What the seed designs ask for, and which test proves it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::workspace;

/// Rows whose `due` is at most this must have a test.
const DUE_NOW: u32 = 3;

#[derive(Debug, Deserialize)]
struct Rows {
    row: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    due: u32,
    wants: String,
}

/// How each test ended when it last ran, by name.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    ends: BTreeMap<String, String>,
    /// Tests of this run that passed.
    #[serde(skip)]
    pub passed: usize,
    /// Tests of this run that failed.
    #[serde(skip)]
    pub failed: usize,
}

impl Results {
    fn path() -> Result<PathBuf> {
        Ok(workspace::cache()?.join("test-results.json"))
    }

    /// The results of the last run, none if there was none.
    ///
    /// # Errors
    /// When the file is there but cannot be read.
    pub fn load() -> Result<Self> {
        match fs::read_to_string(Self::path()?) {
            Ok(text) => {
                serde_json::from_str(&text).context("the results of the last test run cannot be read")
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).context("the results of the last test run cannot be read"),
        }
    }

    /// Takes note of a line of the test runner's output, if it tells how a test ended.
    pub fn note(&mut self, line: &str) {
        if let Some((name, end)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
            && (end == "ok" || end.starts_with("FAILED"))
        {
            if end == "ok" {
                self.passed += 1;
            } else {
                self.failed += 1;
            }
            self.ends.insert(name.to_owned(), end.to_owned());
        }
    }

    /// Keeps the results for `cargo xtask rows`.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub fn save(&self) -> Result<()> {
        let path = Self::path()?;
        fs::create_dir_all(path.parent().context("the cache has no folder")?)?;
        fs::write(path, serde_json::to_string_pretty(self)?)?;
        Ok(())
    }
}

/// Prints each row with its tests and their last results.
///
/// # Errors
/// When a row that is due has no test.
pub fn print() -> Result<()> {
    let missing = print_all()?.missing;
    if !missing.is_empty() {
        bail!("rows that are due and have no test: {}", missing.join(", "));
    }
    Ok(())
}

/// Prints the same after a run of all tests.
///
/// # Errors
/// When a row that is due has no test, or none of its tests has passed.
pub fn print_proven() -> Result<()> {
    let unproven = print_all()?;
    let rows = [unproven.missing, unproven.not_passed].concat();
    if !rows.is_empty() {
        bail!("rows that are due and not proven: {}", rows.join(", "));
    }
    Ok(())
}

/// Rows that are due and not proven, by what they lack.
struct Unproven {
    missing: Vec<String>,
    not_passed: Vec<String>,
}

fn print_all() -> Result<Unproven> {
    let text = fs::read_to_string(workspace::root().join("tests/rows.toml"))?;
    let rows: Rows = toml::from_str(&text).context("tests/rows.toml cannot be read")?;
    let tests = test_names()?;
    let results = Results::load()?;
    let mut unproven = Unproven { missing: Vec::new(), not_passed: Vec::new() };
    for row in &rows.row {
        let piece = needle(&row.id);
        let proofs: Vec<&String> = tests.iter().filter(|name| carries(name, &piece)).collect();
        let mut passed = false;
        for name in &proofs {
            let last = results.ends.iter().find(|(full, _)| full.rsplit("::").next() == Some(name.as_str()));
            let end = last.map_or("not run yet", |(_, end)| end.as_str());
            passed |= end == "ok";
            println!("{:<7} {:<90} {end}", row.id, name);
        }
        if proofs.is_empty() {
            println!(
                "{:<7} {:<90} {}",
                row.id,
                format!("({})", row.wants),
                if row.due <= DUE_NOW { "MISSING" } else { "not due yet" }
            );
        }
        if row.due <= DUE_NOW && !passed {
            let list = if proofs.is_empty() { &mut unproven.missing } else { &mut unproven.not_passed };
            list.push(row.id.clone());
        }
    }
    Ok(unproven)
}

/// `VSM-9` as it stands in a test's name: `vsm_9`.
fn needle(id: &str) -> String {
    id.to_lowercase().replace('-', "_")
}

/// Whether a test's name carries a row's id, as a word of its own: `vsm_1` is not in `vsm_12_…`.
fn carries(name: &str, piece: &str) -> bool {
    name.match_indices(piece).any(|(start, _)| {
        let before = name[..start].chars().next_back();
        let after = name[start + piece.len()..].chars().next();
        before.is_none_or(|c| c == '_') && after.is_none_or(|c| c == '_')
    })
}

/// Names of all test functions of the project.
fn test_names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for path in workspace::files(&["rs"])? {
        let text = fs::read_to_string(workspace::root().join(path))?;
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if is_test && let Some(rest) = line.split("fn ").nth(1) {
                names.extend(rest.split('(').next().map(str::to_owned));
                is_test = false;
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_found_as_a_word_only() {
        assert!(carries("vsm_9_children_are_copied", &needle("VSM-9")));
        assert!(carries("vsm_9_vsm_16_children", &needle("VSM-16")));
        assert!(!carries("vsm_12_fields", &needle("VSM-1")));
    }

    #[test]
    fn results_are_read_from_the_runners_lines() {
        let mut results = Results::default();
        results.note("test scenarios::vsm_1_moves ... ok");
        results.note("test result: ok. 3 passed; 0 failed");
        results.note("test broken ... FAILED");
        assert_eq!((results.ends.len(), results.passed, results.failed), (2, 1, 1));
    }
}
