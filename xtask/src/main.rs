//! The project's own commands. Each lives in a file of its own; this one only tells them apart.

mod chart;
mod checks;
mod demo;
mod fuzz;
mod generate;
mod kill_test;
mod lab;
mod oadp;
mod proto;
mod rows;
mod soak;
mod step;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

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
    /// The whole road: back up, lose a cluster, restore in another one, compare.
    Demo(demo::Arguments),
    /// Every test of the project, the ones on the real cluster included.
    Test(test::Arguments),
    /// Real Kubernetes clusters on this machine.
    #[command(subcommand)]
    Lab(lab::Command),
    /// Write the files that are made from the code: custom resource definitions, reference pages.
    Generate {
        /// Change nothing; fail when a file is not what the code would write.
        #[arg(long)]
        check: bool,
    },
    /// Write the lab driver's code from its .proto files.
    Proto {
        /// Change nothing; fail when the code differs.
        #[arg(long)]
        check: bool,
    },
    /// Hold the chart to its rules.
    Chart(chart::Arguments),
    /// Random histories of backups, restores, forget and prune, with crashes, against a model.
    Soak(soak::Arguments),
    /// Backups, restores and prunes killed at random moments, on a folder and on MinIO.
    KillTest(kill_test::Arguments),
    /// Hold the source to the house rules.
    Tidy,
    /// Made-up bytes for every decoder; says how many were tried and what broke.
    Fuzz(fuzz::Arguments),
    /// What the seed designs ask for, which test proves it, and how that test last ended.
    Rows,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Lab(command) => lab::run(&command),
        Command::Generate { check } => generate::run(check),
        Command::Proto { check } => proto::run(workspace::root(), check),
        Command::Chart(arguments) => chart::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::KillTest(arguments) => kill_test::run(&arguments),
        Command::Tidy => tidy::check(),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Rows => rows::print(),
    }
}
