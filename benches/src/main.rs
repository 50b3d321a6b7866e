//! Compares whole programs on the same data, on the same machine, in the same run: Longshore, restic, rustic, borg.
//!
//!     cargo run --release -p longshore-benches -- --size-gib 4
//!     cargo run --release -p longshore-benches -- index --chunks 100000000
//!
//! Every program runs with its defaults (but for borg's `--sparse` on restores; Debian's restic has none) on a folder repository. Each job is one process, timed from
//! outside by GNU time. Machines are noisy: read the ratios, and the CPU seconds before the wall seconds.

mod data;
mod engines;
mod index;
mod measure;
mod tools;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};

use engines::Engine;
use measure::Cost;

/// Compares backup engines on a disk image of real data.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Size of the image in GiB.
    #[arg(long, default_value_t = 4)]
    size_gib: u64,
    /// Folder for image and repositories, about four times the image; a temporary one otherwise.
    #[arg(long)]
    work: Option<PathBuf>,
    /// Only these engines.
    #[arg(long, value_delimiter = ',', default_value = "longshore,restic,rustic,borg")]
    engines: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Opens and asks an index of any size, in a process of its own.
    Index(index::Arguments),
}

/// What is measured, in order.
const JOBS: [&str; 4] = ["first", "unchanged", "changed", "restore"];

struct Line {
    engine: String,
    costs: Vec<Cost>,
    stored_first_bytes: u64,
    stored_changed_bytes: u64,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(Command::Index(arguments)) = &arguments.command {
        return index::run(arguments);
    }
    let temporary = tempfile::tempdir()?;
    let work = arguments.work.clone().unwrap_or_else(|| temporary.path().to_owned());
    fs::create_dir_all(&work)?;
    let engines: Vec<Box<dyn Engine>> =
        arguments.engines.iter().map(|name| engines::by_name(name, &work)).collect::<Result<_>>()?;
    let image = work.join("disk.img");
    eprintln!("making an image of {} GiB", arguments.size_gib);
    data::make_image(&image, arguments.size_gib)?;
    let mut lines: Vec<Line> = Vec::new();
    for engine in &engines {
        engine.init().with_context(|| format!("{}: init", engine.name()))?;
        let stored_first_bytes = 0;
        lines.push(Line {
            engine: engine.name().to_owned(),
            costs: Vec::new(),
            stored_first_bytes,
            stored_changed_bytes: 0,
        });
    }
    for job in JOBS {
        if job == "changed" {
            data::change_image(&image)?;
        }
        for (engine, line) in engines.iter().zip(&mut lines) {
            eprintln!("{job}: {}", engine.name());
            let cost =
                run_job(engine.as_ref(), job, &image).with_context(|| format!("{}: {job}", engine.name()))?;
            line.costs.push(cost);
            match job {
                "first" => line.stored_first_bytes = data::folder_bytes(&engine.repository())?,
                "changed" => line.stored_changed_bytes = data::folder_bytes(&engine.repository())?,
                _ => {}
            }
        }
    }
    print(&lines);
    Ok(())
}

fn run_job(engine: &dyn Engine, job: &str, image: &std::path::Path) -> Result<Cost> {
    if job != "restore" {
        return measure::timed(engine.backup(image)?);
    }
    let (command, restored) = engine.restore(image)?;
    let cost = measure::timed(command)?;
    ensure!(data::is_equal(image, &restored)?, "the restored image differs");
    fs::remove_file(restored)?;
    Ok(cost)
}

fn print(lines: &[Line]) {
    println!(
        "{:<10} {:<10} {:>9} {:>9} {:>9} {:>12} {:>12}",
        "ENGINE", "JOB", "CPU s", "WALL s", "RSS MiB", "CPU ratio", "WALL ratio"
    );
    for (index, job) in JOBS.iter().enumerate() {
        let base = lines.first().map_or(Cost::default(), |line| line.costs[index]);
        for line in lines {
            let cost = line.costs[index];
            println!(
                "{:<10} {:<10} {:>9.1} {:>9.1} {:>9} {:>12.2} {:>12.2}",
                line.engine,
                job,
                cost.cpu_seconds,
                cost.wall_seconds,
                cost.resident_bytes_max >> 20,
                cost.cpu_seconds / base.cpu_seconds,
                cost.wall_seconds / base.wall_seconds
            );
        }
    }
    println!("\n{:<10} {:>16} {:>24}", "ENGINE", "STORED MiB", "ADDED BY THE CHANGE MiB");
    for line in lines {
        let added = line.stored_changed_bytes.saturating_sub(line.stored_first_bytes);
        println!("{:<10} {:>16} {:>24}", line.engine, line.stored_first_bytes >> 20, added >> 20);
    }
}
