//! Every test of the project, the ones on the real cluster included.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::rows::{self, Results};
use crate::step::Steps;
use crate::{chart, checks, demo, generate, lab, proto, tidy, workspace};

/// Which tests to run.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The long ones too: kills in every phase, many volumes at once.
    #[arg(long)]
    all: bool,
    /// Only what needs neither root nor a cluster.
    #[arg(long, conflicts_with = "all")]
    quick: bool,
}

/// Runs them; the test runner's own summary comes last.
///
/// # Errors
/// At the first step that fails.
pub fn run(arguments: &Arguments) -> Result<()> {
    let steps = Steps::start();
    let mut results = Results::load()?;
    checks::run(&steps)?;
    steps.run("house rules", tidy::check)?;
    steps.run("generated files", || {
        proto::run(workspace::root(), true)?;
        generate::run(true)
    })?;
    steps.run("unit, property and crash tests", || {
        cargo_test(
            &mut results,
            &["--workspace", "--exclude", "longshore-e2e", "--exclude", "longshore-lab-csi"],
        )
    })?;
    steps.run("the engine on the other AEAD backend", || {
        cargo_test(
            &mut results,
            &["-p", "longshore-crypto", "-p", "longshore-repo", "--features", "longshore-repo/portable"],
        )
    })?;
    if arguments.quick {
        return close(&results);
    }
    let played = on_lab(&steps, &mut results, arguments.all);
    // Whatever failed: nobody should find a lab running that he did not start.
    let cleaned = steps.run("lab down", lab::down_after_tests);
    played.and(cleaned)?;
    rows::prove(&results, arguments.all)?;
    close(&results)
}

fn on_lab(steps: &Steps, results: &mut Results, all: bool) -> Result<()> {
    steps.run("packages and programs of the lab", || lab::open().map(drop))?;
    steps.run("chart", chart::check)?;
    steps.run("CSI driver, the public sanity suite included", || {
        cargo_test(results, &["-p", "longshore-lab-csi"])
    })?;
    steps.run("the lab itself: volumes, services, kills at its worst moments", lab::prove)?;
    steps.run("demo: the whole road, origin destroyed, restored in a fresh cluster", demo::on_lab)?;
    steps.run("lab", lab::up_for_tests)?;
    steps.run("scenarios on the lab", || {
        let mut words = vec!["-p", "longshore-e2e"];
        if all {
            words.extend(["--features", "long"]);
        }
        // Scenarios wait more than they work; those that disturb the cluster take it for themselves.
        words.extend(["--", "--test-threads=4"]);
        cargo_test(results, &words)
    })
}

/// Keeps the results and ends with the sum of all test runners.
fn close(results: &Results) -> Result<()> {
    results.save()?;
    println!("{} passed, {} failed", results.passed, results.failed);
    Ok(())
}

/// Runs `cargo test` with `words`, shows its output and takes note of each test's result.
/// A run in which no test passed proves nothing, so it fails; so does one that left tests out.
fn cargo_test(results: &mut Results, words: &[&str]) -> Result<()> {
    let before = results.passed;
    let mut command = workspace::cargo();
    command.arg("test").args(words);
    let outcome = tee(&mut command, |line| results.note(line));
    results.save()?;
    outcome?;
    if results.passed == before {
        bail!("`cargo test {}` ran no test", words.join(" "));
    }
    if results.left_out > 0 {
        bail!("`cargo test {}` left {} tests out", words.join(" "), results.left_out);
    }
    Ok(())
}

/// Runs a command, shows its stdout and gives each line of it to `seen`.
fn tee(command: &mut Command, mut seen: impl FnMut(&str)) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let stdout = child.stdout.take().context("cargo has no stdout")?;
    for line in BufReader::new(stdout).lines() {
        let line = line?;
        writeln!(std::io::stdout(), "{line}")?;
        seen(&line);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("cargo test ended with {status}");
    }
    Ok(())
}
