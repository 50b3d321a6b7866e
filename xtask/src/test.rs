//! Every test of the project, the ones on the real cluster included.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
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
    let tests = steps.run("build all tests", || Tests::build(arguments.all))?;
    steps.run("unit, property and crash tests", || {
        tests.run(&mut results, |package| package != CSI && package != SCENARIOS, &[])
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
    let played = on_lab(&steps, &mut results, &tests);
    // Whatever failed: nobody should find a lab running that he did not start.
    let cleaned = steps.run("lab down", lab::down_after_tests);
    played.and(cleaned)?;
    rows::prove(&results, arguments.all)?;
    close(&results)
}

fn on_lab(steps: &Steps, results: &mut Results, tests: &Tests) -> Result<()> {
    steps.run("packages and programs of the lab", lab::prepare_for_tests)?;
    steps.run("chart", chart::check)?;
    steps.run("CSI driver, the public sanity suite included", || {
        tests.run(results, |package| package == CSI, &[])
    })?;
    steps.run("the lab itself: volumes, services, kills at its worst moments", lab::prove)?;
    steps.run("demo: the whole road, origin destroyed, restored in a fresh cluster", demo::on_lab)?;
    steps.run("lab", lab::up_for_tests)?;
    steps.run("scenarios on the lab", || {
        // Scenarios wait more than they work; those that disturb the cluster take it for themselves.
        tests.run(results, |package| package == SCENARIOS, &["--test-threads=4"])
    })
}

/// Keeps the results and ends with the sum of all test runners.
fn close(results: &Results) -> Result<()> {
    results.save()?;
    println!("{} passed, {} failed", results.passed, results.failed);
    Ok(())
}

const CSI: &str = "longshore-lab-csi";
const SCENARIOS: &str = "longshore-e2e";

/// A command that runs one test program, with everything built together as for a whole test run.
///
/// # Errors
/// When the build fails, or there is no such program.
pub fn program(package: &str, name: &str) -> Result<Command> {
    let tests = Tests::build(false)?;
    let is_wanted = |program: &&TestProgram| program.package == package && program.name == name;
    let program = tests.0.iter().find(is_wanted).with_context(|| format!("{package} has no test {name}"))?;
    Ok(program.command())
}

/// Test programs of the whole workspace, built together: cargo chooses features of dependencies by what is built together, and
/// would compile the large ones anew for each other selection.
struct Tests(Vec<TestProgram>);

struct TestProgram {
    package: String,
    /// The test target's name.
    name: String,
    /// The package's folder: tests run in it, as under `cargo test`.
    folder: PathBuf,
    path: PathBuf,
}

impl Tests {
    fn build(all: bool) -> Result<Self> {
        let mut command = workspace::cargo();
        command.args([
            "test",
            "--workspace",
            "--no-run",
            "--quiet",
            "--message-format=json-render-diagnostics",
        ]);
        if all {
            command.args(["--features", "longshore-e2e/long"]);
        }
        let output = command.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
        if !output.status.success() {
            bail!("cargo test --no-run ended with {}", output.status);
        }
        let text = String::from_utf8(output.stdout).context("cargo printed something that is not UTF-8")?;
        Ok(Self(text.lines().filter_map(TestProgram::from_message).collect()))
    }

    /// Runs the programs of the packages that are wanted, all of them even if one fails.
    fn run(&self, results: &mut Results, wanted: impl Fn(&str) -> bool, words: &[&str]) -> Result<()> {
        let before = results.passed;
        let mut failed = Vec::new();
        for program in self.0.iter().filter(|program| wanted(&program.package)) {
            println!("{}: {}", program.package, program.path.display());
            let mut command = program.command();
            command.args(words);
            if let Err(error) = tee(&mut command, |line| results.note(line)) {
                failed.push(format!("{}: {error}", program.package));
            }
            results.save()?;
        }
        if !failed.is_empty() {
            bail!("{}", failed.join("; "));
        }
        proven(results, before, "the test programs")
    }
}

impl TestProgram {
    /// From one of cargo's messages, if it tells of a test program.
    fn from_message(line: &str) -> Option<Self> {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        if message["profile"]["test"] != true {
            return None;
        }
        let path = PathBuf::from(message["executable"].as_str()?);
        let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
        // `path+file:///folder/name#version`, or `…#name@version` where folder and package have different names.
        let (place, version) = message["package_id"].as_str()?.rsplit_once('#')?;
        let package = match version.split_once('@') {
            Some((name, _)) => name.to_owned(),
            None => place.rsplit('/').next()?.to_owned(),
        };
        let name = message["target"]["name"].as_str()?.to_owned();
        Some(Self { package, name, folder, path })
    }

    /// Runs it as `cargo test` would.
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

/// A run in which no test passed proves nothing, so it fails; so does one that left tests out.
fn proven(results: &Results, before: usize, what: &str) -> Result<()> {
    if results.passed == before {
        bail!("{what} ran no test");
    }
    if results.left_out > 0 {
        bail!("{what} left {} tests out", results.left_out);
    }
    Ok(())
}

/// Runs `cargo test` with `words`, shows its output and takes note of each test's result.
fn cargo_test(results: &mut Results, words: &[&str]) -> Result<()> {
    let before = results.passed;
    let mut command = workspace::cargo();
    command.arg("test").args(words);
    let outcome = tee(&mut command, |line| results.note(line));
    results.save()?;
    outcome?;
    proven(results, before, &format!("`cargo test {}`", words.join(" ")))
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
        bail!("it ended with {status}");
    }
    Ok(())
}
