//! One kind of data, and what each engine does with it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::data;
use crate::engines::{self, Engine};
use crate::measure::{self, Cost};

/// Kinds of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SceneName {
    /// A file system of toolchains, sources and a made database, as an image.
    Image,
    /// Bytes that neither compress nor repeat.
    Random,
    /// A folder of many small files.
    Tree,
}

impl std::fmt::Display for SceneName {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Image => "image",
            Self::Random => "random",
            Self::Tree => "tree",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    First,
    Unchanged,
    Changed,
    Restore,
    Forget,
}

impl Job {
    fn title(self) -> &'static str {
        match self {
            Self::First => "first backup",
            Self::Unchanged => "unchanged",
            Self::Changed => "1% changed",
            Self::Restore => "restore",
            Self::Forget => "forget, prune",
        }
    }
}

/// What one job cost each engine.
#[derive(Debug)]
pub struct Line {
    /// Data and job.
    pub title: String,
    /// In the order of the engines.
    pub costs: Vec<Cost>,
    /// Bytes that the repositories took on disk afterwards.
    pub stored_bytes: Vec<u64>,
}

/// Data, and where the repositories of the engines are made.
pub struct Scene {
    /// Which.
    pub name: SceneName,
    /// The image, file or folder.
    pub source: PathBuf,
    /// Where everything of it lies.
    pub folder: PathBuf,
}

impl Scene {
    fn jobs(&self) -> &'static [Job] {
        match self.name {
            SceneName::Image => &[Job::First, Job::Unchanged, Job::Changed, Job::Restore, Job::Forget],
            SceneName::Random => &[Job::First, Job::Unchanged],
            SceneName::Tree => &[Job::First, Job::Unchanged, Job::Restore],
        }
    }

    /// Lets all engines do all jobs, one job after the other.
    ///
    /// # Errors
    /// When one fails, or restores something else.
    pub fn run(&self, engines: &[String]) -> Result<Vec<Line>> {
        let engines: Vec<Box<dyn Engine>> =
            engines.iter().map(|name| engines::by_name(name, &self.folder)).collect::<Result<_>>()?;
        for engine in &engines {
            engine.init().with_context(|| format!("{}: init", engine.name()))?;
        }
        let mut lines = Vec::new();
        for job in self.jobs() {
            if *job == Job::Changed {
                data::change_image(&self.source)?;
            }
            let title = format!("{}: {}", self.name, job.title());
            let mut line = Line { title, costs: Vec::new(), stored_bytes: Vec::new() };
            for engine in &engines {
                eprintln!("{}: {}", line.title, engine.name());
                let cost = self.run_job(engine.as_ref(), *job);
                line.costs.push(cost.with_context(|| format!("{}: {}", engine.name(), line.title))?);
                line.stored_bytes.push(data::folder_bytes(&engine.repository())?);
            }
            lines.push(line);
        }
        Ok(lines)
    }

    fn run_job(&self, engine: &dyn Engine, job: Job) -> Result<Cost> {
        // Of a device nobody knows that it is unchanged; of a file its times tell.
        let reads_all = self.name != SceneName::Tree;
        match job {
            Job::First | Job::Unchanged | Job::Changed => {
                measure::timed(engine.backup(&self.source, reads_all)?)
            }
            Job::Restore => {
                let (command, restored) = engine.restore(&self.source)?;
                let cost = measure::timed(command)?;
                ensure!(data::is_equal(&self.source, &restored)?, "what was restored differs");
                remove(&restored)?;
                Ok(cost)
            }
            Job::Forget => {
                let costs = engine.forget_all_but_newest().into_iter().map(measure::timed);
                costs.sum::<Result<Cost>>()
            }
        }
    }
}

fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)?
    } else {
        fs::remove_file(path)?
    }
    Ok(())
}
