//! The engine alone: a folder repository, a real tree, no cluster, no root.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::step::{Steps, output, run};
use crate::workspace;

/// A repository and a source in a temporary folder.
struct Scene {
    longshore: PathBuf,
    folder: tempfile::TempDir,
}

impl Scene {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A `longshore` command on the scene's repository.
    fn longshore(&self, arguments: &[&str]) -> Command {
        println!("    $ longshore {}", arguments.join(" "));
        let mut command = Command::new(&self.longshore);
        command.args(arguments).current_dir(self.folder.path());
        command
            .env("LONGSHORE_REPOSITORY", self.path("repository"))
            .env("LONGSHORE_PASSWORD_FILE", self.path("password"));
        command
    }

    fn back_up(&self, source: &str) -> Result<(Value, f64)> {
        let begun = Instant::now();
        let text = output(&mut self.longshore(&["backup", source, "--output", "json"]))?;
        Ok((serde_json::from_str(&text)?, begun.elapsed().as_secs_f64()))
    }
}

/// Plays the engine's part of the story in a temporary folder.
///
/// # Errors
/// At the first step that fails, or when a restored tree or image differs.
pub fn play() -> Result<()> {
    let steps = Steps::start();
    let longshore = steps.run("build longshore", build)?;
    let scene = Scene { longshore, folder: tempfile::Builder::new().prefix("longshore-demo-").tempdir()? };
    fs::write(scene.path("password"), "a password for the demo")?;
    steps.run("make a source: the Go toolchain's sources, and a disk image made of them", || {
        make_source(&scene)
    })?;
    steps.run("make a repository", || run(&mut scene.longshore(&["init"])))?;
    let mut lines = Vec::new();
    for source in ["tree", "disk.img"] {
        lines.push(
            steps
                .run(&format!("first backup of {source}"), || scene.back_up(source))
                .map(|done| (source, "first", done))?,
        );
    }
    steps.run("change something", || change(&scene))?;
    for source in ["tree", "disk.img"] {
        lines.push(
            steps
                .run(&format!("second backup of {source}"), || scene.back_up(source))
                .map(|done| (source, "second", done))?,
        );
    }
    steps.run("read back and verify every byte", || run(&mut scene.longshore(&["check", "--read-data"])))?;
    for (source, _, (result, _)) in &lines[2..] {
        let id = result["snapshot"]["id"].as_str().context("the backup printed no id")?;
        let target = format!("restored-{source}");
        steps.run(&format!("restore {source} and compare"), || {
            run(&mut scene.longshore(&["restore", id, &target]))?;
            run(Command::new("diff")
                .arg("-r")
                .arg("--no-dereference")
                .arg(scene.path(source))
                .arg(scene.path(&target)))
        })?;
    }
    print(&lines)
}

fn build() -> Result<PathBuf> {
    workspace::program("longshore-cli", "longshore")
}

fn make_source(scene: &Scene) -> Result<()> {
    let go = output(Command::new("go").args(["env", "GOROOT"]))?;
    run(Command::new("cp").args(["-a"]).arg(Path::new(go.trim()).join("src")).arg(scene.path("tree")))?;
    let image = scene.path("disk.img");
    run(Command::new("truncate").args(["-s", "1G"]).arg(&image))?;
    let mke2fs = ["/usr/sbin/mke2fs", "/sbin/mke2fs"]
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or("mke2fs");
    run(Command::new(mke2fs).args(["-q", "-t", "ext4", "-d"]).arg(scene.path("tree")).arg(&image))
}

fn change(scene: &Scene) -> Result<()> {
    use std::os::unix::fs::FileExt;
    fs::remove_dir_all(scene.path("tree/cmd"))?;
    fs::write(scene.path("tree/new-file"), vec![7_u8; 1_000_000])?;
    let image = fs::OpenOptions::new().write(true).open(scene.path("disk.img"))?;
    for place in [100_u64 << 20, 500 << 20, 900 << 20] {
        image.write_all_at(&[42; 10_000], place)?;
    }
    Ok(())
}

fn print(lines: &[(&str, &str, (Value, f64))]) -> Result<()> {
    println!("\n{:<10} {:<8} {:>14} {:>14} {:>9}", "SOURCE", "BACKUP", "READ", "UPLOADED", "TIME");
    for (source, round, (result, seconds)) in lines {
        let bytes = |name: &str| {
            result["snapshot"][name]
                .as_u64()
                .map(indicatif::HumanBytes)
                .with_context(|| format!("the backup printed no {name}"))
        };
        println!(
            "{source:<10} {round:<8} {:>14} {:>14} {seconds:>7.1} s",
            bytes("readBytes")?.to_string(),
            bytes("storedBytes")?.to_string()
        );
    }
    let uploads = |index: usize| lines[index].2.0["snapshot"]["storedBytes"].as_u64().unwrap_or(u64::MAX);
    ensure!(uploads(2) < uploads(0) / 4 && uploads(3) < uploads(1) / 4, "a second backup uploaded too much");
    println!("\nEverything came back equal.");
    Ok(())
}
