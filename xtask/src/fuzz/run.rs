use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::Place;

/// Longest input that is made up. Decoders of larger structures meet their limits below it.
const INPUT_BYTES_MAX: u32 = 16 << 10;
/// The most that one input may take.
const INPUT_SECONDS_MAX: u32 = 5;
/// The most that a decoder may ask for at once, and that the whole program may hold.
const ALLOCATION_MIB_MAX: u32 = 64;
const MEMORY_MIB_MAX: u32 = 512;

/// What one run came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    executions: u64,
    processor: Duration,
    peak_mib: u64,
    corpus: u64,
    /// Inputs that broke the decoder, of this run and of earlier ones that nobody has looked at.
    pub(super) findings: Vec<PathBuf>,
}

impl Outcome {
    pub(super) fn line(&self, name: &str) -> String {
        format!(
            "{name:16} {:>12} executions {:>7.0} s  {:>5} MiB  {:>5} inputs kept  {} findings",
            self.executions,
            self.processor.as_secs_f64(),
            self.peak_mib,
            self.corpus,
            self.findings.len()
        )
    }
}

/// Runs one target until it has had its processor time.
pub(super) fn target(program: &Path, place: &Place, name: &str, time: Duration) -> Result<Outcome> {
    let (corpus, findings) = (place.corpus(name), place.findings(name));
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&findings)?;
    let mut command = Command::new(program);
    command
        .arg(&corpus)
        .args([Place::kept(name), Place::golden()].iter().filter(|folder| folder.exists()))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .args([
            "-print_final_stats=1".to_owned(),
            format!("-max_len={INPUT_BYTES_MAX}"),
            format!("-timeout={INPUT_SECONDS_MAX}"),
            format!("-malloc_limit_mb={ALLOCATION_MIB_MAX}"),
            format!("-rss_limit_mb={MEMORY_MIB_MAX}"),
        ])
        .env("LONGSHORE_FUZZ_TARGET", name)
        // What was freed need not be kept to be found again: it would count as memory of the decoder.
        .env("ASAN_OPTIONS", "quarantine_size_mb=16")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
    let stderr = child.stderr.take().context("the program has no stderr")?;
    let reader = std::thread::spawn(move || figures(BufReader::new(stderr)));
    let processor = wait(&mut child, time)?;
    let figures = reader.join().map_err(|_| anyhow::anyhow!("the reader of the program's output broke"))?;
    let figure = |name: &str| figures.get(name).copied().unwrap_or(0);
    Ok(Outcome {
        executions: figure("number_of_executed_units"),
        processor,
        peak_mib: figure("peak_rss_mb"),
        corpus: fs::read_dir(&corpus)?.count() as u64,
        findings: fs::read_dir(&findings)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<_, _>>()?,
    })
}

/// The lines `stat::name: value` of the program's last words.
fn figures(output: impl BufRead) -> BTreeMap<String, u64> {
    let line = |line: std::io::Result<String>| {
        let line = line.ok()?;
        let (name, value) = line.strip_prefix("stat::")?.split_once(':')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    output.lines().filter_map(line).collect()
}

/// Waits until the program ends or has used its time; then it is asked to stop, and says its figures.
fn wait(child: &mut Child, time: Duration) -> Result<Duration> {
    let mut used = Duration::ZERO;
    loop {
        if child.try_wait()?.is_some() {
            return Ok(used);
        }
        used = processor_time(child.id()).unwrap_or(used);
        if used >= time {
            // SIGINT, as from a terminal.
            let _gone_already = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            child.wait()?;
            return Ok(used);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Processor time of a process: fields 14 and 15 of its `stat`, in hundredths of a second.
fn processor_time(process: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

/// Sums over all runs of a machine.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Totals(BTreeMap<String, Total>);

/// The sums of one target.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Total {
    executions: u64,
    processor_seconds: f64,
}

impl Total {
    pub(super) fn line(&self, name: &str) -> String {
        format!("{name:16} {:>12} executions {:>7.0} s", self.executions, self.processor_seconds)
    }
}

impl Totals {
    pub(super) fn load(cache: &Path) -> Result<Self> {
        match fs::read(cache.join("totals.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).context("totals.json of earlier runs cannot be read"),
            Err(_) => Ok(Self::default()),
        }
    }

    pub(super) fn add(&mut self, name: &str, outcome: &Outcome) {
        let total = self.0.entry(name.to_owned()).or_default();
        total.executions += outcome.executions;
        total.processor_seconds += outcome.processor.as_secs_f64();
    }

    pub(super) fn save(&self, cache: &Path) -> Result<()> {
        Ok(fs::write(cache.join("totals.json"), serde_json::to_vec_pretty(self)?)?)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Total)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_and_processor_time_grows() {
        let output = "#1 INITED\nstat::number_of_executed_units: 12345\nstat::peak_rss_mb:   57\nDone\n";
        let figures = figures(output.as_bytes());
        assert_eq!(figures["number_of_executed_units"], 12345);
        assert_eq!(figures["peak_rss_mb"], 57);
        assert!(processor_time(std::process::id()).is_some());
    }
}
