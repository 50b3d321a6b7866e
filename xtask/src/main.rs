//! The project's own commands. Each lives in a file of its own; this one only tells them apart.

mod lab;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Real Kubernetes clusters on this machine.
    #[command(subcommand)]
    Lab(lab::Command),
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Lab(command) => lab::run(&command),
    }
}
