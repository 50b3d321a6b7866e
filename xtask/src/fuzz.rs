//! `cargo xtask fuzz`: made-up bytes for every decoder, with limits of memory and time.

mod corpus;
mod run;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::step::{self, Steps};
use crate::workspace;
use run::{Outcome, Totals};

/// The cargo-fuzz that builds the program.
const CARGO_FUZZ_VERSION: &str = "0.13.2";

/// How long, and what.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Processor time that each target gets, in minutes.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    minutes: f64,
    /// This target alone; may be given several times.
    #[arg(long = "target", value_name = "TARGET")]
    targets: Vec<String>,
    /// Keep the smallest of what was found interesting in `fuzz/corpus`, where every test run shows it to the decoder again.
    #[arg(long)]
    keep: bool,
}

/// Runs the targets, as many at once as there are processors.
///
/// # Errors
/// When the program cannot be built, and when a decoder broke its word: the input is named then.
pub fn run(arguments: &Arguments) -> Result<()> {
    let names = chosen(&arguments.targets)?;
    let steps = Steps::start();
    let tool = steps.run("cargo-fuzz, installed if missing", install)?;
    let program = steps.run("the program under AddressSanitizer", || build(&tool))?;
    let place = Place { cache: workspace::cache()?.join("fuzz") };
    let time = Duration::from_secs_f64(arguments.minutes.max(0.01) * 60.0);
    println!("{} targets, {:.0} s of processor time each", names.len(), time.as_secs_f64());
    let waiting = Mutex::new(names.iter());
    let outcomes = Mutex::new(Vec::new());
    let work = || -> Result<()> {
        loop {
            let next = waiting.lock().map_err(|_| anyhow::anyhow!("another target's thread broke"))?.next();
            let Some(name) = next else { return Ok(()) };
            let outcome = run::target(&program, &place, name, time)?;
            println!("{}", outcome.line(name));
            outcomes
                .lock()
                .map_err(|_| anyhow::anyhow!("another target's thread broke"))?
                .push((name, outcome));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles
            .into_iter()
            .try_for_each(|handle| handle.join().map_err(|_| anyhow::anyhow!("a thread broke"))?)
    })?;
    let outcomes = outcomes.into_inner().unwrap_or_default();
    if arguments.keep {
        for (name, _) in &outcomes {
            corpus::keep(&program, &place, name)?;
        }
    }
    summary(&place, &outcomes)
}

/// Where runs leave what they find.
struct Place {
    cache: PathBuf,
}

impl Place {
    /// Inputs that earlier runs found interesting.
    fn corpus(&self, target: &str) -> PathBuf {
        self.cache.join("corpus").join(target)
    }

    /// Inputs that broke a decoder.
    fn findings(&self, target: &str) -> PathBuf {
        self.cache.join("findings").join(target)
    }

    /// Inputs that every test run replays.
    fn kept(target: &str) -> PathBuf {
        workspace::root().join("fuzz/corpus").join(target)
    }

    /// Golden files: what decoders accept, to begin with.
    fn golden() -> PathBuf {
        workspace::root().join("crates/format/testdata/v1")
    }
}

fn summary(place: &Place, outcomes: &[(&String, Outcome)]) -> Result<()> {
    let mut totals = Totals::load(&place.cache)?;
    let mut broken = Vec::new();
    for (name, outcome) in outcomes {
        totals.add(name, outcome);
        broken.extend(outcome.findings.iter().map(|path| path.display().to_string()));
    }
    totals.save(&place.cache)?;
    println!("\nall runs on this machine so far:");
    for (name, total) in totals.iter() {
        println!("{}", total.line(name));
    }
    if !broken.is_empty() {
        bail!("{} inputs break a decoder:\n{}", broken.len(), broken.join("\n"));
    }
    Ok(())
}

/// The targets that were asked for; all if none was named. Their list is the program's own.
fn chosen(wanted: &[String]) -> Result<Vec<String>> {
    let source = fs::read_to_string(workspace::root().join("crates/fuzz/src/lib.rs"))?;
    let all: Vec<String> = source
        .lines()
        .filter_map(|line| line.trim().strip_prefix("target(\"")?.split('"').next().map(str::to_owned))
        .collect();
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown}; there are {}", all.join(", "));
    }
    Ok(if wanted.is_empty() { all } else { wanted.to_vec() })
}

fn install() -> Result<PathBuf> {
    let folder = workspace::cache()?.join("tools").join(format!("cargo-fuzz-{CARGO_FUZZ_VERSION}"));
    let program = folder.join("bin/cargo-fuzz");
    if !program.exists() {
        let mut install = workspace::cargo();
        install
            .args(["install", "--quiet", "--locked", "--version", CARGO_FUZZ_VERSION, "--root"])
            .arg(&folder);
        step::run(install.arg("cargo-fuzz"))?;
    }
    Ok(program)
}

/// Builds the program with the pinned toolchain: the sanitizers need a switch of the nightly compiler, nothing else does.
fn build(tool: &PathBuf) -> Result<PathBuf> {
    let target = workspace::cache()?.join("target-fuzz");
    let mut command = Command::new(tool);
    command
        .args(["build", "--fuzz-dir"])
        .arg(workspace::root().join("fuzz"))
        .arg("--target-dir")
        .arg(&target)
        .arg("decoder")
        .current_dir(workspace::root())
        .env("RUSTC_BOOTSTRAP", "1");
    step::run(&mut command)?;
    let host = step::output(Command::new("rustc").arg("-vV").current_dir(workspace::root()))?;
    let host = host.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    Ok(target.join(host).join("release/decoder"))
}
