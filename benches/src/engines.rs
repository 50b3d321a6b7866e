//! How each engine is called.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::tools;

/// One backup program with a folder repository.
pub trait Engine {
    /// Its name in the table.
    fn name(&self) -> &str;
    /// Where its repository is.
    fn repository(&self) -> PathBuf;
    /// Makes the repository.
    fn init(&self) -> Result<()>;
    /// The command that backs `source` up. `reads_all`: whatever the times of files say.
    fn backup(&self, source: &Path, reads_all: bool) -> Result<Command>;
    /// The command that restores the newest snapshot, and where the image or tree will be.
    fn restore(&self, source: &Path) -> Result<(Command, PathBuf)>;
    /// The commands that forget all snapshots but the newest, and give their space back at once.
    fn forget_all_but_newest(&self) -> Vec<Command>;
}

/// Where an engine works, and which program it is.
struct Place {
    program: PathBuf,
    folder: PathBuf,
}

impl Place {
    fn repository(&self) -> PathBuf {
        self.folder.join("repository")
    }

    fn target(&self) -> PathBuf {
        self.folder.join("restored")
    }

    fn command(&self, environment: &[(&str, &str)], words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(words).envs(environment.iter().copied()).current_dir(&self.folder);
        command
    }
}

/// The engine of that name, installed if missing.
///
/// # Errors
/// When there is none, or it cannot be installed.
pub fn by_name(name: &str, work: &Path) -> Result<Box<dyn Engine>> {
    let folder = work.join(name);
    std::fs::create_dir_all(folder.join("restored"))?;
    let place = |program: PathBuf| Place { program, folder };
    Ok(match name {
        "longshore" => Box::new(Longshore(place(longshore_program()?))),
        "restic" => Box::new(Restic(place(tools::restic()?))),
        "rustic" => Box::new(Rustic(place(tools::rustic()?))),
        "borg" => Box::new(Borg(place(tools::borg()?))),
        _ => bail!("no engine is called {name}; there are longshore, restic, rustic, borg"),
    })
}

/// The program built beside this one, in the same profile.
fn longshore_program() -> Result<PathBuf> {
    let folder = std::env::current_exe()?.parent().context("this program has no folder")?.to_owned();
    let mut build = Command::new("cargo");
    // Together with this program, so that cargo chooses the features that it has built dependencies with.
    let packages = ["--package", "longshore-cli", "--package", "longshore-benches"];
    build.args(["build", "--quiet", "--release"]).args(packages);
    build.current_dir(env!("CARGO_MANIFEST_DIR"));
    ensure!(build.status()?.success(), "building longshore failed");
    Ok(folder.join("longshore"))
}

fn run(mut command: Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path is not UTF-8")
}

struct Longshore(Place);

impl Longshore {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.0.command(&[("LONGSHORE_PASSWORD", "bench")], words);
        command.env("LONGSHORE_REPOSITORY", self.0.repository());
        command
    }
}

impl Engine for Longshore {
    fn name(&self) -> &str {
        "longshore"
    }
    fn repository(&self) -> PathBuf {
        self.0.repository()
    }
    fn init(&self) -> Result<()> {
        run(self.command(&["init"]))
    }
    fn backup(&self, source: &Path, _reads_all: bool) -> Result<Command> {
        // An image is always read; nobody can tell of a device that it is unchanged.
        Ok(self.command(&["backup", text(source)?]))
    }
    fn restore(&self, source: &Path) -> Result<(Command, PathBuf)> {
        let target = self.0.target().join(source.file_name().context("the source has no name")?);
        Ok((self.command(&["restore", "latest", text(&target)?]), target))
    }
    fn forget_all_but_newest(&self) -> Vec<Command> {
        vec![self.command(&["forget", "--keep-last", "1", "--prune"])]
    }
}

struct Restic(Place);

const RESTIC_PASSWORD: [(&str, &str); 1] = [("RESTIC_PASSWORD", "bench")];

impl Engine for Restic {
    fn name(&self) -> &str {
        "restic"
    }
    fn repository(&self) -> PathBuf {
        self.0.repository()
    }
    fn init(&self) -> Result<()> {
        run(self.0.command(&RESTIC_PASSWORD, &["-r", "repository", "init"]))
    }
    fn backup(&self, source: &Path, reads_all: bool) -> Result<Command> {
        let mut words = vec!["-r", "repository", "--no-cache", "backup", text(source)?];
        words.extend(reads_all.then_some("--force"));
        Ok(self.0.command(&RESTIC_PASSWORD, &words))
    }
    fn forget_all_but_newest(&self) -> Vec<Command> {
        let words = ["-r", "repository", "--no-cache", "forget", "--keep-last", "1", "--prune"];
        vec![self.0.command(&RESTIC_PASSWORD, &words)]
    }
    fn restore(&self, source: &Path) -> Result<(Command, PathBuf)> {
        let words =
            ["-r", "repository", "--no-cache", "restore", "latest", "--target", text(&self.0.target())?]
                .map(str::to_owned);
        let restored = self.0.target().join(source.strip_prefix("/")?);
        Ok((self.0.command(&RESTIC_PASSWORD, &words.each_ref().map(String::as_str)), restored))
    }
}

struct Rustic(Place);

const RUSTIC_PASSWORD: [(&str, &str); 1] = [("RUSTIC_PASSWORD", "bench")];

impl Engine for Rustic {
    fn name(&self) -> &str {
        "rustic"
    }
    fn repository(&self) -> PathBuf {
        self.0.repository()
    }
    fn init(&self) -> Result<()> {
        run(self.0.command(&RUSTIC_PASSWORD, &["-r", "repository", "--no-cache", "init"]))
    }
    fn backup(&self, source: &Path, reads_all: bool) -> Result<Command> {
        let mut words = vec!["-r", "repository", "--no-cache", "backup", text(source)?];
        words.extend(reads_all.then_some("--force"));
        Ok(self.0.command(&RUSTIC_PASSWORD, &words))
    }
    fn forget_all_but_newest(&self) -> Vec<Command> {
        // Alone, it would only mark what is to go, for a day.
        let words = [
            "-r",
            "repository",
            "--no-cache",
            "forget",
            "--keep-last",
            "1",
            "--prune",
            "--instant-delete",
            "--keep-delete",
            "0s",
        ];
        vec![self.0.command(&RUSTIC_PASSWORD, &words)]
    }
    fn restore(&self, source: &Path) -> Result<(Command, PathBuf)> {
        let target = self.0.target();
        let command = self.0.command(
            &RUSTIC_PASSWORD,
            &["-r", "repository", "--no-cache", "restore", "latest", text(&target)?],
        );
        Ok((command, target.join(source.strip_prefix("/")?)))
    }
}

struct Borg(Place);

const BORG_SETTINGS: [(&str, &str); 2] =
    [("BORG_PASSPHRASE", "bench"), ("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes")];

impl Engine for Borg {
    fn name(&self) -> &str {
        "borg"
    }
    fn repository(&self) -> PathBuf {
        self.0.repository()
    }
    fn init(&self) -> Result<()> {
        run(self.0.command(&BORG_SETTINGS, &["init", "--encryption", "repokey-blake2", "repository"]))
    }
    fn backup(&self, source: &Path, reads_all: bool) -> Result<Command> {
        let mut words = vec!["create"];
        words.extend(reads_all.then_some(["--files-cache", "disabled"]).into_iter().flatten());
        words.extend(["repository::{now}", text(source)?]);
        Ok(self.0.command(&BORG_SETTINGS, &words))
    }
    fn forget_all_but_newest(&self) -> Vec<Command> {
        [&["prune", "--keep-last", "1", "repository"][..], &["compact", "repository"]]
            .map(|words| self.0.command(&BORG_SETTINGS, words))
            .into()
    }
    fn restore(&self, source: &Path) -> Result<(Command, PathBuf)> {
        let output =
            self.0.command(&BORG_SETTINGS, &["list", "--short", "--last", "1", "repository"]).output()?;
        let archive = format!("../repository::{}", String::from_utf8(output.stdout)?.trim());
        let mut command = self.0.command(&BORG_SETTINGS, &["extract", "--sparse", &archive]);
        command.current_dir(self.0.target());
        Ok((command, self.0.target().join(source.strip_prefix("/")?)))
    }
}
