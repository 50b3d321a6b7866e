//! Compares whole programs on the same data, on the same machine, in the same run: Longshore, restic, rustic, borg.
//!
//!     cargo run --release -p longshore-benches
//!     cargo run --release -p longshore-benches -- index --chunks 100000000
//!
//! Every program runs with its defaults (but for borg's `--sparse` on restores; Debian's restic has none) on a folder repository. Each job is one process, timed from
//! outside by GNU time. Machines are noisy: read the ratios, and the CPU seconds before the wall seconds.

mod data;
mod engines;
mod index;
mod measure;
mod scene;
mod stages;
mod table;
mod tools;

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, Subcommand};

use scene::{Scene, SceneName};

/// Compares backup engines on images and trees.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Size of the image of real files, in GiB.
    #[arg(long, default_value_t = 4)]
    image_gib: u64,
    /// Size of the file of random bytes, in GiB.
    #[arg(long, default_value_t = 2)]
    random_gib: u64,
    /// Files in the tree.
    #[arg(long, default_value_t = 100_000)]
    files: u32,
    /// Folder for data and repositories, about four times the image; a temporary one otherwise.
    #[arg(long)]
    work: Option<PathBuf>,
    /// Only these.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "image,random,tree")]
    scenes: Vec<SceneName>,
    /// Only these engines.
    #[arg(long, value_delimiter = ',', default_value = "longshore,restic,rustic,borg")]
    engines: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Opens and asks an index of any size, in a process of its own.
    Index(index::Arguments),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let Some(Command::Index(arguments)) = &arguments.command {
        return index::run(arguments);
    }
    let temporary = tempfile::tempdir()?;
    let work = arguments.work.clone().unwrap_or_else(|| temporary.path().to_owned());
    let mut lines = Vec::new();
    for name in &arguments.scenes {
        let folder = work.join(name.to_string());
        fs::create_dir_all(&folder)?;
        let source = match name {
            SceneName::Image => data::make_image(&folder, arguments.image_gib)?,
            SceneName::Random => data::make_random(&folder, arguments.random_gib << 30)?,
            SceneName::Tree => data::make_tree(&folder, arguments.files)?,
        };
        if *name != SceneName::Tree {
            stages::print(&source)?;
        }
        lines.extend(Scene { name: *name, source, folder: folder.clone() }.run(&arguments.engines)?);
        fs::remove_dir_all(folder)?;
    }
    table::print(&arguments.engines, &lines);
    Ok(())
}
