//! What the seed designs ask for, and which test proves it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::workspace;

/// Rows whose `due` is at most this must have a test.
const DUE_NOW: u32 = 5;

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
    /// The same for the tests of this run only.
    #[serde(skip)]
    now: BTreeMap<String, String>,
    /// Tests of this run that passed.
    #[serde(skip)]
    pub passed: usize,
    /// Tests of this run that failed.
    #[serde(skip)]
    pub failed: usize,
    /// Tests of this run that the runner knew and did not run: filtered away or ignored.
    #[serde(skip)]
    pub left_out: usize,
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

    /// Takes note of a line of the test runner's output, if it tells how a test ended or how many were left out.
    pub fn note(&mut self, line: &str) {
        if let Some(sums) = line.strip_prefix("test result: ") {
            self.left_out += count(sums, " filtered out") + count(sums, " ignored");
        }
        if let Some((name, end)) = line.strip_prefix("test ").and_then(|rest| rest.rsplit_once(" ... "))
            && (end == "ok" || end.starts_with("FAILED"))
        {
            if end == "ok" {
                self.passed += 1;
            } else {
                self.failed += 1;
            }
            self.ends.insert(name.to_owned(), end.to_owned());
            self.now.insert(name.to_owned(), end.to_owned());
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

/// The number before `word` in a runner's last line, `ok. 3 passed; 0 failed; 1 ignored; …`.
fn count(sums: &str, word: &str) -> usize {
    let part = sums.split(';').find_map(|part| part.trim().strip_suffix(word.trim()));
    part.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
}

/// Prints each row with its tests and their last results.
///
/// # Errors
/// When a row that is due has no test.
pub fn print() -> Result<()> {
    let missing = print_all(&Results::load()?.ends)?.missing;
    if !missing.is_empty() {
        bail!("rows that are due and have no test: {}", missing.join(", "));
    }
    Ok(())
}

/// Prints the same after a run of all tests. What an earlier run proved does not count.
///
/// # Errors
/// When a row that is due has no test, or none of its tests has passed in this run; when the source has a test that did not run.
pub fn prove(results: &Results, long_too: bool) -> Result<()> {
    let unproven = print_all(&results.now)?;
    let rows = [unproven.missing, unproven.not_passed].concat();
    if !rows.is_empty() {
        bail!("rows that are due and not proven: {}", rows.join(", "));
    }
    let not_run: Vec<String> = test_names()?
        .into_iter()
        .filter(|test| long_too || !test.is_long)
        .filter(|test| ending(&results.now, &test.name).is_none())
        .map(|test| test.name)
        .collect();
    if !not_run.is_empty() {
        bail!("tests that did not run: {}", not_run.join(", "));
    }
    Ok(())
}

/// How the test function of this name ended.
fn ending<'a>(ends: &'a BTreeMap<String, String>, name: &str) -> Option<&'a str> {
    let found = ends.iter().find(|(full, _)| full.rsplit("::").next() == Some(name));
    found.map(|(_, end)| end.as_str())
}

/// Rows that are due and not proven, by what they lack.
struct Unproven {
    missing: Vec<String>,
    not_passed: Vec<String>,
}

fn print_all(ends: &BTreeMap<String, String>) -> Result<Unproven> {
    let text = fs::read_to_string(workspace::root().join("tests/rows.toml"))?;
    let rows: Rows = toml::from_str(&text).context("tests/rows.toml cannot be read")?;
    let tests = test_names()?;
    let mut unproven = Unproven { missing: Vec::new(), not_passed: Vec::new() };
    for row in &rows.row {
        let piece = needle(&row.id);
        let proofs: Vec<&Test> = tests.iter().filter(|test| carries(&test.name, &piece)).collect();
        let mut passed = false;
        for test in &proofs {
            let end = ending(ends, &test.name).unwrap_or("not run yet");
            passed |= end == "ok";
            println!("{:<7} {:<90} {end}", row.id, test.name);
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

/// A test function of the project.
struct Test {
    name: String,
    /// It runs only with `--all`.
    is_long: bool,
}

/// Files whose tests run only with `--all`.
const LONG_FILES: &[&str] = &[
    "tests/e2e/tests/it/load.rs",
    "tests/e2e/tests/it/many.rs",
    "tests/e2e/tests/it/storm.rs",
    "tests/e2e/tests/it/velero/many.rs",
    "tests/e2e/tests/it/velero/operator_killed.rs",
];

/// All test functions of the project.
fn test_names() -> Result<Vec<Test>> {
    let mut names = Vec::new();
    for path in workspace::files(&["rs"])? {
        let is_long = LONG_FILES.iter().any(|file| path.as_path() == Path::new(file));
        let text = fs::read_to_string(workspace::root().join(path))?;
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                is_test = true;
            } else if is_test && let Some(rest) = line.split("fn ").nth(1) {
                let name = rest.split('(').next().map(str::to_owned);
                names.extend(name.map(|name| Test { name, is_long }));
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
        results.note(
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 37 filtered out; finished in 0.00s",
        );
        results.note("test broken ... FAILED");
        assert_eq!((results.ends.len(), results.passed, results.failed, results.left_out), (2, 1, 1, 38));
    }
}
